"""The pool's parent: what it does when workers end, are missing, or do not stop."""

import asyncio
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from mailroom import Mailroom
from tests.conftest import PrivateValkey, wait_until
from workers import pool, worker
from workers import sweep as sweeps
from workers.drain import loop
from workers.pool import Pool
from workers.settings import WorkSettings
from workers.sweep import Sweep


def sleep_on(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker that ends at SIGTERM."""
    time.sleep(60)


def ignore_all(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker that does not listen."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(settings.book, name).touch()
    time.sleep(60)


def end_at_once(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker that does not get far."""


@pytest.fixture
def make(site_valkey: PrivateValkey, tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """Make a pool; its processes end with the test."""
    made: list[Pool] = []
    connection: redis.Redis = worker.connect(site_valkey.url)

    def make(entry: pool.Entry, workers: int = 2, stop_seconds: float = 0.0) -> Pool:
        given = {"REDIS_URL": site_valkey.url, "book": tmp_path, "workers": workers, "stop_seconds": stop_seconds}
        settings = WorkSettings.model_validate(given)
        made.append(Pool(settings, entry, connection))
        return made[-1]

    yield make
    for one in made:
        for data in one.worker_dict.values():
            data.process.kill()
            data.process.join()
    connection.close()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what the pool logged: level and line."""
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "relais.pool"]


def test_workers_are_replaced(make: Callable[..., Pool], caplog: pytest.LogCaptureFixture) -> None:
    """A worker that ended is noted for the sweep and replaced, but not more often than once a second."""
    one = make(sleep_on)
    one.check_workers()
    assert len(one.worker_dict) == 2
    first, second = one.worker_dict.values()
    first.process.kill()
    wait_until(lambda: not first.process.is_alive(), "it has ended", 20)
    one._respawn_at = time.monotonic() + 60
    one.check_workers()
    assert list(one.worker_dict) == [second.name]
    assert one._gone == {first.name}
    assert said(caplog) == [(logging.WARNING, f"worker.died pid={first.pid} exit=-9")]
    one._respawn_at = 0.0
    one.check_workers()
    assert len(one.worker_dict) == 2


def test_workers_that_keep_ending(make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that end at once are started again once a second, by the clock, and not in a busy loop."""
    now = 1000.0
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic=lambda: now, sleep=time.sleep))
    one = make(end_at_once, workers=1)
    started = 0
    for _ in range(12):
        before = set(one.worker_dict)
        one.check_workers()
        started += len(set(one.worker_dict) - before)
        for data in list(one.worker_dict.values()):
            data.process.join()
        now += pool.RESPAWN_AFTER / 4
    assert started == 3


def test_stop(make: Callable[..., Pool], caplog: pytest.LogCaptureFixture) -> None:
    """A stop reaches every worker, one too that was started while the signal came."""
    one = make(sleep_on)
    one.check_workers()
    one.status = Pool.Status.STOPPED  # The signal has been handled; then a worker came to be.
    one._wait_for_workers()
    assert one.worker_dict == {}
    assert multiprocessing.active_children() == []
    assert said(caplog) == []


def test_a_worker_that_does_not_stop(
    make: Callable[..., Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that does not stop in its stated time is killed."""
    monkeypatch.setattr(pool, "STOP_MARGIN", 0.3)
    one = make(ignore_all, workers=1)
    one.check_workers()
    (data,) = one.worker_dict.values()
    wait_until(lambda: (tmp_path / data.name).exists(), "it ignores signals", 20)
    one.request_stop(signal.SIGTERM)
    one._wait_for_workers()
    assert data.process.exitcode == -signal.SIGKILL
    assert set(said(caplog)) == {(logging.ERROR, f"worker.killed pid={data.pid}: it did not stop in time")}
    assert one.worker_dict == {}


def test_a_store_that_stays_away(
    make: Callable[..., Pool], site_valkey: PrivateValkey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that stays away is one line, not one for each round, and its return is another."""
    one = make(sleep_on)
    caplog.set_level(logging.INFO, logger="relais.pool")
    with asyncio.Runner() as runner:
        for url, rounds in ((f"unix://{tmp_path}/nobody", 3), (site_valkey.url, 2)):
            mailroom = Mailroom.connect(url)
            sweep = Sweep(one._settings, mailroom, one.connection, "p1")
            one._gone.add("gone")
            for _ in range(rounds):
                one._round(runner, sweep)
            assert one._gone == ({"gone"} if rounds == 3 else set())  # Until the store knows of it.
            runner.run(mailroom.close())
    assert [record.message.split()[0] for record in caplog.records] == ["sweep.store_away", "sweep.store_back"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_times_of_the_sweep() -> None:
    """A parent says that it sweeps well before its lock is over, and others count it well before it counts as gone."""
    assert pool.SWEEP_EVERY <= pool.QUIET_EVERY <= sweeps.LONGEST_STEP
    assert 3 * pool.QUIET_EVERY < sweeps.LOCK
    assert 10 * pool.QUIET_EVERY < sweeps.PROCESS_GONE <= 60
    assert pool.STOP_MARGIN > loop.HANDING_BACK
