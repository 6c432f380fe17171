"""The rows of the bench, and the command that takes them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from bench import rows
from bench.measure import Bound
from bench.stage import BenchStage

FIXTURE = json.loads((Path(__file__).parent / "figures" / "rows.json").read_text())


def bench(*words: str) -> "subprocess.CompletedProcess[str]":
    """What `python -m bench` says."""
    return subprocess.run([sys.executable, "-m", "bench", *words], capture_output=True, text=True, timeout=600)


def test_every_bound_can_be_checked() -> None:
    """No line of the table is held against words."""
    for row in rows.rows():
        for line in row.lines:
            Bound(line.bound).met(1.0)
            Bound(line.goal).met(1.0)


def test_names_are_unique() -> None:
    """`--rows` means one measurement by a name."""
    names = [row.name for row in rows.rows()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("accept@32", ["≥ 0.65"]),
        ("accept@128", ["≥ 0.6"]),
        ("deliver@32", ["≥ 20", "≥ 60"]),
        ("deliver@128", ["≥ 15", "≥ 40"]),
        ("idle", ["≤ 2.0"]),
        ("hot_key", ["≥ 1500"]),
        ("live", ["≤ 380"]),
        ("fan_out", ["≤ 0.6"]),
        ("ten_rules", ["≥ 0.97"]),
        ("back", ["≤ 3"]),
        ("start", ["≤ 1.8"]),
        ("idle_memory", ["≤ 180"]),
        ("routing", ["≤ 1.5", "> 1"]),
        ("memory", ["≤ 1"]),
        ("backlog", ["≥ 0.9"]),
        ("in_flight", ["≥ 1"]),
        ("notebook", ["≤ 1", "≤ 1", "≤ 1", "≤ 1", "≤ 1"]),
        ("tail", ["≥ 0.98", "≤ 1.5", "≤ 1.2"]),
    ],
)
def test_what_was_promised_is_measured(name: str, bounds: list[str]) -> None:
    """Every bound stands beside its row."""
    row = next(row for row in rows.rows() if row.name == name)
    assert [line.bound for line in row.lines if line.bound] == bounds


def test_a_row_from_the_command_line() -> None:
    """One row as JSON: the shape that the page reads, progress on standard error only."""
    done = bench("--quick", "--rows", "render", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == set(FIXTURE)
    assert set(report["rows"][0]) == set(FIXTURE["rows"][0])
    assert report["rows"][0]["figures"]["us_each"] > 0
    assert "round 1 of 1: render" in done.stderr


def test_a_row_that_is_none() -> None:
    """A misspelt row is refused with the names that there are."""
    done = bench("--rows", "accpet")
    assert done.returncode == 2
    assert "accept@32" in done.stderr


class _Workers:
    """A stage whose workers are busy for a while before anything arrives, and with its outcome after all has."""

    def __init__(self) -> None:
        self.went = self.stopped = 0.0
        self.unsettled = 2

    def reset_sink(self) -> None:
        pass

    def cpu(self) -> dict[str, float]:
        return {"valkey": 3.0, "work": 5.0, "sink": 9.0} if self.stopped else {"valkey": 1.0, "work": 1.0, "sink": 1.0}

    def send(self, name: str, number: signal.Signals) -> None:
        assert name == "work"
        if number == signal.SIGCONT:
            self.went = time.time()
        else:
            self.stopped = time.time()

    def wait(self, fact: Callable[[], bool], what: str, seconds: float = 0) -> None:
        while not fact():
            pass

    def sink(self) -> dict[str, int]:
        return {"count": 10}

    def redis(self, *words: str) -> int:
        self.unsettled -= 1
        return self.unsettled

    def arrivals(self) -> list[tuple[int, float]]:
        return [(n, self.went + 40 + n) for n in range(12)]


@pytest.mark.parametrize("to_the_end", [True, False])
def test_a_drain_is_timed_from_its_beginning(to_the_end: bool) -> None:
    """What was routed before the first arrival took time, too; what arrived beyond the count is not in that time."""
    workers = _Workers()
    drained = rows._drain(cast(BenchStage, workers), 10, to_the_end=to_the_end)
    assert drained.per_s == pytest.approx(10 / 49, rel=1e-3)
    assert drained.cpu_us == 6e6 / 12
    assert workers.stopped > workers.went
    assert workers.unsettled == (0 if to_the_end else 2)


def test_drains_are_added() -> None:
    """Several bursts are one with all their events and all their time."""
    both = rows._Drained.sum([rows._Drained(10, 1.0, 10, 2.0), rows._Drained(10, 4.0, 30, 6.0)])
    assert (both.per_s, both.cpu_us) == (4.0, 200_000.0)
