import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from console.checks import store
from receiver.failover import HIGH_WATER
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
    unknown = store.judge({"aof_enabled": 1}, {})
    assert unknown.says == store.UNKNOWN
    [kept] = [check for check in unknown.checks if check.name == "kept"]
    assert (kept.ok, "+config|get" in kept.mend) == (False, True)
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


def check(name: str, *args: Any, **more: Any) -> store.HealthCheck:
    [found] = [each for each in store.judge(*args, **more).checks if each.name == name]
    return found


@pytest.mark.parametrize(
    ("count", "demanded", "kept", "least", "ok", "says"),
    [
        (0, 0, None, "0", True, "none: events are on one machine"),
        (1, 0, None, "2", False, "1 replica, and 2 demanded: the store refuses writes"),
        (2, 0, None, "2", True, "2; a failover may lose up to 10 s"),
        (1, 2, None, "0", False, "1 replica, and RELAIS_REPLICAS=2"),
        (2, 2, 1, "0", False, "1 of 2 have on disk"),
        (2, 2, 2, "1", True, "on 2 of them before it is acknowledged, and survives whichever takes over"),
        (3, 2, 2, "1", True, "on 2 of them before it is acknowledged, and survives if one of the 2 takes over"),
        (2, 2, None, "1", True, "on 2 of them in memory before"),
    ],
)
def test_replicas(count: int, demanded: int, kept: int | None, least: str, ok: bool, says: str) -> None:
    """What a failover may lose is said for each number of replicas, demanded and there."""
    config = ALWAYS | {"min-replicas-to-write": least, "min-replicas-max-lag": "10"}
    found = check("replicas", {"connected_slaves": count}, config, demanded=demanded, kept=kept)
    assert (found.ok, says in found.says) == (ok, True), found.says


def test_replicas_alone() -> None:
    """Where a primary that was cut off would go on alone, the mend is said."""
    found = check("replicas", {"connected_slaves": 1}, ALWAYS, demanded=1, kept=1)
    assert (found.ok, found.mend) == (True, store.ALONE)


@pytest.mark.parametrize(("used", "ok"), [(int(HIGH_WATER * 1000) - 1, True), (int(HIGH_WATER * 1000), False)])
def test_high_water(used: int, ok: bool) -> None:
    """The store is full for the check where it is full for the receiver."""
    assert check("memory", {"used_memory": used, "maxmemory": 1000}, ALWAYS).ok is ok


@pytest.mark.parametrize(("size", "needed"), [(0, 256 * 2**20), (256 * 2**20 - 1, 256 * 2**20), (2**30, 2**30)])
def test_room_for_a_rewrite(size: int, needed: int) -> None:
    """The disk needs room for the append-only file once more, and for 256 MiB in any case."""
    assert check("disk", {"aof_current_size": size}, ALWAYS, free=needed).ok
    assert not check("disk", {"aof_current_size": size}, ALWAYS, free=needed - 1).ok


def test_erased() -> None:
    """Where what was erased stays in the append-only file, it is said with the mend; it is no fault."""
    on = {"aof_enabled": 1}
    assert [each for each in store.judge(on, ALWAYS).checks if each.name == "erased"] == []
    assert [each for each in store.judge({}, ALWAYS, refuses=True).checks if each.name == "erased"] == []
    off = check("erased", on, ALWAYS | {"auto-aof-rewrite-percentage": "0"})
    refused = check("erased", on, ALWAYS | {"auto-aof-rewrite-percentage": "100"}, refuses=True)
    assert (off.ok, "switched off" in off.says, "percentage 100" in off.mend) == (True, True, True)
    assert (refused.ok, "refuses BGREWRITEAOF" in refused.says, bool(refused.mend)) == (True, True, True)


def test_snapshots_that_stop_nothing() -> None:
    """A snapshot that failed is no fault where writes go on."""
    failed = {"rdb_last_bgsave_status": "err"}
    assert check("persistence", failed, ALWAYS | {"stop-writes-on-bgsave-error": "no"}).ok
