"""What receivers saw of sources, as they write it and as it is read back."""

import time
from collections import Counter

import pytest

from mailroom import Mailroom, SourceNotes, observations
from mailroom.observations import DAY, MINUTE, EmptyPlace, SourceView
from rules.event_types.base import from_epoch

pytestmark = pytest.mark.anyio


def now() -> int:
    return time.time_ns() // 1_000_000


async def test_written_and_read(mailroom: Mailroom) -> None:
    """Counts of several receivers add up, a time is the latest; a source that never sent has nothing."""
    at = now()
    for n in (1, 2):
        counts = Counter(
            {"taken|shop": n, "quarantined|shop": 1, "refused|shop|bad_json": n, "unread|shop|birthday": 1}
        )
        notes = SourceNotes(
            counts, {"shop": at - 2 + n}, {("shop", at // MINUTE)}, {"shop|${OLD}": at - 5, "at|${T}": at}
        )
        await mailroom.note_sources(notes)
    found = await observations.read(mailroom, ("shop", "at", "new"), at)
    refused, unread = {"bad_json": 3}, {"birthday": 2}
    assert found == {
        "shop": SourceView(at, False, None, 3, 2, refused, unread, {"${OLD}": at - 5}),
        "at": SourceView(verified={"${T}": at}),
        "new": SourceView(),
    }
    assert await observations.read_minutes(mailroom, "shop", at, 7) == [at // MINUTE]


async def test_places_that_find_nothing(mailroom: Mailroom) -> None:
    """A place that found nothing on the newest day is told with the days before it, back to one on which it did."""
    today = now() // DAY
    pages = {
        today: {"taken|shop": 3, "quarantined|shop": 1, "unread|shop|read.id": 4, "unread|shop|read.time": 3},
        today - 2: {"taken|shop": 5, "unread|shop|read.id": 5, "unread|shop|read.time": 5},
        today - 3: {"taken|shop": 5, "unread|shop|read.id": 4},
        today - 4: {"taken|shop": 5, "unread|shop|read.id": 5, "taken|at": 1},
    }
    for day, page in pages.items():
        for name, n in page.items():
            await mailroom.store.hincrby(mailroom.key(f"sources:{day}"), name, n)
        await mailroom.store.expire(mailroom.key(f"sources:{day}"), 8 * DAY // 1000)
    found = await observations.read(mailroom, ("shop", "at"), now())
    since = from_epoch((today - 2) * DAY)[:10]
    assert found["shop"].empty == (EmptyPlace("read.id", 9, since),)
    assert found["at"].empty == ()


async def test_usual_gap(mailroom: Mailroom) -> None:
    """What usually passes is that of the last seven days; what was before is over."""
    at = now()
    for ago in (0, 10, 20, 30, 40, 50, 7 * 1_440 + 1, 7 * 1_440 + 2):
        await mailroom.note_sources(SourceNotes(minutes={("shop", at // MINUTE - ago)}))
    assert (await observations.read(mailroom, ["shop"], at))["shop"].usual_gap == 10


async def test_told(mailroom: Mailroom) -> None:
    """Of whose silence people were told is remembered until it is over."""
    await observations.remember_told(mailroom, "shop", 5)
    assert await observations.find_told(mailroom) == {"shop": 5}
    assert (await observations.read(mailroom, ["shop"], now()))["shop"].quiet
    await observations.forget_told(mailroom, "shop")
    assert await observations.find_told(mailroom) == {}


async def test_ends(mailroom: Mailroom) -> None:
    """Counts and minutes are gone after their days; nothing is written of nothing."""
    await mailroom.note_sources(SourceNotes(Counter({"taken|shop": 1}), minutes={("shop", now() // MINUTE)}))
    (page,) = [key async for key in mailroom.store.scan_iter(match="*:sources:*")]
    (bits,) = [key async for key in mailroom.store.scan_iter(match="*:busy:*")]
    for key, days in ((page, 8), (bits, 36)):
        assert 0 < await mailroom.store.ttl(key) <= days * DAY // 1000
    assert not SourceNotes()
