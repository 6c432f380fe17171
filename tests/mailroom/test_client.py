"""The mailroom, one sentence at a time; what sentences cannot say stands in `test_mailroom_properties.py`."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from mailroom import (
    INBOX,
    DeadLetterInfo,
    Lease,
    Mailroom,
    NewDelivery,
    Pace,
    RefusedDetails,
    RoomRequest,
    Settled,
    Settlement,
    StoreFull,
    StoreUnavailable,
    ledger,
    queries,
)
from mailroom.errors import StoreDamaged
from mailroom.keys import BODY_WINDOW
from mailroom.operator import Operator
from rules.event import Event
from rules.matching.truth import Why
from tests.conftest import PrivateValkey
from tests.mailroom.store import CLOCK, DAY, LUA, TODAY, Store, StoredKey, event, key_faults

pytestmark = pytest.mark.anyio

#: What people are told of a dead letter.
INFO = DeadLetterInfo("crm", "a", "refused", "it said no")


def settlement(lease: Lease, item: str, verdict: str = "done", **more: object) -> Settlement:
    """Return a settlement as a drain would write it."""
    given: dict[str, object] = {"event": item.split(".")[0], "day": TODAY, **more}
    return Settlement(lease, item, verdict, **given)  # type: ignore[arg-type]


async def take(room: Mailroom, drain: str, name: str = INBOX, boxes: int = 9, per_box: int = 9) -> list[Lease]:
    """Take from one room; the request names the drain and how often it asked."""
    take.calls += 1  # type: ignore[attr-defined]
    request = f"{drain}-{take.calls}"  # type: ignore[attr-defined]
    return (await room.take(drain, request, [RoomRequest(name, boxes, per_box)])).leases


take.calls = 0  # type: ignore[attr-defined]


async def route(room: Mailroom, drain: str, made: dict[str, tuple[str, str]], **more: object) -> Settled:
    """Take every event of the inbox and route it: delivery id -> (room, box), by the event's id in the delivery's."""
    leases = await take(room, drain)
    settlements = []
    for lease in leases:
        for n, (item, _) in enumerate(lease.items, 1):
            new = [
                NewDelivery(d, to, (box,), b"{}", **more)  # type: ignore[arg-type]
                for d, (to, box) in made.items()
                if d.split(".")[0] == item
            ]
            settlements.append(settlement(lease, item, new=new, last=n == len(lease.items)))
    return await room.settle(drain, f"s-{drain}-{take.calls}", settlements)  # type: ignore[attr-defined]


@pytest.fixture
async def drain(mailroom: Mailroom) -> str:
    """The name of a drain that lives."""
    await mailroom.beat("d1", register=True)
    return "d1"


def items(leases: list[Lease]) -> list[str]:
    """Return the items of leases, in order."""
    return [item for lease in leases for item, _ in lease.items]


def contents(dump: Mapping[str, StoredKey]) -> dict[str, object]:
    """Return what is in the store, without the time that keys still live."""
    return {name: (entry.type, entry.value, entry.ttl is None) for name, entry in dump.items()}


# -- put


async def test_put_and_take(mailroom: Mailroom, drain: str) -> None:
    """What was put is taken in the order it came, with its record unchanged but for its number."""
    events = [event("a"), event("b"), event("c", "email:ole@example.org")]
    receipts = await mailroom.put(events)
    assert [(r.id, r.duplicate) for r in receipts] == [("a", False), ("b", False), ("c", False)]
    leases = await take(mailroom, drain)
    assert [[item for item, _ in lease.items] for lease in leases] == [["a", "b"], ["c"]]
    assert leases[0].items[0][1] == b'{"n":1,' + events[0].encode()[1:]


async def test_sent_twice(mailroom: Mailroom, drain: str) -> None:
    """An id that was put is not put again, in the same call or later, and the answer names it."""
    receipts = await mailroom.put([event("a"), event("a")])
    assert [r.duplicate for r in receipts] == [False, True]
    assert (await mailroom.put([event("a")]))[0].id == "a"
    assert items(await take(mailroom, drain)) == ["a"]


async def test_sent_twice_over_a_bucket_edge(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A sender's id is remembered for a day at least, wherever in the bucket it came."""
    for ms in (3_599_999, 1, DAY - 3_600_000):
        await mailroom.put([event("a")])
        await store.advance(ms)
    assert items(await take(mailroom, drain)) == ["a"]


async def test_sent_again_while_it_waits(mailroom: Mailroom, store: Store, drain: str) -> None:
    """An event that waits longer than ids are remembered is still not put twice."""
    await mailroom.put([event("a")])
    await store.advance(3 * DAY)
    assert (await mailroom.put([event("a")]))[0].duplicate
    assert items(await take(mailroom, drain)) == ["a"]


async def test_same_body(mailroom: Mailroom, store: Store) -> None:
    """Without a sender's id, the latest body of a person sent again within a minute is the same event."""
    assert not (await mailroom.put([event("a", sender=False)]))[0].duplicate
    assert (await mailroom.put([event("b", sender=False)]))[0].id == "a"
    await store.advance(BODY_WINDOW)
    assert not (await mailroom.put([event("c", sender=False)]))[0].duplicate


async def test_added_removed_added(mailroom: Mailroom) -> None:
    """Added, removed and added again are three events."""
    bodies = (b'{"added":1}', b'{"removed":1}', b'{"added":1}')
    receipts = await mailroom.put([event(f"e{n}", sender=False, body=body) for n, body in enumerate(bodies)])
    assert not any(r.duplicate for r in receipts)


async def test_named_between(mailroom: Mailroom) -> None:
    """An event with a sender's id between two equal bodies of a person makes them two events."""
    receipts = await mailroom.put([event("a", sender=False), event("b"), event("c", sender=False)])
    assert not any(r.duplicate for r in receipts)


async def test_same_body_over_a_page(mailroom: Mailroom, store: Store) -> None:
    """A body counts for its minute also when the next page of marks has begun, and never beside a newer one."""

    async def put(name: str, body: bytes = b"1", *, sender: bool = False) -> str:
        return (await mailroom.put([event(name, sender=sender, body=body)]))[0].id

    await store.advance(45_000)
    assert await put("a") == "a"
    await store.advance(30_000)
    assert await put("b") == "a"
    assert await put("c", b"2") == "c"
    assert await put("d", b"2") == "c"
    assert await put("e") == "e"
    await store.advance(50_000)
    assert await put("f") == "e"
    assert await put("g", sender=True) == "g"
    assert await put("h") == "h"


@pytest.mark.parametrize(
    "other",
    [
        event("b", sender=False, type="contact.unsubscribed"),
        event("b", sender=False, source="a_source_with_a_long_name_b"),
    ],
    ids=["type", "source"],
)
async def test_same_body_of_something_else(mailroom: Mailroom, other: Event) -> None:
    """The same body as another type (a vendor that names it by URL only) or from another source is another event."""
    await mailroom.put(
        [event("a", sender=False, source="a_source_with_a_long_name_a"), event("c", "email:x@example.org")]
    )
    mine = event("a2", sender=False, source=other.source.replace("_b", "_a"))
    await mailroom.put([mine])
    assert not (await mailroom.put([other]))[0].duplicate


async def test_repeated_duplicate(mailroom: Mailroom, drain: str) -> None:
    """A duplicate whose answer was lost stays one when it is put again, also after newer events of the person."""
    await mailroom.put([event("a", sender=False, body=b"1")])
    again = event("b", sender=False, body=b"1")
    assert (await mailroom.put([again]))[0].duplicate
    await mailroom.put([event("c", sender=False, body=b"2")])
    assert (await mailroom.put([again]))[0].duplicate
    assert items(await take(mailroom, drain)) == ["a", "c"]


async def test_memory(mailroom: Mailroom, store: Store) -> None:
    """An event that waits costs no more than 1.3 times its payload and 400 bytes."""
    payload, n = b"x" * 800, 4000
    people = [f"email:p{k}@example.org" for k in range(n)]
    events = [replace(event(f"{k:026}", key, body=payload), identities=(key,)) for k, key in enumerate(people)]
    before = (await store.raw.info("memory"))["used_memory"]
    for first in range(0, n, 100):
        await mailroom.put(events[first : first + 100])
    after = (await store.raw.info("memory"))["used_memory"]
    assert (after - before) / n <= 1.3 * len(payload) + 400


async def test_half_a_settle(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What a defect in the store ends half-way has happened once for what came before it, also when it is repeated."""
    await mailroom.put([event("a"), event("b", "email:b@example.org")])
    one, other = await take(mailroom, drain)
    await store.raw.set(mailroom.key("b:crm:there"), "no list")
    both = [
        settlement(one, "a", new=[NewDelivery("a.0", "crm", ("here",), b"{}", lease=True)]),
        settlement(other, "b", new=[NewDelivery("b.0", "crm", ("there",), b"{}", lease=True)]),
    ]
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await mailroom.settle(drain, "t1", both)
        dump = await store.dump()
        assert dump["b:crm:here"].value == ["l 0 0 0 t1 1", "a.0"]
        assert dump["leased:crm"].value == {"here": drain}
        assert "b:in:" + one.box not in dump
    await store.raw.delete(mailroom.key("b:crm:there"))


async def test_half_an_event(mailroom: Mailroom, store: Store, drain: str) -> None:
    """An event of which a defect lets only one part be made is not made at all: else it ended with that part."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    await store.raw.set(mailroom.key("b:crm:there"), "no list")
    new = [
        NewDelivery(f"a.{n}", "crm", (box,), b"{}", once_key=box, once_ms=9) for n, box in enumerate(("here", "there"))
    ]
    before = contents(await store.dump())
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await mailroom.settle(drain, "t1", [settlement(lease, "a", new=new)])
    assert contents(await store.dump()) == before
    await store.raw.delete(mailroom.key("b:crm:there"))
    assert (await mailroom.settle(drain, "t1", [settlement(lease, "a", new=new)])).statuses == [1]
    for one in await take(mailroom, drain, "crm"):
        assert "e:a" in await store.dump()
        await mailroom.settle(drain, "t2", [settlement(one, one.items[0][0])])
    assert "e:a" not in await store.dump()


async def test_half_a_take(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What a defect in the store ends half-way loses no other box."""
    await mailroom.put([event("a"), event("b", "email:b@example.org")])
    await store.raw.hdel(mailroom.key("one:in"), mailroom.hash("email:b@example.org"))
    await store.raw.set(mailroom.key("b:in:" + mailroom.hash("email:b@example.org")), "no list")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await take(mailroom, drain)
    assert await mailroom.strays(drain, []) == 1
    assert items(await take(mailroom, drain)) == ["a"]
    await store.raw.delete(mailroom.key("b:in:" + mailroom.hash("email:b@example.org")))


# -- take


@pytest.mark.parametrize("earlier", [False, True])
async def test_further_boxes_of_an_event(mailroom: Mailroom, store: Store, drain: str, earlier: bool) -> None:
    """Until anything happens to an event its further boxes stand with its home; earlier ones stand beside that."""
    a, b = (replace(event(name, name, sender=False), names=("other",)) for name in ("a", "b"))
    await mailroom.put([a, b])
    home, behind, other = (mailroom.hash(name) for name in ("a", "b", "other"))
    if earlier:
        await store.raw.hset(mailroom.key("one:in"), mapping={home: "r:shop\na", behind: "b:shop\nb"})
        await store.raw.hset(mailroom.key("also:in"), mapping={"a": other, "b": other})
    else:
        assert await store.raw.hgetall(mailroom.key("one:in")) == {
            home.encode(): f"r:shop {other}\na".encode(),
            behind.encode(): f"b:shop {other}\nb".encode(),
        }
        assert not await store.raw.exists(mailroom.key("also:in"))
    assert await mailroom.box_faults() == []
    assert [room.blocked for room in await mailroom.rooms()] == [2]  # the second one, and what both have in common
    (lease,) = await take(mailroom, drain)
    assert await store.raw.hget(mailroom.key("also:in"), "a") == other.encode()
    assert await mailroom.box_faults() == []
    await mailroom.settle(drain, "t", [settlement(lease, "a")])
    (lease,) = await take(mailroom, drain)
    assert items([lease]) == ["b"]
    await mailroom.settle(drain, "t2", [settlement(lease, "b")])
    left = await store.dump()
    assert not [name for name in left if name.startswith(("b:", "one:", "also:"))]


async def test_forms_of_a_box(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A box of one element is a field, whatever its state; more makes it a list, which it stays."""
    box, other = (mailroom.hash(f"email:{name}@example.org") for name in ("eva", "otto"))
    await mailroom.put([event("a"), event("b", "email:otto@example.org")])
    assert await store.raw.hgetall(mailroom.key("one:in")) == {
        box.encode(): b"r:shop\na",
        other.encode(): b"r:shop\nb",
    }
    await mailroom.put([event("c")])
    assert await store.raw.lrange(mailroom.key(f"b:in:{box}"), 0, -1) == [b"r 0 0 0 - 0 shop", b"a", b"c"]
    one, two = await take(mailroom, drain)
    assert await store.raw.hgetall(mailroom.key("one:in")) == {
        other.encode(): f"l 0 0 0 {two.token} 1 shop\nb".encode()
    }
    await mailroom.settle(drain, "t", [settlement(two, "b"), settlement(one, "a")])
    assert await store.raw.keys(mailroom.key("one:*")) == []
    assert await store.raw.lrange(mailroom.key(f"b:in:{box}"), 1, -1) == [b"c"]
    assert items(await take(mailroom, drain)) == ["c"]


async def test_half_a_put(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A put that meets what is no box writes nothing of any event, so that its repetition is no duplicate."""
    box = mailroom.hash("email:bad@example.org")
    await store.raw.set(mailroom.key(f"b:in:{box}"), "no list")
    before = await store.dump()
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await mailroom.put([event("a"), event("b", "email:bad@example.org"), event("c", "email:otto@example.org")])
    assert await store.dump() == before
    await store.raw.delete(mailroom.key(f"b:in:{box}"))
    assert not any(known.duplicate for known in await mailroom.put([event("a"), event("b", "email:bad@example.org")]))
    assert {item for lease in await take(mailroom, drain) for item, _ in lease.items} == {"a", "b"}


async def test_same_request_same_lease(mailroom: Mailroom, drain: str) -> None:
    """A take whose answer was lost is asked again and gives the same items, whatever came in between."""
    await mailroom.put([event("a"), event("b")])
    wants = [RoomRequest(INBOX, 1, 1)]
    first = await mailroom.take(drain, "r1", wants)
    await mailroom.put([event("c"), event("x", "email:x@example.org")])
    again = await mailroom.take(drain, "r1", wants)
    assert again.leases == first.leases
    assert items(again.leases) == ["a"]


async def test_request_that_begins_like_another(mailroom: Mailroom, drain: str) -> None:
    """A request is the same only if all of it is."""
    await mailroom.put([event("a"), event("b", "email:b@example.org")])
    await mailroom.take(drain, "r12", [RoomRequest(INBOX, 1)])
    assert items((await mailroom.take(drain, "r1", [RoomRequest(INBOX, 1)])).leases) == ["b"]


async def test_leased_once(mailroom: Mailroom, drain: str) -> None:
    """What one drain holds, no other gets."""
    await mailroom.beat("d2", register=True)
    await mailroom.put([event("a"), event("b")])
    assert items(await take(mailroom, drain, per_box=1)) == ["a"]
    assert items(await take(mailroom, "d2")) == []


async def test_unknown_drain(mailroom: Mailroom) -> None:
    """A drain that was declared dead, or never said that it lives, gets nothing: nobody would miss it."""
    await mailroom.put([event("a")])
    assert await take(mailroom, "ghost") == []
    await mailroom.beat("ghost", register=True)
    await mailroom.bury(["ghost"])
    assert await take(mailroom, "ghost") == []


async def test_concurrency(mailroom: Mailroom, drain: str) -> None:
    """A room leases no more boxes than its concurrency, counted over all drains."""
    await mailroom.configure("crm", concurrency=2)
    await mailroom.put([event("a"), event("b", None), event("c", None)])
    await route(mailroom, drain, {f"{x}.0": ("crm", f"box-{x}") for x in "abc"})
    first = await take(mailroom, drain, "crm")
    assert items(first) == ["a.0", "b.0"]
    assert await take(mailroom, drain, "crm") == []
    await mailroom.settle(drain, "s", [settlement(first[0], "a.0")])
    assert items(await take(mailroom, drain, "crm")) == ["c.0"]


async def test_rate(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A room sends its burst and then one item each interval; take says when the next may go."""
    await mailroom.configure("mail", every=100, burst=2)
    await mailroom.put([event(x, None) for x in "abcd"])
    await route(mailroom, drain, {f"{x}.0": ("mail", f"box-{x}") for x in "abcd"})
    taken = await mailroom.take(drain, "r1", [RoomRequest("mail", 9, 9)])
    assert items(taken.leases) == ["a.0", "b.0"]
    assert taken.wait == 100
    await store.advance(99)
    assert (await mailroom.take(drain, "r2", [RoomRequest("mail", 9, 9)])).wait == 1
    await store.advance(1)
    assert items((await mailroom.take(drain, "r3", [RoomRequest("mail", 9, 9)])).leases) == ["c.0"]


async def test_repeated_take_after_its_items(mailroom: Mailroom, drain: str) -> None:
    """A repetition that arrives late, when all that was handed out is settled, leaves alone what stands behind it."""
    await mailroom.put([event("e1"), event("e2")])
    (lease,) = await take(mailroom, drain, per_box=1)
    await mailroom.settle(drain, "s", [settlement(lease, "e1", last=False)])
    again = await mailroom.take(drain, lease.token, [RoomRequest(INBOX, 9, 1)])
    assert again.leases == []
    await mailroom.settle(drain, "s", [settlement(lease, "e1")])
    (rest,) = await take(mailroom, drain)
    assert [item for item, _ in rest.items] == ["e2"]


async def test_rate_of_a_repeated_take(mailroom: Mailroom, drain: str) -> None:
    """A take that is asked again hands out no more than its rate paid for."""
    await mailroom.configure("mail", every=100, burst=1)
    await mailroom.put([event("a")])
    await route(mailroom, drain, {f"a.{n}": ("mail", "box") for n in range(3)})
    for _ in range(2):
        assert items((await mailroom.take(drain, "r1", [RoomRequest("mail", 9, 9)])).leases) == ["a.0"]


async def test_pace(mailroom: Mailroom, store: Store) -> None:
    """Further requests of a delivery wait as the room's rate asks."""
    await mailroom.configure("mail", every=100, burst=2)
    assert [await mailroom.pace("mail") for _ in range(4)] == [Pace(), Pace(), Pace(0.1), Pace(0.2)]
    await store.advance(10_000)
    assert await mailroom.pace("mail", 0) == await mailroom.pace("mail", 0) == Pace()
    assert await mailroom.pace("mail") == Pace()
    assert await mailroom.pace("anything") == Pace()


async def test_rest(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A destination that asks to be left alone gets nothing until then, not even further requests; then all goes on."""
    await mailroom.put([event("a")])
    assert await mailroom.rest("mail", 6)
    assert not await mailroom.rest("mail", 5)
    settled = await route(mailroom, drain, {f"a.{n}": ("mail", f"box{n}") for n in range(3)}, lease=True)
    assert not settled.leased
    early = await mailroom.take(drain, "r1", [RoomRequest("mail", 9, 9)])
    assert (early.leases, early.wait) == ([], 6_000)
    assert await mailroom.pace("mail") == Pace(rest=6)
    (room,) = [room for room in await mailroom.rooms() if room.name == "mail"]
    assert (room.ready, room.paused) == (3, "")
    await store.advance(6_000)
    assert len((await mailroom.take(drain, "r2", [RoomRequest("mail", 9, 9)])).leases) == 3


async def test_rest_ends(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A day is the longest, and none where the store's clock was set back; a person ends it at once."""
    await mailroom.rest("mail", 1_000_000)
    assert await mailroom.pace("mail") == Pace(rest=86_400)
    assert await mailroom.resume("mail")
    assert not await mailroom.resume("mail")
    assert await mailroom.pace("mail") == Pace()
    await mailroom.rest("mail", 86_400)
    await store.advance(-1)
    assert await mailroom.pace("mail") == Pace()


async def test_rest_comes_before_probes(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A paused room that rests is not probed either."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("mail", "box")})
    (lease,) = await take(mailroom, drain, "mail")
    refused = settlement(lease, "a.0", "wait", wait_ms=1, attempt=1, says="refused:unauthorised")
    await mailroom.settle(drain, "s", [refused])
    await mailroom.rest("mail", 300)
    await mailroom.probe("mail")
    taken = await mailroom.take(drain, "r1", [RoomRequest("mail", 9, 9)])
    assert (taken.leases, taken.wait) == ([], 300_000)


async def test_pause(mailroom: Mailroom, drain: str) -> None:
    """A paused room leases nothing, and says why."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box")})
    assert await mailroom.pause("crm", "migration")
    assert not await mailroom.pause("crm", "something else")
    assert await take(mailroom, drain, "crm") == []
    inbox, crm = await mailroom.rooms()
    assert (inbox.paused, json.loads(crm.paused)["why"], crm.probe_at) == ("", "something else", 0)
    assert await mailroom.resume("crm")
    assert not await mailroom.resume("crm")
    assert items(await take(mailroom, drain, "crm")) == ["a.0"]


async def test_wait(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A box that waits comes back when it is due, with its attempts and its doubt, before its younger items."""
    await mailroom.put([event("a"), event("b")])
    (lease,) = await take(mailroom, drain, per_box=1)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "wait", wait_ms=1000, attempt=1, doubt=1)])
    taken = await mailroom.take(drain, "r1", [RoomRequest(INBOX, 9, 9)])
    assert (taken.leases, taken.wait) == ([], 1000)
    await store.advance(1000)
    (lease,) = await take(mailroom, drain)
    assert (items([lease]), lease.attempt, lease.doubt) == (["a", "b"], 1, 1)


async def test_back(mailroom: Mailroom, drain: str) -> None:
    """A box given back untouched is the next to be taken, and no attempt was counted."""
    await mailroom.put([event("a", None), event("b", None)])
    (lease,) = await take(mailroom, drain, boxes=1)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "back")])
    assert items(await take(mailroom, drain)) == ["a", "b"]


async def test_hold(mailroom: Mailroom, drain: str) -> None:
    """A held box stays until a person lets it go, with its attempts forgotten and its doubt kept."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    why = DeadLetterInfo(INBOX, "a", "ambiguous", "", action="add_note", status=503, at=5)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "hold", info=why, attempt=3, doubt=1)])
    assert await take(mailroom, drain) == []
    assert await mailroom.held(INBOX) == {lease.box: json.loads(why.encode())}
    operator = Operator(mailroom)
    assert await operator.release(INBOX, lease.box)
    assert not await operator.release(INBOX, lease.box)
    (lease,) = await take(mailroom, drain)
    assert (lease.attempt, lease.doubt) == (0, 1)


async def test_tombstones(mailroom: Mailroom, store: Store, drain: str) -> None:
    """An item without a record leaves its box at the next take, with its attempts and its own doubt only."""
    await mailroom.put([event(x) for x in "abcd"])
    (lease,) = await take(mailroom, drain, per_box=3)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "wait", wait_ms=1, attempt=2, doubt=3)])
    await store.raw.delete(mailroom.key("e:b"))
    await store.advance(1)
    (lease,) = await take(mailroom, drain)
    assert (items([lease]), lease.attempt, lease.doubt) == (["a", "c", "d"], 2, 2)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "wait", wait_ms=1, attempt=3, doubt=2)])
    await store.raw.delete(mailroom.key("e:a"))
    await store.advance(1)
    (lease,) = await take(mailroom, drain)
    assert (items([lease]), lease.attempt, lease.doubt) == (["c", "d"], 0, 1)


# -- settle


async def test_payload_goes_with_its_last_delivery(mailroom: Mailroom, drain: str) -> None:
    """The payload stays while a delivery needs it and is gone with the last."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box"), "a.1": ("mail", "box")})
    for name in ("crm", "mail"):
        assert await mailroom.record("a") is not None
        (lease,) = await take(mailroom, drain, name)
        await mailroom.settle(drain, f"s-{name}", [settlement(lease, lease.items[0][0])])
    assert await mailroom.record("a") is None


async def test_unmatched(mailroom: Mailroom, drain: str) -> None:
    """The payload of an event that no rule matched goes when it is routed."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {})
    assert await mailroom.record("a") is None


async def test_retain(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A source that retains payloads keeps them that long after they were settled."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    await mailroom.settle(drain, "s", [settlement(lease, "a", retain=5000)])
    await store.advance(4000)
    assert await mailroom.record("a") is not None
    await store.advance(1000)
    assert await mailroom.record("a") is None


async def test_stale_token(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Whoever lost the lease changes nothing."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    await mailroom.bury([drain])
    await mailroom.beat("d2", register=True)
    (taken,) = (await mailroom.take("d2", "r2", [RoomRequest(INBOX, 1)], suspects=4)).leases
    before = contents(await store.dump())
    for verdict in ("done", "dead", "wait", "hold", "back"):
        new = [NewDelivery("a.0", "crm", ("box",), b"{}")]
        s = settlement(lease, "a", verdict, wait_ms=1, info=INFO, new=new, line='{"t":"x"}', counter="x")
        assert (await mailroom.settle(drain, "s", [s])).statuses == [0]
    assert contents(await store.dump()) == before
    assert (await mailroom.settle("d2", "s", [settlement(taken, "a")])).statuses == [1]


async def test_settle_in_parts(mailroom: Mailroom, drain: str) -> None:
    """Items of a lease may be settled one by one; repeating one of them does not touch the next."""
    await mailroom.put([event("a"), event("b"), event("c")])
    (lease,) = await take(mailroom, drain)
    await mailroom.bury([drain])
    await mailroom.beat(drain, register=True)
    (lease,) = (await mailroom.take(drain, "r", [RoomRequest(INBOX, 1)], suspects=4)).leases
    assert (lease.doubt, items([lease])) == (3, ["a"])
    await mailroom.settle(drain, "s", [settlement(lease, "a")])
    (lease,) = await take(mailroom, drain)
    assert (lease.doubt, items([lease])) == (2, ["b", "c"])
    for status in (1, 2):
        answer = await mailroom.settle(drain, "s", [settlement(lease, "b", last=False)])
        assert answer.statuses == [status]
    await mailroom.bury([drain])
    await mailroom.put([event("d")])
    await mailroom.beat(drain, register=True)
    (lease,) = (await mailroom.take(drain, "r", [RoomRequest(INBOX, 1)], suspects=4)).leases
    assert (lease.doubt, items([lease])) == (1, ["c"])


async def test_doubt_counts_what_was_handed_out(mailroom: Mailroom, drain: str) -> None:
    """When a drain dies, doubtful is what it had and had not settled, not what waited behind it."""
    await mailroom.put([event(x) for x in "abcd"])
    (lease,) = await take(mailroom, drain, per_box=2)
    await mailroom.settle(drain, "s", [settlement(lease, "a", last=False)])
    await mailroom.bury([drain])
    await mailroom.beat(drain, register=True)
    (lease,) = (await mailroom.take(drain, "r", [RoomRequest(INBOX, 1)], suspects=4)).leases
    assert (lease.doubt, lease.deaths) == (1, 1)


async def test_route_and_lease_in_one_step(mailroom: Mailroom, drain: str) -> None:
    """Routing leases a delivery to the same drain where the box was idle and the room has room."""
    await mailroom.configure("crm", concurrency=1)
    await mailroom.put([event("a")])
    made = {"a.0": ("crm", "x"), "a.1": ("crm", "x"), "a.2": ("crm", "y")}
    settled = await route(mailroom, drain, made, lease=True)
    assert settled.leased == {"a.0"}
    assert settled.more
    assert await take(mailroom, drain, "crm") == []


async def test_dead(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A dead letter keeps its payload until it is given up, and the box goes on without it."""
    await mailroom.put([event("a"), event("b")])
    (lease,) = await take(mailroom, drain, per_box=1)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "dead", info=INFO)])
    assert items(await take(mailroom, drain)) == ["b"]
    assert [(d.id, d.info) for d in await mailroom.dead()] == [("a", json.loads(INFO.encode()))]
    await store.advance(10_000)
    assert await mailroom.expire(10_001) == 0
    assert await mailroom.record("a") is not None
    assert await mailroom.expire(10_000) == 1
    assert (await mailroom.record("a"), await mailroom.dead_count()) == (None, 0)


async def test_dead_with_next(mailroom: Mailroom, drain: str) -> None:
    """What follows from a dead letter needs the payload beside the dead letter itself."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery("a.0", "crm", ("box",), b"{}")]
    await mailroom.settle(drain, "s", [settlement(lease, "a", "dead", info=INFO, new=new)])
    (lease,) = await take(mailroom, drain, "crm")
    await mailroom.settle(drain, "s", [settlement(lease, "a.0")])
    assert await mailroom.record("a") is not None


async def test_only_once(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`only_once` lets one delivery come into being until its time is over."""
    made = {f"{x}.0": ("crm", "box") for x in "abc"}
    more = {"once_key": "k", "once_ms": 1000}
    await mailroom.put([event("a"), event("b")])
    assert (await route(mailroom, drain, made, **more)).once == {"b.0"}
    assert await mailroom.record("b") is None
    await store.advance(1000)
    await mailroom.put([event("c")])
    assert (await route(mailroom, drain, made, **more)).once == set()


async def test_once_is_not_used_up_by_the_dead(mailroom: Mailroom, drain: str) -> None:
    """A delivery that is born dead was never sent, so it leaves `only_once` to the next."""
    made = {"a.0": ("crm", "box"), "b.0": ("crm", "box")}
    more = {"once_key": "k", "once_ms": 1000}
    await mailroom.put([event("a")])
    await route(mailroom, drain, made, dead=INFO, **more)
    await mailroom.put([event("b")])
    assert (await route(mailroom, drain, made, **more)).once == set()


async def test_delay(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A delayed delivery waits, and what comes later for its object waits behind it."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box")}, delay=1000)
    await mailroom.put([event("b")])
    await route(mailroom, drain, {"b.0": ("crm", "box")})
    assert await take(mailroom, drain, "crm") == []
    await store.advance(1000)
    assert items(await take(mailroom, drain, "crm")) == ["a.0", "b.0"]


async def test_record_of_what_was_decided(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Who has the lease may store a delivery's record anew while it waits; who has lost it stores nothing."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box")})
    (lease,) = await take(mailroom, drain, "crm")
    decided = settlement(lease, "a.0", verdict="wait", wait_ms=1, record=b'{"args":"one two"}')
    late = replace(decided, record=b'{"args":"another"}')
    for each, status in ((decided, 1), (late, 0)):
        assert (await mailroom.settle(drain, "s", [each])).statuses == [status]
        await store.advance(1)
    (lease,) = await take(mailroom, drain, "crm")
    assert lease.items == [("a.0", b'{"args":"one two"}')]
    await mailroom.settle(drain, "s", [settlement(lease, "a.0", verdict="wait", wait_ms=1)])
    await store.advance(1)
    (lease,) = await take(mailroom, drain, "crm")
    assert lease.items == [("a.0", b'{"args":"one two"}')]


# -- what makes others stale


async def test_newest(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Of each type the latest time counts, under each name of its event, in whichever order they came, for 31 days."""
    left, bounced, one, other = "contact.unsubscribed", "a type | of one's own", "email:eva@example.org", "id:7"
    names = [mailroom.hash(one), mailroom.hash(other)]
    times = {"a": ("10:05", left), "b": ("10:07", left), "c": ("10:06", left), "d": ("10:00", bounced)}
    await mailroom.put([replace(event(name), names=(other,) if name == "b" else ()) for name in times])
    (lease,) = await take(mailroom, drain)
    settled = [
        settlement(lease, name, happened=f"2026-11-21T{at}:00.000Z {type}", note=note, last=name == "d")
        for (name, (at, type)), note in zip(times.items(), ("", "aside", "2026 000000", ""), strict=True)
    ]
    for _ in range(2):  # an answer was lost
        await mailroom.settle(drain, "s", settled)
        assert await mailroom.newest(names[:1], [left, bounced, "call.missed"]) == {
            left: "2026-11-21T10:07:00.000Z",
            bounced: "2026-11-21T10:00:00.000Z",
        }
    assert await mailroom.newest(names[1:], [left, bounced]) == {left: "2026-11-21T10:07:00.000Z"}
    assert await mailroom.newest(names, [bounced]) == {bounced: "2026-11-21T10:00:00.000Z"}
    await store.advance(2 * DAY)
    await mailroom.put([event("e")])
    (lease,) = await take(mailroom, drain)
    await mailroom.settle(drain, "s", [settlement(lease, "e", happened=f"2026-11-20T10:00:00.000Z {left}")])
    assert (await mailroom.newest(names, [left]))[left] == "2026-11-21T10:07:00.000Z"
    await store.advance(30 * DAY)
    assert (await mailroom.newest(names, [left]))[left] == "2026-11-20T10:00:00.000Z"
    await store.advance(2 * DAY)
    assert await mailroom.newest(names, [left]) == {}


# -- coalesce


async def test_coalesce(mailroom: Mailroom, drain: str) -> None:
    """Of waiting deliveries with one coalescing key the newest stays; what does not coalesce keeps its place."""
    for name, more in (("a", {"coalesce_key": "k"}), ("b", {}), ("c", {"coalesce_key": "k"})):
        await mailroom.put([event(name)])
        await route(mailroom, drain, {f"{name}.0": ("crm", "box")}, **more)
    assert await mailroom.record("a") is None
    assert items(await take(mailroom, drain, "crm")) == ["b.0", "c.0"]
    story = await mailroom.fate("a")
    assert story is not None


async def test_story_of_the_coalesced(mailroom: Mailroom, drain: str) -> None:
    """An event that was coalesced by one of another day says so, on its own page."""
    today, yesterday = (datetime.now(UTC).date() - timedelta(days=n) for n in (0, 1))
    one = replace(event("a"), received_at=f"{yesterday}T10:00:00.000Z")
    line = (
        '{"t":"routed","at":"","source":"shop","type":"booking.created","received":"","book":"b1",'
        '"fired":["r"],"missed":[],"made":[["a.0","crm","note","r"]],"skipped":[]}'
    )
    await mailroom.put([one])
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery("a.0", "crm", ("box",), b"{}", coalesce_key="k")]
    await mailroom.settle(drain, "s", [settlement(lease, "a", new=new, line=line, day=str(yesterday))])
    await mailroom.put([event("b")])
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery("b.0", "crm", ("box",), b"{}", coalesce_key="k")]
    await mailroom.settle(drain, "s", [settlement(lease, "b", new=new, day=str(today))])
    story = await mailroom.fate("a")
    assert story is not None
    assert (story.state, story.deliveries[0].why) == ("coalesced", "by b.0")


async def test_coalesce_spares_what_is_held_by_a_drain(mailroom: Mailroom, drain: str) -> None:
    """What a drain is sending is never dropped for a newer one."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box")}, coalesce_key="k")
    (lease,) = await take(mailroom, drain, "crm")
    await mailroom.put([event("b")])
    await route(mailroom, drain, {"b.0": ("crm", "box")}, coalesce_key="k")
    assert (await mailroom.settle(drain, "s", [settlement(lease, "a.0")])).statuses == [1]
    assert items(await take(mailroom, drain, "crm")) == ["b.0"]


@pytest.mark.parametrize(("doubt", "stays"), [(0, ["b.0", "c.0"]), (1, ["a.0", "b.0", "c.0"])])
async def test_coalesce_the_head(mailroom: Mailroom, store: Store, drain: str, doubt: int, stays: list[str]) -> None:
    """A head that failed takes its attempts along when it is dropped; one that may have been sent stays."""
    await mailroom.put([event("a")])
    await route(mailroom, drain, {"a.0": ("crm", "box")}, coalesce_key="k")
    (lease,) = await take(mailroom, drain, "crm")
    await mailroom.settle(drain, "s", [settlement(lease, "a.0", "wait", wait_ms=1000, attempt=3, doubt=doubt)])
    await mailroom.put([event("b")])
    await route(mailroom, drain, {"b.0": ("crm", "box")})
    await mailroom.put([event("c")])
    await route(mailroom, drain, {"c.0": ("crm", "box")}, coalesce_key="k")
    await store.advance(1000)
    (lease,) = await take(mailroom, drain, "crm")
    assert items([lease]) == stays
    assert (lease.attempt, lease.doubt) == ((3, 1) if doubt else (0, 0))


async def test_coalesce_with_itself(mailroom: Mailroom, drain: str) -> None:
    """An event whose deliveries coalesce with each other keeps its payload for the one that is left."""
    await mailroom.put([event("a")])
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery(f"a.{n}", "crm", ("box",), b"{}", coalesce_key="k") for n in range(3)]
    line = (
        '{"t":"routed","at":"","source":"shop","type":"booking.created","received":"","book":"b1","fired":["r"],'
        '"missed":[],"made":[["a.0","crm","x","r"],["a.1","crm","x","r"],["a.2","crm","x","r"]],"skipped":[]}'
    )
    await mailroom.settle(drain, "s", [settlement(lease, "a", new=new, line=line)])
    assert await mailroom.record("a") is not None
    story = await mailroom.fate("a")
    assert story is not None
    assert [d.state for d in story.deliveries] == ["coalesced", "coalesced", "waiting"]
    (lease,) = await take(mailroom, drain, "crm")
    assert items([lease]) == ["a.2"]
    await mailroom.settle(drain, "s", [settlement(lease, "a.2")])
    assert await mailroom.record("a") is None


async def test_coalesced_retains(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A payload whose source retains it outlives its coalesced delivery too."""
    await mailroom.put([event("a", retain=5000)])
    await route(mailroom, drain, {"a.0": ("crm", "box")}, coalesce_key="k")
    await mailroom.put([event("b")])
    await route(mailroom, drain, {"b.0": ("crm", "box")}, coalesce_key="k")
    await store.advance(4000)
    assert await mailroom.record("a") is not None
    await store.advance(1000)
    assert await mailroom.record("a") is None


# -- drains


async def test_death(mailroom: Mailroom, drain: str) -> None:
    """What a dead drain held becomes takeable again, doubtful, and is given only to who asks for suspects."""
    await mailroom.put([event("a"), event("b")])
    assert items(await take(mailroom, drain)) == ["a", "b"]
    assert await mailroom.bury([drain]) == (1, 0)
    assert not await mailroom.beat(drain)
    await mailroom.beat("d2", register=True)
    taken = await mailroom.take("d2", "r1", [RoomRequest(INBOX, 9, 9)])
    assert (taken.leases, taken.suspects) == ([], 1)
    (lease,) = (await mailroom.take("d2", "r2", [RoomRequest(INBOX, 9, 9)], suspects=4)).leases
    assert (items([lease]), lease.doubt, lease.deaths) == (["a"], 2, 1)


async def test_poison(mailroom: Mailroom) -> None:
    """A box that killed two drains is taken alone; after the third it is held."""
    await mailroom.put([event(x, None) for x in "abc"])
    groups = []
    for n in range(3):
        await mailroom.beat(f"d{n}", register=True)
        taken = await mailroom.take(f"d{n}", f"r{n}", [RoomRequest(INBOX, 3)], suspects=0 if n == 0 else 2)
        groups.append(items(taken.leases))
        freed = await mailroom.bury([f"d{n}"])
    assert groups == [["a", "b", "c"], ["a", "b"], ["c"]]
    await mailroom.beat("x", register=True)
    seen = []
    for n in range(3):
        taken = await mailroom.take("x", f"x{n}", [RoomRequest(INBOX, 3)], suspects=3)
        seen.append((items(taken.leases), [lease.deaths for lease in taken.leases]))
        for lease in taken.leases:
            await mailroom.settle("x", "s", [settlement(lease, lease.items[0][0])])
    assert seen == [(["a"], [2]), (["b"], [2]), (["c"], [2])]
    assert freed == (1, 0)


async def test_three_deaths(mailroom: Mailroom) -> None:
    """After three deaths a box is held as poison, its items doubtful."""
    await mailroom.put([event("a"), event("b")])
    for n in range(3):
        await mailroom.beat("d", register=True)
        await mailroom.take("d", f"r{n}", [RoomRequest(INBOX, 1, 2)], suspects=min(n, 1))
        freed = await mailroom.bury(["d"])
    assert freed == (1, 1)
    ((box, why),) = (await mailroom.held(INBOX)).items()
    assert why["code"] == "poison"
    await Operator(mailroom).release(INBOX, box)
    await mailroom.beat("d", register=True)
    (lease,) = await take(mailroom, "d")
    assert (lease.doubt, lease.deaths) == (2, 0)


async def test_strays(mailroom: Mailroom, drain: str) -> None:
    """What a drain holds without knowing goes back to the head; what it knows stays."""
    await mailroom.put([event("a", None), event("b", None)])
    known, _ = await take(mailroom, drain)
    assert await mailroom.strays(drain, [known]) == 1
    assert await mailroom.strays(drain, [known]) == 0
    (lease,) = await take(mailroom, drain)
    assert (items([lease]), lease.doubt) == (["b"], 0)


async def test_leave(mailroom: Mailroom, drain: str) -> None:
    """A drain that leaves with something in its hands leaves it takeable, doubtful, and no death is counted."""
    await mailroom.put([event("a")])
    await take(mailroom, drain)
    await mailroom.leave(drain)
    assert await mailroom.beats() == {}
    await mailroom.beat("d2", register=True)
    (lease,) = await take(mailroom, "d2")
    assert (items([lease]), lease.doubt, lease.deaths) == (["a"], 1, 0)


async def test_beat(mailroom: Mailroom, drain: str) -> None:
    """A drain's counter moves with each beat, and nobody beats who never registered."""
    assert await mailroom.beat(drain)
    assert await mailroom.beats() == {"d1": ("default", 2)}
    assert not await mailroom.beat("ghost")


# -- the bell


async def test_bell(mailroom: Mailroom, store: Store) -> None:
    """The bell holds a ring for each drain at the most, and fewer when they leave."""
    await mailroom.put([event("x")])
    assert "bell:default" not in await store.dump()
    for name in ("d1", "d2"):
        await mailroom.beat(name, register=True)
    await mailroom.beat("h1", "heavy", register=True)
    await mailroom.put([event(str(n), None) for n in range(9)])
    assert len((await store.dump())["bell:default"].value) == 2
    await mailroom.leave("d1")
    assert len((await store.dump())["bell:default"].value) == 1
    await mailroom.bury(["d2"])
    assert "bell:default" not in await store.dump()


async def test_bell_of_the_room(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What becomes takeable rings for the pool of its room, whoever brought it there."""
    await mailroom.configure("invoices", pool="heavy")
    await mailroom.beat("h1", "heavy", register=True)
    await mailroom.put([event("a")])
    await mailroom.hear("default", 1)
    await route(mailroom, drain, {"a.0": ("invoices", "box")})
    assert set(await store.dump()) & {"bell:heavy", "bell:default"} == {"bell:heavy"}
    await mailroom.hear("heavy", 1)
    await take(mailroom, "h1", "invoices")
    await mailroom.beat("h2", "heavy", register=True)
    await mailroom.bury(["h1"])
    assert set(await store.dump()) & {"bell:heavy", "bell:default"} == {"bell:heavy"}


# -- quarantine, refused


async def test_quarantine(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What its model refuses is kept 30 days, told as such, dealt to nobody and known while it still does not fit."""
    receipts = await mailroom.quarantine([(event("a"), "data.email: missing")])
    assert not receipts[0].duplicate
    assert (await mailroom.quarantine([(event("a"), "data.email: missing")]))[0].duplicate
    story = await mailroom.fate("a")
    assert story is not None
    assert (story.state, story.why, story.source) == ("quarantined", "data.email: missing", "shop")
    assert await mailroom.quarantined() == 1
    assert await take(mailroom, drain) == []
    await store.advance(30 * DAY)
    assert await mailroom.record("a") is None


async def test_quarantined_can_be_found_by_person(mailroom: Mailroom) -> None:
    """A quarantined record carries the hashes of its identities, as every other does."""
    one = replace(event("a"), identities=("email:eva@example.org",))
    await mailroom.quarantine([(one, "x")])
    record = await mailroom.record("a")
    assert record is not None
    assert mailroom.hash("email:eva@example.org").encode() in record


async def test_refused(mailroom: Mailroom, store: Store) -> None:
    """A refused request is kept for people and counted by its reason."""
    await mailroom.refused(reason="bad_signature", source="shop", headers={"x": "y"}, body=b"{}", more=RefusedDetails())
    ((_, fields),) = (await store.dump())["refused"].value
    assert dict(zip(fields[::2], fields[1::2], strict=True))["reason"] == "bad_signature"
    assert (await mailroom.counts())["refused|bad_signature"] == 1


# -- what people ask


async def test_fate(mailroom: Mailroom, drain: str) -> None:
    """An event is nobody's, then waits, then has the story that its lines tell."""
    assert await mailroom.fate("a") is None
    await mailroom.put([event("a")])
    story = await mailroom.fate("a")
    assert story is not None
    assert (story.state, story.source) == ("waiting", "shop")
    (lease,) = await take(mailroom, drain)
    line = (
        '{"t":"routed","at":"","source":"shop","type":"booking.created","received":"","book":"b1",'
        '"fired":[],"missed":[["vip","data.total","absent"]],"made":[],"skipped":[]}'
    )
    await mailroom.settle(drain, "s", [settlement(lease, "a", line=line, day=TODAY)])
    told = await mailroom.fate("a")
    assert told is not None
    assert (told.state, told.rules[0]["at"]) == ("unmatched", "data.total")


async def test_missed_rules_are_kept_once(mailroom: Mailroom, drain: str, store: Store) -> None:
    """Rules that did not fire are kept under a name that lines bear, longer than these, and read with the story."""
    many = [(f"rule {n}", "data.city", Why.of("differs", f'data.city is not "Town {n}"')) for n in range(9)]
    missed = ledger.write_missed(many)
    await mailroom.put([event("a", "a@"), event("b", "b@")])
    about: dict[str, Any] = {"source": "shop", "type": "booking.created", "received": "", "book": "b1"}
    line = ledger.routed(**about, fired=[], made=[], missed=missed.line)
    leases = await take(mailroom, drain)
    counters = ("x\n" + missed.kept, "x")
    for lease, counter in zip(leases, counters, strict=True):
        await mailroom.settle(drain, "s", [settlement(lease, lease.items[0][0], line=line, day=TODAY, counter=counter)])
    (name,) = ledger.find_missed(line)
    key = mailroom.key(f"missed:{name}")
    assert 31 * 86400 < await mailroom.store.ttl(key) <= 32 * 86400
    assert await mailroom.counts() | {"x": 2} == await mailroom.counts()
    for story in [*await mailroom.fates(["a", "b"]), await mailroom.fate("b")]:
        assert story is not None
        assert [(rule["name"], rule["why"]) for rule in story.rules] == [(rule, str(why)) for rule, _, why in many]
    await mailroom.store.delete(key)
    other = await store.open()
    lost = await other.fate("a")
    await other.close()
    assert lost is not None
    assert (lost.state, lost.rules) == ("unmatched", [])


async def test_missed_rules_in_mind(mailroom: Mailroom, drain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is kept of rules that did not fire a reader has a bounded number in mind, and tells all the same."""
    monkeypatch.setattr(queries, "MOST_MISSED", 1)
    await mailroom.put([event("a", "a@"), event("b", "b@"), event("c", "c@")])
    about: dict[str, Any] = {"source": "shop", "type": "booking.created", "received": "", "book": "b1"}
    for lease in await take(mailroom, drain):
        id = lease.items[0][0]
        missed = ledger.write_missed([(f"{id} {n}", "data.x", Why.of("absent", "absent at data.x")) for n in range(9)])
        line = ledger.routed(**about, fired=[], made=[], missed=missed.line)
        await mailroom.settle(drain, "s", [settlement(lease, id, line=line, day=TODAY, counter=missed.kept)])
    for ids in (["a"], ["b", "a"], ["c"], ["a", "b", "c"], ["a"]):
        told = await mailroom.fates(ids)
        assert [story and story.rules[8]["name"] for story in told] == [f"{id} 8" for id in ids]


async def test_log_and_counts(mailroom: Mailroom) -> None:
    """The log tells what was put, oldest first, from a place on; its ends are known."""
    assert await mailroom.log_ends() == ("0-0", "0-0")
    assert await mailroom.read_log("0-0") == []
    for n in range(5):
        await mailroom.put([event(f"e{n}", None), event(f"f{n}", None)])
    first = await mailroom.read_log("0-0", 2)
    second = await mailroom.read_log(first[-1][0])
    assert [fields for _, fields in first + second] == [[("put", [f"e{n}", f"f{n}"])] for n in range(5)]
    assert await mailroom.log_ends() == (first[0][0], second[-1][0])
    assert await mailroom.counts() == {"received|shop|booking.created": 10}


async def test_all_events(mailroom: Mailroom) -> None:
    """Every event is told whose payload is kept, and every one of which a page of the ledger tells."""
    for n in range(5):
        await mailroom.put([event(f"e{n}", None)])
    await mailroom.quarantine([(event("q", None), "data.id: missing")])
    kept = [id async for ids in mailroom.kept_events() for id in ids]
    told = [id async for ids in mailroom.ledger_page(event("q", None).received_at[:10]) for id in ids]
    assert sorted(kept) == ["e0", "e1", "e2", "e3", "e4", "q"]
    assert told == ["q"]


async def test_tail(mailroom: Mailroom) -> None:
    """The tail tells what was put from now on."""
    told = mailroom.tail()
    first = asyncio.ensure_future(anext(told))
    for n in range(1000):  # it begins when its read has reached the store, which nobody can see from outside
        await mailroom.put([event(f"e{n}", None)])
        if (await asyncio.wait([first], timeout=0.01))[0]:
            break
    what, name = await first
    assert (what, name[0]) == ("put", "e")
    await cast("AsyncGenerator[tuple[str, str], None]", told).aclose()


# -- the store


async def fill(room: Mailroom) -> None:
    """Put until the store is full."""
    for n in range(50):
        await room.put([event(str(n), None, body=b"x" * 100_000)])


async def test_full_store(short_folder: Path) -> None:
    """A full store refuses new events in words, and lets what waits drain."""
    server = PrivateValkey(short_folder)
    server.start("--appendonly", "no")
    store = Store(server, real_clock=True)
    try:
        async with await store.open() as room:
            await room.beat("d", register=True)
            await room.put([event("a", body=b"x" * 100_000)])
            used = (await store.raw.info("memory"))["used_memory"]
            await store.raw.config_set("maxmemory", used + 3_000_000)
            with pytest.raises(StoreFull):
                await fill(room)
            before = len(await store.dump())
            for n in range(50):
                taken = await room.take("d", f"r{n}", [RoomRequest(INBOX, 9, 9)])
                if not taken.leases:
                    break
                made = [
                    settlement(
                        lease, lease.items[0][0], new=[NewDelivery(f"{lease.items[0][0]}.0", "crm", ("b",), b"{}")]
                    )
                    for lease in taken.leases
                ]
                assert set((await room.settle("d", f"s{n}", made)).statuses) == {1}
            (lease,) = (await room.take("d", "c", [RoomRequest("crm", 1, 99)])).leases
            done = [settlement(lease, item, last=False) for item, _ in lease.items]
            done[-1].last = True
            await room.settle("d", "sc", done)
            assert len(await store.dump()) < before
            await room.put([event("again", None)])
    finally:
        await store.close()
        server.stop(kill=True)


@pytest.mark.parametrize("how", ["functions", "everything"])
async def test_emptied_store(mailroom: Mailroom, store: Store, how: str) -> None:
    """A store that lost its functions or everything is prepared again without a restart of ours."""
    if how == "functions":
        await store.raw.function_flush()
    else:
        await store.raw.flushall()
        await store.raw.set(CLOCK, 1)
    await mailroom.put([event("a")])
    assert "schema" in await store.dump()


async def test_hash_key_survives_an_emptied_store(site_valkey: PrivateValkey) -> None:
    """Processes that agreed on a hash key still agree when the store was emptied: a person never has two boxes."""
    store = Store(site_valkey)
    await store.raw.flushall()
    try:
        async with await Mailroom.open(site_valkey.url) as old:
            await store.raw.flushall()
            await old.put([event("a")])
            async with await Mailroom.open(site_valkey.url) as young:
                assert young.hash("x") == old.hash("x")
    finally:
        await store.close()


async def test_two_versions_side_by_side(mailroom: Mailroom, store: Store, drain: str) -> None:
    """During a rolling upgrade the functions of both versions work on the same boxes."""
    next_one = Store(store.server, LUA + "\n-- the next version\n")
    try:
        async with await next_one.open() as other:
            await mailroom.put([event("a")])
            await other.put([event("b"), event("a")])
            (lease,) = await take(other, drain)
            assert items([lease]) == ["a", "b"]
            done = [settlement(lease, "a", last=False), settlement(lease, "b")]
            assert (await mailroom.settle(drain, "s", done)).statuses == [1, 1]
    finally:
        await next_one.close()


async def test_other_schema(store: Store) -> None:
    """A store of another schema version is refused in words that say what to do."""
    await store.raw.set("relais:{p0}:schema", "99")
    with pytest.raises(StoreDamaged, match="version '99'"):
        await store.open()
    await store.raw.flushall()  # others open the same server without emptying it first


async def test_store_away(short_folder: Path) -> None:
    """A store that is away is Unavailable at once, and used again as soon as it is back."""
    server = PrivateValkey(short_folder)
    server.start()
    store = Store(server)
    try:
        async with await store.open() as room:
            await room.put([event("a")])
            server.stop(kill=True)
            with pytest.raises(StoreUnavailable):
                await room.put([event("b")])
            server.start()
            assert (await room.put([event("a"), event("b")]))[0].duplicate
            assert set(await store.dump()) >= {"e:a", "e:b"}
    finally:
        await store.close()
        server.stop(kill=True)


async def test_killed_while_putting(short_folder: Path) -> None:
    """Kill the store under load: every acknowledged event is there, and every call happened wholly or not at all."""
    server = PrivateValkey(short_folder)
    server.start()
    store = Store(server)
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def sender(room: Mailroom, name: str) -> None:
        with contextlib.suppress(StoreUnavailable):
            for n in range(100_000):
                ids = [f"{name}-{n}-{k}" for k in range(3)]
                await room.put([event(i, f"email:{name}@example.org") for i in ids])
                acknowledged.extend(ids)
                if len(acknowledged) >= 300:
                    enough.set()

    try:
        async with await store.open() as room:
            senders = [asyncio.ensure_future(sender(room, f"s{n}")) for n in range(8)]
            await enough.wait()
            server.stop(kill=True)
            await asyncio.gather(*senders)
        server.start()
        found = await store.dump()
        records = {name.removeprefix("e:") for name in found if name.startswith("e:")}
        assert set(acknowledged) <= records
        boxes = [entry.value[1:] for name, entry in found.items() if name.startswith("b:in:")]
        assert {i for box in boxes for i in box} == records
        calls = {i.rsplit("-", 1)[0] for i in records}
        assert len(records) == 3 * len(calls)
    finally:
        await store.close()
        server.stop(kill=True)


# -- the table of keys


@pytest.mark.parametrize(
    ("key", "value"),
    [("unheard_of", "x"), ("e:a:b", "x"), ("take:d1", "x")],
    ids=["not in the table", "of another form", "without its lifetime"],
)
async def test_key_faults(store: Store, key: str, value: str) -> None:
    """The check of keys finds one that the schema table does not know, or that lives longer than it says."""
    await store.raw.set(f"relais:{{p0}}:{key}", value)
    assert len(key_faults(await store.dump())) == 1
    await store.raw.flushall()


def test_no_function_hides_another() -> None:
    """All files of Lua are one chunk: a second function of a name would be called by what comes after it."""
    names = re.findall(r"^local function (\w+)", LUA, re.MULTILINE)
    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []
