"""What the pulling of sources leaves in the store, and the quota of a key."""

import asyncio

import pytest

from mailroom import Mailroom
from mailroom.pulls import PullBoard
from rules.quota import Quota
from tests.mailroom.store import DAY, START, Store

pytestmark = pytest.mark.anyio

#: The test's clock stands an hour before midnight UTC.
HOUR = 3_600_000
MIDNIGHT = START + HOUR


async def test_spends_what_there_is(mailroom: Mailroom) -> None:
    """As many requests are granted as the day has, the reserve only to those who ask for it; then it says when."""
    quota = Quota(limit="10/day", reserve=3)
    said = [await mailroom.spend("key", quota) for _ in range(9)]
    assert [one.granted for one in said] == [True] * 7 + [False] * 2
    assert (said[-1].used, said[-1].left, said[-1].ends) == (7, 3, MIDNIGHT)
    assert said[-1].wait == HOUR / 1000
    person = [(await mailroom.spend("key", quota, keep=0)).granted for _ in range(4)]
    assert person == [True] * 3 + [False]
    assert (await mailroom.spend("another key", quota)).used == 1


async def test_next_day(mailroom: Mailroom, store: Store) -> None:
    """At midnight of its zone a new page begins; the store's clock says when that is, not ours."""
    quota = Quota(limit="1/day")
    assert (await mailroom.spend("key", quota)).granted
    assert not (await mailroom.spend("key", quota)).granted
    await store.advance(HOUR)
    assert (await mailroom.spend("key", quota)).ends == MIDNIGHT + DAY


async def test_several_at_once(mailroom: Mailroom) -> None:
    """A count is granted as a whole or not at all."""
    quota = Quota(limit="5/day")
    assert (await mailroom.spend("key", quota, count=3)).used == 3
    assert not (await mailroom.spend("key", quota, count=3)).granted
    assert (await mailroom.spend("key", quota, count=2)).used == 5


async def test_shared(mailroom: Mailroom, store: Store) -> None:
    """Processes that share a key never spend more than there is, however they run side by side."""
    quota = Quota(limit="50/day", reserve=10)
    rooms = [await store.open() for _ in range(3)]
    try:
        said = await asyncio.gather(*(room.spend("key", quota) for _ in range(30) for room in rooms))
    finally:
        for room in rooms:
            await room.close()
    assert sum(one.granted for one in said) == 40


@pytest.mark.parametrize("limit", [24, 240, 4_500])
async def test_spread(mailroom: Mailroom, store: Store, limit: int) -> None:
    """Spread over the day: at its beginning an hour's share, then no more than the time that has passed allows."""
    quota = Quota(limit=f"{limit}/day")
    await store.advance(HOUR)
    granted = []
    for hour in range(24):
        while (said := await mailroom.spend("key", quota, spread=True)).granted:
            pass
        granted.append(said.used)
        assert said.used == min(limit, limit // 24 + hour * limit // 24)
        assert 0 < said.wait <= HOUR / 1000
        await store.advance(HOUR)
    assert granted[-1] >= limit - 1


async def test_wait_is_right(mailroom: Mailroom, store: Store) -> None:
    """Who waits as long as he is told gets his request."""
    quota = Quota(limit="100/day")
    await store.advance(HOUR)
    for _ in range(30):
        said = await mailroom.spend("key", quota, spread=True)
        if not said.granted:
            await store.advance(int(said.wait * 1000) + 1)
            assert (await mailroom.spend("key", quota, spread=True)).granted


async def test_page_is_forgotten(mailroom: Mailroom, store: Store) -> None:
    """What is known of a key goes two months after it was used, and its name holds no credential."""
    await mailroom.spend("very-secret", Quota(limit="5/day"))
    names = [name for name in await store.dump() if name.startswith("quota:")]
    assert len(names) == 1
    assert "secret" not in names[0]
    await store.advance(63 * DAY + 1)
    assert not [name for name in await store.dump() if name.startswith("quota:")]


async def test_lock(mailroom: Mailroom, store: Store) -> None:
    """One process pulls from a source at a time; one that dies holds the others up for a minute."""
    board = PullBoard(mailroom)
    assert await board.hold("tel", "a")
    assert await board.hold("tel", "a")
    assert not await board.hold("tel", "b")
    assert await board.hold("other", "b")
    await board.release("tel", "b")
    assert not await board.hold("tel", "b")
    await board.release("tel", "a")
    assert await board.hold("tel", "b")
    await store.advance(61_000)
    assert await board.hold("tel", "a")
    await board.release("tel", "a")
    await board.release("other", "b")


async def test_back_fill(mailroom: Mailroom) -> None:
    """A back-fill that was asked for anew, or stopped, is not written over by who still works on the old one."""
    board = PullBoard(mailroom)
    await board.ask_fill("tel", 1, 9, 5, "eva")
    first = (await board.fills())["tel"]
    assert await board.say_fill("tel", {**first, "marks": {"calls": 4}})
    await board.ask_fill("tel", 2, 9, 6, "eva")
    assert not await board.say_fill("tel", {**first, "marks": {"calls": 8}})
    assert (await board.fills())["tel"]["marks"] == {}
    assert await board.stop_fill("tel")
    assert not await board.stop_fill("tel")
    assert not await board.say_fill("tel", (await board.fills())["tel"])
