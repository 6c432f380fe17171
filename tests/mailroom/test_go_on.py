"""`settle` with `go_on`, step by step; what holds whatever is called is found by walks (`comparison.py`)."""

import pytest

from mailroom import INBOX, Lease, Mailroom, NewDelivery, RoomRequest, Settled, Settlement
from mailroom.keys import FORMER_SCHEMAS
from tests.mailroom.store import TODAY, Store, event

pytestmark = pytest.mark.anyio


async def fill(room: Mailroom, name: str, *new: NewDelivery) -> None:
    """An event is put and routed: that is what it makes."""
    await room.put([event(name, f"email:{name}@example.org")])
    (lease,) = (await room.take("d1", f"t-{name}", [RoomRequest(INBOX, 1)])).leases
    await room.settle("d1", f"s-{name}", [Settlement(lease, name, "done", name, TODAY, new=new)])


def to(id: str, *names: str) -> NewDelivery:
    return NewDelivery(id, "crm", names or ("x",), f'{{"n":"{id}"}}'.encode())


async def take(room: Mailroom, request: str, boxes: int = 9, *, suspects: int = 0) -> list[Lease]:
    return (await room.take("d1", request, [RoomRequest("crm", boxes)], suspects=suspects)).leases


async def end(room: Mailroom, lease: Lease, *new: NewDelivery, call: str = "s", last: bool = True) -> Settled:
    item = lease.items[0][0]
    done = Settlement(lease, item, "done", item.split(".")[0], TODAY, new=new, last=last)
    return await room.settle("d1", call, [done], go_on=True)


@pytest.fixture
async def room(mailroom: Mailroom) -> Mailroom:
    """A mailroom with a drain."""
    await mailroom.beat("d1", register=True)
    return mailroom


async def test_one_after_the_other(room: Mailroom, store: Store) -> None:
    """Each settlement hands out what is next, with its record, until the box is empty and gone."""
    await fill(room, "e1", to("e1.0"), to("e1.1"), to("e1.2"))
    (lease,) = await take(room, "t")
    for n in (1, 2):
        settled = await end(room, lease, call=f"s{n}")
        (lease,) = settled.following
        assert lease == Lease("crm", "x", f"s{n}", 0, 0, 0, [(f"e1.{n}", f'{{"n":"e1.{n}"}}'.encode())])
        assert not settled.more
        assert await take(room, f"t{n}") == []
    settled = await end(room, lease, call="s3")
    assert (settled.statuses, settled.following) == ([1], [])
    assert not [name for name in await store.dump() if name.startswith(("leased:", "b:", "one:crm"))]


async def test_not_before_others(room: Mailroom) -> None:
    """Where another box stands in the line, the one that was just served goes behind it."""
    await fill(room, "e1", to("e1.0"), to("e1.1"), to("e1.2", "y"))
    (lease,) = await take(room, "t", 1)
    settled = await end(room, lease)
    assert (settled.following, settled.more) == ([], True)
    assert [lease.box for lease in await take(room, "t2")] == ["y", "x"]


@pytest.mark.parametrize("every", [0, 1000])
async def test_limits(room: Mailroom, every: int) -> None:
    """What has a rate is handed out by `take`, which accounts for it; a place that is free by this very end is used."""
    await fill(room, "e1", to("e1.0"), to("e1.1"))
    await room.configure("crm", concurrency=1, every=every)
    (lease,) = await take(room, "t")
    settled = await end(room, lease)
    assert bool(settled.following) == (every == 0)
    assert await take(room, "t2") == []


@pytest.mark.parametrize("schema", FORMER_SCHEMAS)
async def test_an_older_program_lives(room: Mailroom, schema: str) -> None:
    """Whoever speaks a former schema knows only `take`: it gets its share of a box that never empties."""
    await fill(room, "e1", to("e1.0"), to("e1.1"))
    (lease,) = await take(room, "t")
    await room.store.set(room.key("schema"), schema)
    assert (await end(room, lease)).following == []


async def test_paused(room: Mailroom) -> None:
    """A room that a person paused meanwhile stands still."""
    await fill(room, "e1", to("e1.0"), to("e1.1"))
    (lease,) = await take(room, "t")
    await room.pause("crm")
    assert (await end(room, lease)).following == []


async def test_behind_another_name(room: Mailroom) -> None:
    """What stands behind something under another of its names waits for that; when that is gone it is handed out."""
    await fill(room, "e1", to("e1.0"), to("e1.1", "y"), to("e1.2", "x", "y"), to("e1.3"))
    first, other = await take(room, "t")
    assert (await end(room, first, call="s1")).following == []
    settled = await end(room, other, call="s2")
    assert (settled.following, settled.more) == ([], True)
    (lease,) = await take(room, "t2")
    (following,) = (await end(room, lease, call="s3")).following
    assert [lease.items[0][0], following.items[0][0]] == ["e1.2", "e1.3"]


async def test_tombstones_are_passed(room: Mailroom) -> None:
    """What a person dropped while it waited leaves nothing to hand out in its place."""
    await fill(room, "e1", to("e1.0"), to("e1.1"), to("e1.2"))
    (lease,) = await take(room, "t")
    await room.store.delete(room.key("d:e1.1"))
    (following,) = (await end(room, lease)).following
    assert [item for item, _ in following.items] == ["e1.2"]


async def test_made_in_the_same_step(room: Mailroom) -> None:
    """What an item makes for its own box is handed out with its record."""
    await fill(room, "e1", to("e1.0"))
    (lease,) = await take(room, "t")
    (following,) = (await end(room, lease, to("e1.0.0"))).following
    assert following.items == [("e1.0.0", b'{"n":"e1.0.0"}')]


async def test_a_lost_answer(room: Mailroom) -> None:
    """Said again it changes nothing, and hands out the same once more."""
    await fill(room, "e1", to("e1.0"), to("e1.1"), to("e1.2"))
    (lease,) = await take(room, "t")
    first = await end(room, lease)
    again = await end(room, lease)
    assert (first.statuses, again.statuses) == ([1], [0])
    assert again.following == first.following
    (lease,) = again.following
    await end(room, lease, call="s2")
    assert (await end(room, lease, call="s")).following == []


async def test_what_is_given_back(room: Mailroom) -> None:
    """A drain that heard nothing of it gives it back without a doubt: it was not sent."""
    await fill(room, "e1", to("e1.0"), to("e1.1"))
    (lease,) = await take(room, "t")
    await end(room, lease)
    assert await room.strays("d1", []) == 1
    (lease,) = await take(room, "t2")
    assert (lease.items[0][0], lease.doubt, lease.attempt) == ("e1.1", 0, 0)


async def test_leased_in_the_same_step(room: Mailroom) -> None:
    """What is leased as it is made is not handed out a second time by a settlement that comes too late for its box."""
    await fill(room, "e1", to("e1.0"), to("e1.1", "y"))
    first, other = await take(room, "t")
    await end(room, first)
    new = NewDelivery("e1.1.0", "crm", ("x",), b"{}", lease=True)
    late = Settlement(first, "e1.0", "done", "e1", TODAY)
    makes = Settlement(other, "e1.1", "done", "e1", TODAY, new=[new])
    settled = await room.settle("d1", "s2", [makes, late], go_on=True)
    assert (settled.statuses, settled.leased, settled.following) == ([1, 0], {"e1.1.0"}, [])


async def test_its_drain_dies(room: Mailroom) -> None:
    """What was handed on is as doubtful as what was taken."""
    await fill(room, "e1", to("e1.0"), to("e1.1"))
    (lease,) = await take(room, "t")
    await end(room, lease)
    await room.bury(["d1"])
    await room.beat("d1", register=True)
    assert await take(room, "t2") == []
    (lease,) = await take(room, "t3", suspects=9)
    assert (lease.items[0][0], lease.doubt, lease.deaths) == ("e1.1", 1, 1)


async def test_known_by_another_name_meanwhile(room: Mailroom, store: Store) -> None:
    """What is next joins the names of its object before it is handed out: nobody under those is sent beside it."""
    await fill(room, "e1", to("e1.0", "z"), to("e1.1", "x", "z"), to("e1.2"))
    (lease,) = await take(room, "t0")
    await end(room, lease, call="s0")  # what stays in the box z is a mark
    await room.learn("crm", ["x", "z"], "contact", "1")
    (lease,) = await take(room, "t")
    (following,) = (await end(room, lease)).following
    assert following.items[0][0] == "e1.2"
    assert (await store.dump())["b:crm:z"].value[1:] == ["=e1.2 x"]
    await fill(room, "e2", to("e2.0", "z"))
    assert await take(room, "t2") == []
    (lease,) = (await end(room, following, call="s2")).following or await take(room, "t3")
    assert lease.items[0][0] == "e2.0"


async def test_only_who_asks(room: Mailroom) -> None:
    """The inbox is not handed on, nor anything where the drain is not through with the box or does not want more."""
    await room.put([event(name, "email:a@example.org") for name in ("a", "b")])
    (lease,) = (await room.take("d1", "t", [RoomRequest(INBOX, 1)])).leases
    assert (await end(room, lease)).following == []
    await fill(room, "b", to("b.0"), to("b.1"))
    (lease,) = await take(room, "t2")
    assert (await end(room, lease, last=False)).following == []
