"""`relais sources list`, over HTTP: a real console on a real store."""

import asyncio
import textwrap
import time
from collections import Counter

from console import catalogue
from console.api.sources import find_empty_places, list_written
from mailroom import Mailroom, SourceNotes, observations
from mailroom.observations import EmptyPlace, SourceView
from mailroom.shapes import TypeSample
from rules.compiler import compilation
from rules.event_types.base import from_epoch
from tests.conftest import PrivateValkey
from tests.console.api.console_process import samples
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck
from tests.console.api.test_aside import book, enforce


def see(url: str, notes: SourceNotes) -> None:
    """Write down what a receiver saw of a source."""

    async def run() -> None:
        async with await Mailroom.open(url) as room:
            await room.note_sources(notes)

    asyncio.run(run())


def sample(n: int, **kinds: str) -> SourceNotes:
    """Return that n samples of an order had fields of these kinds."""
    seen = dict.fromkeys(kinds.items(), (n, 1, n))
    return SourceNotes(shapes={"shop": {"order.paid": TypeSample(n, seen)}})


def test_drift(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A field that is gone, one that is new and one of another kind are told, until somebody accepts them."""

    async def do(it: Stuck) -> None:
        await enforce(it)

    stuck(valkey.url, do)
    assert "shop: nothing came yet" in relais("sources", "drift")
    see(valkey.url, sample(20, id="text", total="text"))
    assert relais.json("sources", "drift", "shop")["sources"][0]["changes"] == []
    see(valkey.url, sample(12, total="number", vip="true/false"))
    (one,) = relais.json("sources", "drift", "shop")["sources"]
    assert [(each["what"], each["field"], each["says"]) for each in one["changes"]] == [
        ("gone", "id", "in 100% once, not in the last 12"),
        ("other kind", "total", "text, now number"),
        ("new field", "vip", "true/false"),
    ]
    assert one["types"][0]["samples"] == 32
    assert relais.json("sources", "list")["sources"][0]["drift"] == 3
    assert "other kind" in relais("sources", "drift", "shop")
    assert "say whose" in relais("sources", "drift", "--accept", status=2)
    assert "unknown_source" in relais("sources", "drift", "none", status=1)
    assert "unknown_source" in relais("sources", "drift", "none", "--accept", status=1)
    assert relais("sources", "drift", "shop", "--accept") == "3 changes of shop accepted.\n"
    assert relais.json("sources", "drift")["sources"][0]["changes"] == []


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
    now = time.time_ns() // 1_000_000
    minutes = {("shop", now // 60_000 - 3 * n) for n in range(8)}
    see(valkey.url, SourceNotes(counts, {"shop": now}, minutes, {f"shop|{name}": now for name in names}))
    relais("sources", "hold", "shop", "--reason", "nonsense")
    (one,) = relais.json("sources", "list")["sources"]
    assert one["today"] == {"taken": 7, "quarantined": 0, "refused": {"wrong_signature": 2}}
    assert (one["last_event"], one["usual_gap_seconds"], one["unread"]) == (from_epoch(now), 180, {"birthday": 1})
    assert all(secret["last_verified"] == from_epoch(now) for secret in one["secrets"])
    assert one["hold"]["why"] == "nonsense"
    shown = relais("sources", "list")
    assert "refused today: 2 wrong_signature" in shown
    assert "not read today: 1 birthday" in shown
    assert samples(relais.url)['relais_source_last_event_seconds{source="shop"}'] < 600
    assert (one["quiet"], samples(relais.url)['relais_source_quiet{source="shop"}']) == (False, 0)
    assert 0 < samples(relais.url)['relais_source_held_seconds{source="shop"}'] < 600

    async def silence(it: Stuck) -> None:
        await observations.remember_told(it.mailroom, "shop", now)

    stuck(valkey.url, silence)
    assert relais.json("sources", "list")["sources"][0]["quiet"]
    assert samples(relais.url)['relais_source_quiet{source="shop"}'] == 1


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


def test_empty_places() -> None:
    """A place at which nothing stood in any event is named as the book has it; of several the one that is meant."""
    source = book().sources["shop"]
    two, parts = EmptyPlace("read.id", 7, "2026-11-28"), EmptyPlace("read.ignore body.attempt", 5, "2026-11-29")
    assert find_empty_places(source, SourceView(empty=(two, parts))) == [
        {"key": "id", "place": "body.id", "events": 7, "since": "2026-11-28"},
        {"key": "ignore", "place": "body.attempt", "events": 5, "since": "2026-11-29"},
    ]
    one = EmptyPlace("read.id body.account", 7, "2026-11-28")
    assert [each["place"] for each in find_empty_places(source, SourceView(empty=(two, one)))] == ["body.account"]
