"""A destination that is away is left alone but for a probe now and then, and nobody pays for it with an attempt."""

import json

import pytest

from mailroom import Lease, Mailroom, RoomChange, RoomRequest, RoomState, Settled
from tests.mailroom.store import CLOCK, Store, event
from tests.mailroom.test_client import INFO, items, route, settlement, take

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
AWAY = "away:connection_refused"


@pytest.fixture
async def drain(mailroom: Mailroom) -> str:
    """The name of a drain that lives, and a destination whose breaker opens at the third box."""
    await mailroom.beat("d1", register=True)
    await mailroom.configure("crm", breaker=3)
    return "d1"


async def deliveries(mailroom: Mailroom, drain: str, n: int, first: int = 0) -> None:
    """Let n deliveries wait in n boxes."""
    names = [f"e{i}" for i in range(first, first + n)]
    await mailroom.put([event(name, f"email:{name}@example.org") for name in names])
    for _ in range(0, n, 9):
        await route(mailroom, drain, {f"{name}.0": ("crm", name) for name in names})


async def fail(
    mailroom: Mailroom, drain: str, *leases: Lease, says: str = AWAY, wait: int = HOUR, alone: int = 0
) -> Settled:
    """The first item of each lease fails, in one call."""
    token = f"f{take.calls}"  # type: ignore[attr-defined]
    take.calls += 1  # type: ignore[attr-defined]
    given = [
        settlement(
            lease,
            lease.items[0][0],
            "wait",
            wait_ms=wait,
            attempt=lease.attempt + 1,
            doubt=lease.doubt,
            says=says,
            alone_ms=alone,
        )
        for lease in leases
    ]
    return await mailroom.settle(drain, token, given)


async def answer(mailroom: Mailroom, drain: str, lease: Lease, verdict: str = "done") -> Settled:
    """The destination answers."""
    one = settlement(lease, lease.items[0][0], verdict, says="there", info=INFO if verdict == "dead" else None)
    return await mailroom.settle(drain, f"a{lease.box}", [one])


async def crm(mailroom: Mailroom) -> RoomState:
    """The room as people see it."""
    (found,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    return found


async def opened(mailroom: Mailroom, drain: str, n: int = 6) -> list[Lease]:
    """Let the breaker open with n boxes; return the leases whose box did not fail yet."""
    await deliveries(mailroom, drain, n)
    leases = await take(mailroom, drain, "crm")
    assert (await fail(mailroom, drain, *leases[:3])).room_changes == [
        RoomChange("breaker", "crm", "connection_refused")
    ]
    return leases[3:]


async def test_opens(mailroom: Mailroom, store: Store, drain: str) -> None:
    """When so many boxes failed one after the other the room is paused, and says since when and why."""
    await opened(mailroom, drain)
    room = await crm(mailroom)
    why = {"by": "breaker", "code": "connection_refused", "at": await store.now()}
    assert (json.loads(room.paused), room.probe_at) == (why, await store.now() + 5_000)


async def test_one_box_alone(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A single box that fails again and again is its own trouble."""
    await deliveries(mailroom, drain, 1)
    for n in range(5):
        (lease,) = await take(mailroom, drain, "crm")
        assert lease.attempt == n
        assert (await fail(mailroom, drain, lease)).room_changes == []
        await store.advance(HOUR)


@pytest.mark.parametrize("verdict", ["done", "dead"])
async def test_not_in_a_row(mailroom: Mailroom, drain: str, verdict: str) -> None:
    """A success, or a refusal with sense, starts the row anew."""
    await deliveries(mailroom, drain, 6)
    leases = await take(mailroom, drain, "crm")
    await fail(mailroom, drain, *leases[:2])
    await answer(mailroom, drain, leases[2], verdict)
    assert (await fail(mailroom, drain, *leases[3:5])).room_changes == []
    assert (await fail(mailroom, drain, leases[5])).room_changes


@pytest.mark.parametrize("says", ["", "there"])
async def test_other_reasons(mailroom: Mailroom, drain: str, says: str) -> None:
    """What does not concern the destination opens nothing."""
    await deliveries(mailroom, drain, 6)
    assert (await fail(mailroom, drain, *await take(mailroom, drain, "crm"), says=says)).room_changes == []


async def test_off(mailroom: Mailroom, drain: str) -> None:
    """Without a breaker each box waits for a time of its own."""
    await mailroom.configure("crm", breaker=0)
    await deliveries(mailroom, drain, 6)
    assert (await fail(mailroom, drain, *await take(mailroom, drain, "crm"))).statuses == [1] * 6
    assert (await crm(mailroom)).waiting == 6


async def test_one_probe(mailroom: Mailroom, store: Store, drain: str) -> None:
    """While it is open one box at a time may be leased, after 5 s, then after 10 and so on to a minute."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    for wait in (5, 10, 20, 40, 60, 60):
        taken = await mailroom.take(drain, f"early{await store.now()}", [RoomRequest("crm", 9, 9)])
        assert (taken.leases, taken.wait) == ([], wait * 1000)
        await store.advance(wait * 1000)
        (probe,) = await take(mailroom, drain, "crm")
        assert await take(mailroom, drain, "crm") == []
        await fail(mailroom, drain, probe)


async def test_probe_waits_for_what_is_under_way(mailroom: Mailroom, store: Store, drain: str) -> None:
    """There is no probe while something is under way that was sent before the breaker opened."""
    late = await opened(mailroom, drain)
    await store.advance(HOUR)
    assert await take(mailroom, drain, "crm") == []
    await fail(mailroom, drain, *late)
    await store.advance(5_000)
    assert len(await take(mailroom, drain, "crm")) == 1


async def test_leased_at_once(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What is routed while it is open is leased in the same step only as a probe that is due."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    await mailroom.put([event("x", "email:x@example.org"), event("y", "email:y@example.org")])
    await store.advance(5_000)
    settled = await route(mailroom, drain, {"x.0": ("crm", "x"), "y.0": ("crm", "y")}, lease=True)
    assert len(settled.leased) == 1


async def test_no_attempt_is_counted(mailroom: Mailroom, store: Store, drain: str) -> None:
    """From the failure on that opened it none counts, also of what was under way; doubt is kept."""
    leases = await opened(mailroom, drain)
    doubtful = settlement(
        leases[0], leases[0].items[0][0], "wait", wait_ms=HOUR, attempt=1, doubt=1, says="away:timeout"
    )
    assert (await mailroom.settle(drain, "late", [doubtful])).statuses == [3]
    await fail(mailroom, drain, *leases[1:])
    found = {}
    for n in range(6):
        await store.advance(60_000)
        (probe,) = await take(mailroom, drain, "crm")
        found[probe.box] = (probe.attempt, probe.doubt)
        await fail(mailroom, drain, probe)
        assert len(found) == n + 1, "each probe is another box"
    assert found == {"e0": (1, 0), "e1": (1, 0), "e2": (0, 0), "e3": (0, 1), "e4": (0, 0), "e5": (0, 0)}


@pytest.mark.parametrize("verdict", ["dead", "hold"])
async def test_nothing_ends_for_it(mailroom: Mailroom, store: Store, drain: str, verdict: str) -> None:
    """A last attempt that fails while it is open was not the last; ledger, counters and `in_order` say the same."""
    late = await opened(mailroom, drain)
    item = late[0].items[0][0]
    await mailroom.remember(mailroom.key("order:e3:crm"), "1", 60)
    line = json.dumps({"t": "attempt", "d": item, "then": verdict}, separators=(",", ":"))
    more = {"info": INFO, "line": line, "counter": f"attempt|crm|note|transient|{verdict}", "says": AWAY}
    settled = await mailroom.settle(drain, "late", [settlement(late[0], item, verdict, **more)])
    assert settled.statuses == [3]
    assert (await store.dump())["ready:crm"].value == ["e2", "e3"]
    assert (await crm(mailroom)).held == await mailroom.dead_count() == 0
    assert (await mailroom.counts())["attempt|crm|note|transient|wait"] == 1
    (page,) = [entry for name, entry in (await store.dump()).items() if name.startswith("ledger:")]
    assert json.loads(page.value["e3"].splitlines()[-1])["then"] == "wait"
    assert (await mailroom.recall(mailroom.key("order:e3:crm")) is None) == (verdict == "dead")


async def test_held_for_a_person(mailroom: Mailroom, drain: str) -> None:
    """What only a person can settle is held also while it is open."""
    late = await opened(mailroom, drain)
    one = settlement(late[0], late[0].items[0][0], "hold", info=INFO, doubt=1)
    assert (await mailroom.settle(drain, "late", [one])).statuses == [1]
    assert (await crm(mailroom)).held == 1


async def test_closes(mailroom: Mailroom, store: Store, drain: str) -> None:
    """When the destination answers, all that failed is ready at once; what waits for another reason goes on waiting."""
    await deliveries(mailroom, drain, 1, first=90)
    (limited,) = await take(mailroom, drain, "crm")
    await fail(mailroom, drain, limited, says="there", wait=HOUR)
    late = await opened(mailroom, drain)
    await fail(mailroom, drain, *late)
    await mailroom.put([event("x", "email:x@example.org")])
    await route(mailroom, drain, {"x.0": ("crm", "x")}, delay=HOUR)
    await store.advance(5_000)
    (probe,) = await take(mailroom, drain, "crm")
    assert (await answer(mailroom, drain, probe)).room_changes == [RoomChange("there", "crm", "")]
    room = await crm(mailroom)
    assert (room.paused, room.probe_at, room.ready, room.waiting) == ("", 0, 5, 2)
    assert len(await take(mailroom, drain, "crm")) == 5
    await store.advance(HOUR)
    assert {lease.box for lease in await take(mailroom, drain, "crm")} == {"e90", "x"}


@pytest.mark.parametrize("failed", ["before it opened", "when it opened", "while it was open"])
async def test_left_alone(mailroom: Mailroom, store: Store, drain: str, failed: str) -> None:
    """What is searched for, or told to wait, before its next attempt does so although somebody else got an answer."""
    await deliveries(mailroom, drain, 4)
    leases = await take(mailroom, drain, "crm")
    first, others = leases[0], leases[1:]
    if failed == "when it opened":
        await fail(mailroom, drain, *others[:2])
    elif failed == "while it was open":
        await fail(mailroom, drain, *others)
    await fail(mailroom, drain, first, says="away:timeout", alone=30_000, wait=30_000)
    if failed == "before it opened":
        await fail(mailroom, drain, *others)
    await store.advance(5_000)
    if failed == "when it opened":
        await answer(mailroom, drain, others[2])
    else:
        (probe,) = await take(mailroom, drain, "crm")
        await answer(mailroom, drain, probe)
    assert (await crm(mailroom)).paused == ""
    assert {lease.box for lease in await take(mailroom, drain, "crm")} == {"e1", "e2", "e3"} - {
        "e3" if failed == "when it opened" else probe.box
    }
    await store.advance(24_999)
    assert await take(mailroom, drain, "crm") == []
    await store.advance(1)
    (again,) = await take(mailroom, drain, "crm")
    assert (again.box, again.attempt) == ("e0", 1 if failed == "before it opened" else 0)


async def test_left_alone_is_no_probe(mailroom: Mailroom, store: Store, drain: str) -> None:
    """While all that waits is to be left alone there is no probe; then there is one."""
    await deliveries(mailroom, drain, 3)
    await fail(mailroom, drain, *await take(mailroom, drain, "crm"), alone=30_000)
    assert (await crm(mailroom)).waiting == 3
    await store.advance(29_000)
    taken = await mailroom.take(drain, "early", [RoomRequest("crm", 9, 9)])
    assert (taken.leases, taken.wait) == ([], 1_000)
    await store.advance(1_000)
    assert len(await take(mailroom, drain, "crm")) == 1


@pytest.mark.parametrize("end", ["bury", "leave"])
async def test_search_that_is_behind_a_death(mailroom: Mailroom, store: Store, drain: str, end: str) -> None:
    """What a drain may have sent is takeable again when a search there would show it, and is doubtful."""
    await mailroom.configure("crm", breaker=3, lag=30_000)
    await deliveries(mailroom, drain, 1)
    await take(mailroom, drain, "crm")
    await (mailroom.bury([drain]) if end == "bury" else mailroom.leave(drain))
    await mailroom.beat("d2", register=True)
    await store.advance(29_999)
    wanted = [RoomRequest("crm", 9, 9)]
    assert (await mailroom.take("d2", "early", wanted, suspects=9)).leases == []
    await store.advance(1)
    suspects = 9 if end == "bury" else 0
    (lease,) = (await mailroom.take("d2", "due", wanted, suspects=suspects)).leases
    assert (lease.doubt, lease.deaths, lease.attempt) == (1, 1 if end == "bury" else 0, 0)


async def test_closes_at_a_refusal(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Who refuses with sense is there."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    await store.advance(5_000)
    (probe,) = await take(mailroom, drain, "crm")
    assert (await answer(mailroom, drain, probe, "dead")).room_changes == [RoomChange("there", "crm", "")]
    assert await mailroom.dead_count() == 1


async def test_closes_for_what_was_under_way(mailroom: Mailroom, drain: str) -> None:
    """A success of what was sent before it opened closes it, too, and rings."""
    late = await opened(mailroom, drain)
    assert (await answer(mailroom, drain, late[0])).room_changes == [RoomChange("there", "crm", "")]
    assert await mailroom.hear("default", 1)


async def many_wait(mailroom: Mailroom, drain: str, n: int) -> None:
    """So many boxes wait for their destination when its breaker opens."""
    await mailroom.configure("crm", breaker=0)
    await deliveries(mailroom, drain, n)
    await fail(mailroom, drain, *await take(mailroom, drain, "crm", n))
    await mailroom.configure("crm", breaker=3)
    await deliveries(mailroom, drain, 3, first=n)
    await fail(mailroom, drain, *await take(mailroom, drain, "crm"))


async def test_many_are_woken_in_steps(mailroom: Mailroom, drain: str) -> None:
    """What waited before it opened becomes ready by and by: no call has to do it all, and none is left behind."""
    await many_wait(mailroom, drain, 1_010)
    ready = []
    for _ in range(4):
        ready.append((await crm(mailroom)).ready)
        assert await take(mailroom, drain, "crm") == []
    assert ready == [1, 501, 1_001, 1_013]


@pytest.mark.parametrize(("n", "left"), [(600, 102), (499, 1)])
async def test_twice_while_waking(mailroom: Mailroom, store: Store, drain: str, n: int, left: int) -> None:
    """What the outage before has not woken yet is woken with the rest, whichever of them are more."""
    await many_wait(mailroom, drain, n)
    assert await take(mailroom, drain, "crm") == []
    await mailroom.resume("crm")
    assert (await crm(mailroom)).waiting == left
    await store.raw.rename(mailroom.key("woken:crm"), "aside")
    leases = await take(mailroom, drain, "crm")
    await store.raw.rename("aside", mailroom.key("woken:crm"))
    await fail(mailroom, drain, *leases[:3])
    dump = await store.dump()
    assert "retry:crm" not in dump
    assert len(dump["woken:crm"].value) == left + 2
    for _ in range(2):
        await take(mailroom, drain, "crm")
    assert (await crm(mailroom)).waiting == 0


async def test_person_resumes(mailroom: Mailroom, drain: str) -> None:
    """A person closes it by hand; the next row begins at nothing."""
    late = await opened(mailroom, drain)
    assert await mailroom.resume("crm")
    assert (await crm(mailroom)).paused == ""
    assert (await fail(mailroom, drain, *late[:2])).room_changes == []
    assert (await fail(mailroom, drain, late[2])).room_changes


async def test_person_pauses(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What a person paused is not probed, not lifted by a success, and failures count as ever."""
    late = await opened(mailroom, drain)
    assert await mailroom.pause("crm", "maintenance")
    assert (await fail(mailroom, drain, late[0])).statuses == [1]
    assert (await answer(mailroom, drain, late[1])).room_changes == []
    await store.advance(HOUR)
    assert await take(mailroom, drain, "crm") == []
    assert not await mailroom.probe("crm")
    assert json.loads((await crm(mailroom)).paused)["why"] == "maintenance"


async def test_key_refused(mailroom: Mailroom, store: Store, drain: str) -> None:
    """One refused key pauses the room; it is probed after a minute, at last every quarter of an hour."""
    await deliveries(mailroom, drain, 4)
    leases = await take(mailroom, drain, "crm")
    assert (await fail(mailroom, drain, leases[0], says="refused:unauthorised")).room_changes == [
        RoomChange("key", "crm", "unauthorised")
    ]
    assert (await fail(mailroom, drain, *leases[1:], says="refused:unauthorised")).room_changes == []
    for minutes in (1, 2, 4, 8, 15, 15):
        taken = await mailroom.take(drain, f"early{await store.now()}", [RoomRequest("crm", 9, 9)])
        assert (taken.leases, taken.wait) == ([], minutes * 60_000)
        await store.advance(minutes * 60_000)
        (probe,) = await take(mailroom, drain, "crm")
        assert probe.attempt == 0
        await fail(mailroom, drain, probe, says="refused:unauthorised")
    await store.advance(15 * 60_000)
    (probe,) = await take(mailroom, drain, "crm")
    assert (await answer(mailroom, drain, probe)).room_changes == [RoomChange("there", "crm", "")]
    assert len(await take(mailroom, drain, "crm")) == 3


async def test_key_refused_by_a_probe(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A destination that is back and refuses our key is paused for that."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    await store.advance(5_000)
    (probe,) = await take(mailroom, drain, "crm")
    assert (await fail(mailroom, drain, probe, says="refused:forbidden")).room_changes == [
        RoomChange("key", "crm", "forbidden")
    ]
    assert (await crm(mailroom)).probe_at == await store.now() + 60_000


async def test_probe_now(mailroom: Mailroom, drain: str) -> None:
    """A new book or process brings the probe forward; one that wants no breaker closes it."""
    assert not await mailroom.probe("crm")
    await fail(mailroom, drain, *await opened(mailroom, drain))
    assert await mailroom.probe("crm")
    (probe,) = await take(mailroom, drain, "crm")
    await fail(mailroom, drain, probe)
    await mailroom.configure("crm", breaker=0)
    assert await mailroom.probe("crm")
    assert (await crm(mailroom)).paused == ""
    assert len(items(await take(mailroom, drain, "crm"))) == 6


async def test_paused_by_an_older_version(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What a version without probes paused for a refused key is probed when a process of this one starts."""
    await deliveries(mailroom, drain, 2)
    await store.raw.hset(mailroom.key("room:crm"), "paused", '{"code":"unauthorised","at":1}')
    assert await take(mailroom, drain, "crm") == []
    assert await mailroom.probe("crm")
    (probe,) = await take(mailroom, drain, "crm")
    assert (await answer(mailroom, drain, probe)).room_changes == [RoomChange("there", "crm", "")]
    assert len(await take(mailroom, drain, "crm")) == 1


async def test_drain_dies_with_the_probe(mailroom: Mailroom, store: Store, drain: str) -> None:
    """The next probe comes in its time also when nobody tells how this one ended."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    await store.advance(5_000)
    assert len(await take(mailroom, drain, "crm")) == 1
    await mailroom.bury([drain])
    await mailroom.beat("d2", register=True)
    assert await take(mailroom, "d2", "crm") == []
    await store.advance(10_000)
    assert len(await take(mailroom, "d2", "crm")) == 1


@pytest.mark.parametrize("verdict", ["dead", "done", "wait", "hold", "back"])
@pytest.mark.parametrize(("says", "waits"), [(AWAY, 5_000), ("refused:unauthorised", 60_000)])
async def test_probe_that_asked_nothing(
    mailroom: Mailroom, store: Store, drain: str, verdict: str, says: str, waits: int
) -> None:
    """What is leased as a probe and never sent delays the next one by nothing."""
    await deliveries(mailroom, drain, 6)
    await fail(mailroom, drain, *await take(mailroom, drain, "crm"), says=says)
    await store.advance(waits)
    for n in range(3):
        (probe,) = await take(mailroom, drain, "crm")
        more: dict[str, object] = {"wait_ms": HOUR} if verdict == "wait" else {"info": INFO}
        await mailroom.settle(drain, f"n{n}", [settlement(probe, probe.items[0][0], verdict, **more)])
    (probe,) = await take(mailroom, drain, "crm")
    assert (await answer(mailroom, drain, probe)).room_changes == [RoomChange("there", "crm", "")]


async def test_probe_that_asked_nothing_of_a_person(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What was never sent is no reason to probe a room that a person paused."""
    late = await opened(mailroom, drain)
    await mailroom.pause("crm")
    await mailroom.settle(drain, "n", [settlement(late[0], late[0].items[0][0], "dead", info=INFO)])
    assert (await crm(mailroom)).probe_at == 0
    await store.advance(HOUR)
    assert await take(mailroom, drain, "crm") == []


async def test_clock_set_back(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A store's clock that is set back an hour does not put the probe off for an hour."""
    await fail(mailroom, drain, *await opened(mailroom, drain))
    await store.raw.decrby(CLOCK, HOUR)
    assert len(await take(mailroom, drain, "crm")) == 1


async def test_costs_nothing(mailroom: Mailroom, store: Store, drain: str) -> None:
    """While nothing fails a success asks the store no more than that."""
    await deliveries(mailroom, drain, 200)
    leases = await take(mailroom, drain, "crm", 200)

    async def calls() -> int:
        stats = await store.raw.info("commandstats")
        return sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_info")

    async def spent(says: str, some: list[Lease]) -> int:
        before = await calls()
        await mailroom.settle(drain, f"t{says}", [settlement(x, x.items[0][0], says=says) for x in some])
        return await calls() - before

    assert await spent("", leases[:100]) == await spent("there", leases[100:])
