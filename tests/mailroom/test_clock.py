"""The store's clock is set back: what it said before still counts."""

import pytest

from mailroom import INBOX, Lease, Mailroom, Receipt, RoomRequest, Settlement
from tests.mailroom.store import CLOCK, Store, event

pytestmark = pytest.mark.anyio
HOUR = 3_600_000


async def _settle_all(room: Mailroom) -> None:
    await room.beat("d", register=True)
    leases: list[Lease] = (await room.take("d", "r1", [RoomRequest(INBOX, 9, 9)])).leases
    for lease in leases:
        done = [
            Settlement(lease, item, "done", item, "2026-11-21", last=item == lease.items[-1][0])
            for item, _ in lease.items
        ]
        await room.settle("d", "t1", done)
    await room.leave("d")


@pytest.mark.parametrize("quarantined", [False, True])
async def test_repetition_after_the_clock_was_set_back(store: Store, mailroom: Mailroom, quarantined: bool) -> None:
    """An event that was put before midnight came back is still known, though its payload is long gone."""
    await store.raw.incrby(CLOCK, HOUR + 1000)
    if quarantined:
        await mailroom.quarantine([(event("e1"), "why")])
    else:
        await mailroom.put([event("e1")])
        await _settle_all(mailroom)
    await store.raw.decrby(CLOCK, HOUR)
    if quarantined:
        assert await mailroom.quarantine([(event("e1"), "why")]) == [Receipt("e1", True)]
        return
    assert await mailroom.put([event("e1")]) == [Receipt("e1", True)]
    assert [room.ready for room in await mailroom.rooms()] in ([], [0])


async def test_equal_bodies_after_the_clock_was_set_back(store: Store, mailroom: Mailroom) -> None:
    """A mark of a body that seems to come from the future counts for nothing: two events are never taken for one."""
    await store.raw.incrby(CLOCK, 50_000)
    for name, back in (("a", 10_000), ("b", 60_000), ("c", HOUR)):
        assert await mailroom.put([event(name, sender=False)]) == [Receipt(name, False)]
        await store.raw.decrby(CLOCK, back)
    assert await mailroom.put([event("d", sender=False)]) == [Receipt("d", False)]
