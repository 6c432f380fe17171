from pathlib import Path

import pytest

from console import book as books
from console.processes import env_file
from tests.console.conftest import SECRETS


@pytest.fixture(autouse=True)
def no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of mounted secrets, empty."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("RELAIS_SECRETS", str(folder))
    return folder


def test_missing(book: Path, no_secrets: Path) -> None:
    """Secrets of sources that are set nowhere are missing, in the order of the book; others are not ours."""
    loaded = books.load(book)
    assert env_file.missing(loaded, {}) == ["CMX_PASSWORD", "SHOP_SECRET"]
    assert env_file.missing(loaded, {"CMX_PASSWORD": "x"}) == ["SHOP_SECRET"]
    assert env_file.missing(loaded, {"CMX_PASSWORD": "", "SHOP_SECRET_FILE": "/x"}) == ["CMX_PASSWORD"]
    (no_secrets / "CMX_PASSWORD").write_text("mounted\n")
    assert env_file.missing(loaded, {}) == ["SHOP_SECRET"]
    assert env_file.missing(loaded, SECRETS) == []


def test_provide(book: Path, tmp_path: Path) -> None:
    """Fresh secrets are written for their owner alone, each another one, and put into the environment."""
    file = tmp_path / ".env"
    environ: dict[str, str] = {}
    assert env_file.provide(books.load(book), environ, file) == ("CMX_PASSWORD", "SHOP_SECRET")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == environ
    assert len(set(environ.values())) == 2
    assert all(len(value) >= 32 for value in environ.values())
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("state", ["nothing is missing", "there is a file", "nobody may write"])
def test_nothing_to_write(book: Path, tmp_path: Path, state: str) -> None:
    """Where nothing is missing, a file is there already, or none can be written, nothing is invented."""
    environ = dict(SECRETS) if state == "nothing is missing" else {}
    file = tmp_path / ".env"
    if state == "there is a file":
        file.write_text("# mine\n")
    if state == "nobody may write":
        file = tmp_path / "nowhere" / ".env"
    before = dict(environ)
    assert env_file.provide(books.load(book), environ, file) == ()
    assert environ == before
    assert not file.exists() or file.read_text() == "# mine\n"
