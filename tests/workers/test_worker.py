"""One worker process' parts that can be tried without one: how it stops, what it enqueues, what ends it by force."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker.base import WorkerStatus

from mailroom import StoreUnavailable
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import WorkerFixture
from workers import worker
from workers.drain.loop import HANDING_BACK
from workers.drain.summary import Summary
from workers.settings import LONGEST_REQUEST, WorkSettings
from workers.worker import Worker

pytestmark = pytest.mark.anyio


class Stops:
    """A context that counts how often it was asked to stop."""

    def __init__(self) -> None:
        self.asked = 0

    def stop(self) -> None:
        self.asked += 1


@pytest.fixture
def connection(site_valkey: PrivateValkey) -> Iterator[redis.Redis]:
    """RQ's connection."""
    connection = worker.connect(site_valkey.url)
    connection.flushall()
    yield connection
    connection.close()


@pytest.fixture
def one(connection: redis.Redis) -> Worker:
    """A worker that does not work."""
    one = Worker(
        [worker.queue_of("default", connection)],
        name="w1",
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=worker.WORKER_TTL,
    )
    one.context = Stops()  # type: ignore[assignment]
    return one


def test_stop_while_busy(one: Worker) -> None:
    """A busy worker that is told to stop tells its context, once, and lets the drain end by itself."""
    one._state = WorkerStatus.BUSY
    for _ in range(3):
        one.request_stop(signal.SIGTERM, None)
    assert one.context.asked == 1  # type: ignore[attr-defined]


def test_stop_while_idle(one: Worker) -> None:
    """An idle worker leaves its blocking pop at once; a second signal while it leaves does nothing."""
    one._state = WorkerStatus.IDLE
    with pytest.raises(StopRequested):
        one.request_stop(signal.SIGTERM, None)
    one.request_stop(signal.SIGINT, None)


def test_time_outs(one: Worker, connection: redis.Redis) -> None:
    """RQ keeps our time-out: a store that hangs is noticed, also by an idle worker."""
    assert connection.connection_pool.connection_kwargs["socket_timeout"] == worker.RQ_TIMEOUT
    assert one.dequeue_timeout < worker.RQ_TIMEOUT


async def test_job(site: WorkerFixture, connection: redis.Redis) -> None:
    """The job carries no data, is JSON, and lives longer than a drain may."""
    settings = site.settings(drain_budget=100, stop_seconds=7)
    job = worker.enqueue(worker.queue_of("default", connection), settings)
    assert (job.args, job.kwargs) == ((), {})
    assert job.func_name == "workers.worker.run_drain"
    assert job.timeout == 100 + 7 + worker.GRACE
    assert worker.GRACE > LONGEST_REQUEST + HANDING_BACK  # What a drain may need beyond its budget to end by itself.
    stored = connection.hget(job.key, "data")
    assert stored is not None
    assert json.loads(zlib.decompress(stored))[0] == "workers.worker.run_drain"  # type: ignore[arg-type]


def test_ended_by_force() -> None:
    """A job that exceeds its time ends its process: no exception that somebody could swallow."""
    code = """
from workers.worker import Ended
import time
with Ended(1, None):
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=30)
    assert done.returncode == -signal.SIGALRM


def test_not_ended_in_time() -> None:
    """A job that ends in time leaves no alarm behind."""
    with worker.Ended(5, None):  # type: ignore[no-untyped-call]
        pass
    assert signal.alarm(0) == 0


async def test_stop_after_the_end(site: WorkerFixture) -> None:
    """A signal that comes when the loop is closed already is no error."""
    site.write()
    async with site.work():
        context = site.context
    closed = asyncio.new_event_loop()
    closed.close()
    context._loop = closed
    context.stop()


def test_wait_for_store(
    site_valkey: PrivateValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is not there yet is waited for: one line of the log, another after half a minute."""
    now = 1000.0
    there = worker.connect(site_valkey.url)
    nobody = worker.connect(f"unix://{tmp_path}/nobody")
    answers = iter([nobody, nobody, nobody, nobody, there])

    class Connection:
        """Answers at the fifth time."""

        def ping(self) -> object:
            return next(answers).ping()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 12

    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    worker.wait_for_store(Connection())  # type: ignore[arg-type]
    lines = [record for record in caplog.records if record.getMessage().startswith("worker.store_away why=")]
    assert [record.levelno for record in lines] == [logging.WARNING] * 2
    there.close()
    nobody.close()


@pytest.mark.parametrize("why", ["begun", "stopping", "not begun", "store gone"])
def test_drain_job(
    site_valkey: PrivateValkey,
    connection: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    why: str,
) -> None:
    """A job runs one drain and enqueues its successor, but not where it stops; while RQ's store is away it goes on."""
    budgets: list[float] = []

    class OneDrain:
        """A drain that ends at once."""

        def __init__(self, context: object, name: str, *, budget: float) -> None:
            assert name.startswith("w7.")
            budgets.append(budget)
            if why == "store gone" and len(budgets) == 3:
                stopping.set()

        async def run(self) -> Summary:
            if why == "not begun":
                raise StoreUnavailable("away")
            return Summary(routed=3)

    stopping = asyncio.Event()
    if why == "stopping":
        stopping.set()
    url = f"unix://{tmp_path}/nobody" if why == "store gone" else site_valkey.url
    settings = WorkSettings.model_validate({"REDIS_URL": url, "drain_budget": 7})
    monkeypatch.setattr(worker, "Drain", OneDrain)
    monkeypatch.setattr(worker, "time", SimpleNamespace(sleep=lambda seconds: None))
    here = worker._Here
    monkeypatch.setattr(here, "context", SimpleNamespace(settings=settings, stopping=stopping), raising=False)
    monkeypatch.setattr(here, "worker", "w7", raising=False)
    with asyncio.Runner() as runner:
        monkeypatch.setattr(here, "runner", runner, raising=False)
        results = [worker.run_drain() for _ in range(1 if why == "store gone" else 2)]
    left = signal.alarm(0)
    queue = worker.queue_of("default", connection)
    lines = [record.getMessage() for record in caplog.records]
    assert budgets == [7.0] * (3 if why == "store gone" else 2)
    # RQ's time-out was armed for one drain: each further one has its own.
    assert (left > 0) == (why == "store gone")
    assert queue.count == (1 if why == "begun" else 0)
    if why == "not begun":
        assert results == [{}, {}]
        assert lines == ["drain.not_begun why=away"] * 2
    else:
        assert results == [Summary(routed=3).as_json()] * (1 if why == "store gone" else 2)
        renewed = "drain.renewed why=ConnectionError: RQ's store does not answer"
        assert lines == ([renewed] * 2 if why == "store gone" else [])
