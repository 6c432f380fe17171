import asyncio

import pytest
from redis.asyncio import Redis

from console.checks import store
from tests.conftest import PrivateValkey

ALWAYS = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}


@pytest.mark.parametrize(
    ("config", "says", "keeps"),
    [
        (ALWAYS, store.POWER_CUT, True),
        (ALWAYS | {"no-appendfsync-on-rewrite": "yes"}, store.REWRITE, True),
        (ALWAYS | {"appendfsync": "everysec"}, store.ONE_SECOND, True),
        (ALWAYS | {"appendfsync": "no"}, store.KERNEL, True),
        (ALWAYS | {"appendonly": "no"}, store.NOTHING, False),
    ],
)
def test_guarantee(config: dict[str, str], says: str, keeps: bool) -> None:
    """Each setting of the append-only file is said in words."""
    found = store.judge({}, config)
    assert (found.says, found.keeps) == (says, keeps)
    assert bool(found.mend) == (says != store.POWER_CUT)


def test_managed() -> None:
    """A store that forbids CONFIG is promised nothing for, unless it says it has no append-only file at all."""
    assert store.judge({"aof_enabled": 1}, {}).says == store.UNKNOWN
    assert store.judge({"aof_enabled": 0}, {}).says == store.NOTHING


def test_evicts() -> None:
    """A store that evicts may lose what waits."""
    assert store.judge({"maxmemory_policy": "allkeys-lru"}, ALWAYS).evicts


def test_real_store(valkey: PrivateValkey) -> None:
    """A real Valkey as `relais up` runs it survives a power cut."""

    async def ask() -> store.Guarantee:
        client = Redis.from_url(valkey.url)
        try:
            return await store.examine(client)
        finally:
            await client.aclose()

    found = asyncio.run(ask())
    assert (found.says, found.evicts) == (store.POWER_CUT, False)
    assert found.server.startswith("Valkey 9")


@pytest.mark.parametrize(
    ("info", "config", "name", "says"),
    [
        ({"aof_last_write_status": "err"}, {}, "persistence", "last write"),
        ({"aof_last_bgrewrite_status": "err"}, {}, "persistence", "rewrite"),
        ({"rdb_last_bgsave_status": "err"}, {"stop-writes-on-bgsave-error": "yes"}, "persistence", "snapshot"),
        ({"maxmemory_policy": "allkeys-lru"}, {}, "noeviction", "thrown away"),
        ({"used_memory": 90, "maxmemory": 100}, {}, "memory", "wait in the spool"),
        ({"connected_slaves": 0}, {"min-replicas-to-write": "1"}, "replicas", "refuses writes"),
        ({"loading": 1, "loading_eta_seconds": 7}, {}, "store", "7 s more"),
        ({"role": "slave"}, {}, "store", "replica"),
        ({"redis_version": "6.2.1"}, {}, "store", "too old"),
        ({"redis_mode": "cluster"}, {}, "store", "node of a cluster"),
    ],
)
def test_amiss(info: dict[str, object], config: dict[str, str], name: str, says: str) -> None:
    """What is amiss is said, with the mend."""
    found = store.judge(info, ALWAYS | config)
    [check] = [check for check in found.checks if not check.ok and check.name != "kept"]
    assert check.name == name
    assert says in check.says
    assert check.mend


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "however many"),
        ({"min-replicas-to-write": "1", "min-replicas-max-lag": "10"}, "up to 10 s"),
    ],
)
def test_failover(config: dict[str, str], says: str) -> None:
    """Where there are replicas, it is said what a failover may lose."""
    found = store.judge({"connected_slaves": 1}, ALWAYS | config)
    assert says in next(check.says for check in found.checks if check.name == "replicas")


def test_disk() -> None:
    """A disk without room for a rewrite of the append-only file is amiss."""
    full = store.judge({"aof_current_size": 10**10}, ALWAYS, free=10**9)
    assert [check.name for check in full.checks if not check.ok] == ["disk"]
    assert all(check.ok for check in store.judge({}, ALWAYS, free=10**9).checks)


@pytest.mark.parametrize(
    ("config", "policy", "met"),
    [
        (ALWAYS, "noeviction", {"", "1s", "power-cut"}),
        (ALWAYS | {"appendfsync": "everysec"}, "noeviction", {"", "1s"}),
        (ALWAYS | {"appendfsync": "no"}, "noeviction", {""}),
        (ALWAYS | {"no-appendfsync-on-rewrite": "yes"}, "noeviction", {""}),
        (ALWAYS | {"appendonly": "no"}, "noeviction", {""}),
        (ALWAYS, "volatile-ttl", {""}),
    ],
)
def test_strict(config: dict[str, str], policy: str, met: set[str]) -> None:
    """A store meets what it keeps, and nothing that evicts meets anything."""
    found = store.judge({"maxmemory_policy": policy}, config)
    strict: tuple[store.Strict, ...] = ("", "1s", "power-cut")
    assert {asked for asked in strict if found.meets(asked)} == met
