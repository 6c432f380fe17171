"""`python -m tests.backlog [--waiting 100000]`: a destination is down, much waits for it, then it is back by itself.

Comes in: how much waits. Goes out: a table of what that costs in memory, what receiver and workers still do, and how
fast it drains, against the same with next to nothing waiting. Real processes, a store that syncs every write. Nobody
pauses or resumes the destination: its breaker does.
"""

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bench.stage import BenchStage, bodies, requests
from mailroom import INBOX, Mailroom, RoomState
from rules.event import Event
from rules.event_types.base import rfc3339

ROOM = "mail"
#: Events in one call.
BATCH = 500
#: Requests with which the receiver is measured, deliveries with which draining is, and the small backlog.
REQUESTS, DRAINED, SMALL = 4_000, 10_000, 5_000
CONNECTIONS = 32
#: Seconds that the receiver is measured while the destination is down.
DOWN = 10
#: Seconds between two lines of progress.
TELL = 10.0


class Backlog:
    """One stage on which so much waits."""

    def __init__(self, stage: BenchStage, waiting: int) -> None:
        self.stage = stage
        self.waiting = waiting
        self.figures: dict[str, float] = {}
        self._lots = 0
        self._began = time.monotonic()
        self._told = 0.0

    async def run(self) -> dict[str, float]:
        """Let it pile up, measure, drain it; return the figures."""
        stage, figures = self.stage, self.figures
        stage.valkey()
        port = stage.receiver()
        async with await Mailroom.open(stage.url) as self.mailroom:
            self._receive(port)  # warm
            figures["receiver alone, requests/s"] = self._receive(port)
            stage.workers(2)
            await self._until(_nothing_waits, "the workers are warm")
            figures["receiver beside workers that deliver, requests/s"] = self._receive(port)
            await self._until(_nothing_waits, "all of that is delivered")
            stage.kill("sink")
            tried = await self._attempts()
            await self._fill()
            await self._while_down(port)
            await self._restart_workers()
            figures["attempts in vain, in all"] = await self._attempts() - tried
            await self._drain()
        return figures

    def tell(self, text: str, *, now: bool = True) -> None:
        """Say how far it is; of what goes on for long a line every few seconds."""
        since = time.monotonic() - self._began
        if now or since - self._told > TELL:
            self._told = since
            print(f"{since:7.0f} s  {text}", file=sys.stderr, flush=True)

    def _receive(self, port: int) -> float:
        self._lots += 1
        got = self.stage.load(port, requests(REQUESTS, start=self._lots * 10_000_000), CONNECTIONS)
        assert set(got["statuses"]) == {"202"}, got
        return float(got["rate"])

    async def _fill(self) -> None:
        """Events first, then deliveries of them; the inbox is paused until then: each has a price of its own."""
        figures = self.figures
        await self.mailroom.pause(INBOX, "backlog")
        before, began = await self._memory(), time.monotonic()
        now = rfc3339(datetime.now(UTC))
        for first in range(0, self.waiting, BATCH):
            some = bodies(min(BATCH, self.waiting - first), start=500_000_000 + first)
            await self.mailroom.put([_event(first + n, body, now) for n, body in enumerate(some)])
            self.tell(f"put {first:,} of {self.waiting:,}", now=False)
        figures["put, events/s"] = self.waiting / (time.monotonic() - began)
        figures["memory of a waiting event, bytes"] = (await self._memory() - before) / self.waiting
        self.tell(f"put {self.waiting:,}, {figures['put, events/s']:,.0f}/s")
        await self.mailroom.resume(INBOX)
        began = time.monotonic()
        await self._until(lambda room: room.name != INBOX or room.ready + room.leased == 0, "all is routed")
        figures["routed, events/s"] = self.waiting / (time.monotonic() - began)
        figures["memory of a waiting delivery, bytes"] = (await self._memory() - before) / self.waiting

    async def _memory(self) -> int:
        return int((await self.mailroom.store.info("memory"))["used_memory"])

    async def _rooms(self) -> list[RoomState]:
        return await self.mailroom.rooms()

    async def _until(self, fact: Callable[[RoomState], bool], what: str, seconds: float = 7200) -> None:
        deadline = time.monotonic() + seconds
        while not all(map(fact, rooms := await self._rooms())):
            waiting = ", ".join(f"{room.name} {room.ready + room.leased + room.waiting:,}" for room in rooms)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not within {seconds} s: {rooms}; {self.stage.tails()}")
            self.tell(f"until {what}: {waiting}", now=False)
            await asyncio.sleep(0.1)
        self.tell(what)

    async def _attempts(self) -> int:
        return sum(n for name, n in (await self.mailroom.counts()).items() if name.startswith(f"attempt|{ROOM}|"))

    async def _while_down(self, port: int) -> None:
        """The breaker is open and everything waits: what that costs the others."""
        began, first = time.monotonic(), await self._attempts()
        rates = []
        while time.monotonic() - began < DOWN:
            rates.append(await asyncio.to_thread(self._receive, port))
        self.figures["receiver while it is down, requests/s"] = statistics.median(rates)
        self.figures["attempts in vain meanwhile, per minute"] = (
            60 * (await self._attempts() - first) / (time.monotonic() - began)
        )
        await self._until(lambda room: room.name != INBOX or room.ready + room.leased == 0, "the rest is routed")
        (room,) = [room for room in await self._rooms() if room.name == ROOM]
        assert json.loads(room.paused)["by"] == "breaker", room
        assert room.waiting == 0, room
        assert room.ready + room.leased >= self.waiting, room
        self.tell(f"down: {room.ready:,} are ready, none waits for a time of its own")

    async def _restart_workers(self) -> None:
        stage = self.stage
        work = next(p for p in stage._processes if p.pid == stage.pids["work"])
        began = time.monotonic()
        work.send_signal(signal.SIGTERM)
        await asyncio.to_thread(work.wait, 60)
        self.figures["workers stop after, s"] = time.monotonic() - began
        assert sum(room.leased for room in await self._rooms()) == 0, "a stop left a lease behind"
        began = time.monotonic()
        stage.workers(2)
        self.figures["workers are back after, s"] = time.monotonic() - began
        self.tell("the workers were stopped and started")

    async def _drain(self) -> None:
        """The destination is back; a probe finds that out, and all goes on."""
        stage = self.stage
        stage.start("sink", "-m", "bench.sink", str(stage.sink_port), "0")
        stage.wait_for_port(stage.sink_port)
        began = time.monotonic()
        await asyncio.to_thread(stage.wait, lambda: stage.sink()["count"] > 1, "it goes on by itself", 90.0)
        self.figures["noticed that it is back after, s"] = time.monotonic() - began
        self.tell("a probe has found that it is back")
        many = min(DRAINED, self.waiting)
        await asyncio.to_thread(stage.wait, lambda: stage.sink()["count"] >= many, "it drains", 600.0)
        seen = stage.sink()
        self.figures["drained at first, deliveries/s"] = seen["count"] / (seen["last"] - seen["first"])
        await self._until(_nothing_waits, "all is drained")
        seen = stage.sink()
        self.figures["all drained, deliveries/s"] = seen["count"] / (seen["last"] - seen["first"])


def _nothing_waits(room: RoomState) -> bool:
    return room.ready + room.leased + room.waiting == 0


def _event(n: int, body: bytes, now: str) -> Event:
    return Event(
        id=f"backlog{n}",
        source="at",
        kind="activetrail",
        type="contact.updated",
        received_at=now,
        body=body,
        order_key=f"activetrail:contact:{500_000_000 + n}",
        sender_id=f"backlog{n}",
    )


def take(waiting: int) -> dict[str, float]:
    """Return the figures of one backlog."""
    with BenchStage() as stage:
        return asyncio.run(Backlog(stage, waiting).run())


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.backlog", description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    chosen = parser.parse_args(words)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"commit {commit}, bodies of about 800 bytes, 2 workers", flush=True)
    small, large = take(min(SMALL, chosen.waiting)), take(chosen.waiting)
    print(f"{'':52}{min(SMALL, chosen.waiting):>12,}{chosen.waiting:>12,}{'ratio':>8}")
    for name, figure in large.items():
        ratio = figure / small[name] if small[name] else 0.0
        print(f"{name:52}{small[name]:>12,.1f}{figure:>12,.1f}{ratio:>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
