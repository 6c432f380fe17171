"""The storm: an open-loop load over real processes, and a seeded schedule of what happens to them.

Comes in: seconds, a seed, how heavy. Goes out: Facts for the checker. Everything that can be killed here is a real
process: receiver, `relais work` and its workers, Valkey. The destination is the sandbox, which never forgets.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable

import aiohttp

from tests.chaos import jumping
from tests.chaos.checker import RunFacts
from tests.chaos.processes import StormProcesses

#: What happens, and how likely it is against the others.
HAPPENINGS = {
    "kill a worker": 4,
    "stop a worker for a while": 3,
    "restart relais work": 2,
    "kill relais work": 1,
    "kill the receiver": 3,
    "restart the receiver": 2,
    "kill the store": 2,
    "stop the store for a while": 2,
    "the destination errs": 4,
    "the destination limits": 2,
    "the destination breaks off": 3,
    "the destination does it and breaks off": 4,
    "the destination is slow": 2,
    "the clock of receiver and workers jumps": 2,
}


def drawn(seed: int, n: int) -> tuple[random.Random, str, float]:
    """Return the n-th happening of a storm: where the rest of it is drawn from, its name, the seconds before it."""
    source = random.Random(f"{seed} {n}")
    (name,) = source.choices(list(HAPPENINGS), list(HAPPENINGS.values()))
    return source, name, source.uniform(0.5, 2.5)


class Storm(StormProcesses):
    """One run. Use it as a `with` block."""

    def __init__(self, seed: int, *, keys: int, rate: float, say: Callable[[str], None]) -> None:
        #: Connections of the senders at once; 0: as many as there are requests under way.
        self.connections = 0
        #: Without libfaketime there is nothing that could jump; then it is said, and skipped.
        self._jumps = jumping.LIBRARY.exists()
        super().__init__(module="tests.chaos.jumping" if self._jumps else "console.cli")
        if self._jumps:
            jumping.jump(self.folder / "clock", 0)
        self._seed = seed
        self._whose = random.Random(seed)
        self._random: random.Random
        self._keys = keys
        self._rate = rate
        self._say = say
        self._busy: set[str] = set()
        self._later: set[asyncio.Task[None]] = set()

    def environ(self, name: str) -> dict[str, str]:
        more = jumping.environ(self.folder / "clock") if self._jumps and name != "store" else {}
        return super().environ(name) | more

    async def run(self, seconds: float, *, patience: float) -> RunFacts:
        """Blow for some seconds, then wait until all is settled; return what came of it."""
        for name in ("store", "receive", "work"):
            self.start(name)
        await self.until_up()
        ends = time.monotonic() + seconds
        trouble = asyncio.create_task(self._trouble(ends))
        await self._load(ends)
        await trouble
        if self._later:
            await asyncio.wait(self._later)
        self.sandbox.world.faults.clear(None)
        left = await self.settle(patience)
        return await self.facts(left)

    async def _load(self, ends: float) -> None:
        """Send at the given rate, whatever the answers; of one key only after its last event was answered."""
        connector = aiohttp.TCPConnector(limit=self.connections)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:
            sending: set[asyncio.Task[None]] = set()
            began = time.monotonic()
            planned = 0
            while time.monotonic() < ends:
                due = int((time.monotonic() - began) * self._rate)
                while planned < due:
                    planned += 1
                    key = self._key()
                    if key not in self._busy:
                        self._busy.add(key)
                        task = asyncio.create_task(self._send(session, key))
                        sending.add(task)
                        task.add_done_callback(sending.discard)
                await asyncio.sleep(0.01)
            if sending:
                await asyncio.wait(sending)

    def _key(self) -> str:
        return f"p{self._whose.randrange(self._keys)}@example.org"

    async def _send(self, session: aiohttp.ClientSession, key: str) -> None:
        try:
            await self.send(session, key)
        finally:
            self._busy.discard(key)

    async def _trouble(self, ends: float) -> None:
        for n in itertools.count():
            # Each happening draws from a source of its own: how much one of them drew must not change the next.
            self._random, name, pause = drawn(self._seed, n)
            await asyncio.sleep(pause)
            if time.monotonic() > ends - 1:
                return
            self.report.happenings.append(name)
            self._say(f"{name} …")
            await self._happen(name)

    async def _happen(self, name: str) -> None:
        match name:
            case "kill a worker" | "stop a worker for a while":
                if workers := self.workers():
                    pid = self._random.choice(workers)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL if name.startswith("kill") else signal.SIGSTOP)
                    if name.startswith("stop"):
                        self._in(self._random.uniform(1, 3), lambda: os.kill(pid, signal.SIGCONT))
            case "restart relais work":
                await self.again("work", signal.SIGTERM)
            case "kill relais work":
                await self.again("work", signal.SIGKILL)
            case "kill the receiver":
                await self.again("receive", signal.SIGKILL)
            case "restart the receiver":
                await self.again("receive", signal.SIGTERM)
            case "kill the store":
                await self.again("store", signal.SIGKILL, self._random.uniform(0, 2))
            case "stop the store for a while":
                pid = self.processes["store"].pid
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(self._random.uniform(0.5, 3))
                os.kill(pid, signal.SIGCONT)
            case "the clock of receiver and workers jumps":
                hours = self._random.choice([-1, 0, 1])
                if self._jumps:
                    jumping.jump(self.folder / "clock", 3600 * hours)
                else:
                    self.report.happenings[-1] += ": skipped, there is no libfaketime (tests/chaos/install.sh)"
                    self._say(self.report.happenings[-1])
            case _:
                await self._fault(name)

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                act()

        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _fault(self, name: str) -> None:
        vendor = self._random.choice(["crm", "invoicing"])
        times = self._random.randrange(1, 20)
        order: dict[str, object] = {
            "the destination errs": {"status": self._random.choice([500, 502, 503])},
            "the destination limits": {"status": 429, "retry_after": "1"},
            "the destination breaks off": {"reset": True},
            "the destination does it and breaks off": {"reset": True, "after_effect": True},
            "the destination is slow": {"delay": self._random.choice([0.5, 3.0]), "after_effect": True},
        }[name]  # type: ignore[assignment]
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.sandbox.url}/_sandbox/faults", json={"vendor": vendor, "times": times, **order}
            ) as answer,
        ):
            if answer.status >= 300:
                raise RuntimeError(await answer.text())
