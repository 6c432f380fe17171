import contextlib
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from console.checks import spool as checks
from receiver import spool
from receiver.spool import SpoolState

NOW = 1_795_435_200.0  # seconds; 2026-11-23T12:00:00Z


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a spool says of itself, and how much of its disk is free."""
    given = SimpleNamespace(state=SpoolState(0, 0, 0, 0), free=1 << 40)
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(spool, "look", lambda folder: given.state)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=given.free))
    return given


@pytest.mark.parametrize(("age", "ok"), [(0, True), (59, True), (60, False), (3600, False)])
def test_events_wait(found: SimpleNamespace, age: int, ok: bool) -> None:
    """Events may wait for as long as a restart of the store takes; those that wait longer are amiss."""
    found.state = SpoolState(3, int((NOW - age) * 1000), 5 << 20, 0)
    check = checks.check("/spool")
    assert (check.name, check.ok) == ("spool", ok)
    assert check.says == f"3 events in /spool, the oldest there for {age} s, 5 MiB"
    assert check.mend


@pytest.mark.parametrize(("free", "ok"), [((64 << 20) - 1, False), (64 << 20, True)])
def test_disk(found: SimpleNamespace, free: int, ok: bool) -> None:
    """An empty spool needs some free disk for the next outage."""
    found.free = free
    check = checks.check("/spool")
    assert (check.ok, f"{free >> 20} MiB" in check.says, bool(check.mend)) == (ok, True, not ok)


def test_none(found: SimpleNamespace) -> None:
    """No spool is no fault, and it is said what that means; one that no receiver has made yet is none either."""
    assert checks.check("").says == "there is none: while the store is away, the answer is 503"
    assert (checks.state(""), checks.aside("")) == (None, None)
    found.state = None
    assert checks.check("/spool").ok
    assert "no receiver has made one in /spool yet" in checks.check("/spool").says


def test_aside(found: SimpleNamespace) -> None:
    """What was set aside is amiss and counted; nothing set aside is nothing to say."""
    assert checks.aside("/spool") is None
    found.state = SpoolState(9, 1, 1, 2)
    check = checks.aside("/spool")
    assert check is not None
    assert (check.ok, check.says) == (False, "the store refused 2 events again and again")
    assert check.mend == "relais spool list"


def test_unreadable(tmp_path: Path) -> None:
    """A spool that nobody can read is amiss, and the metrics leave it out."""
    with contextlib.closing(spool.Spool(tmp_path, 1 << 20)):
        pass
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 1000)
    check = checks.check(str(tmp_path))
    assert (check.ok, check.mend) == (False, "ask as the user that runs the receiver; is the disk well?")
    assert checks.state(str(tmp_path)) is None
