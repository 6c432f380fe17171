import asyncio

import pytest
from redis.asyncio import Redis

from console import store
from tests.conftest import Valkey

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


def test_real_store(valkey: Valkey) -> None:
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
