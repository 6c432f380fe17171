"""When each source's last webhook came, in words."""

import asyncio
import re
import time
from collections import Counter

from console.checks import webhooks
from console.checks.store import HealthCheck
from mailroom import Mailroom, SourceNotes, observations
from mailroom.holds import SourceHolds
from mailroom.ledger import Decision
from rules.event_types.base import from_epoch
from tests.conftest import PrivateValkey


def look(url: str, *told: dict[str, int]) -> list[HealthCheck]:
    """Return the checks of a store to which receivers told when they took webhooks."""

    async def run() -> list[HealthCheck]:
        async with Mailroom.connect(url) as room:
            await room.prepare()
            for came in told:
                await room.note_sources(SourceNotes(came=came))
            return await webhooks.check(room)

    return asyncio.run(run())


def test_none(valkey: PrivateValkey) -> None:
    """Where no webhook ever came there is nothing to say."""
    assert look(valkey.url, {}) == []


def test_last(valkey: PrivateValkey) -> None:
    """Each source that ever sent one is there, whichever receiver took it, the newest first; silence is no fault."""
    now = int(time.time() * 1000)
    old, new = now - 3 * 86_400_000 - 5_000_000, now - 2 * 3_600_000 - 60_000
    found = look(valkey.url, {"sd_nord": old, "at": old - 1}, {"sd_sued": new})
    assert [check.says for check in found] == [
        f"sd_sued: last 2 h ago, {from_epoch(new)}",
        f"sd_nord: last 3 d ago, {from_epoch(old)}",
        f"at: last 3 d ago, {from_epoch(old - 1)}",
    ]
    assert {(check.name, check.ok, check.mend) for check in found} == {("webhooks", True, "")}


def test_quiet(valkey: PrivateValkey) -> None:
    """Of a source that is quiet, as the workers found, it is said."""
    now = int(time.time() * 1000)

    async def run() -> None:
        async with Mailroom.connect(valkey.url) as room:
            await observations.remember_told(room, "at", now)

    asyncio.run(run())
    (found,) = look(valkey.url, {"at": now - 7_200_000})
    assert found.says.endswith(", unusually long for it")
    assert (found.ok, found.mend) == (True, "relais sources list")


def test_odd(valkey: PrivateValkey) -> None:
    """A place that never finds anything is named, and a source that a person holds, with what ends it."""
    counts = Counter({"taken|shop": 7, "unread|shop|read.id": 7, "unread|shop|read.time": 6, "unread|shop|birthday": 7})

    async def run() -> list[HealthCheck]:
        async with Mailroom.connect(valkey.url) as room:
            await room.prepare()
            await room.note_sources(SourceNotes(counts, came={"shop": int(time.time() * 1000)}))
            await SourceHolds(room, Decision("eva", "nonsense")).hold("shop")
            return await webhooks.check(room)

    _, place, hold = asyncio.run(run())
    today = from_epoch(int(time.time() * 1000))[:10]
    assert (place.name, place.says) == ("places", f"shop: read.id found nothing in 7 of 7 events since {today}")
    assert place.mend == "is read: id: in the book right? relais sources list"
    assert re.fullmatch(r"shop: held by eva for \d+ s: nonsense; what comes is not routed", hold.says)
    assert hold.mend == "relais sources held shop, relais sources release shop"
    assert (place.ok, hold.ok) == (True, True)


def test_clock_of_another_host(valkey: PrivateValkey) -> None:
    """A receiver whose clock is ahead says no negative time."""
    (found,) = look(valkey.url, {"at": int(time.time() * 1000) + 3_600_000})
    assert found.says.startswith("at: last 0 s ago, ")
