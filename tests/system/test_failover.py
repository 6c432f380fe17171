"""The store fails over under load: a primary killed with SIGKILL, a replica in its place, and nobody restarted."""

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest

from mailroom import Mailroom, StoreUnavailable
from tests.chaos.checker import check
from tests.chaos.processes import free_port
from tests.conftest import wait_until_async
from tests.hosts.stage import HostsStage
from tests.hosts.stores import NAME, HostPlace, Keepers
from workers import worker


def test_failover() -> None:
    """With RELAIS_REPLICAS=1 no acknowledged event is lost, in order, and the old primary comes back as a replica."""

    async def run(stage: HostsStage) -> str:
        await stage.open()
        old = stage.keepers.primary()
        assert old is not None
        async with stage.load(keys=40, rate=60):
            await stage.acknowledged(80)
            old.kill(signal.SIGKILL)
            # Its spool acknowledges meanwhile.
            await stage.acknowledged(60)
            await asyncio.to_thread(stage.keepers.failed_over, old)
            old.start()
            await asyncio.to_thread(stage.keepers.until, lambda: stage.keepers.replicas() == 1, "it is a replica", 40)
            await stage.acknowledged(40)
        verdict = check(await stage.outcome())
        async with await Mailroom.open(stage.url) as mailroom:
            info = await mailroom.store.info("replication")
        assert info["connected_slaves"] == 1
        return "" if verdict.good else f"{verdict}\n{stage.logs()}\n{stage.keepers.logs()}"

    with HostsStage(1) as stage:
        broken = asyncio.run(run(stage))
        assert not broken, broken
        assert stage.report.unanswered == 0
        assert "spool.begins" in (stage.folder / "receive.log").read_text()


@pytest.mark.anyio
async def test_passwords(short_folder: Path) -> None:
    """Store and Sentinel want a password each; one address holds both, for the mailroom and for RQ."""
    stores, sentinels = ([HostPlace("127.0.0.1", free_port())] for _ in range(2))
    settings = "requirepass swordfish\nmasterauth swordfish\n"
    keepers = Keepers(
        short_folder, stores, sentinels, settings, f"requirepass tr/out\nsentinel auth-pass {NAME} swordfish\n"
    )
    for keeper in (*keepers.stores, *keepers.sentinels):
        keeper.start()
    url = keepers.url.replace("sentinel://", "sentinel://:swordfish@") + "?sentinel_password=tr%2Fout"

    async def prepared() -> bool:
        async with Mailroom.connect(url) as mailroom:
            with contextlib.suppress(StoreUnavailable):
                await mailroom.prepare()
                return True
        return False

    try:
        await wait_until_async(prepared, "the store is found", 20)
        connection = worker.connect(url)
        assert await asyncio.to_thread(connection.ping)
        connection.close()
        async with Mailroom.connect(url.replace("swordfish", "wrong")) as mailroom:
            with pytest.raises(StoreUnavailable, match="refuses user or password"):
                await mailroom.prepare()
        async with Mailroom.connect(keepers.url) as mailroom:
            with pytest.raises(StoreUnavailable, match="no Sentinel"):
                await mailroom.prepare()
    finally:
        keepers.stop()
