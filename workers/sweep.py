"""The sweep: keeps exactly as many drains queued or alive as there are workers, and buries drains that died.

Runs in the `relais work` parent, twice a second; a lock in the store picks one over all hosts. Decides by its own
monotonic clock and by counters that stand still, never by wall clocks, never by RQ's registries.
"""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import redis

from mailroom import Mailroom, aof_rewrite
from workers import worker
from workers.settings import WorkSettings

log = logging.getLogger("relais.sweep")

#: Seconds that the lock outlives its holder: after a kill another parent, or the same one started again, takes over.
LOCK = 4
#: Seconds without a sign after which another host's `relais work` no longer counts as having workers.
PARENT_GONE = 15.0
#: Seconds between two looks for dead letters that are too old, and for an append-only file that is.
EXPIRE_EVERY = 600.0


@dataclass
class _Seen:
    """A counter as this process saw it last, and when it moved, by our own clock."""

    counter: int
    at: float


@dataclass
class Sweep:
    """The sweep of one parent process."""

    settings: WorkSettings
    mailroom: Mailroom
    connection: redis.Redis
    #: This parent's name.
    name: str
    _drains: dict[str, _Seen] = field(default_factory=dict)
    _parents: dict[str, _Seen] = field(default_factory=dict)
    _turn: int = 0
    #: How many drains the last round missed.
    _missing: int = 0
    _expired: float = 0.0

    async def sweep(self, workers: int, gone: Collection[str]) -> None:
        """Do one round. `workers`: live worker processes here; `gone`: names of workers of ours that ended.

        A worker of ours that ended is certain to be dead, so its drains are buried at once; others' after `dead_after`.
        """
        self._turn += 1
        key = self.mailroom.key
        store: Any = self.mailroom.store
        await store.hset(key("parents"), self.name, f"{self.settings.pool} {workers} {self._turn}")
        beats = await self.mailroom.beats()
        mine = [drain for drain in beats if drain.partition(".")[0] in gone]
        if mine:
            await self._bury(mine, "its worker ended")
        lock = key(f"sweeper:{self.settings.pool}")
        if not await store.set(lock, self.name, nx=True, ex=LOCK):
            holder = await store.get(lock)
            if holder is None or holder.decode() != self.name:
                return
            await store.expire(lock, LOCK)
        now = time.monotonic()
        await self._failed_over()
        alive = await self._live_drains(beats, set(mine), now)
        total = await self._workers_everywhere(now)
        queue = worker.queue_of(self.settings.pool, self.connection)
        missing = max(0, total - alive - queue.count)
        # A job that a worker has just popped is neither queued nor alive yet: only what stays missing is replaced.
        for _ in range(min(missing, self._missing)):
            worker.enqueue(queue, self.settings)
            missing -= 1
        self._missing = missing
        if now - self._expired > EXPIRE_EVERY:
            self._expired = now
            while await self.mailroom.expire():
                pass
            await aof_rewrite.look(self.mailroom)

    async def _bury(self, drains: list[str], why: str) -> None:
        freed, poison = await self.mailroom.bury(drains)
        for drain in drains:
            self._drains.pop(drain, None)
        log.warning("drain.dead names=%s why=%s freed=%d poison=%d", ",".join(drains), why, freed, poison)

    async def _failed_over(self) -> None:
        """After a failover the store may lack the last answers: all that is leased is doubtful."""
        store: Any = self.mailroom.store
        replid = await self.mailroom.replication_id()
        before = await store.getset(self.mailroom.key("replid"), replid)
        if before is not None and before.decode() != replid:
            # Its drains go on: freed now, a box would be taken by others while a request of its drain is on the wire.
            log.warning("store.changed: restarted or failed over; doubtful=%d", await self.mailroom.doubt())

    async def _live_drains(self, beats: dict[str, tuple[str, int]], buried: set[str], now: float) -> int:
        alive, dead = 0, []
        for drain, (pool, counter) in beats.items():
            if drain in buried:
                continue
            seen = self._drains.get(drain)
            if seen is None or seen.counter != counter:
                self._drains[drain] = _Seen(counter, now)
            elif now - seen.at > self.settings.dead_after:
                dead.append(drain)
                continue
            alive += pool == self.settings.pool
        for drain in set(self._drains) - set(beats):
            del self._drains[drain]
        if dead:
            await self._bury(dead, f"no beat for {self.settings.dead_after} s")
        return alive

    async def _workers_everywhere(self, now: float) -> int:
        total = 0
        store: Any = self.mailroom.store
        parents = await store.hgetall(self.mailroom.key("parents"))
        for name, value in parents.items():
            pool, workers, turn = value.decode().split()
            seen = self._parents.get(name.decode())
            if seen is None or seen.counter != int(turn):
                self._parents[name.decode()] = _Seen(int(turn), now)
            elif now - seen.at > PARENT_GONE:
                await store.hdel(self.mailroom.key("parents"), name)
                continue
            if pool == self.settings.pool:
                total += int(workers)
        return total

    async def leave(self) -> None:
        """This parent ends: its workers no longer count."""
        store: Any = self.mailroom.store
        await store.hdel(self.mailroom.key("parents"), self.name)
        lock = self.mailroom.key(f"sweeper:{self.settings.pool}")
        holder = await store.get(lock)
        if holder is not None and holder.decode() == self.name:
            await store.delete(lock)
