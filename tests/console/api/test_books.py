import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from mailroom import Mailroom, rule_counts
from tests.conftest import PrivateValkey
from tests.console.api.console_process import asked, with_mailroom
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck


def test_books(console: str, valkey: PrivateValkey) -> None:
    """The files of every book that was in force are there by its version; `current` is the one that is."""

    async def keep(mailroom: Mailroom) -> None:
        await mailroom.keep_book("v1", {"a.yaml": "rules: []\n"})
        await mailroom.keep_book("v2", {"a.yaml": "rules: [1]\n", "b.yaml": ""})

    with pytest.raises(UserError, match="unknown_book"):
        asked(console, "/books/current")
    with_mailroom(valkey, keep)
    newest = {"version": "v2", "current": "v2", "files": {"a.yaml": "rules: [1]\n", "b.yaml": ""}}
    assert asked(console, "/books/current") == asked(console, "/books/v2") == newest
    assert asked(console, "/books/v1") == {"version": "v1", "current": "v2", "files": {"a.yaml": "rules: []\n"}}
    with pytest.raises(UserError, match="unknown_book: no book of this version was ever in force"):
        asked(console, "/books/v3")


def test_history(relais: StuckConsole, valkey: PrivateValkey, tmp_path: Path) -> None:
    """The books that were in force are listed, the newest first; the files of one are written into a new folder."""
    assert relais("rules", "history") == "No book was ever in force.\n"

    async def keep(it: Stuck) -> None:
        for version in ("v1", "v2"):
            await it.mailroom.keep_book(version, {"a.yaml": f"# {version}\n", "sub/b.yaml": ""})
            await asyncio.sleep(0.005)

    stuck(valkey.url, keep)
    found = relais.json("rules", "history")
    assert [(one["version"], one["current"]) for one in found] == [("v2", True), ("v1", False)]
    assert "in force" in relais("rules", "history").splitlines()[0]
    folder = tmp_path / "before"
    assert "2 files" in relais("rules", "show", "v1", "--write", str(folder))
    assert (folder / "a.yaml").read_text() == "# v1\n"
    assert "is not empty" in relais("rules", "show", "v1", "--write", str(folder), status=3)


def posted(url: str, path: str, version: str) -> Any:
    return ConsoleClient(ClientSettings(console_url=url)).post(path, {"version": version})


def test_approval(console: str, valkey: PrivateValkey) -> None:
    """A person approves one version, which nobody else has to know yet; what is no version is refused."""

    async def approved(mailroom: Mailroom) -> None:
        assert await mailroom.approved_book() == "0123456789ab"

    assert posted(console, "/books/approve", "0123456789ab") == {
        "approved": "0123456789ab",
        "current": None,
    }
    with_mailroom(valkey, approved)
    with pytest.raises(UserError, match="version"):
        posted(console, "/books/approve", "../etc")


DESCRIBED = """
rules:
  - name: greet
    description: Guests are greeted.
  - group: people
    description: The house wants to know.
    when:
      type: contact.changed
    rules:
      - name: note
      - name: call
        description: By telephone.
  - name: silent
"""


def test_descriptions(console: str, valkey: PrivateValkey) -> None:
    """Where an event's rules are named, their descriptions stand beside them, as the book of that version had them."""
    rules = ("greet", "note", "call", "silent")

    async def route(mailroom: Mailroom) -> None:
        await mailroom.keep_book("b1", {"a.yaml": DESCRIBED, "b.yaml": "vars: {a: 1}\n"})
        stuck = Stuck(mailroom)
        for rule in rules:
            await stuck.put(f"told-{rule}", rule=rule)

    with_mailroom(valkey, route)
    told = [asked(console, f"/events/told-{rule}")["rules"] for rule in rules]
    assert [(each[0]["name"], each[0].get("description")) for each in told] == [
        ("greet", "Guests are greeted."),
        ("note", "The house wants to know."),
        ("call", "By telephone."),
        ("silent", None),
    ]


COVERED = """
rules:
  - name: greet
    when:
      source: shop
    stop: true
    then: nothing
  - name: note
    when:
      source: shop
    then: nothing
"""


def test_coverage(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What was counted of the rules in force is told for each of them; without a book that is said."""
    with pytest.raises(UserError, match="no_book"):
        asked(relais.url, "/book/coverage")

    async def count(mailroom: Mailroom) -> None:
        systems = "sources:\n  shop:\n    kind: generic\n    verify:\n      none: only a test posts here\n"
        await mailroom.keep_book("b1", {"10.yaml": systems + COVERED})
        page = mailroom.key(rule_counts.page_of(time.time_ns() // 1_000_000))
        told: dict[Any, Any] = {"fired|greet": 3, "last|fired|greet": 1_795_600_000_000, "unreached|note": 1}
        await mailroom.read(mailroom.store.hset(page, mapping=told))

    with_mailroom(valkey, count)
    found = relais.json("rules", "coverage")
    assert [(each["rule"], each["state"], each["fired"], each["last"]) for each in found["rules"]] == [
        ("greet", "fires", 3, "2026-11-25T09:46:40.000Z"),
        ("note", "never_reached", 0, None),
    ]
    assert "never reached" in relais("rules", "coverage", "--since", "31d")
    with pytest.raises(UserError, match="bad_since"):
        asked(relais.url, "/book/coverage?since=yesterday")
