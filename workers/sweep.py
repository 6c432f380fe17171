"""The sweep: keeps exactly as many drains queued or alive as there are workers, and buries drains that died.

Comes in: twice a second, in the parent of `relais work`, how many workers it has. Goes out: drain jobs and burials; a
lock in the store picks one parent of all hosts. Never trusts wall clocks or RQ's registries: a drain is dead when its
counter stands still for too long by the sweep's own monotonic clock.
"""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import redis

from mailroom import Mailroom, aof_rewrite
from workers import worker
from workers.settings import WorkSettings

log = logging.getLogger("relais.sweep")

#: Seconds after which the lock of a killed parent expires, so that another one sweeps.
LOCK = 4
#: Seconds after which the workers of a `relais work` whose counter stands still are not counted any more.
PARENT_GONE = 15.0
#: Seconds between two searches for dead letters that are too old, and two looks at the append-only file.
EXPIRE_EVERY = 600.0


@dataclass
class _Seen:
    """A counter as this process saw it last, and when it last changed, by our own clock."""

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
        await self.mailroom.say_parent(self.name, self.settings.pool, workers, self._turn)
        beats = await self.mailroom.beats()
        mine = [drain for drain in beats if drain.partition(".")[0] in gone]
        if mine:
            await self._bury(mine, "its worker ended")
        if not await self.mailroom.hold_sweep(self.settings.pool, self.name, LOCK):
            return
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
        """Mark all that is leased as doubtful after a failover: the new store may lack the last settlements."""
        replication_id = await self.mailroom.replication_id()
        before = await self.mailroom.exchange_replication_id(replication_id)
        if before and before != replication_id:
            # The drains keep their boxes: a freed one could be leased to others while its request is under way.
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
        parents = await self.mailroom.parents()
        self._parents = {name: seen for name, seen in self._parents.items() if name in parents}
        for name, (pool, workers, turn) in parents.items():
            seen = self._parents.get(name)
            if seen is None or seen.counter != turn:
                self._parents[name] = _Seen(turn, now)
            elif now - seen.at > PARENT_GONE:
                await self.mailroom.forget_parent(name)
                del self._parents[name]
                continue
            if pool == self.settings.pool:
                total += workers
        return total

    async def leave(self) -> None:
        """Forget this parent, which ends: its workers are not counted any more."""
        await self.mailroom.forget_parent(self.name)
        await self.mailroom.release_sweep(self.settings.pool, self.name)
