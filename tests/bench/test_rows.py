"""The rows of the bench, and the command that takes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import rows
from bench.measure import Bound

FIXTURE = json.loads((Path(__file__).parent / "figures" / "rows.json").read_text())


def bench(*words: str) -> "subprocess.CompletedProcess[str]":
    """What `python -m bench` says."""
    return subprocess.run([sys.executable, "-m", "bench", *words], capture_output=True, text=True, timeout=120)


def test_every_bound_can_be_checked() -> None:
    """No line of the table is held against words."""
    for row in rows.rows():
        for line in row.lines:
            Bound(line.bound).met(1.0)


def test_names_are_unique() -> None:
    """`--rows` means one measurement by a name."""
    names = [row.name for row in rows.rows()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("accept@32", ["≥ 0.6"]),
        ("accept@128", ["≥ 0.6"]),
        ("deliver@32", ["≥ 15", "≥ 40"]),
        ("deliver@128", ["≥ 15", "≥ 40"]),
        ("idle", ["≤ 4"]),
        ("routing", ["≤ 1.5", "> 1"]),
        ("memory", ["≤ 1"]),
        ("backlog", ["≥ 0.9"]),
        ("in_flight", ["≥ 1"]),
    ],
)
def test_what_was_promised_is_measured(name: str, bounds: list[str]) -> None:
    """Every bound of the design stands beside its row."""
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
