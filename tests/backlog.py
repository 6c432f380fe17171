"""`python -m tests.backlog [--waiting 50000]`: a destination is down, much waits for it, then it is back.

Comes in: how much waits. Goes out: a table of what that costs in memory, what receiver and workers still do, and how
fast it drains, against the same with next to nothing waiting. Real processes, a store that syncs every write.
"""

import argparse
import asyncio
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from bench.stage import Stage, bodies, requests
from rules.event import Event
from workers.mailroom import INBOX, Mailroom, RoomState

ROOM = "mail"
#: Events in one call.
BATCH = 500
#: Requests with which the receiver is measured, deliveries with which draining is, and the small backlog.
REQUESTS, DRAINED, SMALL = 4_000, 10_000, 5_000
CONNECTIONS = 32
#: Seconds that the destination stays down while everything is due.
DOWN = 10


class Backlog:
    """One stage on which so much waits."""

    def __init__(self, stage: Stage, waiting: int) -> None:
        self.stage = stage
        self.waiting = waiting
        self.figures: dict[str, float] = {}
        self._sink = stage._processes[0]
        self._lots = 0

    async def run(self) -> dict[str, float]:
        """Let it pile up, measure, drain it; return the figures."""
        stage, figures = self.stage, self.figures
        stage.valkey()
        port = stage.receiver()
        async with await Mailroom.open(stage.url) as self.mailroom:
            self._receive(port)  # warm
            figures["receiver before, requests/s"] = self._receive(port)
            await self._route_the_rest(2)
            before = await self._memory()
            began = time.monotonic()
            await self._put()
            figures["put, events/s"] = self.waiting / (time.monotonic() - began)
            figures["memory of a waiting event, bytes"] = (await self._memory() - before) / self.waiting
            await self.mailroom.pause(ROOM, "backlog")
            began = time.monotonic()
            await self._until(lambda room: room.name != INBOX or room.ready + room.leased == 0)
            figures["routed, events/s"] = self.waiting / (time.monotonic() - began)
            figures["memory of a waiting delivery, bytes"] = (await self._memory() - before) / self.waiting
            figures["receiver beside the workers, requests/s"] = self._receive(port)
            await self._while_down(port)
            await self._restart_workers()
            await self._drain()
        return figures

    def _receive(self, port: int) -> float:
        self._lots += 1
        got = self.stage.load(port, requests(REQUESTS, start=self._lots * 10_000_000), CONNECTIONS)
        assert set(got["statuses"]) == {"202"}, got
        return float(got["rate"])

    async def _route_the_rest(self, workers: int) -> None:
        """What the measurements brought is out of the way, and the workers are warm."""
        self.stage.workers(workers)
        await self._until(lambda room: room.ready + room.leased + room.waiting == 0)

    async def _put(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for first in range(0, self.waiting, BATCH):
            some = bodies(min(BATCH, self.waiting - first), start=500_000_000 + first)
            await self.mailroom.put([_event(first + n, body, now) for n, body in enumerate(some)])

    async def _memory(self) -> int:
        return int((await self.mailroom.store.info("memory"))["used_memory"])

    async def _rooms(self) -> list[RoomState]:
        return await self.mailroom.rooms()

    async def _until(self, fact, seconds: float = 3600) -> None:  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + seconds
        while not all(fact(room) for room in await self._rooms()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds} s: {await self._rooms()}; {self.stage.tails()}")
            await asyncio.sleep(0.05)

    async def _attempts(self) -> int:
        return sum(n for name, n in (await self.mailroom.counts()).items() if name.startswith(f"attempt|{ROOM}|"))

    async def _while_down(self, port: int) -> None:
        """The destination refuses connections and everything is due: what the attempts cost the others."""
        self._sink.kill()
        self._sink.wait()
        await self.mailroom.resume(ROOM)
        began, first = time.monotonic(), await self._attempts()
        rates = []
        while time.monotonic() - began < DOWN:
            rates.append(await asyncio.to_thread(self._receive, port))
        self.figures["receiver while all is tried in vain, requests/s"] = statistics.median(rates)
        self.figures["vain attempts/s"] = (await self._attempts() - first) / (time.monotonic() - began)
        await self.mailroom.pause(ROOM, "backlog")
        await self._until(lambda room: room.leased == 0)

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

    async def _drain(self) -> None:
        """The destination is back, and everything is due at once."""
        stage = self.stage
        self._sink = stage.start("sink", "-m", "bench.sink", str(stage.sink_port), "0")
        stage.wait_for_port(stage.sink_port)
        store = self.mailroom.store
        waiting = self.mailroom.key(f"waiting:{ROOM}")
        while await store.eval(_DUE, 1, waiting):
            pass
        began = time.monotonic()
        await self.mailroom.resume(ROOM)
        many = min(DRAINED, self.waiting)
        await asyncio.to_thread(stage.wait, lambda: stage.sink()["count"] >= many, "it drains", 600.0)
        seen = stage.sink()
        self.figures["drained at first, deliveries/s"] = seen["count"] / (seen["last"] - seen["first"])
        await self._until(lambda room: room.ready + room.leased + room.waiting == 0)
        self.figures["all drained, deliveries/s"] = stage.sink()["count"] / (time.monotonic() - began)


#: Everything that waits is due: as after a long time, without the time.
_DUE = """
local some = redis.call('ZRANGE', KEYS[1], '(1', '+inf', 'BYSCORE', 'LIMIT', 0, 5000)
for _, box in ipairs(some) do
  redis.call('ZADD', KEYS[1], 1, box)
  local b = string.gsub(KEYS[1], 'waiting:', 'b:') .. ':' .. box
  redis.call('LSET', b, 0, (string.gsub(redis.call('LINDEX', b, 0), '%d+$', '1')))
end
return #some
"""


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
    with Stage() as stage:
        return asyncio.run(Backlog(stage, waiting).run())


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.backlog", description=__doc__)
    parser.add_argument("--waiting", type=int, default=50_000)
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
