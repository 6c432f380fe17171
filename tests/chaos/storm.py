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
from collections import Counter
from collections.abc import Callable

import aiohttp

from tests.chaos import jumping
from tests.chaos.checker import RunFacts
from tests.chaos.processes import ATTEMPTS, StormProcesses

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
    "the destination does it and says 504": 3,
    "the destination shows a page": 3,
    "the destination says that it exists": 2,
    "the destination refuses doubles": 2,
    "the clock of receiver and workers jumps": 2,
}

#: Shares of the events: sent once more as they were; followed by another one with the same id; above the last, with an
#: invoice that somebody else has asked for.
TWICE, OTHER_CONTENT, OTHERS_INVOICE = 0.05, 0.05, 0.97
#: What a proxy answers in the place of the destination.
PAGE = "<html><title>Log in</title><body>Please log in.</body></html>"
#: Seconds until a search finds what was created; the book says a little more.
FIND_LAG = 0.5


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
        self._last_reference = ""
        #: Addresses that a person has had.
        self._moved: Counter[str] = Counter()

    def environ(self, name: str) -> dict[str, str]:
        more = jumping.environ(self.folder / "clock") if self._jumps and name != "store" else {}
        return super().environ(name) | more

    async def run(self, seconds: float, *, patience: float) -> RunFacts:
        """Blow for some seconds, then wait until all is settled; return what came of it."""
        for name in ("store", "receive", "work"):
            self.start(name)
        await self.until_up()
        for vendor in ("crm", "invoicing"):
            self.sandbox.world.tell(vendor, {"find_lag": FIND_LAG})
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

    def names_of(self, key: str) -> dict[str, str]:
        """Both names when a person is introduced, then any; one in seven events is a rename, with or without the id."""
        person, _, domain = key.partition("@")
        number, email = {"external_id": f"x-{person}"}, {"email": self._address(key)}
        if key not in self._addresses:
            return number | email
        (kind,) = self._whose.choices(["number", "email", "both", "rename", "rename by email"], [6, 6, 5, 2, 1])
        if not kind.startswith("rename"):
            return {"number": number, "email": email, "both": number | email}[kind]
        self._moved[key] += 1
        moved = {"new_email": f"{person}.{self._moved[key]}@{domain}"}
        return email | moved if kind == "rename by email" else number | email | moved

    def _address(self, key: str) -> str:
        return self._addresses[key][0] if key in self._addresses else key

    async def _send(self, session: aiohttp.ClientSession, key: str) -> None:
        """Send an event; at times somebody else's invoice, the same message again, or another one with the same id."""
        try:
            drawn = self._whose.random()
            event = await self.send(session, key, reference=self._last_reference if drawn > OTHERS_INVOICE else "")
            if not event:
                return
            self._last_reference = str(self._bodies[event].get("invoice") or self._last_reference)
            if drawn < TWICE:
                await self._send_again(session, event)
            elif drawn < TWICE + OTHER_CONTENT:
                await self.send(session, key, id=str(self._bodies[event]["id"]))
        finally:
            self._busy.discard(key)

    async def _send_again(self, session: aiohttp.ClientSession, event: str) -> None:
        """The platform repeats what was acknowledged: it has to be known, also where nobody answers the first time."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, KeyError):
                if (told := await self.repeat(session, event)) != event:
                    self._wrong.append(f"event {event} came again and was taken for {told}")
                return
            await asyncio.sleep(0.5)

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
            case "the destination refuses doubles":
                vendor = self._random.choice(["crm", "invoicing"])
                self.sandbox.world.tell(vendor, {"unique": self._random.choice(["plain", "id"])})
                self._in(self._random.uniform(2, 6), lambda: self.sandbox.world.tell(vendor, {"unique": None}))
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
            "the destination does it and says 504": {"status": 504, "after_effect": True},
            "the destination shows a page": {"status": 200, "body": PAGE, "after_effect": self._random.random() < 0.5},
            "the destination says that it exists": {"status": 409, "method": "POST", "times": 1},
        }[name]  # type: ignore[assignment]
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.sandbox.url}/_sandbox/faults", json={"vendor": vendor, "times": times, **order}
            ) as answer,
        ):
            if answer.status >= 300:
                raise RuntimeError(await answer.text())
