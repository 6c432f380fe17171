"""The sweep: keeps exactly as many drains queued or alive as there are workers, and buries drains that died.

Comes in: once or twice a second, in the parent of `relais work`, how many workers it has. Goes out: drain jobs and
burials; a lock in the store picks one parent of all hosts. Never trusts wall clocks or RQ's registries: a drain is dead
when its process on this host is no more, or when its counter stands still for too long by the sweep's own monotonic
clock. Time in which the counters could not be read does not count: nobody could beat then.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import redis

from mailroom import Mailroom, aof_rewrite, liveness, migration, retention
from mailroom.keys import BEAT, SCHEMA
from workers import worker
from workers.settings import WorkSettings

log = logging.getLogger("relais.sweep")

#: Seconds after which the lock of a killed parent of another host expires, so that another one sweeps. Where it is
#: known to be gone, nobody waits.
LOCK = 4
#: Seconds after which a process whose counter stands still is forgotten: the workers of a `relais work` are not counted
#: any more, and a receiver holds no migration up.
PROCESS_GONE = 15.0
#: So many seconds at the most count as observed between two readings of the counters.
LONGEST_STEP = 1.0
#: Seconds after which RQ's store, which did not answer, is asked again: a question that hangs holds the sweep up.
RQ_AGAIN = 5.0
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
    _processes: dict[str, _Seen] = field(default_factory=dict)
    _turn: int = 0
    #: How many drains the last round missed.
    _missing: int = 0
    _expired: float = 0.0
    #: Seconds in which the counters could be read, and when they were read last.
    _observed: float = 0.0
    _read_at: float | None = None
    #: When RQ's store may be asked again, and whether it was away.
    _ask_rq_at: float = 0.0
    _rq_away: bool = False
    #: When a process of the former schema was seen last, in observed time; None: nobody has looked yet.
    _former_at: float | None = None
    _migrated: bool = False
    #: Whether the store has our functions, as far as this process knows.
    _prepared: bool = False

    @property
    def quiet(self) -> bool:
        """Whether the last round found nothing to do."""
        return self._prepared and self._migrated and not self._missing and not self._rq_away

    async def sweep(self, workers: int, gone: Collection[str]) -> None:
        """Do one round. `workers`: live worker processes here; `gone`: names of workers of ours that ended.

        A worker of ours that ended is certain to be dead, so its drains are buried at once; others' after `dead_after`.
        """
        self._turn += 1
        prepared, self._prepared = self._prepared, False
        if not prepared:
            await self.mailroom.prepare()
        beats = await self.mailroom.beats()
        now = time.monotonic()
        observed = self._observe(now)
        said = await migration.speaks(self.mailroom)
        place = "" if self.name in said else f"{SCHEMA} {liveness.place()}"
        await self.mailroom.say_process(self.name, self.settings.pool, workers, self._turn, said=place)
        self._prepared = True  # Until the store was away, or is another one.
        ended = {name for name, its in said.items() if migration.is_gone(its)}
        mine = [drain for drain in beats if drain.partition(".")[0] in gone or drain in ended]
        if mine:
            await self._bury(mine, "its worker ended")
        for parent in ended - beats.keys():
            await self.mailroom.release_sweep(self.settings.pool, parent)
        if not await self.mailroom.hold_sweep(self.settings.pool, self.name, LOCK):
            return
        await self._failed_over()
        alive = await self._live_drains(beats, set(mine), observed)
        total = await self._live_processes(ended, observed)
        await self._migrate(beats.keys() - set(mine), said, observed)
        self._fill_queue(total - alive, now)
        if now - self._expired > EXPIRE_EVERY:
            self._expired = now
            while await self.mailroom.expire():
                pass
            await retention.expire(self.mailroom)
            await aof_rewrite.look(self.mailroom)

    def _observe(self, now: float) -> float:
        """Return the observed time: what the clock says, without the gaps in which no counter could be read."""
        if self._read_at is not None:
            self._observed += min(now - self._read_at, LONGEST_STEP)
        self._read_at = now
        return self._observed

    def _fill_queue(self, wanted: int, now: float) -> None:
        """Enqueue the drains that are missing. RQ's store may be away, emptied or hung: the drains go on without it."""
        if now < self._ask_rq_at:
            return
        try:
            queue = worker.queue_of(self.settings.pool, self.connection)
            missing = max(0, wanted - queue.count)
            # A job that a worker has just popped is neither queued nor alive yet: only what stays missing is replaced.
            for _ in range(min(missing, self._missing)):
                worker.enqueue(queue, self.settings)
                missing -= 1
            self._missing = missing
        except redis.RedisError as exc:
            self._ask_rq_at = time.monotonic() + RQ_AGAIN
            if not self._rq_away:
                log.warning("rq.away why=%s: drains go on, none can be started", exc.__class__.__name__)
            self._rq_away = True
        else:
            if self._rq_away:
                log.info("rq.back")
            self._rq_away = False

    async def _migrate(self, drains: Collection[str], said: Mapping[str, str], observed: float) -> None:
        """Let the store speak our schema as soon as no process of the former one has beaten for two beat periods."""
        if self._migrated:
            return
        if await migration.schema(self.mailroom) == SCHEMA:
            self._migrated = True
            return
        if migration.speakers_of_former((*drains, *self._processes), said) or self._former_at is None:
            self._former_at = observed
        elif observed - self._former_at > 2 * BEAT:
            self._migrated = await migration.migrate(self.mailroom)

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
            self._prepared = False
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

    async def _live_processes(self, ended: Collection[str], now: float) -> int:
        """Return how many workers the live processes of our pool have; forget the others, receivers among them."""
        total = 0
        processes = await self.mailroom.processes()
        self._processes = {name: seen for name, seen in self._processes.items() if name in processes}
        for name, (pool, workers, turn) in processes.items():
            seen = self._processes.get(name)
            if seen is None or seen.counter != turn:
                seen = self._processes[name] = _Seen(turn, now)
            if now - seen.at > PROCESS_GONE or name in ended:
                await self.mailroom.forget_process(name)
                del self._processes[name]
                continue
            if pool == self.settings.pool:
                total += workers
        return total

    async def leave(self) -> None:
        """Forget this parent, which ends: its workers are not counted any more."""
        await self.mailroom.forget_process(self.name)
        await self.mailroom.release_sweep(self.settings.pool, self.name)
