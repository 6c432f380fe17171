"""Comparing with a commit: pairs in turn until they settle, the product of the other tree, and a table that fits."""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import comparison, cost, processes, rows, stage
from bench.comparison import ComparedPart, ComparedRow
from bench.measure import Figures
from bench.processes import Disturbance, MachineTime

OTHER = Path("/other")
CALM = Disturbance(0.02, 0.0)


def measured(size: rows.Size, tree: Path) -> Figures:
    """Stand in for a measurement: never called, the tests give their own."""
    raise NotImplementedError


ROW = ComparedRow("accept@32", measured, (ComparedPart("receiver", "us", "µs", 0.05),))


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is ours alone."""
    monkeypatch.setattr(Disturbance, "between", classmethod(lambda cls, *_: CALM))


@pytest.mark.usefixtures("calm")
def test_before_and_now_take_turns() -> None:
    """Each round measures both, and the one that comes first changes; it ends as soon as the interval is narrow."""
    asked: list[Path] = []

    def measure(_: comparison.Take, tree: Path) -> Figures:
        asked.append(tree)
        return {"us": 100.0 if tree == OTHER else 150.0}

    taken, failed = comparison.take([ROW], measure, OTHER, 30)
    assert asked[:6] == [OTHER, stage.ROOT, stage.ROOT, OTHER, OTHER, stage.ROOT]
    assert len(taken[measured]) == 8
    assert failed == {}
    assert [(each.before["us"], each.now["us"]) for each in taken[measured]] == [(100.0, 150.0)] * 8


@pytest.mark.usefixtures("calm")
def test_as_many_rounds_as_the_spread_asks_for() -> None:
    """What swings is taken more often, and never more often than was said."""
    swing = iter(range(1000))

    def measure(_: comparison.Take, tree: Path) -> Figures:
        return {"us": 100.0 + 7 * (next(swing) % 5)}

    taken, _ = comparison.take([ROW], measure, OTHER, 12)
    assert len(taken[measured]) == 12


def test_a_machine_that_stays_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for thirty rounds that will not count: after five in a row it is given up."""
    monkeypatch.setattr(Disturbance, "between", classmethod(lambda cls, *_: Disturbance(0.5, 0.0)))
    taken, failed = comparison.take([ROW], lambda *_: {"us": 100.0}, OTHER, 30)
    assert len(taken[measured]) == comparison.DISTURBED
    assert failed == {}


@pytest.mark.usefixtures("calm")
def test_what_fails_is_said_and_given_up() -> None:
    """A product that does not start fails its rows after three tries, with the reason, not the others."""

    def other(size: rows.Size, tree: Path) -> Figures:
        raise NotImplementedError

    tries: list[Path] = []

    def measure(each: comparison.Take, tree: Path) -> Figures:
        if each is other:
            tries.append(tree)
            raise RuntimeError("not within 60 s: port 1 listens\nmore")
        return {"us": 100.0}

    taken, failed = comparison.take([ROW, ComparedRow("idle", other, ROW.parts)], measure, OTHER, 30)
    assert failed == {"idle": "round 3: not within 60 s: port 1 listens"}
    assert len(tries) == comparison.FAILURES
    assert len(taken[measured]) == 8


def test_every_row_takes_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the table names a figure that its measurement returns."""
    names = ("receiver_us", "store_receiving_us", "worker_us", "store_delivering_us")
    monkeypatch.setattr(cost, "measure", lambda *_: dict.fromkeys(names, 1.0))
    monkeypatch.setattr(rows, "paced_idle", lambda *_: ([0.001] * 9 + [0.01], [0.002] * 10))
    figures = {row.name: row.take(rows.QUICK, OTHER) for row in comparison.ROWS}
    assert {row.name for row in comparison.ROWS} == {"accept@32", "deliver@32", "idle"}
    assert [part.figure for row in comparison.ROWS for part in row.parts if part.figure not in figures[row.name]] == []
    assert figures["accept@32"]["accept_us"] == figures["deliver@32"]["deliver_us"] == 2.0
    assert figures["idle"] == {"p50_ms": pytest.approx(3.0), "p99_ms": pytest.approx(12.0)}


def test_the_product_of_the_other_tree(tmp_path: Path) -> None:
    """A stage starts the product that lies in its tree, whatever is installed; its own tools stay those of here."""
    tree = tmp_path / "tree"
    (tree / "console").mkdir(parents=True)
    (tree / "console" / "__init__.py").touch()
    (tree / "console" / "cli.py").write_text(
        "import pathlib, sys\npathlib.Path('told').write_text(repr((__file__, sys.argv[1:])))\n"
    )
    with stage.BenchStage(tree=tree) as running:
        running.relais("receive", "receive", "--port", "1").wait(60)
        assert (tree / "told").read_text() == repr((str(tree / "console" / "cli.py"), ["receive", "--port", "1"]))
        assert running.sink()["count"] == 0


def test_a_tree_that_would_run_our_own_modules(tmp_path: Path) -> None:
    """A commit without one of the packages would be compared with itself; that is refused."""
    with pytest.raises(RuntimeError, match="console of the commit would be imported from"):
        comparison.demand_own_modules(tmp_path)
    comparison.demand_own_modules(stage.ROOT)


def test_the_files_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in a folder of their own, which is gone afterwards; a name that is no commit is refused in a line."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Eva", "-c", "user.email=eva@example.org"]
    (tmp_path / "file").write_text("before")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "One"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "file").write_text("now")
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    with comparison.checked_out("HEAD") as (commit, tree):
        assert (tree / "file").read_text() == "before"
        assert len(commit) == 40
    assert not tree.exists()
    with pytest.raises(SystemExit, match="there is no commit nowhere here"), comparison.checked_out("nowhere"):
        pass


def report() -> dict[str, Any]:
    """Return a report with one line of each kind."""
    interval = {"ratio": 1.0712, "low": 1.0321, "high": 1.1134}
    line = {"row": "deliver@32", "part": "receiver", "unit": "µs", "before": 1234.5, "now": 1322.4, "why": ""}
    judged = {**line, "rounds": 30, "verdict": "slower", "interval": interval}
    busy = {**judged, "verdict": "cannot judge", "why": "the machine was too busy", "part": "store"}
    more = {**busy, "part": "worker"}
    none = {**busy, "rounds": 0, "interval": None, "why": "too few", "row": "idle", "part": "p99", "unit": "ms"}
    return {
        "confidence": 0.99,
        "machine": {"commit": "abc1234+"},
        "against": "b" * 40,
        "rows": [judged, busy, more, none],
        "failed": {"idle": "round 1: not within 60 s"},
        "quick": True,
    }


def test_the_table_fits() -> None:
    """A terminal of 80 columns shows every line whole, and below it why figures cannot be judged."""
    out = io.StringIO()
    comparison.show(report(), Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = [" ".join(line.split()) for line in lines]
    assert "The working tree (abc1234+) against bbbbbbbbbbbb" in text
    assert "row before now ratio 99% interval n verdict" in text
    assert "deliver@32 receiver, µs 1234 1322 1.071 1.032 to 1.113 30 slower" in text
    assert "idle p99, ms 0 cannot judge" in text
    assert "deliver@32 store, deliver@32 worker: the machine was too busy" in text
    assert "idle p99: too few" in text
    assert "idle could not be taken in every round: round 1: not within 60 s" in text


@pytest.mark.parametrize("words", [["--save"], ["--rows", "memory"]], ids=["save", "rows"])
def test_what_cannot_be_compared(words: list[str]) -> None:
    """A comparison keeps no figures for the page, and knows three rows."""
    command = [sys.executable, "-m", "bench", "--against", "HEAD", *words]
    done = subprocess.run(command, cwd=stage.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--save keeps figures" in done.stderr or "accept@32, deliver@32, idle" in done.stderr


STAT = "cpu  1000 200 300 5000 100 50 50 {steal} 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


def test_the_time_of_the_machine() -> None:
    """What processes used, what the host took away, and all there is; of /proc/stat, whose second line is a core's."""
    tick = processes.TICK
    found = MachineTime.read(STAT.format(steal=300))
    assert (found.total, found.used, found.stolen) == (7000 / tick, 1500 / tick, 300 / tick)
    assert MachineTime.read().total > 0


def test_the_shares_of_others() -> None:
    """Of all the machine had: what was used and not by us, and what was stolen."""
    before, after = MachineTime(100, 40, 1), MachineTime(120, 50, 2)
    found = Disturbance.between(before, after, ours=7)
    assert found.others == pytest.approx(0.15)
    assert found.stolen == pytest.approx(0.05)
    assert Disturbance.between(before, after, ours=11).others == 0


def test_a_report_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints the pairs as well, so that anybody can judge again."""
    monkeypatch.setattr(Disturbance, "between", classmethod(lambda cls, *_: CALM))
    monkeypatch.setattr(cost, "measure", lambda *_: dict.fromkeys(COSTS, 100.0))
    monkeypatch.setattr(sys, "argv", ["bench", "--against", "HEAD"])
    words = argparse.Namespace(against="HEAD", rounds=2, quick=True, json=True)
    assert comparison.run(words, comparison.ROWS[:1]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["verdict"] for line in told["rows"]] == ["cannot judge"] * 3
    assert told["rows"][1]["pairs"] == [[100.0, 100.0, True]] * 2


COSTS = ("receiver_us", "store_receiving_us", "worker_us", "store_delivering_us")
