"""The sweep, round by round, against a real store: who sweeps, how many drains there are, who counts as dead."""

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from mailroom import INBOX, RoomRequest, StoreUnavailable, liveness, migration
from mailroom.keys import FORMER_SCHEMAS, NO_POOL, SCHEMA
from tests.clock import ManualClock
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import NOTE, WorkerFixture, event
from workers import sweep as sweeps
from workers import worker
from workers.sweep import Sweep

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that stands still until the test moves it."""
    clock = ManualClock()
    monkeypatch.setattr(sweeps, "time", clock)
    return clock


@pytest.fixture
def connection(site_valkey: PrivateValkey) -> Iterator[redis.Redis]:
    """RQ's connection."""
    connection = worker.connect(site_valkey.url)
    yield connection
    connection.close()


@pytest.fixture
def make(site: WorkerFixture, connection: redis.Redis, clock: ManualClock) -> Any:
    """Make the sweep of a parent."""

    def make(name: str, **settings: Any) -> Sweep:
        return Sweep(site.settings(**settings), site.mailroom, connection, name)

    return make


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the sweep."""
    records = [record for record in caplog.records if record.name == "relais.sweep"]
    assert {record.levelno for record in records} <= {logging.INFO, logging.WARNING}
    return [record.getMessage() for record in records]


def queued(connection: redis.Redis, pool: str = "default") -> int:
    """Return how many drain jobs wait."""
    return worker.queue_of(pool, connection).count


async def test_as_many_drains_as_workers(site: WorkerFixture, make: Any, connection: redis.Redis) -> None:
    """What stays missing for two rounds is enqueued, and nothing beyond that; a drain that lives is not missing."""
    one = make("one")
    await one.sweep(3, ())
    assert queued(connection) == 0
    for _ in range(3):
        await one.sweep(3, ())
        assert queued(connection) == 3
    connection.lpop("rq:queue:relais-default", 2)
    await site.mailroom.beat("w.1", register=True)
    for _ in range(3):
        await one.sweep(3, ())
    assert queued(connection) == 2
    connection.delete("rq:queue:relais-default")
    for _ in range(2):
        await one.sweep(3, ())
    assert queued(connection) == 2


async def test_one_sweeps(make: Any, connection: redis.Redis, clock: ManualClock) -> None:
    """Of two parents one sweeps, for the workers of both; when it leaves, the other one does, without its workers."""
    one, two = make("one"), make("two")
    for _ in range(3):
        await one.sweep(1, ())
        await two.sweep(2, ())
    assert queued(connection) == 3
    connection.delete("rq:queue:relais-default")
    for _ in range(3):
        await two.sweep(2, ())
    assert queued(connection) == 0
    await one.leave()
    for _ in range(3):
        await two.sweep(2, ())
    assert queued(connection) == 2


async def test_killed_sweeper(site: WorkerFixture, make: Any) -> None:
    """Who sweeps has to say so again and again; after its death another takes over within seconds."""
    await make("one").sweep(1, ())
    left = await site.mailroom.store.pttl(site.mailroom.key("sweeper:default"))
    assert 0 < left <= 5000


@pytest.mark.parametrize("where", ["gone", "alive", "elsewhere"])
async def test_killed_sweeper_of_this_host(site: WorkerFixture, make: Any, where: str) -> None:
    """Who sweeps is replaced at once where it certainly is no more; one that lives or is elsewhere is not."""
    one = make("one")
    await one.sweep(1, ())
    place = liveness.place()
    places = {"gone": place.rpartition(" ")[0] + " 1", "alive": place, "elsewhere": "another boot pid:[1] 17 1"}
    await site.mailroom.say_process("one", "default", 1, 2, said=f"{SCHEMA} {places[where]}")
    await make("two").sweep(1, ())
    holder = await site.mailroom.store.get(site.mailroom.key("sweeper:default"))
    assert holder == (b"two" if where == "gone" else b"one")


async def test_a_parent_that_vanished(make: Any, connection: redis.Redis, clock: ManualClock) -> None:
    """The workers of a parent that gave no sign for a while are not counted any more."""
    one, two = make("one"), make("two")
    await two.sweep(2, ())
    for _ in range(2):
        await one.sweep(1, ())
    await two.sweep(2, ())
    await two.sweep(2, ())
    assert queued(connection) == 3
    connection.delete("rq:queue:relais-default")
    for _ in range(int(sweeps.PROCESS_GONE) + 3):
        clock.now += 1
        await two.sweep(2, ())
    connection.delete("rq:queue:relais-default")
    for _ in range(3):
        await two.sweep(2, ())
    assert queued(connection) == 2


async def test_pools(make: Any, connection: redis.Redis) -> None:
    """Each pool has its own queue, its own sweep and its own workers."""
    one, heavy = make("one"), make("heavy", pool="heavy")
    for _ in range(3):
        await one.sweep(1, ())
        await heavy.sweep(2, ())
    assert (queued(connection), queued(connection, "heavy")) == (1, 2)


async def test_dead_by_its_beat(
    site: WorkerFixture, make: Any, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain whose counter stands still for too long, by our own clock, is buried; one that beats is not."""
    await site.mailroom.beat("a.1", register=True)
    await site.mailroom.beat("b.1", register=True)
    await site.put(event("e1"))
    assert (await site.mailroom.take("a.1", "r", [RoomRequest(INBOX, 1)])).leases
    one = make("one")
    await one.sweep(2, ())
    for _ in range(50):
        clock.now += 1
        await site.mailroom.beat("b.1")
        await one.sweep(2, ())
    assert set(await site.mailroom.beats()) == {"b.1"}
    assert said(caplog) == ["drain.dead names=a.1 why=no beat for 45.0 s freed=1 poison=0"]
    assert (await site.mailroom.take("b.1", "r", [RoomRequest(INBOX, 1)])).suspects == 1


async def test_dead_by_its_process(site: WorkerFixture, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What a worker of ours held is free in the round after its end, whoever sweeps."""
    await make("other").sweep(1, ())
    await site.mailroom.beat("gone.3", register=True)
    await site.put(event("e1"))
    assert (await site.mailroom.take("gone.3", "r", [RoomRequest(INBOX, 1)])).leases
    await make("one").sweep(1, {"gone"})
    assert await site.mailroom.beats() == {}
    assert (await site.mailroom.rooms())[0].suspect == 1
    assert said(caplog) == ["drain.dead names=gone.3 why=its worker ended freed=1 poison=0"]


@pytest.mark.parametrize("phase", range(20))
async def test_an_outage_is_no_silence(site: WorkerFixture, make: Any, clock: ManualClock, phase: int) -> None:
    """Nobody is buried for the time in which no beat could be read, wherever in its second the outage began."""
    one = make("one", dead_after=5)
    beaten = 0.0
    await site.mailroom.beat("a.1", register=True)
    for outage in (0.0, 4.9, 8.3, 60.0, 8.3):
        clock.now += outage
        for _ in range(12 + phase):  # a beat each second, a sweep each half: the first beat comes up to a second later
            clock.now += 0.5
            beaten += 0.5
            if beaten >= 1 + phase / 20:
                beaten = 0.0
                await site.mailroom.beat("a.1")
            await one.sweep(1, ())
    assert set(await site.mailroom.beats()) == {"a.1"}


async def test_gone_with_everything(site: WorkerFixture, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A drain of this host whose process is no more is buried at once, also by a parent that never knew it."""
    place = liveness.place()
    ended = place.rpartition(" ")[0] + " 1"
    elsewhere = "another boot pid:[1] 17 1"
    for name, said_of_itself in (("gone.1", ended), ("here.1", place), ("far.1", elsewhere), ("former.1", "")):
        await site.mailroom.beat(name, register=True, said=f"{SCHEMA} {said_of_itself}" if said_of_itself else "")
    await site.put(event("e1"))
    assert (await site.mailroom.take("gone.1", "r", [RoomRequest(INBOX, 1)])).leases
    await make("one").sweep(1, ())
    assert set(await site.mailroom.beats()) == {"here.1", "far.1", "former.1"}
    assert (await site.mailroom.rooms())[0].suspect == 1
    assert said(caplog) == ["drain.dead names=gone.1 why=its worker ended freed=1 poison=0"]


async def rounds(sweep: Sweep, clock: ManualClock, n: int) -> None:
    for _ in range(n):
        clock.now += 0.5
        await sweep.sweep(1, ())


@pytest.mark.parametrize("former", FORMER_SCHEMAS)
async def test_migration(site: WorkerFixture, make: Any, clock: ManualClock, former: str) -> None:
    """The store speaks the new schema when no drain and no parent of a former one has beaten for two beat periods."""
    store, key = site.mailroom.store, site.mailroom.key
    await store.set(key("schema"), former)
    await store.hset(key("parents"), "former", "default 1 7")
    await site.mailroom.beat("former.1", register=True, said=f"{former} elsewhere")
    one = make("one")
    await rounds(one, clock, 10)
    assert await migration.schema(site.mailroom) == former
    await site.mailroom.leave("former.1")
    await rounds(one, clock, 10)  # its parent lives on, and may start another drain
    assert await migration.schema(site.mailroom) == former
    await site.mailroom.forget_process("former")
    await site.mailroom.beat("ours.1", register=True, said=f"{SCHEMA} somewhere")
    await rounds(one, clock, 4)
    assert await migration.schema(site.mailroom) == former
    await site.mailroom.beat("former.2", register=True, said=f"{former} elsewhere")  # one more of it, for a moment
    await rounds(one, clock, 1)
    await site.mailroom.leave("former.2")
    await rounds(one, clock, 4)
    assert await migration.schema(site.mailroom) == former
    await rounds(one, clock, 3)
    assert await migration.schema(site.mailroom) == SCHEMA


async def test_migration_waits_for_receivers(site: WorkerFixture, make: Any, clock: ManualClock) -> None:
    """A receiver that speaks the former schema holds the migration up while it beats; one that speaks ours does not."""
    room = site.mailroom
    await room.store.set(room.key("schema"), "1")
    one = make("one")
    for turn in range(20):
        await room.say_process("receiver.former", NO_POOL, 0, turn, said="1 elsewhere")
        await room.say_process("receiver.ours", NO_POOL, 0, turn, said=f"{SCHEMA} elsewhere")
        await rounds(one, clock, 2)
    assert await migration.schema(room) == "1"
    await room.forget_process("receiver.former")
    await rounds(one, clock, 4)
    assert await migration.schema(room) == "1"
    await rounds(one, clock, 3)
    assert await migration.schema(room) == SCHEMA
    assert set(await room.processes()) == {"one", "receiver.ours"}


@pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])
async def test_receivers_are_forgotten(site: WorkerFixture, make: Any, clock: ManualClock, here: bool) -> None:
    """One whose process here is no more is forgotten at once, another after some silence; it counts for no worker."""
    room = site.mailroom
    await room.store.set(room.key("schema"), "1")
    gone = liveness.place().rpartition(" ")[0] + " 1"
    await room.say_process("receiver.former", NO_POOL, 0, 7, said=f"1 {gone}" if here else "1 elsewhere")
    one = make("one")
    await rounds(one, clock, 3)
    assert set(await room.processes()) == ({"one"} if here else {"one", "receiver.former"})
    assert queued(one.connection) == 1
    await rounds(one, clock, 0 if here else int(2 * sweeps.PROCESS_GONE))
    assert set(await room.processes()) == {"one"}
    assert set(await migration.speaks(room)) == {"one"}
    await rounds(one, clock, 6)
    assert await migration.schema(room) == SCHEMA


async def test_without_rq(site: WorkerFixture, make: Any, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """RQ's store may be away: the dead are buried all the same; when it is back, the number of drains is put right."""
    one = make("one")
    there = one.connection
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        one.connection = worker.connect(f"redis://127.0.0.1:{closed.getsockname()[1]}", 1.0)
    caplog.set_level("INFO", "relais.sweep")
    await site.mailroom.beat("gone.3", register=True)
    for _ in range(3):
        await one.sweep(1, {"gone"})
    assert await site.mailroom.beats() == {}
    one.connection.close()
    one.connection = there
    await one.sweep(2, ())
    assert queued(there) == 0  # it is not asked at once again
    clock.now += sweeps.RQ_AGAIN
    for _ in range(2):
        await one.sweep(2, ())
    assert queued(there) == 2
    assert [line.partition(" ")[0] for line in said(caplog)] == ["drain.dead", "rq.away", "rq.back"]


async def test_another_store(site: WorkerFixture, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """After a failover all that is leased is doubtful, its drains keep it, and no box comes under suspicion for it."""
    site.write(NOTE)
    one = make("one")
    await one.sweep(1, ())
    await site.mailroom.beat("a.1", register=True)
    await site.put(event("e1"))
    (kept,) = (await site.mailroom.take("a.1", "r", [RoomRequest(INBOX, 1)])).leases
    await site.mailroom.store.set(site.mailroom.key("replid"), "that of the store before")
    await one.sweep(1, ())
    assert said(caplog) == ["store.changed: restarted or failed over; doubtful=1"]
    assert await site.mailroom.beat("a.1") is True
    assert await site.mailroom.strays("a.1", [kept]) == 0
    assert await site.mailroom.strays("a.1", []) == 1
    (lease,) = (await site.mailroom.take("a.1", "r2", [RoomRequest(INBOX, 1)])).leases
    assert (lease.doubt, lease.deaths) == (1, 0)


async def test_strays_after_a_failover(site: WorkerFixture) -> None:
    """What a drain had settled at the store before, and finds leased at the new one, is doubtful."""
    site.write(NOTE)
    await site.mailroom.beat("a.1", register=True)
    await site.put(event("e1"))
    assert (await site.mailroom.take("a.1", "r", [RoomRequest(INBOX, 1)])).leases
    assert await site.mailroom.strays("a.1", [], failed_over=True) == 1
    (lease,) = (await site.mailroom.take("a.1", "r2", [RoomRequest(INBOX, 1)])).leases
    assert lease.doubt == 1


async def test_old_dead_letters(site: WorkerFixture, make: Any, clock: ManualClock) -> None:
    """Dead letters that are older than a month are given up, now and then."""
    await site.mailroom.store.zadd(site.mailroom.key("dead"), {"old.0": 1, "new.0": 32_503_680_000_000})
    one = make("one")
    await one.sweep(1, ())
    assert [letter.id for letter in await site.mailroom.dead()] == ["new.0"]
    await site.mailroom.store.zadd(site.mailroom.key("dead"), {"old.1": 1})
    await one.sweep(1, ())
    assert len(await site.mailroom.dead()) == 2
    clock.now += sweeps.EXPIRE_EVERY + 1
    await one.sweep(1, ())
    assert [letter.id for letter in await site.mailroom.dead()] == ["new.0"]


async def test_quiet_sweep(site: WorkerFixture, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that finds nothing to do says so, and does not load the functions again; after an outage it does."""
    loads: list[str] = []
    one = make("one")

    async def prepare() -> None:
        loads.append("prepare")

    monkeypatch.setattr(site.mailroom, "prepare", prepare)
    assert not one.quiet
    for _ in range(5):
        await one.sweep(0, ())
    assert one.quiet
    assert loads == ["prepare"]

    async def away() -> dict[str, tuple[str, int]]:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(site.mailroom, "beats", away)
        with pytest.raises(StoreUnavailable):
            await one.sweep(0, ())
    assert not one.quiet
    await one.sweep(0, ())
    assert loads == ["prepare", "prepare"]
    await one.sweep(2, ())
    assert not one.quiet
