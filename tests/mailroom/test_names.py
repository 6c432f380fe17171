"""One thing under several names: who waits for whom, one sentence at a time. What sentences cannot say: the walks."""

from collections.abc import Awaitable, Callable

import pytest

from mailroom import INBOX, Lease, Mailroom, NewDelivery, RoomRequest
from mailroom.keys import SCHEMA
from mailroom.operator import Operator
from tests.mailroom.store import Store, event
from tests.mailroom.test_client import INFO, settlement, take

pytestmark = pytest.mark.anyio


@pytest.fixture
async def drain(mailroom: Mailroom) -> str:
    """The name of a drain that lives."""
    await mailroom.beat("d1", register=True)
    return "d1"


async def send(
    room: Mailroom,
    name: str,
    names: str,
    *,
    weak: str = "",
    at_once: bool = False,
    delay: int = 0,
    coalesce: str = "",
    urgent: bool = False,
) -> set[str]:
    """Route one event to one delivery `<name>.0` of the CRM, under names (`x ab`: home x, then a, b)."""
    await room.put([event(name, f"email:{name}@example.org")])
    (lease,) = await take(room, "d1")
    return await route(room, lease, names, weak=weak, at_once=at_once, delay=delay, coalesce=coalesce, urgent=urgent)


async def route(
    room: Mailroom,
    lease: Lease,
    names: str,
    *,
    weak: str = "",
    at_once: bool = False,
    delay: int = 0,
    coalesce: str = "",
    urgent: bool = False,
) -> set[str]:
    """Do the same with an event that was taken."""
    name = lease.items[0][0]
    home, *also = tuple(names)
    said = '"leaves":true,' if urgent else '"waits":true,' if delay else ""
    new = NewDelivery(
        f"{name}.0",
        "crm",
        (home, *also),
        f'{{{said}"n":1,"box":"{home}"}}'.encode(),
        at_once,
        coalesce_key=coalesce,
        delay=delay,
        weak=tuple(weak),
        urgent=urgent,
    )
    settled = await room.settle("d1", f"s-{name}", [settlement(lease, name, new=[new])])
    return settled.leased


async def crm(room: Mailroom) -> dict[str, Lease]:
    """Take from the CRM: delivery -> lease."""
    return {lease.items[0][0]: lease for lease in await take(room, "d1", "crm", per_box=1)}


async def end(room: Mailroom, lease: Lease, verdict: str = "done", **more: object) -> None:
    """Settle the only item of a lease."""
    settled = await room.settle("d1", "unused", [settlement(lease, lease.items[0][0], verdict, **more)])
    assert settled.statuses == [1]


async def left(store: Store) -> set[str]:
    """The keys of boxes and names that are left."""
    kinds = ("b:", "also:", "weak:", "under:", "leased:", "held:", "waiting:")
    return {name for name in await store.dump() if name.startswith(kinds)}


async def test_retry_is_not_passed(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{X, a}` gets a 504; `{X, b}` follows and waits until its retry is done."""
    await send(mailroom, "e1", "xa")
    (first,) = (await crm(mailroom)).values()
    await send(mailroom, "e2", "xb")
    await end(mailroom, first, "wait", wait_ms=1000, attempt=1)
    assert await crm(mailroom) == {}
    await store.advance(1000)
    (again,) = (await crm(mailroom)).values()
    assert again.items[0][0] == "e1.0"
    assert await crm(mailroom) == {}
    await end(mailroom, again)
    assert set(await crm(mailroom)) == {"e2.0"}


async def test_renames(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Renames a→b and b→c, updates of c and a, at once: first; then the second and "a" together; then c."""
    for name, names in (("e1", "ab"), ("e2", "bc"), ("e3", "c"), ("e4", "a")):
        await send(mailroom, name, names)
    waves = []
    while leases := await crm(mailroom):
        waves.append(set(leases))
        for lease in leases.values():
            await end(mailroom, lease)
    assert waves == [{"e1.0"}, {"e2.0", "e4.0"}, {"e3.0"}]
    assert await left(store) == set()


async def test_shared_address_of_a_held_one(mailroom: Mailroom, drain: str) -> None:
    """Who shares a name with a held one waits, and goes when it is skipped; who shares none went before."""
    await send(mailroom, "e1", "xa")
    await end(mailroom, (await crm(mailroom))["e1.0"], "hold", info=INFO)
    await send(mailroom, "e2", "ya")
    await send(mailroom, "e3", "z")
    assert set(await crm(mailroom)) == {"e3.0"}
    assert await mailroom.ahead("crm", "y", "e2.0") == [("e1.0", "x")]
    (room,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    assert (room.held, room.blocked) == (1, 2)  # The address, whose first is a mark, and the home of the second.
    place = await mailroom.place("crm", "e2.0")
    assert place is not None
    assert (place.state, place.attempts, place.due_at, place.ahead) == ("blocked", 0, 0, ("e1.0",))
    assert await mailroom.place("crm", "e9.0") is None
    await send(mailroom, "e4", "wx")
    shown = await Operator(mailroom).box("crm", "x")
    assert shown is not None
    assert (shown.item, shown.items, shown.waiting) == ("e1.0", ("e1.0",), 2)
    assert await mailroom.call("skip", "crm", "x", "e1.0", "", "default", "2026-11-21", "") == 1
    assert set(await crm(mailroom)) == {"e2.0", "e4.0"}


async def test_weak_name_excludes_and_orders_nothing(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Two that share a telephone are never under way at once; while one is held the other goes."""
    await send(mailroom, "e1", "x", weak="p")
    await send(mailroom, "e2", "y", weak="p")
    (first,) = (await crm(mailroom)).values()
    taken = await mailroom.take("d1", "r", [RoomRequest("crm", 9, 1)])
    assert (taken.leases, taken.wait) == ([], 20)
    await end(mailroom, first, "hold", info=INFO)
    await store.advance(20)
    assert set(await crm(mailroom)) == {"e2.0"}


async def test_taken_weak_name_is_not_leased_at_once(mailroom: Mailroom, drain: str) -> None:
    """Routing leases nothing at once beside a delivery that shares a weak name with it."""
    assert await send(mailroom, "e1", "x", weak="p", at_once=True) == {"e1.0"}
    assert await send(mailroom, "e2", "y", weak="p", at_once=True) == set()
    assert await send(mailroom, "e3", "z", weak="q", at_once=True) == {"e3.0"}


async def test_both_find_one_object(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{a}` and `{X}` are under way and both find c1: the first to tell goes, the second gives back and follows."""
    await send(mailroom, "e1", "a")
    await send(mailroom, "e2", "x")
    leases = await crm(mailroom)
    by_a, by_x = leases["e1.0"], leases["e2.0"]
    assert await mailroom.meet("crm", "a", by_a.token, "e1.0", ["a"], "contact", "c1") == "go"
    assert await mailroom.meet("crm", "x", by_x.token, "e2.0", ["x"], "contact", "c1") == "wait"
    assert await mailroom.meet("crm", "x", by_x.token, "e2.0", ["x"], "contact", "c1") == "stale"
    assert await crm(mailroom) == {}
    await end(mailroom, by_a)
    again = (await crm(mailroom))["e2.0"]
    assert again.attempt == 0
    await end(mailroom, again)
    assert await left(store) == set()


async def test_who_is_under_way_is_told_nothing(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{a}` tells that c1 is X and b, which are under way: they find the id map as cold as before, and tell it, too."""
    for n, name in enumerate("axb", 1):
        await send(mailroom, f"e{n}", name)
    leases = await crm(mailroom)
    assert await mailroom.meet("crm", "a", leases["e1.0"].token, "e1.0", ["a", "x", "b"], "contact", "c1") == "wait"
    assert [known is not None for known in await mailroom.object_ids("crm", ["a", "x", "b"])] == [True, False, False]
    assert await mailroom.meet("crm", "x", leases["e2.0"].token, "e2.0", ["x"], "contact", "c1") == "wait"
    assert await mailroom.meet("crm", "b", leases["e3.0"].token, "e3.0", ["b"], "contact", "c1") == "go"
    await end(mailroom, leases["e3.0"])
    for _ in range(2):
        ((_, lease),) = (await crm(mailroom)).items()
        await end(mailroom, lease)
    assert all(await mailroom.object_ids("crm", ["a", "x", "b"]))
    assert await left(store) == set()


async def test_a_name_of_another_object_is_under_way(mailroom: Mailroom, drain: str) -> None:
    """Who is under way under a name that the id map takes for another object's does not find that any more either."""
    await mailroom.learn("crm", ["x", "y"], "contact", "c2")
    await send(mailroom, "e1", "a")
    await send(mailroom, "e2", "x")
    leases = await crm(mailroom)
    assert await mailroom.meet("crm", "a", leases["e1.0"].token, "e1.0", ["a", "x"], "contact", "c1") == "wait"
    found = await mailroom.object_ids("crm", ["x", "y"])
    assert found[0] is None
    assert found[1] is not None


async def test_learns_whom_it_must_not_pass(mailroom: Mailroom, drain: str) -> None:
    """`{X}` found c1 and waits after a 504; `{a}` finds c1, learns that it is X, and waits for the retry."""
    await send(mailroom, "e1", "x")
    lease = (await crm(mailroom))["e1.0"]
    await mailroom.meet("crm", "x", lease.token, "e1.0", ["x"], "contact", "c1")
    await end(mailroom, lease, "wait", wait_ms=1000, attempt=1)
    await send(mailroom, "e2", "a")
    other = (await crm(mailroom))["e2.0"]
    assert await mailroom.meet("crm", "a", other.token, "e2.0", ["a"], "contact", "c1") == "wait"


async def test_known_while_they_wait(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{X}` and `{a}` wait behind `{X, a}`, which makes the contact: one follows the other, in the order received."""
    await send(mailroom, "e1", "xa")
    first = (await crm(mailroom))["e1.0"]
    await send(mailroom, "e2", "a")
    await send(mailroom, "e3", "x")
    await mailroom.learn("crm", ["x", "a"], "contact", "c1")
    await end(mailroom, first)
    for name in ("e2.0", "e3.0"):
        leases = await crm(mailroom)
        assert set(leases) == {name}
        await end(mailroom, leases[name])
    assert await left(store) == set()


async def test_renamed_while_they_wait(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A rename of X to b is under way; what waits for `b` and for `X` is about one contact when it is through."""
    await mailroom.learn("crm", ["x", "a"], "contact", "c1")
    await send(mailroom, "e1", "xab")
    first = (await crm(mailroom))["e1.0"]
    await send(mailroom, "e2", "b")
    await send(mailroom, "e3", "x")
    await mailroom.learn("crm", ["b"], "contact", "c1", gone=["a"])
    await end(mailroom, first)
    second = await crm(mailroom)
    assert set(second) == {"e2.0"}
    await end(mailroom, second["e2.0"])
    assert set(await crm(mailroom)) == {"e3.0"}


async def contents(store: Store) -> dict[str, object]:
    """What every key holds. Of its two forms a box may change the one for the other."""
    return {key: entry.value for key, entry in (await store.dump()).items() if not key.startswith("one:")}


async def crm_twice(room: Mailroom, store: Store, between: Callable[[], Awaitable[None]] | None = None) -> set[str]:
    """Take from the CRM, and once more as if the answer had been lost: nothing changes, and the leases are the same."""
    request = [RoomRequest("crm", 9, 1)]
    first = (await room.take("d1", "lost", request)).leases
    if between:
        await between()
    before = await contents(store)
    assert (await room.take("d1", "lost", request)).leases == first
    assert await contents(store) == before
    return {lease.items[0][0] for lease in first}


async def test_taken_again_after_it_joined(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{y}` joins `a`, a name of c1 that c2 has, too: a repeated take does not go on to the names of c2."""
    await send(mailroom, "e1", "a")
    await send(mailroom, "e2", "y")
    leases = await crm(mailroom)
    await send(mailroom, "e3", "y")
    assert await mailroom.meet("crm", "y", leases["e2.0"].token, "e2.0", ["y", "a"], "contact", "c1") == "wait"
    await mailroom.learn("crm", ["a", "b"], "contact", "c2")
    await end(mailroom, leases["e1.0"])
    await end(mailroom, (await crm(mailroom))["e2.0"])
    assert await crm_twice(mailroom, store) == {"e3.0"}


async def test_taken_again_after_something_was_learned(mailroom: Mailroom, store: Store, drain: str) -> None:
    """`{x}` and `{a}` are under way when c1 gets to be known by both: a repeated take takes neither away."""
    await send(mailroom, "e1", "a")
    await crm(mailroom)
    await send(mailroom, "e2", "x")

    async def learn() -> None:
        await mailroom.learn("crm", ["x", "a"], "contact", "c1")

    assert await crm_twice(mailroom, store, learn) == {"e2.0"}


async def test_learns_two_names_at_once(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Of two names, one leads behind what is older, and that waits for what is younger under the other: behind both."""
    await mailroom.learn("crm", ["a", "b", "x"], "contact", "c1")
    await mailroom.forget_names("crm", ["a"])
    await mailroom.put([event("e1", "email:e1@example.org")])
    (late,) = await take(mailroom, "d1")
    await send(mailroom, "e2", "x")
    lease = (await crm(mailroom))["e2.0"]
    await send(mailroom, "e3", "bq")
    await route(mailroom, late, "aq")  # taken before the others, and routed behind them
    await mailroom.learn("crm", ["a", "b"], "contact", "c1")
    assert await mailroom.meet("crm", "x", lease.token, "e2.0", ["x"], "contact", "c1") == "wait"
    order = []
    while leases := await crm(mailroom):
        order.append(set(leases))
        for one in leases.values():
            await end(mailroom, one)
    assert order == [{"e3.0"}, {"e1.0"}, {"e2.0"}]
    assert await left(store) == set()


async def test_drain_dies_with_a_rename(mailroom: Mailroom, drain: str) -> None:
    """The rename comes back doubtful and alone; what shares either name waits."""
    await send(mailroom, "e1", "ab")
    await crm(mailroom)
    await send(mailroom, "e2", "a")
    await send(mailroom, "e3", "b")
    await mailroom.bury(["d1"])
    await mailroom.beat("d1", register=True)
    assert await crm(mailroom) == {}
    (again,) = (await mailroom.take("d1", "s", [RoomRequest("crm", 9, 1)], suspects=9)).leases
    assert (again.items[0][0], again.doubt) == ("e1.0", 1)
    assert await crm(mailroom) == {}


async def test_doubt_of_the_passed(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Who may have been sent says so when it is leased again, whoever passed it meanwhile."""
    await send(mailroom, "e1", "a")
    await send(mailroom, "e2", "x")
    leases = await crm(mailroom)
    await mailroom.learn("crm", ["a", "x"], "contact", "c1")
    await end(mailroom, leases["e2.0"], "wait", wait_ms=1000, attempt=1, doubt=1)
    assert await mailroom.meet("crm", "a", leases["e1.0"].token, "e1.0", ["a"], "contact", "c1") == "go"
    await store.advance(1000)
    assert await crm(mailroom) == {}
    await end(mailroom, leases["e1.0"])
    again = (await crm(mailroom))["e2.0"]
    assert (again.attempt, again.doubt) == (0, 0)
    assert again.items[0][1].startswith(b'{"doubtful":true,')


async def test_delay_is_waited_out(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A delayed delivery, then one under its other name: that waits out the delay."""
    await send(mailroom, "e1", "xa", delay=5000)
    await send(mailroom, "e2", "a")
    assert await crm(mailroom) == {}
    await store.advance(5000)
    assert set(await crm(mailroom)) == {"e1.0"}


async def test_coalescing_under_several_names(mailroom: Mailroom, store: Store, drain: str) -> None:
    """The newer goes behind what came between under one of its names; the older is gone, nobody is stuck."""
    await send(mailroom, "e1", "xa", coalesce="k")
    await send(mailroom, "e2", "a")
    await send(mailroom, "e3", "xa", coalesce="k")
    order = []
    while leases := await crm(mailroom):
        order.append(set(leases))
        for lease in leases.values():
            await end(mailroom, lease)
    assert order == [{"e2.0"}, {"e3.0"}]
    assert await left(store) == set()


async def test_tombstone_with_marks(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A person is forgotten while a rename of theirs waits: its marks go with it, and what shared a name goes on."""
    await send(mailroom, "e1", "ab")
    await send(mailroom, "e2", "b")
    await store.raw.delete(mailroom.key("d:e1.0"))
    leases = {**await crm(mailroom), **await crm(mailroom)}
    assert set(leases) == {"e2.0"}
    await end(mailroom, leases["e2.0"])
    assert await left(store) == set()


async def test_dead_letter_comes_back_under_all_names(mailroom: Mailroom, drain: str) -> None:
    """It waits behind what came meanwhile under any of them, and is not sent after what is newer."""
    await send(mailroom, "e1", "xab")
    await end(mailroom, (await crm(mailroom))["e1.0"], "dead", info=INFO)
    await send(mailroom, "e2", "b")
    (newer,) = (await crm(mailroom)).values()
    verb = ("revive", "e1.0", 0, "default", "2026-11-21", "")
    await end(mailroom, newer)
    assert await mailroom.call(*verb) == b"done"  # received in the same moment, so it is not newer
    assert await mailroom.ahead("crm", "x", "e1.0") == []
    await send(mailroom, "e3", "a")
    assert set(await crm(mailroom)) == {"e1.0"}


async def test_id_map(mailroom: Mailroom, drain: str) -> None:
    """A name has one object; a rename forgets the old address; who is forgotten is so under each name."""
    await mailroom.learn("crm", ["a", "x"], "contact", "c 1")
    assert await mailroom.object_ids("crm", ["a", "x", "b"]) == [("c 1", 0), ("c 1", 0), None]
    await mailroom.learn("crm", ["b"], "contact", "c 1", gone=["a"])
    assert await mailroom.object_ids("crm", ["a", "x", "b"]) == [None, ("c 1", 0), ("c 1", 0)]
    await mailroom.learn("crm", ["b"], "contact", "c2")
    await send(mailroom, "e1", "x")
    await send(mailroom, "e2", "b")
    assert set(await crm(mailroom)) == {"e1.0", "e2.0"}
    await mailroom.learn("crm", ["b", "x"], "contact", "c3")
    assert await mailroom.forget_names("crm", ["x"]) == 2
    assert await mailroom.object_ids("crm", ["a", "x", "b"]) == [None, None, None]


async def test_known_object_is_one(mailroom: Mailroom, drain: str) -> None:
    """`{X}` and `{a}` of a known contact follow each other, although no event named both."""
    await mailroom.learn("crm", ["a", "x"], "contact", "c1")
    await send(mailroom, "e1", "x")
    await send(mailroom, "e2", "a")
    assert set(await crm(mailroom)) == {"e1.0"}


@pytest.mark.parametrize("schema", ["2", SCHEMA])
async def test_inbox(mailroom: Mailroom, drain: str, store: Store, schema: str) -> None:
    """Events with `{profile}`, with `{profile, e-mail}` and with `{e-mail}` are routed in the order received."""
    await store.raw.set(mailroom.key("schema"), schema)
    profile, mail = "shop:profile:1", "email:eva@example.org"
    first, third = event("e1", profile), event("e3", mail)
    second = event("e2", mail)
    second.__dict__["names"] = (profile,)
    await mailroom.put([first, second, third])
    order = []
    while leases := await take(mailroom, drain):
        order.append([item for lease in leases for item, _ in lease.items])
        for lease in leases:
            done = [settlement(lease, item, last=n == len(lease.items)) for n, (item, _) in enumerate(lease.items, 1)]
            await mailroom.settle(drain, "s", done)
    assert order == [["e1"], ["e2", "e3"]]


async def test_schema_1(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Beside an older version each delivery stands in its home only, and ids stand alone in the id map."""
    await store.raw.set(mailroom.key("schema"), "1")
    await send(mailroom, "e1", "xa", weak="p")
    await send(mailroom, "e2", "ya", weak="p")
    leases = await crm(mailroom)
    assert set(leases) == {"e1.0", "e2.0"}
    lease = leases["e1.0"]
    assert await mailroom.meet("crm", "x", lease.token, "e1.0", ["x", "a"], "contact", "c1") == "go"
    assert await store.raw.get(mailroom.key("m:crm:x")) == b"c1"
    assert await mailroom.object_ids("crm", ["x"]) == [("c1", 0)]
    names = set(await store.dump())
    assert not {"also:crm", "weak:crm", "under:crm", "joined:crm"} & names


async def test_examined(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Boxes that are not what they must be are named."""
    await send(mailroom, "e1", "xa")
    await send(mailroom, "e2", "a")
    await send(mailroom, "e3", "z")
    assert await mailroom.box_faults() == []
    raw, key = store.raw, mailroom.key
    await store.take_apart()
    assert await mailroom.box_faults() == []
    await raw.lset(key("b:crm:a"), 0, "r 0 0 0")
    await raw.rpush(key("b:crm:z"), "=gone.0 q")
    faults = {(fault.room, fault.box): fault.why for fault in await mailroom.box_faults()}
    assert faults == {
        ("crm", "a"): "not blocked, although =e1.0 x is not first",
        ("crm", "z"): "a mark whose delivery gone.0 is nowhere",
    }
    assert INBOX == "in"


# -- what waits as its rule says, and what ends it


async def test_what_waits_holds_back_who_shares_a_strong_name(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A delivery that waits holds back those that share a strong name with it there; a weak one holds back nobody."""
    await send(mailroom, "e1", "xa", weak="p", delay=1000)
    for name, names, weak in (("e2", "y", "p"), ("e3", "a", ""), ("e4", "zx", ""), ("e5", "w", "")):
        await send(mailroom, name, names, weak=weak)
    assert set(await crm(mailroom)) == {"e2.0", "e5.0"}
    await store.advance(1000)
    assert set(await crm(mailroom)) == set()  # who shares its telephone is under way
    await store.advance(20)
    assert await mailroom.ahead("crm", "z", "e4.0") == [("e1.0", "x")]


@pytest.mark.parametrize(
    ("waits", "opt_out"), [("x", "x"), ("xa", "a"), ("ax", "x"), ("xab", "cb"), ("x", "yx"), ("ab", "ba")]
)
async def test_opt_out_ends_what_waits(mailroom: Mailroom, store: Store, drain: str, waits: str, opt_out: str) -> None:
    """Whichever strong name they share, what waits ends as stale, unsent, and what is urgent goes at once."""
    await send(mailroom, "e1", waits, weak="p", delay=1000)
    await send(mailroom, "e2", opt_out, urgent=True)
    leases = await crm(mailroom)
    assert set(leases) == {"e2.0"}
    assert await mailroom.record("e1") is None
    fate = await mailroom.fate("e1")
    assert fate is not None
    assert (await mailroom.counts())["stale|crm"] == 1
    await end(mailroom, leases["e2.0"])
    await store.advance(1000)
    assert await crm(mailroom) == {}
    assert await left(store) == set()


async def test_opt_out_is_leased_at_once(mailroom: Mailroom, drain: str) -> None:
    """Where nothing but what waited stood before it, it is leased in the step that makes it."""
    await send(mailroom, "e1", "xa", delay=1000)
    assert await send(mailroom, "e2", "a", urgent=True, at_once=True) == {"e2.0"}


async def test_opt_out_spares_the_others(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What waits for no rule keeps its place before it; what shares no strong name, or is urgent itself, waits on."""
    await send(mailroom, "e1", "xa", delay=1000)
    await send(mailroom, "e2", "x")
    await send(mailroom, "e3", "y", weak="p", delay=1000)
    await send(mailroom, "e4", "z", urgent=True, delay=1000)
    await send(mailroom, "e5", "z", urgent=True)
    await send(mailroom, "e6", "x", weak="p", urgent=True)
    assert [await mailroom.record(f"e{n}") is None for n in range(1, 7)] == [True, *[False] * 5]
    (lease,) = (await crm(mailroom)).values()
    assert lease.items[0][0] == "e2.0"
    await end(mailroom, lease)
    (lease,) = (await crm(mailroom)).values()
    assert lease.items[0][0] == "e6.0"
    await end(mailroom, lease)
    await store.advance(1000)
    assert set(await crm(mailroom)) == {"e3.0", "e4.0"}


async def test_opt_out_ends_what_stands_behind(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What would wait only when its turn comes ends, too: it would hold the opt-out back then."""
    await send(mailroom, "e1", "x")
    (first,) = (await crm(mailroom)).values()
    await send(mailroom, "e2", "yx", delay=1000)
    await send(mailroom, "e3", "x", urgent=True)
    await end(mailroom, first)
    assert set(await crm(mailroom)) == {"e3.0"}
    assert await mailroom.record("e2") is None


@pytest.mark.parametrize(("attempt", "doubt"), [(1, 0), (0, 1), (2, 1)])
async def test_opt_out_spares_what_was_attempted(
    mailroom: Mailroom, store: Store, drain: str, attempt: int, doubt: int
) -> None:
    """What was attempted, or may have been, is never ended: the opt-out goes behind it."""
    await send(mailroom, "e1", "x", delay=1000)
    await store.advance(1000)
    (lease,) = (await crm(mailroom)).values()
    await end(mailroom, lease, "wait", wait_ms=1000, attempt=attempt, doubt=doubt)
    await send(mailroom, "e2", "x", urgent=True)
    assert await crm(mailroom) == {}
    await store.advance(1000)
    assert set(await crm(mailroom)) == {"e1.0"}


async def test_opt_out_while_it_is_handed_out(mailroom: Mailroom, store: Store, drain: str) -> None:
    """One that a drain has in hand before its time ends when the drain lets it wait on: nobody has sent it."""
    await send(mailroom, "e1", "x")
    (first,) = (await crm(mailroom)).values()
    await send(mailroom, "e2", "xa", delay=1000)
    await end(mailroom, first)
    (early,) = (await crm(mailroom)).values()
    await send(mailroom, "e3", "ya", urgent=True)
    assert await mailroom.record("e2") is not None
    await end(mailroom, early, "wait", wait_ms=1000)
    assert set(await crm(mailroom)) == {"e3.0"}
    assert await mailroom.record("e2") is None


async def test_opt_out_beside_what_its_event_lets_wait(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Two rules of one event do not end each other."""
    await mailroom.put([event("e1")])
    (lease,) = await take(mailroom, drain)
    new = [
        NewDelivery("e1.0", "crm", ("x",), b'{"waits":true,"n":1}', delay=1000),
        NewDelivery("e1.1", "crm", ("x",), b'{"leaves":true,"n":1}', urgent=True),
    ]
    await mailroom.settle(drain, "s", [settlement(lease, "e1", new=new)])
    assert await crm(mailroom) == {}
    await store.advance(1000)
    assert set(await crm(mailroom)) == {"e1.0"}


async def test_opt_out_behind_a_ready_one(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What waited long enough and was not taken yet ends, too, and its box goes on."""
    await send(mailroom, "e1", "xa", delay=1000)
    await send(mailroom, "e2", "x")
    await mailroom.pause("crm")
    await store.advance(1000)
    assert await crm(mailroom) == {}
    await send(mailroom, "e3", "a", urgent=True)
    await mailroom.resume("crm")
    assert set(await crm(mailroom)) == {"e2.0", "e3.0"}


async def test_opt_out_behind_a_lonely_ready_one(mailroom: Mailroom, store: Store, drain: str) -> None:
    """The same where nothing else stands in its home."""
    await send(mailroom, "e1", "xa", delay=1000)
    await send(mailroom, "e2", "y", delay=1000)
    await mailroom.pause("crm")
    await store.advance(1000)
    assert await crm(mailroom) == {}
    await send(mailroom, "e3", "a", urgent=True)
    await send(mailroom, "e4", "y", urgent=True)
    await mailroom.resume("crm")
    leases = await crm(mailroom)
    assert set(leases) == {"e3.0", "e4.0"}
    for lease in leases.values():
        await end(mailroom, lease)
    assert await crm(mailroom) == {}
    assert await left(store) == set()


async def test_opt_out_ends_what_coalesces(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What coalesces ends as well; what comes afterwards with the same key waits anew."""
    await send(mailroom, "e1", "x", delay=1000, coalesce="k")
    await send(mailroom, "e2", "x", delay=1000, coalesce="k")
    await send(mailroom, "e3", "x", urgent=True)
    assert (await mailroom.counts())["coalesced|crm"] == 1
    assert (await mailroom.counts())["stale|crm"] == 1
    (lease,) = (await crm(mailroom)).values()
    await end(mailroom, lease)
    await send(mailroom, "e4", "x", delay=1000, coalesce="k")
    assert await crm(mailroom) == {}
    await store.advance(1000)
    assert set(await crm(mailroom)) == {"e4.0"}


async def test_opt_out_that_comes_late(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What an earlier event makes late (`next:`) ends nothing of a later one."""
    await send(mailroom, "e1", "y")
    (first,) = (await crm(mailroom)).values()
    await send(mailroom, "e2", "x", delay=1000)
    new = NewDelivery("e1.0.0", "crm", ("x",), b'{"leaves":true,"n":1}', urgent=True)
    await mailroom.settle("d1", "s", [settlement(first, "e1.0", new=[new])])
    assert await crm(mailroom) == {}
    await store.advance(1000)
    assert set(await crm(mailroom)) == {"e2.0"}


async def test_opt_out_that_finds_whom_it_is_about(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Under way, an opt-out learns another name of its object: what waits under that ends, unless it came later."""
    await send(mailroom, "e1", "x", delay=1000)
    await send(mailroom, "e2", "a", urgent=True)
    (lease,) = (await crm(mailroom)).values()
    await send(mailroom, "e3", "x", delay=1000)
    assert await mailroom.meet("crm", "a", lease.token, "e2.0", ["a", "x"], "contact", "c1") == "go"
    assert [await mailroom.record(f"e{n}") is None for n in (1, 2, 3)] == [True, False, False]
    assert (await mailroom.counts())["stale|crm"] == 1
    await end(mailroom, lease)
    await store.advance(1000)
    (last,) = (await crm(mailroom)).values()
    assert last.items[0][0] == "e3.0"
    await end(mailroom, last)
    assert await left(store) == set()
