"""A death at every step between accept, put, take, send and settle, in turn; then the checker compares.

Comes in: the name of a step. Goes out: Facts. Each run is a house of real processes in which exactly one process dies
at exactly that step (see `tests.chaos.dying`), and what follows is what would follow anywhere: the sender sends again,
the receiver is started again, the pool replaces its worker.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from sandbox.faults import SandboxFault
from tests.chaos.checker import RunFacts
from tests.chaos.processes import PATIENCE, StormProcesses

#: What is sent: so many events about so many people.
EVENTS, KEYS = 32, 8


def _always(args: tuple[Any, ...], answer: Any) -> bool:
    return True


def _something(args: tuple[Any, ...], answer: Any) -> bool:
    """Whether the call was about anything: the receiver also puts nothing, to ask."""
    return bool(args[1])


def _leased(room: str) -> Callable[[tuple[Any, ...], Any], bool]:
    return lambda args, answer: any(lease.room == room for lease in answer.leases)


def _hands_out(room: str) -> Callable[[tuple[Any, ...], Any], bool]:
    return lambda args, answer: any(lease.room == room for lease in answer.following)


def _settles(room: str) -> Callable[[tuple[Any, ...], Any], bool]:
    return lambda args, answer: any(each.lease.room == room for each in args[3])


def _creates(args: tuple[Any, ...], answer: Any) -> bool:
    return bool(args[1] == "POST")


@dataclass(frozen=True)
class DeathStep:
    """One place to die."""

    process: Literal["receive", "work", "parent"]
    when: Literal["before", "during", "after"]
    #: `module:Class.function`
    function: str
    #: The call at which it dies, of those that count.
    n: int = 3
    counts: Callable[[tuple[Any, ...], Any], bool] = _always
    #: During: seconds for which the call has been on its way.
    middle: float = 0.0
    #: What the store does meanwhile: it is there, it is away until the death has come, or until all is sent.
    store: Literal["there", "away", "away until sent"] = "there"
    #: So many calls of the CRM are refused first, so that deliveries wait and are taken; else each follows another.
    refused: int = 0


_ACCEPT = "receiver.webhook:Receiver.take_whole"
_ANSWER = "receiver.webhook:Receiver._answer"
_PUT = "mailroom.functions:Mailroom.put"
_APPEND = "receiver.spool:Spool.append"
_HAND_OVER = "receiver.failover:SpoolingMailroom._put"
_FORGET = "receiver.spool:Spool.delete"
_TAKE = "mailroom.functions:Mailroom.take"
_SETTLE = "mailroom.functions:Mailroom.settle"
_REQUEST = "workers.http:HttpExchange.request"
_DELIVER = "workers.destinations.rest:RestClient.deliver"
_BURY = "mailroom.functions:Mailroom.bury"

#: In the order of an event's journey.
STEPS: Mapping[str, DeathStep] = {
    "before accept": DeathStep("receive", "before", _ACCEPT),
    "before put": DeathStep("receive", "before", _PUT, counts=_something),
    "while putting": DeathStep("receive", "during", _PUT, counts=_something),
    "after put, its answer lost": DeathStep("receive", "after", _PUT, counts=_something),
    "after accept, before the answer": DeathStep("receive", "before", _ANSWER),
    "before the spool is written": DeathStep("receive", "before", _APPEND, store="away"),
    "after the spool was written": DeathStep("receive", "after", _APPEND, store="away"),
    "before the spool is handed over": DeathStep("receive", "before", _HAND_OVER, n=1, store="away until sent"),
    "after the spool was handed over": DeathStep("receive", "after", _HAND_OVER, n=1, store="away until sent"),
    "before the spool forgets": DeathStep("receive", "before", _FORGET, n=1, store="away until sent"),
    "after the spool forgot": DeathStep("receive", "after", _FORGET, n=1, store="away until sent"),
    "before take": DeathStep("work", "before", _TAKE),
    "after take of events": DeathStep("work", "after", _TAKE, n=1, counts=_leased("in")),
    "before routing is settled": DeathStep("work", "before", _SETTLE, n=1, counts=_settles("in")),
    "while routing is settled": DeathStep("work", "during", _SETTLE, n=1, counts=_settles("in")),
    "after routing is settled": DeathStep("work", "after", _SETTLE, n=1, counts=_settles("in")),
    "after take of deliveries": DeathStep("work", "after", _TAKE, n=1, counts=_leased("crm"), refused=4),
    "after the next delivery is handed out": DeathStep("work", "after", _SETTLE, n=1, counts=_hands_out("crm")),
    "before send": DeathStep("work", "before", _REQUEST, n=5),
    "while sending what creates": DeathStep("work", "during", _REQUEST, counts=_creates, middle=0.05),
    "after send, before settle": DeathStep("work", "after", _REQUEST, counts=_creates),
    "after deliver, before settle": DeathStep("work", "after", _DELIVER, n=5),
    "before settle": DeathStep("work", "before", _SETTLE, counts=_settles("crm")),
    "while settling": DeathStep("work", "during", _SETTLE, counts=_settles("crm")),
    "after settle": DeathStep("work", "after", _SETTLE, counts=_settles("crm")),
    # Takes 20 s: another parent takes over when the lock of the dead one has run out.
    "the parent before it buries": DeathStep("parent", "before", _BURY, n=1),
}


class Steps(StormProcesses):
    """One run of one step. Use it as a `with` block."""

    def __init__(self, name: str) -> None:
        super().__init__(module="tests.chaos.dying")
        self.name = name
        self.step = STEPS[name]
        self.count = 1 if self.step.process == "receive" else 2
        self.mark: Path = self.folder / "died"
        self._more |= {"CHAOS_STEP": name, "CHAOS_MARK": str(self.mark), "RELAIS_DEAD_AFTER": "5"}

    async def run(self, patience: float = PATIENCE) -> RunFacts:
        """Send, let the process die, start it again, wait until all is settled; return what came of it."""
        for name in ("store", "receive", "work"):
            self.start(name)
        await self.until_up()
        if self.step.refused:
            self.sandbox.world.faults.add(SandboxFault("crm", status=503, times=self.step.refused))
        # A destination takes some time, so that something is always under way.
        self.sandbox.world.faults.add(SandboxFault("*", delay=0.1, after_effect=True, times=None))
        if self.step.store != "there":
            await asyncio.to_thread(self.end, "store", signal.SIGKILL)
        sending = asyncio.create_task(self._send_all())
        if self.step.store == "away until sent":
            await sending
            self.start("store")
        if self.step.process == "parent":
            await self._until(lambda: any(self.sandbox.world.journal.entries("crm")), "something is under way")
            os.kill(self.workers()[0], signal.SIGKILL)
        await self._until(self.mark.exists, "the death has come")
        if self.step.process != "work":
            name = "receive" if self.step.process == "receive" else "work"
            await asyncio.to_thread(self.processes[name].wait, 60)
            self.start(name)
        if self.step.store == "away":
            self.start("store")
        await sending
        return await self.facts(await self.settle(patience))

    async def _send_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

            async def all_of(key: str) -> None:
                for _ in range(EVENTS // KEYS):
                    await self.send(session, key)

            await asyncio.gather(*(all_of(f"p{n}@example.org") for n in range(KEYS)))

    async def _until(self, fact: Callable[[], bool], what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not fact():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds} s: {what}; {self.logs()}")
            await asyncio.sleep(0.01)
