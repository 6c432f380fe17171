"""Turns of sources, step by step; what holds whatever is called is found by walks (`comparison.py`)."""

import pytest

from mailroom import INBOX, Lease, Mailroom, NewDelivery, RoomRequest, Settlement
from tests.mailroom.store import TODAY, Store, event

pytestmark = pytest.mark.anyio


async def take(room: Mailroom, request: str, boxes: int) -> list[Lease]:
    return (await room.take("d1", request, [RoomRequest(INBOX, boxes, 9)])).leases


async def test_a_note_keeps_the_place(mailroom: Mailroom, store: Store) -> None:
    """Who was pulled forward and comes anew stands where it stood before, and is served once."""
    await mailroom.beat("d1", register=True)
    await mailroom.put([event(name, f"email:{name}@example.org") for name in ("a", "b", "c")])
    await mailroom.put([event("goes", "email:b@example.org", type="contact.unsubscribed")])
    (lease,) = await take(mailroom, "r1", 1)
    assert [item for item, _ in lease.items] == ["b", "goes"]
    ends = [Settlement(lease, item, "done", item, TODAY, last=item == "goes") for item, _ in lease.items]
    await mailroom.settle("d1", "s1", ends)
    line = (await store.dump())["ready:in:shop"].value
    assert len(line) == 3
    await mailroom.put([event("again", "email:b@example.org")])
    assert (await store.dump())["ready:in:shop"].value == line
    leases = await take(mailroom, "r2", 9)
    assert [item for lease in leases for item, _ in lease.items] == ["a", "again", "c"]
    assert not [name for name in await store.dump() if name.startswith(("ready:", "turns:", "notes:"))]


async def test_urgent_waits_for_urgent(mailroom: Mailroom, store: Store) -> None:
    """What is made of one event goes in its order: the second is not sent at once past the first, both being urgent."""
    await mailroom.beat("d1", register=True)
    await mailroom.put([event("goes", "email:a@example.org", type="contact.unsubscribed")])
    (lease,) = await take(mailroom, "r1", 1)
    new = [
        NewDelivery(f"goes.{n}", "crm", (name,), b'{"n":1}', lease=at_once, urgent=True)
        for n, (name, at_once) in enumerate([("x", False), ("y", True)])
    ]
    settled = await mailroom.settle("d1", "s1", [Settlement(lease, "goes", "done", "goes", TODAY, new=new)])
    assert settled.leased == set()
    assert (await store.dump())["ready:crm:!"].value == ["x", "y"]
