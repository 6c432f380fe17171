import asyncio
import os
from pathlib import Path

import pytest

from receiver import errors
from receiver.rulebook import RulebookWatcher
from receiver.verification import HeaderCheck
from rules.compiler import loader
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from tests.receiver import book


def touched(path: Path, text: str) -> None:
    """Write a file so that the change shows whatever the clock's resolution."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def refreshed(held: RulebookWatcher, approved: str = "") -> bool:
    """Look as often as a change needs that stands still; tell whether it was taken."""
    return any(asyncio.run(held.refresh(approved)) for _ in range(2))


def test_entries(tmp_path: Path) -> None:
    """Each source of the book has an entry; another name has none."""
    held = book.holder(tmp_path)
    assert held.names == [
        "at",
        "calls",
        "cmx",
        "export",
        "greeted",
        "half",
        "mailing",
        "proof",
        "sd_nord",
        "sd_streng",
        "shop",
        "tel",
        "typed",
        "url",
    ]
    assert held.entry("at").secret_headers == {"x-relais-token"}
    with pytest.raises(errors.NotFound, match="unknown_source"):
        held.entry("nobody")


def test_unchanged(tmp_path: Path) -> None:
    """Files that have not changed are not read again."""
    assert not refreshed(book.holder(tmp_path))


def test_changed_book(tmp_path: Path) -> None:
    """A changed book is taken as a whole; one that loses sources when a person has approved it."""
    held = book.holder(tmp_path)
    before = held.version
    text = "sources:\n  fresh:\n    kind: activetrail\n    verify:\n      none: only reachable inside the house\n"
    touched(tmp_path / "book/sources.yaml", text)
    assert not refreshed(held)
    assert held.version == before
    assert refreshed(held, loader.fingerprint(tmp_path / "book"))
    assert held.names == ["fresh"]
    assert held.version != before


def test_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which book was taken, and why another one was not; a defect keeps the one in force, too."""
    caplog.set_level("INFO", "relais.receiver")
    held = book.holder(tmp_path)
    before = held.version
    touched(tmp_path / "book/sources.yaml", "sources: {")
    assert not refreshed(held)
    assert f"book.refused stays={before} problems=sources.yaml:" in caplog.text
    touched(tmp_path / "book/sources.yaml", book.TEXT + "\n# mended\n")
    assert refreshed(held)
    assert f"book.taken version={held.version} sources={len(held.names)}" in caplog.text

    def broken(*_: object) -> Rulebook:
        raise RuntimeError("a defect")

    held = RulebookWatcher(tmp_path / "book", book.CATALOGUE, book.ENVIRON, load=broken)
    assert not refreshed(held)
    assert held.problem == "RuntimeError while reading the book"
    assert "book.unreadable stays=" in caplog.text
    caplog.clear()
    assert not refreshed(held)
    assert caplog.text == ""


def test_bad_book(tmp_path: Path) -> None:
    """A bad book is reported, and the one in force stays; a mended one is taken."""
    held = book.holder(tmp_path)
    before = held.version
    touched(tmp_path / "book/sources.yaml", "sources: {")
    assert not refreshed(held)
    assert (held.version, held.problem != "") == (before, True)
    assert held.entry("at").checks
    assert not refreshed(held)
    touched(tmp_path / "book/sources.yaml", book.TEXT + "\n# mended\n")
    assert refreshed(held)
    assert held.problem == ""


def test_bad_book_at_start(tmp_path: Path) -> None:
    """Nobody starts with a bad book."""
    held = RulebookWatcher(book.write(tmp_path, "rules: {"), book.CATALOGUE, {})
    with pytest.raises(BookRefused):
        held.load()


def test_missing_secret(tmp_path: Path) -> None:
    """A source whose secret is missing answers 503, the others work; a mounted file mends it without a restart."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    held = RulebookWatcher(book.write(tmp_path), book.CATALOGUE, book.ENVIRON, secrets)
    held.load()
    with pytest.raises(errors.NotKept, match="secret_missing"):
        held.entry("half").verified_by()
    assert held.entry("at").verified_by()
    (secrets / "NOT_SET").write_text("from a file\n")
    assert refreshed(held)
    assert held.entry("half").verified_by()


def test_one_of_several_secrets_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While secrets rotate, one that is not there does not close the source to the others; the log names it."""
    text = book.TEXT.replace("${NOT_SET}", '["${NOT_SET}", "${AT_TOKEN}"]')
    assert text != book.TEXT
    held = RulebookWatcher(book.write(tmp_path, text), book.CATALOGUE, book.ENVIRON)
    held.load()
    assert held.entry("half").verified_by()
    assert "secret.missing source=half name=NOT_SET why=not set: the others of this source are valid" in caplog.text


def test_unreadable_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which file holds no secret, whether that closes the source or leaves out one of several."""
    (tmp_path / "NOT_SET").write_bytes(b"geheim\xff")
    held = RulebookWatcher(book.write(tmp_path), book.CATALOGUE, book.ENVIRON, tmp_path)
    held.load()
    assert held.entry("half").checks is None
    assert "secret.missing source=half answers=503 why=the secret NOT_SET has no value: " in caplog.text
    assert f"{tmp_path}/NOT_SET is not UTF-8" in caplog.text
    text = book.TEXT.replace("${NOT_SET}", '["${NOT_SET}", "${AT_TOKEN}"]')
    touched(tmp_path / "book/sources.yaml", text)
    caplog.clear()
    assert refreshed(held)
    assert f"secret.missing source=half name=NOT_SET why={tmp_path}/NOT_SET is not UTF-8: the others" in caplog.text
    assert "geheim" not in caplog.text


def test_changed_secret(tmp_path: Path) -> None:
    """A mounted secret that changes counts at once: the new one is taken, the old one is not any more."""
    (tmp_path / "NOT_SET").write_text("first\n")
    held = RulebookWatcher(book.write(tmp_path), book.CATALOGUE, book.ENVIRON, tmp_path)
    held.load()
    assert held.entry("half").verified_by() == (HeaderCheck("X-Relais-Token", (b"first",)),)
    touched(tmp_path / "NOT_SET", "second")
    assert refreshed(held)
    assert held.entry("half").verified_by() == (HeaderCheck("X-Relais-Token", (b"second",)),)
    assert not refreshed(held)


def test_secret_in_a_named_file(tmp_path: Path) -> None:
    """NAME_FILE says which file holds the secret."""
    (tmp_path / "token").write_text("from a file\n")
    held = RulebookWatcher(
        book.write(tmp_path), book.CATALOGUE, {**book.ENVIRON, "NOT_SET_FILE": str(tmp_path / "token")}
    )
    held.load()
    assert held.entry("half").verified_by()
