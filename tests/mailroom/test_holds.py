"""A source that a person holds, one sentence at a time, on a real store."""

from dataclasses import replace

import pytest

from mailroom import INBOX, Mailroom
from mailroom.holds import SourceHolds
from mailroom.ledger import Decision
from tests.mailroom.store import Store, event
from tests.mailroom.test_client import drain, settlement, take

pytestmark = pytest.mark.anyio
__all__ = ["drain"]

ADA = Decision("ada", "they send nonsense")


def holds_of(mailroom: Mailroom) -> SourceHolds:
    return SourceHolds(mailroom, ADA)


async def route(room: Mailroom, drain: str) -> list[str]:
    """Route all that may be routed; return it in its order."""
    routed = []
    while leases := await take(room, drain):
        for lease in leases:
            for n, (item, _) in enumerate(lease.items, 1):
                await room.settle(drain, "s", [settlement(lease, item, last=n == len(lease.items))])
                routed.append(item)
    return routed


async def test_hold(mailroom: Mailroom, drain: str) -> None:
    """What a held source sends is kept, in order, while others go on; released, it is routed in the order it came."""
    holds = holds_of(mailroom)
    assert await holds.hold("shop")
    assert not await holds.hold("shop")
    await mailroom.put([event(f"s{n}", f"email:p{n % 2}@example.org") for n in range(4)])
    await mailroom.put([event("d1", "email:other@example.org", source="desk")])
    assert await route(mailroom, drain) == ["d1"]
    (hold,) = (await holds.all()).values()
    assert (hold.source, hold.by, hold.why, hold.until) == ("shop", "ada", "they send nonsense", 0)
    waiting = await holds.events("shop")
    assert [(each.id, each.behind) for each in waiting] == [("s0", ()), ("s1", ()), ("s2", ("s0",)), ("s3", ("s1",))]
    assert (await mailroom.rooms())[0].waiting == 2
    assert await mailroom.box_faults() == []
    assert await holds.release("shop")
    assert not await holds.release("shop")
    assert sorted(routed := await route(mailroom, drain)) == ["s0", "s1", "s2", "s3"]
    assert routed.index("s0") < routed.index("s2")
    assert routed.index("s1") < routed.index("s3")
    assert await holds.all() == {}


async def test_what_waited_before(mailroom: Mailroom, drain: str) -> None:
    """What came before the hold and is not under way is held, too; what is under way ends."""
    await mailroom.put([event("a"), event("b")])
    (lease,) = await take(mailroom, drain, per_box=1)
    await holds_of(mailroom).hold("shop")
    await mailroom.settle(drain, "s", [settlement(lease, "a")])
    assert await route(mailroom, drain) == []
    assert [each.id for each in await holds_of(mailroom).events("shop")] == ["b"]


async def test_order_of_a_person(mailroom: Mailroom, drain: str) -> None:
    """Of one person's box what stands before a held event goes; what stands behind it waits, whoever sent it."""
    await holds_of(mailroom).hold("shop")
    await mailroom.put([event("d1", source="desk"), event("s1"), event("d2", source="desk")])
    assert await route(mailroom, drain) == ["d1"]
    further = replace(event("d3", "id:7", source="desk"), names=("email:eva@example.org",))
    await mailroom.put([further])
    assert await route(mailroom, drain) == []
    await holds_of(mailroom).release("shop")
    assert await route(mailroom, drain) == ["s1", "d2", "d3"]


async def test_urgent(mailroom: Mailroom, drain: str) -> None:
    """An unsubscribe of a held source is held as well."""
    await holds_of(mailroom).hold("shop")
    await mailroom.put([event("s1", type="contact.unsubscribed")])
    assert await route(mailroom, drain) == []


async def test_until(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A hold ends by itself; a drain that asks is told when."""
    await holds_of(mailroom).hold("shop", await store.now() + 60_000)
    await mailroom.put([event("s1")])
    assert await route(mailroom, drain) == []
    await store.advance(59_000)
    assert await route(mailroom, drain) == []
    await store.advance(1_000)
    assert await route(mailroom, drain) == ["s1"]
    assert not (await holds_of(mailroom).release("shop"))


async def test_let_go(mailroom: Mailroom, drain: str) -> None:
    """One event is let go though its source stays held; nothing overtakes: behind a held one it waits for that."""
    holds = holds_of(mailroom)
    await holds.hold("shop")
    await mailroom.put([event("a"), event("b"), event("c")])
    assert await route(mailroom, drain) == []
    assert await holds.let_go("b") == "done"
    assert await holds.let_go("b") == "gone"
    assert await route(mailroom, drain) == []
    assert [(each.id, each.behind) for each in await holds.events("shop")] == [("a", ()), ("c", ("a",))]
    assert await holds.let_go("a") == "done"
    assert await route(mailroom, drain) == ["a", "b"]
    assert await holds.let_go("none") == "gone"
    fate = await mailroom.fate("a")
    assert fate is not None
    assert [(one["what"], one["by"], one["why"]) for one in fate.decisions] == [
        ("released", "ada", "they send nonsense")
    ]


async def test_discard(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What is given up is never routed, its payload is gone, its story says by whom and why, and the next goes on."""
    holds = holds_of(mailroom)
    await holds.hold("shop")
    await mailroom.put([event("a"), event("d", source="desk"), event("b")])
    assert await route(mailroom, drain) == []
    assert await holds.discard("b") == "done"
    assert await holds.discard("a") == "done"
    assert await holds.discard("a") == "gone"
    assert await mailroom.record("a") is None
    assert await route(mailroom, drain) == ["d"]
    assert (await mailroom.put([event("a")]))[0].duplicate
    fate = await mailroom.fate("a")
    assert fate is not None
    assert (fate.state, [(one["what"], one["by"]) for one in fate.decisions]) == ("skipped", [("dropped", "ada")])
    assert not [name for name in await store.dump() if name.startswith(("b:", "one:", "parked:"))]


async def test_under_way(mailroom: Mailroom, drain: str) -> None:
    """What a drain has in hand is left to it, and what is not of a held source is nobody's business."""
    holds = holds_of(mailroom)
    await mailroom.put([event("a"), event("d", "email:other@example.org", source="desk")])
    await take(mailroom, drain)
    await holds.hold("shop")
    assert await holds.discard("a") == "busy"
    assert await holds.let_go("a") == "busy"
    assert await holds.discard("d") == "gone"


async def test_many(mailroom: Mailroom, drain: str) -> None:
    """However many boxes are to be held, one call parks some hundred, says that there are more, and others get on."""
    await mailroom.put([event(f"s{n}", f"email:p{n}@example.org") for n in range(1_200)])
    await holds_of(mailroom).hold("shop")
    await mailroom.put([event("d", "email:other@example.org", source="desk")])
    assert await route(mailroom, drain) in (["d"], [])
    for _ in range(4):
        await route(mailroom, drain)
    (inbox,) = [room for room in await mailroom.rooms() if room.name == INBOX]
    assert (inbox.ready, inbox.waiting) == (0, 1_200)
    await holds_of(mailroom).release("shop")
    routed: list[str] = []
    for _ in range(5):
        routed += await route(mailroom, drain)
    assert len(routed) == 1_200
