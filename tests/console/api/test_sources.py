"""`relais sources list`, over HTTP: a real console on a real store."""

import asyncio
import textwrap
import time
from collections import Counter

from console import catalogue
from console.api.sources import list_written
from mailroom import Mailroom, SourceNotes
from rules.compiler import compilation
from rules.event_types.base import from_epoch
from tests.conftest import PrivateValkey
from tests.console.api.console_process import samples
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck
from tests.console.api.test_aside import enforce

NOW = time.time_ns() // 1_000_000


def see(url: str, notes: SourceNotes) -> None:
    """Write down what a receiver saw of a source."""

    async def run() -> None:
        async with await Mailroom.open(url) as room:
            await room.note_sources(notes)

    asyncio.run(run())


def test_list(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Each source of the book: when it sent last, what came today, which secret verified last, whether it is held."""
    assert "The book in force has no source" in relais("sources", "list")

    async def do(it: Stuck) -> None:
        await enforce(it)

    stuck(valkey.url, do)
    (one,) = relais.json("sources", "list")["sources"]
    assert (one["source"], one["last_event"], one["usual_gap_seconds"]) == ("shop", None, None)
    names = [secret["name"] for secret in one["secrets"]]
    assert [secret["last_verified"] for secret in one["secrets"]] == [None] * len(names)
    counts = Counter({"taken|shop": 7, "refused|shop|wrong_signature": 2, "taken|gone": 1, "unread|shop|birthday": 1})
    minutes = {("shop", NOW // 60_000 - 3 * n) for n in range(8)}
    see(valkey.url, SourceNotes(counts, {"shop": NOW}, minutes, {f"shop|{name}": NOW for name in names}))
    relais("sources", "hold", "shop", "--reason", "nonsense")
    (one,) = relais.json("sources", "list")["sources"]
    assert one["today"] == {"taken": 7, "quarantined": 0, "refused": {"wrong_signature": 2}}
    assert (one["last_event"], one["usual_gap_seconds"], one["unread"]) == (from_epoch(NOW), 180, {"birthday": 1})
    assert all(secret["last_verified"] == from_epoch(NOW) for secret in one["secrets"])
    assert one["hold"]["why"] == "nonsense"
    shown = relais("sources", "list")
    assert "refused today: 2 wrong_signature" in shown
    assert "not read today: 1 birthday" in shown
    assert samples(relais.url)['relais_source_last_event_seconds{source="shop"}'] < 600


def test_echoes_of() -> None:
    """A source says of which destinations it tells what Relais wrote there, where anything can come back."""
    text = """
        sources:
          hook: {kind: activetrail, api: crm, verify: {none: only for this test}}
          house: {kind: seminardesk, api: house_api, verify: {none: only for this test}}
        destinations:
          crm: {kind: rest, base: "https://crm.example.org"}
          house_api: {kind: seminardesk, base: "https://house.example.org", api_key: "${HOUSE_KEY}"}
    """
    book = compilation.compile_book({"book.yaml": textwrap.dedent(text).encode()}, catalogue.build()).book
    assert book is not None
    assert {name: list_written(book, name) for name in book.sources} == {"hook": ["crm"], "house": []}
