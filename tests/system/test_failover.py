"""The store fails over under load: a primary killed with SIGKILL, a replica in its place, and nobody restarted."""

import asyncio
import signal

from tests.chaos.checker import check
from tests.hosts.stage import Stage
from workers.mailroom import Mailroom


def test_failover() -> None:
    """With RELAIS_REPLICAS=1 no acknowledged event is lost, in order, and the old primary comes back as a replica."""

    async def run(stage: Stage) -> str:
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

    with Stage(1) as stage:
        broken = asyncio.run(run(stage))
        assert not broken, broken
        assert stage.report.unanswered == 0
        assert "spool_begins" in (stage.folder / "receive.log").read_text()
