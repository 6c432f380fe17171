"""Who holds the migration of a store up, in words."""

import asyncio

from console.checks import doctor, schema
from console.checks.store import HealthCheck
from mailroom import Mailroom, liveness, migration
from mailroom.keys import NO_POOL, SCHEMA
from tests.conftest import PrivateValkey


def look(url: str, *processes: str, drains: int = 0, begun_as: str = "1") -> list[HealthCheck]:
    """Return the check of a store that was begun under a schema, with processes that say something of themselves."""

    async def run() -> list[HealthCheck]:
        async with Mailroom.connect(url) as room:
            await room.store.set(room.key("schema"), begun_as)
            await room.prepare()
            for n in range(drains):
                await room.beat(f"drain.{n}", register=True)
            for n, said in enumerate(processes):
                await room.say_process(f"receiver.{n}", NO_POOL, 0, 1, said=said)
            return await schema.check(room)

    return asyncio.run(run())


def test_ours(valkey: PrivateValkey) -> None:
    """Where the store speaks our schema there is nothing to say."""
    assert look(valkey.url, "1 elsewhere", begun_as=SCHEMA) == []


def test_held_up(valkey: PrivateValkey) -> None:
    """Each process that speaks the former schema is named, with its number on this host; the others are counted."""
    here = liveness.place()
    gone = here.rpartition(" ")[0] + " 1"
    (found,) = look(valkey.url, f"{SCHEMA} {here}", f"1 {here}", f"1 {gone}", "1 other pid:[1] 17 1", drains=4)
    assert found.ok
    assert found.mend == "replace them by this version, receivers first"
    assert found.says == (
        "the store speaks schema 1 until it is migrated to 3: these of an older version hold that up: "
        "drain.0, drain.1, drain.2, drain.3 and 2 more"
    )


def test_names(valkey: PrivateValkey) -> None:
    """A process of this host is named with its number, one of another host without."""
    here = liveness.place()
    (found,) = look(valkey.url, f"1 {here}", "1 other pid:[1] 17 1")
    assert found.says.endswith(f": receiver.0 (process {here.split()[2]}), receiver.1")


def test_nobody(valkey: PrivateValkey) -> None:
    """Where nobody holds it up, it says what is missing; `relais doctor` notes it, and nothing is amiss."""
    (found,) = look(valkey.url, f"{SCHEMA} elsewhere")
    assert "nobody holds that up" in found.says
    assert found.mend.startswith("relais work")
    assert found in doctor.waiting_in(valkey.url)
    asyncio.run(_migrate(valkey.url))
    assert [check.name for check in doctor.waiting_in(valkey.url)] == ["boxes"]


async def _migrate(url: str) -> None:
    async with Mailroom.connect(url) as room:
        assert await migration.migrate(room)
