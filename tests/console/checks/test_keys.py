"""What the keys of the book's destinations may not do there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console import book, cli
from console.checks import keys
from mailroom.sentences import say
from sandbox import server
from sandbox.server import Running
from workers.destinations import DESTINATIONS

BOOK = """
destinations:
  all: {kind: maileon, base: BASE, api_key: "${ALL}", allow_private: true}
  some: {kind: maileon, base: BASE, api_key: "${SOME}", allow_private: true}
  old: {kind: maileon, base: BASE, api_key: "${OLD}", allow_private: true}
  none: {kind: maileon, base: BASE, api_key: "${NONE}", allow_private: true}
  tracking: {kind: etracker, base: BASE, account_key: "${ALL}", api_key: "${ALL}"}
"""


@pytest.fixture
def running() -> Iterator[Running]:
    """Stand-ins of the vendors."""
    with server.in_thread() as one:
        yield one


@pytest.fixture
def folder(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book with four keys of one Maileon, and an etracker, which cannot be asked."""
    accounts = running.world.accounts
    monkeypatch.setenv("ALL", accounts.maileon_api_key)
    monkeypatch.setenv("SOME", accounts.maileon_api_key_write_only)
    monkeypatch.setenv("OLD", accounts.maileon_api_key_expired)
    (tmp_path / "book.yaml").write_text(BOOK.replace("BASE", running.base("maileon")))
    return tmp_path


def test_keys(folder: Path) -> None:
    """A key that may only create and update is told, with what is refused for it; nothing else is asked."""
    found = {check.name: check for check in keys.check(book.load(folder))}
    assert set(found) == {"key all", "key some", "key old", "key none"}
    assert (found["key all"].ok, found["key all"].mend) == (True, "")
    some = found["key some"]
    assert not some.ok
    assert "may not GET: it cannot look" in some.says
    assert "may not DELETE: unsubscribe is refused" in some.says
    assert "POST" not in some.says
    assert (found["key old"].ok, "unauthorised" in found["key old"].says) == (False, True)
    assert (found["key none"].ok, "NONE" in found["key none"].says) == (False, True)


def test_doctor_asks_only_when_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`relais doctor --keys` has them among its checks, and the key itself nowhere."""

    def doctor(*words: str) -> dict[str, Any]:
        monkeypatch.setenv("REDIS_URL", "unix:/nowhere/valkey.sock")
        told = CliRunner().invoke(cli.relais, ["doctor", "--json", "--book", str(folder), *words]).output
        assert "5a9db0c5" not in told
        found: dict[str, Any] = json.loads(told)
        return found

    assert not any(check["name"].startswith("key") for check in doctor()["checks"])
    assert sum(check["name"].startswith("key ") for check in doctor("--keys")["checks"]) == 4


@pytest.mark.parametrize("kind", ["rest", "hubspot", "pipedrive", "lexware", "activetrail", "seminardesk"])
def test_taken_or_not(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Where rights cannot be asked for a read shows whether the key is taken, and writes nothing."""
    stand_in = DESTINATIONS[kind].kind.stand_in
    assert stand_in is not None
    text = json.dumps({"kind": kind, "allow_private": True} | dict(stand_in.options)).replace("{sandbox}", running.url)
    lines = [f"  right: {text}", f"  wrong: {re.sub('SANDBOX_[A-Z_]+', 'WRONG', text)}"]
    (tmp_path / "book.yaml").write_text("destinations:\n" + "\n".join(lines) + "\n")
    for name, value in vars(running.world.accounts).items():
        monkeypatch.setenv(f"SANDBOX_{name.upper()}", value)
    monkeypatch.setenv("WRONG", "another-key")
    found = {check.name: check for check in keys.check(book.load(tmp_path))}
    assert (found["key right"].ok, found["key right"].says) == (True, say("key_reads"))
    assert (found["key wrong"].ok, "unauthorised" in found["key wrong"].says) == (False, True)
    calls = [each.call for each in running.world.journal.entries()]
    assert [each.path for each in calls if each.method != "GET" and not each.path.endswith("/search")] == []
