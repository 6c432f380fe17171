"""What a page of docs/sources tells a newcomer to type works as it stands there, against a sandbox run of its book."""

import json
import re
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import GENEROUS
from tests.console.conftest import RelaisProcess

ROOT = Path(__file__).parents[1]
#: The reference is no page of one source.
PAGES = sorted(page for page in (ROOT / "docs" / "sources").glob("*.md") if page.stem != "reference")
IDS = [page.stem for page in PAGES]
#: What a page adds to its source in a block of its own.
ADDED = ("hooks", "pull", "tenant")


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def sources(page: Path) -> dict[str, Any]:
    """The sources of a page: its first block, with what further blocks add to that."""
    first, *more = [yaml.safe_load(block) for block in blocks(page, "yaml") if "sources:" in block]
    found: dict[str, Any] = dict(first["sources"])
    [source] = found.values()
    for block in blocks(page, "yaml"):
        told = yaml.safe_load(block)
        source |= {key: value for key, value in told.items() if key in ADDED}
    for each in more:
        found |= each["sources"]
    return found


def script(page: Path, receiver: str) -> str:
    """What a page tells to type, with the addresses and the interpreter of this test."""
    text = "\n".join(blocks(page, "sh"))
    text = text.replace("http://127.0.0.1:8080", receiver).replace("https://HOST", receiver)
    text = re.sub(r"^relais ", f"{sys.executable} -m console.cli ", text, flags=re.MULTILINE)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return re.sub(r"--since \d{4}-\d\d-\d\d", f"--since {yesterday:%Y-%m-%d}", text)


def ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own address
        return json.loads(answer.read())


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_says_what_to_type(page: Path) -> None:
    """Each page has a source for the book, and a command that sends a webhook to it."""
    assert sources(page)
    assert re.search(r"^curl .*|^  http://127.0.0.1:8080/in/", "\n".join(blocks(page, "sh")), re.MULTILINE)


def test_pages_are_right(short_folder: Path) -> None:
    """All that the pages tell to type is accepted, nothing is refused, and each page's event is shown."""
    names = {page: list(sources(page)) for page in PAGES}
    book = short_folder / "book"
    book.mkdir()
    (book / "all.yaml").write_text(
        yaml.safe_dump({"sources": {name: each for page in PAGES for name, each in sources(page).items()}})
    )
    (short_folder / "tests").symlink_to(ROOT / "tests")
    environ = {"RELAIS_BOOK": str(book)}
    words = ("up", "--sandbox", "--json", "--port", "0", "--console-port", "0")
    up = RelaisProcess(*words, folder=short_folder, environ=environ)
    try:
        up.wait_for('{"receiver": ')
        where = json.loads(next(line for line in up.lines if line.startswith("{")))
        for page in PAGES:
            said = subprocess.run(
                ["bash", "-euc", script(page, where["receiver"])],
                cwd=short_folder,
                env={"PATH": "/usr/bin:/bin", **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=2 * GENEROUS,
            )
            assert said.returncode == 0, f"{page}\n{said.stdout}\n{said.stderr}"
            events = ask(f"{where['console']}/events?limit=500")["events"]
            mine = [event for event in events if event["source"] == names[page][0]]
            assert mine, page
            assert {event["state"] for event in mine} <= {"unmatched", "delivered"}, page
            assert any(event["id"] in said.stdout for event in mine), page
        assert ask(f"{where['console']}/refused")["total"] == 0
    finally:
        up.stop()


def test_recipe(tmp_path: Path) -> None:
    """The recipe of docs/testing.md, saved as it stands there, passes with the starter book."""
    page = ROOT / "docs" / "testing.md"
    (tmp_path / "test_book.py").write_text(blocks(page, "python")[0])
    body = tmp_path / "bodies" / "cmx" / "signup.json"
    body.parent.mkdir(parents=True)
    body.write_text(blocks(page, "json")[0])
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "relais").write_text(f'#!/bin/sh\nexec {sys.executable} -m console.cli "$@"\n')
    (programs / "relais").chmod(0o755)
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_book.py"],
        cwd=tmp_path,
        env={"PATH": f"{programs}:/usr/bin:/bin", "RELAIS_BOOK": str(ROOT / "rules" / "book")},
        capture_output=True,
        text=True,
        timeout=3 * GENEROUS,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "1 passed" in said.stdout
    lines = blocks(page, "python")[0].splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith(("import", "from"))]) <= 21
