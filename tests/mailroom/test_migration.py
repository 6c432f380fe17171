"""From a former schema to ours while programs of both run: who is fenced off, and when."""

import pytest

from mailroom import INBOX, Mailroom, NewDelivery, RoomRequest, Settlement, StoreUnavailable, liveness, migration
from mailroom.client import client
from mailroom.keys import FORMER_SCHEMAS, NO_POOL, SCHEMA
from tests.mailroom.store import LUA, TODAY, Store, event, replaced

pytestmark = pytest.mark.anyio
MARK = "register('schema_3', touch, { 'allow-oom' }) -- says which schema this library speaks\n"
#: A library of a former schema, as far as this test goes.
FORMER = replaced(LUA, MARK, "") + "\n-- of a former schema\n"


async def began_by_a_former_one(store: Store, schema: str = "1") -> None:
    await store.raw.set("relais:{p0}:schema", schema)


def former(store: Store) -> Mailroom:
    return Mailroom(client(store.server.url), hash_key=b"k" * 32, text=FORMER)


async def test_new_stores_speak_ours(store: Store) -> None:
    """A store that nobody used before needs no migration."""
    async with await store.open() as room:
        assert await migration.schema(room) == SCHEMA
        assert not await migration.migrate(room)


@pytest.mark.parametrize("schema", FORMER_SCHEMAS)
async def test_migrate(store: Store, schema: str) -> None:
    """From then on the store speaks our schema, and says so once."""
    await began_by_a_former_one(store, schema)
    async with await store.open() as room:
        assert await migration.schema(room) == schema
        assert await migration.migrate(room)
        assert await migration.schema(room) == SCHEMA
        assert not await migration.migrate(room)
        assert not (await room.put([event("a")]))[0].duplicate


async def test_a_former_program_that_goes_on(store: Store) -> None:
    """A process of a former schema that was stopped all the while, or that takes webhooks, changes nothing any more."""
    await began_by_a_former_one(store)
    async with former(store) as old, await store.open() as room:
        await old._load()
        await old.put([event("a")])
        await migration.migrate(room)
        before = {name: entry.value for name, entry in (await store.dump()).items()}
        with pytest.raises(StoreUnavailable, match="migrated to schema 3"):
            await old.put([event("b")])
        with pytest.raises(StoreUnavailable, match="migrated to schema 3"):
            await old.beat("d1", register=True)
        assert {name: entry.value for name, entry in (await store.dump()).items()} == before


async def test_our_own_libraries_stay(store: Store) -> None:
    """Other programs of our schema beside us are not fenced off."""
    await began_by_a_former_one(store)
    other = Store(store.server, LUA + "\n-- another program of our schema\n")
    async with await store.open() as room, await other.open() as neighbour:
        await migration.migrate(room)
        assert not (await neighbour.put([event("a")]))[0].duplicate
        assert (await room.put([event("a")]))[0].duplicate
    await other.close()


async def test_speaks(store: Store) -> None:
    """A drain says what it speaks and where it lives when it begins, and leaves nothing of it behind."""
    async with await store.open() as room:
        await room.beat("d1", register=True, said="2 boot 7 1")
        await room.beat("d1")
        assert await migration.speaks(room) == {"d1": "2 boot 7 1"}
        await room.bury(["d1"])
        assert await migration.speaks(room) == {}


async def test_holders(store: Store) -> None:
    """Whoever lives and does not say that it speaks our schema keeps the store from it, until the store speaks it."""
    here = liveness.place()
    await began_by_a_former_one(store)
    async with await store.open() as room:
        await room.beat("d1", register=True, said=f"{SCHEMA} {here}")
        await room.beat("d2", register=True)
        gone = "1 " + here.rpartition(" ")[0] + " 1"
        for name, said in (("r1", f"{SCHEMA} x"), ("r2", "1 x"), ("r3", "2 x"), ("gone", gone)):
            await room.say_process(name, NO_POOL, 0, 1, said=said)
        assert await migration.holders(room) == {"d2": "", "r2": "1 x", "r3": "2 x"}
        await room.leave("d2")
        await room.forget_process("r2")
        await room.forget_process("r3")
        assert await migration.holders(room) == {}
        await room.say_process("r2", NO_POOL, 0, 2, said="1 x")
        await migration.migrate(room)
        assert await migration.holders(room) == {}


@pytest.mark.parametrize("schema", FORMER_SCHEMAS)
async def test_lists_only(store: Store, schema: str) -> None:
    """Until the migration every box is a list, as a former program reads it; afterwards these are read, too."""
    await began_by_a_former_one(store, schema)
    async with await store.open() as room:
        await room.beat("d1", register=True)
        await room.put([event("a"), event("b", "email:otto@example.org")])
        assert not await store.raw.exists(room.key("one:in"))
        (lease,) = (await room.take("d1", "r1", [RoomRequest(INBOX, 1)])).leases
        item = lease.items[0][0]
        new = [NewDelivery(f"{item}.0", "crm", ("x", "y"), b"{}")]
        await room.settle("d1", "t1", [Settlement(lease, item, "done", item, TODAY, new=new)])
        assert await store.raw.lrange(room.key("b:crm:x"), 0, -1) == [b"r 0 0 0", f"{item}.0".encode()]
        await migration.migrate(room)
        found = (await room.take("d1", "r2", [RoomRequest(INBOX, 9), RoomRequest("crm", 9)])).leases
        assert len(found) == 2
        assert not await store.raw.exists(room.key("one:in"), room.key("one:crm"))


async def test_what_is_ready_has_its_turn(store: Store) -> None:
    """What became ready before the migration has no class: it gets turns, and what is urgent in it goes first."""
    await began_by_a_former_one(store)
    async with await store.open() as room:
        await room.beat("d1", register=True)
        old = [one.id for one in await room.put([event(f"a{n}", f"email:a{n}@example.org") for n in range(30)])]
        assert len((await store.dump())["ready:in"].value) == 30
        await migration.migrate(room)
        await room.put([event(f"b{n}", f"email:b{n}@example.org", source="desk") for n in range(9)])
        await room.put([event("c", "email:a29@example.org", type="contact.unsubscribed")])
        first = await room.take("d1", "r1", [RoomRequest(INBOX, 20, 2)])
        assert [[item for item, _ in lease.items] for lease in first.leases] == [
            [old[29], "c"],
            *([f"b{n}"] for n in range(9)),
            *([item] for item in old[:10]),
        ]
        rest = await room.take("d1", "r2", [RoomRequest(INBOX, 99, 2)])
        assert [item for lease in rest.leases for item, _ in lease.items] == old[10:29]
        left = await store.dump()
        assert not [name for name in left if name.startswith(("ready:", "turns:", "notes:", "left:"))]
