import logging

import pytest
import redis.exceptions

from console.processes import worker_process
from workers import worker
from workers.settings import WorkSettings


@pytest.mark.parametrize("exc", [redis.exceptions.ConnectionError("no"), redis.exceptions.TimeoutError("no")])
def test_store_away(exc: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker whose store is away says so on one line and ends with status 1: the pool starts another."""

    def fail(*_: object) -> None:
        raise exc

    monkeypatch.setattr(worker, "run", fail)
    before = logging.root.handlers[:]
    try:
        with pytest.raises(SystemExit) as ended:
            worker_process.main("w1", 1, WorkSettings())
    finally:
        logging.root.handlers[:] = before
    assert ended.value.code == 1
    assert capsys.readouterr().err.endswith(f"WARNING worker.store_away why={type(exc).__name__}\n")


def test_other_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is not taken for an absent store."""

    def fail(*_: object) -> None:
        raise redis.exceptions.ResponseError("NOPERM")

    monkeypatch.setattr(worker, "run", fail)
    before = logging.root.handlers[:]
    try:
        with pytest.raises(redis.exceptions.ResponseError):
            worker_process.main("w1", 1, WorkSettings())
    finally:
        logging.root.handlers[:] = before
