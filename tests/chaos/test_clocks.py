"""Wall clocks that jump by an hour, under load: nothing is lost, swapped or done twice."""

import asyncio
import os
import subprocess
import time
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from mailroom import Mailroom
from tests.chaos import jumping
from tests.chaos.checker import RunFacts, check
from tests.chaos.processes import PATIENCE, StormProcesses

KEYS = 6


class Clocks(StormProcesses):
    """A house in which the clock of the store, or that of everybody else, can jump."""

    def __init__(self, who: str) -> None:
        super().__init__(module="tests.chaos.jumping")
        self._who = who
        self.jump(0)

    def environ(self, name: str) -> dict[str, str]:
        environ = super().environ(name)
        if (name == "store") == (self._who == "store"):
            environ |= jumping.environ(self.folder / "clock")
        return environ

    def jump(self, seconds: int) -> None:
        """Set the clock so many seconds off, from now on."""
        jumping.jump(self.folder / "clock", seconds)

    async def store_time(self) -> float:
        """Return what the store takes for the time."""
        import redis.asyncio

        async with redis.asyncio.Redis.from_url(self.url) as store:
            seconds, _ = await store.time()
            return float(seconds)

    async def received(self, event: str) -> float:
        """Return when an event was received, as the receiver took it."""
        async with await Mailroom.open(self.url) as mailroom:
            fate = await mailroom.fate(event)
            assert fate is not None
            return datetime.fromisoformat(fate.received_at).timestamp()


def demand_faketime() -> None:
    """Skip where it is not installed; CI installs it, and fails where it cannot."""
    if not jumping.LIBRARY.exists() and os.environ.get("CI") == "true":
        subprocess.run([str(Path(__file__).with_name("install.sh"))], check=True, timeout=300)
    if not jumping.LIBRARY.exists():
        pytest.skip("no clock jumps here, libfaketime is missing: tests/chaos/install.sh")


async def _run(house: Clocks, who: str, seconds: int) -> None:
    for name in ("store", "receive", "work"):
        house.start(name)
    await house.until_up()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:

        async def some(times: int) -> None:
            async def all_of(key: str) -> None:
                for _ in range(times):
                    await house.send(session, key)

            await asyncio.gather(*(all_of(f"p{n}@example.org") for n in range(KEYS)))

        await some(3)
        during = asyncio.create_task(some(4))
        house.jump(seconds)
        await during
        if who == "store":
            assert abs(await house.store_time() - time.time() - seconds) < 60
        await some(2)
        newest = list(house.promised)[-1]
        if who == "us":
            assert abs(await house.received(newest) - time.time() - seconds) < 60
        first = next(iter(house.promised))
        assert await house.repeat(session, first) == first
        house.jump(0)
        await some(2)
        assert await house.repeat(session, first) == first


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forth", "back"])
@pytest.mark.parametrize("who", ["store", "us"])
def test_jump(who: str, seconds: int) -> None:
    """A clock jumps by an hour under load and back again: nothing is lost or done twice, repetitions are recognised."""
    demand_faketime()
    with Clocks(who) as house:
        asyncio.run(_run(house, who, seconds))
        facts = asyncio.run(_settled(house))
        verdict = check(facts)
        assert verdict.good, f"{verdict}\n{house.logs()}"
        assert facts.seen_by_a_person == frozenset()
        sent = sum(len(numbers) for numbers in facts.effects.values())
        assert sent == house.report.sent, "something was done twice"


async def _settled(house: StormProcesses) -> RunFacts:
    return await house.facts(await house.settle(PATIENCE))
