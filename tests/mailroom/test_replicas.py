"""What replicas must have before it counts: with a replica that stands still, and a primary that is none any more."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from console.checks import store as guarantee
from mailroom import INBOX, Mailroom, RoomRequest, StoreUnavailable, address
from mailroom import client as mailroom_client
from tests.chaos.processes import free_port
from tests.conftest import wait_until
from tests.hosts.stores import HostPlace, Keepers
from tests.mailroom.store import event

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def keepers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keepers]:
    """A primary and a replica that syncs each write."""
    pair = Keepers(tmp_path_factory.mktemp("k"), [HostPlace("127.0.0.1", free_port()) for _ in range(2)], [])
    for keeper in pair.stores:
        keeper.start()
    wait_until(lambda: "online" in str(pair.stores[0].ask("INFO", "replication")), "the replica is there", 20)
    yield pair
    pair.stop()


def url(keepers: Keepers, n: int = 0) -> str:
    """Return the address of one of them."""
    return f"redis://127.0.0.1:{keepers.stores[n].place.port}"


@pytest.fixture
async def room(keepers: Keepers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailroom]:
    """A mailroom that wants one replica, and soon."""
    async with await Mailroom.open(url(keepers), hash_key=b"k" * 32, replicas=1) as one:
        await one.put([event("first", "email:first@example.org")])
        monkeypatch.setattr(mailroom_client, "REPLICA_PATIENCE", 200)
        yield one


@pytest.fixture
def still(keepers: Keepers, room: Mailroom) -> Iterator[None]:
    """The replica stands still, once the mailroom is open."""
    replica = keepers.stores[1].process
    assert replica is not None
    replica.send_signal(signal.SIGSTOP)
    yield
    replica.send_signal(signal.SIGCONT)


async def test_kept_by_both(room: Mailroom, keepers: Keepers) -> None:
    """What was put is on the replica when put returns."""
    await room.put([event("kept")])
    assert keepers.stores[1].ask("EXISTS", room.key("e:kept")) == 1


@pytest.mark.usefixtures("still")
async def test_replica_stands_still(room: Mailroom) -> None:
    """Events, leases and outcomes count only when the replica has them; the sentence names the setting."""
    with pytest.raises(StoreUnavailable, match=r"0 of 1 replicas had it on disk within 0.2 s \(RELAIS_REPLICAS\)"):
        await room.put([event("a")])
    with pytest.raises(StoreUnavailable, match="0 of 1"):
        await room.quarantine([(event("q"), "data.email: missing")])
    await room.beat("d", register=True)
    with pytest.raises(StoreUnavailable, match="0 of 1"):
        await room.take("d", "r", [RoomRequest(INBOX, 9)])
    with pytest.raises(StoreUnavailable, match="0 of 1"):
        await room.learn("crm", ["a"], "contact", "c1")
    with pytest.raises(StoreUnavailable, match="0 of 1"):
        await room.meet("crm", "x", "t", "first.0", ["a"], "contact", "c1")


@pytest.mark.usefixtures("still")
async def test_repeated_while_replica_stands_still(room: Mailroom) -> None:
    """A repetition that finds all done writes nothing, on a connection that wrote nothing, and is no proof either."""
    await room.beat("d", register=True)
    with pytest.raises(StoreUnavailable):
        await room.put([event("again")])
    for _ in range(2):
        await room.store.connection_pool.disconnect()
        with pytest.raises(StoreUnavailable, match="0 of 1"):
            await room.put([event("again")])
        await room.store.connection_pool.disconnect()
        with pytest.raises(StoreUnavailable, match="0 of 1"):
            await room.take("d", "r", [RoomRequest(INBOX, 9)])


async def test_memory_counts_where_disks_are_unknown(room: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store without WAITAOF is asked for its replicas' memory, and the log says so once."""
    waits = room._waits
    monkeypatch.setattr(room, "_waits", lambda: [("WAITAOFX",)] if room._wait == "WAITAOF" else waits())
    assert [r.duplicate for r in await room.put([event("memory")])] == [False]
    assert room._wait == "WAIT"


async def test_demoted(keepers: Keepers) -> None:
    """A primary that became a replica answers READONLY: unavailable, and the connections are given up."""
    async with Mailroom.connect(url(keepers, 1), hash_key=b"k" * 32) as room:
        with pytest.raises(StoreUnavailable, match="store refused: "):
            await room.put([])


async def test_no_sentinel() -> None:
    """Without a Sentinel that answers, or with one that knows no such primary, the sentence says so."""
    async with Mailroom.connect(f"sentinel://127.0.0.1:{free_port()}/mymaster") as room:
        with pytest.raises(StoreUnavailable, match="no Sentinel of REDIS_URL can name a primary that is up"):
            await room.prepare()


async def test_in_words(room: Mailroom, keepers: Keepers) -> None:
    """The doctor tells what a failover would lose, and whether replicas are as quick as they must be."""
    checks = {}
    for demanded in (0, 1, 2):
        client = address.parse(url(keepers)).client(5)
        found = await guarantee.examine(client, demanded)
        await client.aclose()
        checks[demanded] = next(check for check in found.checks if check.name == "replicas")
    assert checks[0].ok
    assert "a failover may lose acknowledged events" in checks[0].says
    assert checks[1].ok
    assert "survives whichever takes over" in checks[1].says
    assert "min-replicas-to-write" in checks[1].mend
    assert not checks[2].ok
    assert "1 replica, and RELAIS_REPLICAS=2" in checks[2].says


@pytest.mark.usefixtures("still")
async def test_slow_replica_in_words(keepers: Keepers) -> None:
    """A replica that is there and keeps nothing is told apart from none."""
    client = address.parse(url(keepers)).client(5)
    found = await guarantee.examine(client, 1)
    await client.aclose()
    check = next(check for check in found.checks if check.name == "replicas")
    assert (check.ok, check.says[:6]) == (False, "0 of 1")
