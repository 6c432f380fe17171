"""The documentation as a site (`make docs`): whole, without a broken link, and without a request to anybody else."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPHINX = ROOT / ".cache" / "docs-venv" / "bin" / "sphinx-build"
BUILD = (str(SPHINX), "--quiet", "--fail-on-warning", "--keep-going", "-c")
#: What a browser fetches by itself, from elsewhere than the site.
FETCHED = re.compile(
    r"""<(?:link|script|img|iframe)\b[^>]*(?:src|href)=["'](?:https?:)?//[^"']+"""
    r"""|url\(["']?(?:https?:)?//[^)]+|@import [^;]*//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SPHINX.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Sphinx is not there: make docs")
        pytest.skip("needs Sphinx: make docs")
    out = tmp_path_factory.mktemp("site")
    words = [*BUILD, "docs", "-d", str(out / "pages"), ".", str(out / "html")]
    # Whoever asks for the network while it is built gets an error.
    environ = {"PATH": "/usr/bin:/bin", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    said = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return out / "html"


def test_whole(site: Path) -> None:
    """Each page of docs is in it, and each is reached from the first one by the list of pages."""
    pages = [page.relative_to(ROOT).with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not (site / page).is_file()] == []
    first = (site / "docs" / "index.html").read_text()
    reached = {os.path.normpath(f"docs/{target}") for target in re.findall(r'href="([^"#]+\.html)"', first)}
    assert {str(page) for page in pages} - {"docs/index.html"} <= reached
    assert 'url=docs/index.html"' in (site / "index.html").read_text()


def test_asks_nobody(site: Path) -> None:
    """No page and no style fetches a font, a script or a picture from elsewhere."""
    files = [file for file in site.rglob("*") if file.suffix in (".html", ".css")]
    assert len(files) > 50
    assert {found for file in files for found in FETCHED.findall(file.read_text())} == set()


def test_a_broken_link_is_found(site: Path, tmp_path: Path) -> None:
    """A link to a page or a heading that is not there fails the build."""
    (tmp_path / "docs").mkdir()
    for name, text in (
        ("index", "# A\n\n```{toctree}\nb\n```\n"),
        ("b", "# B\n\n[one](index.md#nowhere) [two](gone.md)\n"),
    ):
        (tmp_path / "docs" / f"{name}.md").write_text(text)
    words = [*BUILD, str(ROOT / "docs"), ".", str(tmp_path / "html")]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode != 0
    assert "nowhere" in said.stderr
    assert "gone.md" in said.stderr
