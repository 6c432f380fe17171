"""One worker process: RQ's SimpleWorker, long-lived, with a context that outlasts its jobs.

Comes in: settings, the catalogue, a reader of bodies. Goes out: drains, one per RQ job. A job never carries data: it
only permits a worker to run a drain, so nothing is lost with a lost job.
"""

import asyncio
import gc
import itertools
import logging
import os
import re
import signal
import time
from types import FrameType

import redis
import uvloop
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker.base import WorkerStatus

from mailroom import StoreUnavailable, address, tracing
from rules.catalogue import Catalogue
from rules.event import Reader
from workers import parent_death, store_outage
from workers.context import WorkerContext
from workers.drain.loop import Drain
from workers.settings import WorkSettings

log = logging.getLogger("relais.worker")

#: Prefix of the RQ queues, one per pool.
QUEUE = "relais-"
#: Seconds RQ waits for Redis.
RQ_TIMEOUT = 30.0
#: Seconds we wait for RQ's store where a delivery or the sweep would wait with us.
RQ_SHORT = 2.0
#: Seconds of life that an idle worker reports to RQ. RQ waits 15 s less for a job; were the time-out above not 10 s
#: longer than that, RQ would make it so.
WORKER_TTL = 35
#: Seconds that a job's result and a failed job stay visible in RQ.
RESULT_TTL, FAILURE_TTL = 60, 86_400
#: Seconds added to a drain's own deadline before its process is ended by force.
GRACE = 60
#: Thresholds of Python's garbage collector (see `gc.set_threshold`). What an event leaves behind is freed by reference
#: counting; at Python's own threshold of 700 objects the search for cycles costs a quarter of the time.
GARBAGE = (10_000, 20, 50)


class Ended(BaseDeathPenalty):
    """RQ's time-out of a job, as a last resort: it ends the process.

    RQ's own class raises an exception in whatever frame runs, where any `except Exception` may swallow it.
    """

    def setup_death_penalty(self) -> None:
        """Arm the alarm with its default action."""
        if self._timeout > 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(self._timeout)

    def cancel_death_penalty(self) -> None:
        """Disarm it."""
        signal.alarm(0)


class Worker(SimpleWorker):
    """A SimpleWorker whose stop request only sets a flag and wakes the event loop."""

    death_penalty_class = Ended
    #: Seconds until RQ tries again to reach a store that is away; its own default is a minute.
    max_connection_wait_time = 2.0
    context: WorkerContext

    def request_stop(self, signum: int | None, frame: FrameType | None) -> None:
        """Ask the drain to finish or give back what it holds, and to end. RQ's own handler would call Redis here.

        Ctrl-C sends two signals, and so does a parent that dies while it stops: the second changes nothing.
        """
        if self._stop_requested:
            return
        self._stop_requested = True
        self.context.stop()
        if self._state != WorkerStatus.BUSY:
            raise StopRequested

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Ignore a second signal: the stop takes its stated time."""


class _Here:
    """Globals of a worker process that a job uses: set by `run`, before the first job."""

    context: WorkerContext
    runner: asyncio.Runner
    worker: str
    turns: "itertools.count[int]" = itertools.count(1)


def connect(url: str, seconds: float = RQ_TIMEOUT) -> redis.Redis:
    """Return the synchronous client for RQ: no retries, explicit time-outs."""
    client = address.parse(url).plain_client(seconds)
    client.set_response_callback("CLIENT INFO", _read_client_info)
    return client


def _read_client_info(answer: bytes | str) -> dict[str, str]:
    """Return what RQ wants of CLIENT INFO. redis-py's own reading fails where the socket's path has a blank."""
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    found = re.search(r"(?:^| )addr=(.*?) laddr=", text)
    return {"addr": found[1] if found else "unknown"}


def queue_of(pool: str, connection: redis.Redis) -> Queue:
    """Return the RQ queue of a pool."""
    return Queue(QUEUE + pool, connection=connection, serializer=JSONSerializer)


def enqueue(queue: Queue, settings: WorkSettings) -> Job:
    """Put one drain job into the queue."""
    return queue.enqueue(
        run_drain,
        job_timeout=longest_job(settings),
        result_ttl=RESULT_TTL,
        failure_ttl=FAILURE_TTL,
        description="drain",
    )


def longest_job(settings: WorkSettings) -> int:
    """Return the seconds after which a drain job's process is ended by force."""
    return int(settings.drain_budget + settings.stop_seconds) + GRACE


def run_drain() -> dict[str, int]:
    """The job: one drain in this process' context, and another as long as RQ cannot say who is next.

    Returns what the last one did.
    """
    context = _Here.context
    settings = context.settings
    while True:
        name = f"{_Here.worker}.{next(_Here.turns)}"
        try:
            summary = _Here.runner.run(Drain(context, name, budget=settings.drain_budget).run())
        except StoreUnavailable as exc:
            # The store went away before the drain began: wait, so as not to spin.
            log.warning("drain.not_begun why=%s", exc)
            time.sleep(1)
            return {}
        if context.stopping.is_set() or _has_successor(settings):
            return summary.as_json()
        signal.alarm(longest_job(settings))  # RQ's time-out was meant for one drain.


def _has_successor(settings: WorkSettings) -> bool:
    """See to it that another drain job waits. False: RQ's store does not answer, so this process goes on itself."""
    connection = connect(settings.queue_url, RQ_SHORT)
    try:
        queue = queue_of(settings.pool, connection)
        if not queue.count:
            enqueue(queue, settings)  # The sweep would do it too, a little later.
    except redis.RedisError as exc:
        log.warning("drain.renewed why=%s: RQ's store does not answer", exc.__class__.__name__)
        return False
    finally:
        connection.close()
    return True


def wait_for_store(connection: redis.Redis) -> None:
    """Return when the store answers: RQ would give up at once, and starting a process again costs a second of CPU.

    A signal ends the process here: nothing has begun yet.
    """
    said: float | None = None
    while True:
        try:
            connection.ping()
        except redis.RedisError as exc:
            if said is None or time.monotonic() - said >= store_outage.SAY_EVERY:
                said = time.monotonic()
                log.warning("worker.store_away why=%s", exc)
            time.sleep(store_outage.AWAY)
        else:
            return


def run(name: str, parent: int, settings: WorkSettings, catalogue: Catalogue, read: Reader) -> None:
    """Be a worker until told to stop, or until the parent is gone."""
    parent_death.die_with_parent(parent)
    logging.getLogger("rq").setLevel(logging.WARNING)
    gc.set_threshold(*GARBAGE)
    gc.freeze()  # code is not looked at again and again

    async def open_context() -> WorkerContext:
        return await WorkerContext(settings, catalogue, read).__aenter__()

    async def close_context(context: WorkerContext) -> None:
        await context.__aexit__(None, None, None)

    with tracing.to(settings, "work"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = runner.run(open_context())
        _Here.context, _Here.runner, _Here.worker = context, runner, name
        connection = connect(settings.queue_url)
        try:
            wait_for_store(connection)
            worker = Worker(
                [queue_of(settings.pool, connection)],
                name=name,
                connection=connection,
                serializer=JSONSerializer,
                worker_ttl=WORKER_TTL,
            )
            worker.context = context
            worker.work(with_scheduler=False, logging_level="WARNING")
        finally:
            runner.run(close_context(context))
            connection.close()
    log.info("worker.ended pid=%d", os.getpid())
