"""`relais work`: RQ's pool with our workers, and the sweep in its parent.

Comes in: settings and the entry point of a worker process. Goes out: worker processes, copies of this one
(`workers/fork.py`), until all have ended. Never runs RQ's scheduler, and never works on an event itself.
"""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import FrameType
from uuid import uuid4

import redis
import uvloop
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerData, WorkerPool

from mailroom import Mailroom, StoreUnavailable
from workers import fork, store_outage, worker
from workers.settings import WorkSettings
from workers.sweep import Sweep

log = logging.getLogger("relais.pool")

#: Seconds between two rounds of the sweep while something is amiss, and between two looks at the workers.
SWEEP_EVERY = 0.5
#: Seconds between two rounds where the last one found nothing to do: an idle `relais work` asks the store rarely.
QUIET_EVERY = 1.0
#: Seconds between two attempts to start a worker that keeps dying.
RESPAWN_AFTER = 1.0
#: Seconds added to the workers' own stop time before they are killed: they give back leases and leave RQ's registry.
STOP_MARGIN = 5.0

#: What a worker process runs: (worker's name, parent's process id, settings). A function at module level, so that a
#: process that starts afresh can import it.
Entry = Callable[[str, int, WorkSettings], None]


class Pool(WorkerPool):
    """RQ's pool; its parent also sweeps."""

    def __init__(self, settings: WorkSettings, entry: Entry, connection: redis.Redis) -> None:
        super().__init__(
            [worker.QUEUE + settings.pool],
            connection=connection,
            num_workers=settings.workers,
            worker_class=worker.Worker,
            serializer=JSONSerializer,
        )
        self._settings = settings
        self._entry = entry
        self._gone: set[str] = set()
        self._respawn_at = 0.0
        #: When the log last said that the store is away; None: it is there.
        self._said: float | None = None

    def get_worker_process(self, name: str, burst: bool, _sleep: float = 0, logging_level: str = "INFO") -> BaseProcess:
        """Return a worker process; no connection or loop of ours is used in it."""
        return fork.process("relais worker", self._entry, name, os.getpid(), self._settings)

    def start_worker(
        self, count: int | None = None, burst: bool = True, _sleep: float = 0, logging_level: str = "INFO"
    ) -> None:
        """Start a worker process."""
        with fork.signals_held():
            super().start_worker(count, burst, _sleep, logging_level)

    def handle_dead_worker(self, worker_data: WorkerData) -> None:
        """Note a worker that ended: the sweep buries its drains at once."""
        super().handle_dead_worker(worker_data)
        self._gone.add(worker_data.name)
        if self.status != self.Status.STOPPED:
            log.warning("worker.died pid=%s exit=%s", worker_data.pid, worker_data.process.exitcode)

    def reap_workers(self) -> None:
        """Notice ended workers without waiting for the others."""
        for data in list(self.worker_dict.values()):
            if not data.process.is_alive():
                data.process.join()
                self.handle_dead_worker(data)

    def check_workers(self, respawn: bool = True) -> None:
        """Replace workers that ended, at most once a second each."""
        self.reap_workers()
        missing = self.num_workers - len(self.worker_dict)
        if missing > 0 and time.monotonic() >= self._respawn_at:
            self._respawn_at = time.monotonic() + RESPAWN_AFTER
            for _ in range(missing):
                self.start_worker(burst=False)

    def request_stop(self, signum: int | None = None, frame: FrameType | None = None) -> None:
        """Ask the workers to stop in their stated time; a second signal changes nothing."""
        if self.status != self.Status.STOPPED:
            self.status = self.Status.STOPPED
            self.stop_workers()  # type: ignore[no-untyped-call]

    def stop_worker(self, worker_data: WorkerData, sig: signal.Signals = signal.SIGTERM) -> None:
        """Send the stop signal to one worker."""
        super().stop_worker(worker_data, sig)

    def start(self, burst: bool = False, logging_level: str = "INFO") -> None:
        """Run until SIGTERM or SIGINT; then until every worker has finished or given back what it held."""
        logging.getLogger("rq").setLevel(logging.WARNING)
        gc.freeze()  # what the search for garbage looks at is written to, and no worker shares it any more
        self.status = self.Status.STARTED
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            key = self._settings.hash_key.get_secret_value().encode()
            mailroom = Mailroom.connect(self._settings.redis_url, hash_key=key)
            sweep = Sweep(self._settings, mailroom, self.connection, uuid4().hex)
            swept = -QUIET_EVERY
            try:
                while self.status != self.Status.STOPPED:
                    self.check_workers()
                    if self._gone or not sweep.quiet or time.monotonic() - swept >= QUIET_EVERY:
                        swept = time.monotonic()
                        self._round(runner, sweep)
                    time.sleep(SWEEP_EVERY)
                self._wait_for_workers()
                self._round(runner, sweep, last=True)
            finally:
                runner.run(mailroom.close())

    def _round(self, runner: asyncio.Runner, sweep: Sweep, *, last: bool = False) -> None:
        gone = set(self._gone)
        try:
            runner.run(_sweep(sweep, len(self.worker_dict), gone, last=last))
            self._gone -= gone
        except (StoreUnavailable, redis.RedisError) as exc:
            if self._said is None or time.monotonic() - self._said >= store_outage.SAY_EVERY:
                log.warning("sweep.store_away why=%s", exc)
                self._said = time.monotonic()
        else:
            if self._said is not None:
                log.info("sweep.store_back")
            self._said = None

    def _wait_for_workers(self) -> None:
        """Wait for the workers' stated stop time, then end by force what does not end by itself."""
        self.stop_workers()  # type: ignore[no-untyped-call]  # One may have been started while the signal arrived.
        deadline = time.monotonic() + self._settings.stop_seconds + STOP_MARGIN
        while not self.all_workers_have_stopped():
            if time.monotonic() > deadline:
                for data in self.worker_dict.values():
                    log.error("worker.killed pid=%s: it did not stop in time", data.pid)
                    data.process.kill()
            time.sleep(0.05)


async def _sweep(sweep: Sweep, workers: int, gone: set[str], *, last: bool) -> None:
    await sweep.sweep(0 if last else workers, gone)
    if last:
        await sweep.leave()


def run(settings: WorkSettings, entry: Entry) -> None:
    """Be `relais work` until told to stop. `entry` starts one worker process (see Entry)."""
    connection = worker.connect(settings.queue_url, worker.RQ_SHORT)
    try:
        Pool(settings, entry, connection).start()
    finally:
        connection.close()
