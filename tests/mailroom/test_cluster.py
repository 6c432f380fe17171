"""No function of the mailroom leaves its partition: all run on a cluster of three nodes, which refuses just that."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from random import Random

import pytest
from redis.crc import key_slot

from bench import cluster as bench
from bench.nodes import Cluster, StoreNode, slot_of
from mailroom import INBOX, Mailroom, RoomRequest, StoreUnavailable, retention
from mailroom.aside import AsideShelf, look
from mailroom.client import client
from mailroom.forgetting import Forgetting, Person
from mailroom.holds import SourceHolds
from mailroom.keys import PREFIX
from mailroom.operator import Operator, Selection
from rules.quota import Quota
from tests.conftest import PrivateValkey
from tests.mailroom.comparison import Comparison
from tests.mailroom.random_walk import Walk
from tests.mailroom.store import LUA, Loop, Store, event, replaced
from tests.mailroom.test_client import take
from tests.mailroom.test_operator import BOX, deliver, die, end, put, route

#: Every function that there is, but for the name that only says which schema the library speaks.
REGISTERED = frozenset(re.findall(r"^register\('(\w+)'", LUA, re.M)) - {"schema_3"}
#: Walks, and steps of each: enough for every branch of the functions that drains call.
WALKS, STEPS = 6, 60


@pytest.fixture
def anyio_backend() -> str:
    """The mailroom runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes, a partition on each."""
    with Cluster([[prefix] for prefix in bench.PREFIXES]) as cluster:
        yield cluster


@pytest.fixture
def node(cluster: Cluster) -> StoreNode:
    """The node that has the partition of the product, empty, and writing down what it is asked."""
    node = cluster.owner(PREFIX)
    node.ask("FLUSHALL")
    node.ask("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 1_000_000)
    node.ask("SLOWLOG", "RESET")
    return node


@pytest.fixture
async def room(node: StoreNode) -> AsyncIterator[Mailroom]:
    """The product's mailroom on its node."""
    async with await Mailroom.open(node.url, hash_key=b"k" * 32) as room:
        yield room


def called(node: StoreNode) -> set[str]:
    """Return the functions that a node was asked for, by its own record."""
    asked = [words for _, _, _, words, *_ in node.ask("SLOWLOG", "GET", -1)]
    names = {words[1].decode() for words in asked if words[0].upper() == b"FCALL"}
    return {name.split("_", 2)[2] for name in names}


def walk(server: PrivateValkey | StoreNode, lua: str = LUA) -> None:
    """Make the calls of a busy day."""
    loop = Loop()
    store = Store(server, lua)
    room = loop(store.open())
    try:
        for n in range(WALKS):
            Walk(Comparison(loop, store, room, twice=n % 2 == 1), Random(n)).go(STEPS)
    finally:
        loop(room.close())
        loop(store.close())
        loop.close()


async def by_hand(room: Mailroom) -> None:
    """Do what people do, and what walks leave out."""
    people = Operator(room)
    await room.beat("d1", register=True)
    await room.quarantine([(event("q"), "data.email: missing")])
    await die(room, "d1", "a", "b", "c")
    first, second, third = [letter.id for letter in await people.dead(Selection())]
    assert await people.retry(first) == "done"
    assert await deliver(room, "d1") == [first]
    assert await people.retry_today(second) == "done"
    assert await people.drop(third, undoable=True)
    assert await people.undrop(third)
    assert await people.drop(third)
    await route(room, "d1")
    (lease,) = await take(room, "d1", "crm", per_box=1)
    await end(room, "d1", lease, lease.items[0][0], "hold")
    assert await people.release("crm", BOX, not_sent=True)
    await put(room, "d")
    await route(room, "d1")
    for drop in (False, True):
        (lease,) = await take(room, "d1", "crm", per_box=1)
        await end(room, "d1", lease, lease.items[0][0], "hold")
        assert await people.skip("crm", BOX, lease.items[0][0], drop=drop)
    await put(room, "e")
    assert await take(room, "d1")
    assert await room.doubt() == 1
    assert [fate is not None for fate in await room.fates(["a", "q"])] == [True, True]
    await room.learn("crm", ["a"], "contact", "c1")
    assert await room.meet("crm", BOX, "no token", "a.0", ["a"], "contact", "c1") == "stale"
    assert await room.forget_names("crm", ["a"]) == 1
    assert await room.newest(["a name"], ["contact.unsubscribed"]) == {}
    assert (await room.spend("a key", Quota(limit="5/day"))).left == 4
    await room.set_quota("a key", "A_KEY", ["crm"], quota=Quota(limit="5/day"))
    assert [state.left for state in await room.quotas()] == [4]
    assert await room.box_faults() == []
    assert await room.call("blocked", "crm") == [0]
    shelf = AsideShelf(people, "quarantine")
    await look(people, "q")
    assert await room.met([replace(event("told"), tells=(("a", "b"),), fetched=True)]) == set()
    assert await room.take_in("quarantine", "q", [event("q")], "{}", even_if_older=True) == "done"
    await room.quarantine([(event("r"), "data.email: missing")])
    assert await shelf.clear("r")
    holds = SourceHolds(room)
    await holds.hold("desk")
    await room.put([event("h", source="desk"), event("i", source="desk")])
    assert [await holds.let_go("h"), await holds.discard("i"), await holds.release("desk")] == ["done", "done", True]
    assert await people.cancel("crm", "nothing") == "gone"
    assert await people.replay("nothing", ["a rule"]) == "erased"
    await room.call("cancel", "crm", BOX, "nothing", "default", "", "", "")
    await room.call("replay", "nothing", 0, "default", "", "", BOX, "")
    await room.put([replace(event("f", "email:fay@example.org"), received_at="2026-11-21T10:00:00.000Z")])
    await Forgetting(room).forget(Person(frozenset({room.hash("email:fay@example.org")})), 1, within=0)
    await retention.set_terms(room, {"quarantine": {"desk": 1}})
    assert await retention.expire(room) == 0
    await room.call("touch")


def test_every_function_stays_in_its_slot(node: StoreNode) -> None:
    """Every function that there is works on a cluster, and every key that they leave is in the partition's slot."""
    walk(node)
    found = {key_slot(name.encode()) for name in node.names()}
    node.ask("FLUSHALL")
    loop = Loop()
    try:
        with_hands = loop(Mailroom.open(node.url, hash_key=b"k" * 32))
        loop(by_hand(with_hands))
        loop(with_hands.close())
    finally:
        loop.close()
    found |= {key_slot(name.encode()) for name in node.names()}
    assert found == {slot_of(PREFIX)}
    assert called(node) == REGISTERED


@pytest.mark.parametrize(
    ("passage", "changed"),
    [
        ("local bell = P .. 'bell:' .. pool", "local bell = 'relais:bell:' .. pool"),
        ("redis.call('EXISTS', P .. 'refs')", "redis.call('EXISTS', 'relais:{p1}:refs')"),
        ("redis.call('SMEMBERS', P .. 'rooms')", "redis.call('SMEMBERS', 'relais:{p1}:rooms')"),
    ],
)
def test_leaving_the_slot_is_refused(node: StoreNode, passage: str, changed: str) -> None:
    """The check can fail: a function that looks at a key of no partition, or of another one, is refused."""
    with pytest.raises(StoreUnavailable, match=r"the store refused: .*(same slot|non local key)"):
        walk(node, replaced(LUA, passage, changed))


def test_three_partitions(cluster: Cluster) -> None:
    """Mailrooms on three nodes take events through: each once, in order per person, and nothing is left over."""
    where = {prefix: cluster.owner(prefix) for prefix in bench.PREFIXES}
    for node in cluster.nodes:
        node.ask("FLUSHALL")
    figures = bench.through(cluster.nodes, where.__getitem__, 300)
    assert [node.calls() > 0 for node in cluster.nodes] == [True] * 3
    assert sum(figures[f"events_node{n}"] for n in range(3)) == 300
    assert min(figures[f"events_node{n}"] for n in range(3)) > 50


@pytest.mark.anyio
async def test_wrong_node(cluster: Cluster, room: Mailroom) -> None:
    """A node that has other partitions says so, and nothing is done there."""
    other = next(node for node in cluster.nodes if node is not cluster.owner(PREFIX))
    async with Mailroom(client(other.url), hash_key=b"k" * 32) as astray:
        with pytest.raises(StoreUnavailable, match="REDIS_URL names a node of a cluster"):
            await astray.put([event("a")])
    assert [receipt.duplicate for receipt in await room.put([event("a")])] == [False]


@pytest.mark.anyio
async def test_partition_moves(cluster: Cluster, room: Mailroom) -> None:
    """A partition that moves is at its new node with all that waits, and the old node refuses every call."""
    source = cluster.owner(PREFIX)
    target = next(node for node in cluster.nodes if node is not source)
    await room.put([event("a"), event("b")])
    cluster.move(PREFIX, target)
    try:
        with pytest.raises(StoreUnavailable, match="REDIS_URL names a node of a cluster"):
            await room.put([event("c")])
        async with await Mailroom.open(target.url, hash_key=b"k" * 32) as there:
            await there.beat("d", register=True)
            (lease,) = (await there.take("d", "t", [RoomRequest(INBOX, 9, 9)])).leases
            assert [item for item, _ in lease.items] == ["a", "b"]
    finally:
        cluster.move(PREFIX, source)


@pytest.mark.anyio
async def test_key_by_key(cluster: Cluster, room: Mailroom) -> None:
    """While a slot moves key by key, as before Valkey 9, every call is refused: nobody works on half a partition."""
    source = cluster.owner(PREFIX)
    target = next(node for node in cluster.nodes if node is not source)
    await room.put([event("a")])
    source.ask("CLUSTER", "SETSLOT", slot_of(PREFIX), "MIGRATING", target.name)
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="REDIS_URL names a node of a cluster"):
                await room.put([event("b")])
    finally:
        source.ask("CLUSTER", "SETSLOT", slot_of(PREFIX), "STABLE")
    assert [receipt.duplicate for receipt in await room.put([event("a"), event("b")])] == [True, False]


@pytest.mark.anyio
@pytest.mark.parametrize(("placed", "at_once"), [((0, 0), 1), ((0, 1), 2)], ids=["one partition", "two partitions"])
async def test_one_object_written_from_two_partitions(cluster: Cluster, placed: tuple[int, int], at_once: int) -> None:
    """Known: order keys of two partitions that write one object are sent at the same time; in one they take turns."""
    sent = 0
    rooms: dict[int, Mailroom] = {}
    for node in cluster.nodes:
        node.ask("FLUSHALL")
    for n in sorted(set(placed)):
        prefix = bench.PREFIXES[n]
        rooms[n] = Mailroom(client(cluster.owner(prefix).url), hash_key=b"k" * 32, prefix=prefix)
        await rooms[n].prepare()
        await rooms[n].beat("d", register=True)
    for name, n in zip("ab", placed, strict=True):
        await rooms[n].put([event(name, f"email:{name}@example.org")])
        await route(rooms[n], "d")
    for room in rooms.values():
        sent += len(await take(room, "d", "crm", per_box=1))
        await room.close()
    assert sent == at_once
