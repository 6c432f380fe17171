"""A mounted secret means the same to the receiver, to the workers and to the console's commands."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console import book as console_book
from console import replay
from console.catalogue import build
from console.errors import UserError
from receiver.rulebook import RulebookWatcher
from receiver.verification import HeaderCheck
from rules.errors import SecretMissing
from rules.secret import LONGEST, Secret
from tests.receiver.book import CATALOGUE
from workers.context import WorkerContext
from workers.settings import WorkSettings

BOOK = """
sources:
  at:
    kind: activetrail
    verify:
      header:
        name: X-Token
        value: ${TOKEN}
"""

#: Returns the secret TOKEN as one of the processes uses it, None while it is missing.
Reader = Callable[[Path], "str | None"]


def by_receiver(folder: Path) -> str | None:
    held = RulebookWatcher(folder / "book", CATALOGUE, os.environ, folder / "secrets")
    held.load()
    checks = held.entry("at").checks
    return value_of(checks) if checks is not None else None


def by_worker(folder: Path) -> str | None:
    context = WorkerContext(WorkSettings(secrets=folder / "secrets"), build(), lambda kind, type, body: {})
    try:
        return context.reveal(Secret("${TOKEN}"))
    except SecretMissing:
        return None


def by_console(folder: Path) -> str | None:
    source = console_book.load(folder / "book").sources["at"]
    try:
        return value_of(replay.read_checks(source, os.environ, console_book.read_file))
    except (SecretMissing, UserError):
        return None


def value_of(checks: Any) -> str:
    (check,) = checks
    assert isinstance(check, HeaderCheck)
    return check.values[0].decode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a book and with mounted secrets."""
    for name in ("book", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "book/a.yaml").write_text(BOOK)
    monkeypatch.setenv("RELAIS_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.delenv("TOKEN_FILE", raising=False)
    return tmp_path


@pytest.mark.parametrize("reader", [by_receiver, by_worker, by_console])
@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n\r\n", "abc"),
        (b" abc \n", " abc "),
        ("gehëim".encode(), "gehëim"),
        (b"", None),
        (b"\n\n", None),
        (b"abc\xff", None),
        (b"a" * LONGEST, "a" * LONGEST),
        (b"a" * (LONGEST + 1), None),
    ],
)
def test_content(folder: Path, reader: Reader, content: bytes, secret: str | None) -> None:
    """Line ends at the end are left away, nothing else is; what is empty, too long or not UTF-8 counts as missing."""
    (folder / "secrets/TOKEN").write_bytes(content)
    assert reader(folder) == secret


@pytest.mark.parametrize("reader", [by_receiver, by_worker, by_console])
def test_where(folder: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes first, then the file of that name, then the file that NAME_FILE says."""
    assert reader(folder) is None
    (folder / "elsewhere").write_text("by its path\n")
    monkeypatch.setenv("TOKEN_FILE", str(folder / "elsewhere"))
    assert reader(folder) == "by its path"
    (folder / "secrets/other").write_text("by its name\n")
    monkeypatch.setenv("TOKEN_FILE", "other")
    assert reader(folder) == "by its name"
    (folder / "secrets/TOKEN").write_text("mounted\n")
    assert reader(folder) == "mounted"
    (folder / "secrets/TOKEN").write_bytes(b"\xff")
    assert reader(folder) == "by its name"
    monkeypatch.setenv("TOKEN", " from the environment ")
    assert reader(folder) == " from the environment "
