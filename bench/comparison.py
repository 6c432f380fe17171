"""`python -m bench --against REV`: whether the working tree is slower than a commit, figure by figure.

Comes in: a commit, and which rows. Goes out: a table, or JSON. Both products are started through their command line,
each with its own modules, in the same environment and on the same machine, in turn and within seconds; load generator,
sink and store are the same for both. Never changes the working tree or the repository.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import cost, figures, machine, processes, rows, verdict
from bench.measure import Figures, quantile
from bench.processes import Disturbance, MachineTime
from bench.stage import ROOT
from bench.verdict import PairedRound

PROGRESS = Console(stderr=True)
#: Rounds at most, unless `--rounds` says otherwise.
MOST_ROUNDS = 30
#: A measurement is given up after so many failures, or so many rounds in a row in which the machine was too busy.
FAILURES, DISTURBED = 3, 5

#: Takes the figures of the product in a folder once.
Take = Callable[[rows.Size, Path], Figures]


@dataclass(frozen=True)
class ComparedPart:
    """One line of the table."""

    name: str
    figure: str
    unit: str
    #: A slow-down of this share has to be ruled out before it says `not slower`.
    margin: float


@dataclass(frozen=True)
class ComparedRow:
    """What is compared under the name of a row of the bench."""

    name: str
    take: Take
    parts: tuple[ComparedPart, ...]


def costs(size: rows.Size, tree: Path) -> Figures:
    """Return the processor time of one event, received over 32 connections and then delivered."""
    found = cost.measure(cost.CostWork(events=size.delivered), tree)
    return {
        **found,
        "accept_us": found["receiver_us"] + found["store_receiving_us"],
        "deliver_us": found["worker_us"] + found["store_delivering_us"],
    }


def latencies(size: rows.Size, tree: Path) -> Figures:
    """Return how long an idle product takes from a webhook that leaves to its delivery that arrives."""
    took = [sum(pair) for pair in zip(*rows.paced_idle(size, tree), strict=True)]
    return {"p50_ms": quantile(took, 0.5) * 1000, "p99_ms": quantile(took, 0.99) * 1000}


def _cpu(name: str, figure: str) -> ComparedPart:
    return ComparedPart(name, figure, "µs", 0.05)


ROWS = (
    ComparedRow(
        "accept@32",
        costs,
        (_cpu("all", "accept_us"), _cpu("receiver", "receiver_us"), _cpu("store", "store_receiving_us")),
    ),
    ComparedRow(
        "deliver@32",
        costs,
        (_cpu("all", "deliver_us"), _cpu("worker", "worker_us"), _cpu("store", "store_delivering_us")),
    ),
    ComparedRow(
        "idle", latencies, (ComparedPart("p50", "p50_ms", "ms", 0.1), ComparedPart("p99", "p99_ms", "ms", 0.25))
    ),
)


def run(words: argparse.Namespace, wanted: Sequence[ComparedRow]) -> int:
    """Compare, print, and return the exit status: whether everything could be taken."""
    machine.raise_limits()
    began = time.monotonic()
    with checked_out(words.against) as (commit, tree):
        demand_own_modules(tree)
        size = rows.QUICK if words.quick else rows.Size()
        most = words.rounds or MOST_ROUNDS
        taken, failed = take(wanted, lambda measure, folder: measure(size, folder), tree, most)
    report = {
        "kind": "against",
        "command": "make bench ARGS='" + " ".join(sys.argv[1:]) + "'",
        "machine": machine.describe(),
        "against": commit,
        "quick": words.quick,
        "most_rounds": most,
        "confidence": verdict.CONFIDENCE,
        "seconds": round(time.monotonic() - began),
        "rows": [_report(row, part, taken.get(row.take, [])) for row in wanted for part in row.parts],
        "failed": failed,
    }
    if words.json:
        figures.show(report)
    else:
        show(report, Console())
    return 1 if failed else 0


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[tuple[str, Path]]:
    """Lay the files of a commit into a folder of their own; give its full name and the folder.

    Not with `git worktree`, which leaves an entry in the repository when the bench is killed.
    """
    git = ["git", "-C", str(ROOT)]
    words = [*git, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"]
    found = subprocess.run(words, capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"there is no commit {revision} here")
    commit = found.stdout.strip()
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        archive = Path(folder) / "files.tar"
        subprocess.run([*git, "archive", "--output", str(archive), commit], check=True)
        with tarfile.open(archive) as files:
            files.extractall(Path(folder) / "tree", filter="data")
        yield commit, Path(folder) / "tree"


def demand_own_modules(tree: Path) -> None:
    """Raise RuntimeError where a process in this tree would import the product from elsewhere."""
    for package in ("console", "receiver", "workers", "rules"):
        found = subprocess.run(
            [sys.executable, "-c", f"import {package}; print(list({package}.__path__)[0])"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        if not Path(found).resolve().is_relative_to(tree.resolve()):
            raise RuntimeError(f"{package} of the commit would be imported from {found}, not from {tree}")


def take(
    wanted: Sequence[ComparedRow], measure: Callable[[Take, Path], Figures], tree: Path, most: int
) -> tuple[dict[Take, list[PairedRound]], dict[str, str]]:
    """Take pairs until every figure is settled, or so many were taken; return them, and what failed last.

    Who comes first changes from round to round, so that what drifts hits both alike.
    """
    taken: dict[Take, list[PairedRound]] = {row.take: [] for row in wanted}
    failed: dict[str, str] = {}
    failures = dict.fromkeys(taken, 0)
    for turn in range(most):
        for each, rounds in taken.items():
            if failures[each] >= FAILURES or _hopeless(rounds) or _settled(wanted, each, rounds):
                continue
            began = time.monotonic()
            names = ", ".join(row.name for row in wanted if row.take is each)
            try:
                rounds.append(_pair(partial(measure, each), tree, turn))
            except (RuntimeError, OSError, subprocess.SubprocessError) as exc:
                failures[each] += 1
                failed[names] = f"round {turn + 1}: {str(exc).splitlines()[0]}"
                PROGRESS.print(f"{names} failed: {exc}", style="bold", markup=False)
                continue
            disturbance = rounds[-1].disturbance
            PROGRESS.print(
                f"round {turn + 1} of at most {most}: {names}, {time.monotonic() - began:.0f} s; "
                f"others used {disturbance.others:.0%} of the machine, {disturbance.stolen:.0%} was stolen"
                + ("" if rounds[-1].calm else ": left out"),
                style="dim",
            )
    return taken, failed


def _hopeless(rounds: Sequence[PairedRound]) -> bool:
    return len(rounds) >= DISTURBED and not any(each.calm for each in rounds[-DISTURBED:])


def _settled(wanted: Sequence[ComparedRow], measured: Take, rounds: Sequence[PairedRound]) -> bool:
    parts = [part for row in wanted if row.take is measured for part in row.parts]
    return all(verdict.settled(rounds, part.figure, part.margin) for part in parts)


def _pair(measure: Callable[[Path], Figures], tree: Path, turn: int) -> PairedRound:
    before, ours = MachineTime.read(), processes.cpu_seconds(os.getpid())
    found = {folder: measure(folder) for folder in ((tree, ROOT) if turn % 2 == 0 else (ROOT, tree))}
    used = processes.cpu_seconds(os.getpid()) - ours
    return PairedRound(found[tree], found[ROOT], Disturbance.between(before, MachineTime.read(), used))


def _report(row: ComparedRow, part: ComparedPart, rounds: Sequence[PairedRound]) -> dict[str, Any]:
    judged = verdict.judge(rounds, part.figure, part.margin)
    return {
        "row": row.name,
        "part": part.name,
        "unit": part.unit,
        "margin": part.margin,
        **asdict(judged),
        "pairs": [[each.before[part.figure], each.now[part.figure], each.calm] for each in rounds],
    }


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report within 80 columns."""
    sure = f"{report['confidence']:.0%}"
    head = ("row", "before", "now", "ratio", f"{sure} interval", "n", "verdict")
    table = Table(*head, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for row in report["rows"]:
        found = row["interval"]
        table.add_row(
            f"{row['row']} {row['part']}, {row['unit']}",
            *(f"{row[side]:.4g}" if row["rounds"] else "" for side in ("before", "now")),
            f"{found['ratio']:.3f}" if found else "",
            f"{found['low']:.3f} to {found['high']:.3f}" if found else "",
            str(row["rounds"]),
            row["verdict"],
        )
    console.print(f"The working tree ({report['machine']['commit']}) against {report['against'][:12]}", highlight=False)
    console.print(table)
    for why in dict.fromkeys(row["why"] for row in report["rows"] if row["why"]):
        names = ", ".join(f"{row['row']} {row['part']}" for row in report["rows"] if row["why"] == why)
        console.print(f"{names}: {why}", highlight=False)
    for name, why in report["failed"].items():
        console.print(f"{name} could not be taken in every round: {why}", highlight=False, markup=False)
    if report["quick"]:
        console.print("A quick look with small sizes: no verdict to rely on.")
