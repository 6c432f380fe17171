"""`python -m bench`: takes the rows in rounds, interleaved, and prints medians with their spread.

`--rows accept@32,idle` some only (`accept`: at every number of connections) · `--rounds 3` · `--quick` small sizes ·
`--json` for machines · `--save` keeps the figures for docs/performance.md · `--against REV` compares with a commit
instead, in pairs of rounds (accept, deliver, idle). The exit status tells whether all rows could be taken, never how
fast anything was.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from bench import comparison, figures, machine, measure, rows
from bench.measure import Bound, Figures

PROGRESS = Console(stderr=True)
AnyRow = TypeVar("AnyRow", rows.BenchRow, comparison.ComparedRow)


def main() -> int:
    """Take the measurements and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", default="", help="names, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, default=0, help="how often each is taken (default 3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure to publish")
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of a table")
    parser.add_argument("--save", action="store_true", help="keep the figures in docs/figures/rows.json as well")
    parser.add_argument("--against", metavar="REV", help="compare with this commit; --rounds: pairs at most")
    words = parser.parse_args()
    if words.against:
        if words.save:
            parser.error("--save keeps figures of the page, and a comparison is none")
        return comparison.run(words, _wanted(parser, comparison.ROWS, words.rows))
    wanted = _wanted(parser, rows.rows(), words.rows)
    rounds = words.rounds or (1 if words.quick else 3)
    machine.raise_limits()
    if not rows.has_venv():
        PROGRESS.print("Celery and Dramatiq are left out: .cache/bench-venv is not there (`make bench` makes it)")
    began = time.monotonic()
    taken, failed = _take(wanted, rows.QUICK if words.quick else rows.Size(), rounds)
    report = {
        "kind": "rows",
        "command": "make bench ARGS='" + " ".join(sys.argv[1:]) + "'",
        "machine": machine.describe(),
        "rounds": rounds,
        "quick": words.quick,
        "seconds": round(time.monotonic() - began),
        "rows": [_report(row, line, taken[row.name]) for row in wanted if row.name in taken for line in row.lines],
        "failed": failed,
    }
    if words.save:
        PROGRESS.print(f"kept in {figures.save('rows', report)}; `make performance` writes the page")
    if words.json:
        figures.show(report)
    else:
        _show(report)
    return 1 if failed else 0


def _wanted(parser: argparse.ArgumentParser, every: Sequence[AnyRow], names: str) -> list[AnyRow]:
    """Return the rows of these names, all where there is no name; end with a message where none is called so."""
    asked = names.split(",")
    wanted = [row for row in every if not names or row.name in asked or row.name.partition("@")[0] in asked]
    if not wanted:
        parser.error(f"no row is called so; there are: {', '.join(dict.fromkeys(row.name for row in every))}")
    return wanted


def _take(wanted: list[rows.BenchRow], size: rows.Size, rounds: int) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Take every row once a round; the rounds follow one another, so that a slow minute hits all alike.

    Returns figures by row, and why a row failed: the others are taken nevertheless.
    """
    taken: dict[str, list[Figures]] = {}
    failed: dict[str, str] = {}
    for turn in range(rounds):
        for row in wanted:
            if turn and row.once:
                continue
            began = time.monotonic()
            try:
                taken.setdefault(row.name, []).append(row.take(size))
            except (RuntimeError, OSError, subprocess.SubprocessError) as exc:
                failed[row.name] = f"round {turn + 1}: {str(exc).splitlines()[0]}"
                PROGRESS.print(f"{row.name} failed: {exc}", style="bold", markup=False)
            PROGRESS.print(f"round {turn + 1} of {rounds}: {row.name}, {time.monotonic() - began:.0f} s", style="dim")
    return {name: rounds for name, rounds in taken.items() if rounds}, failed


def _report(row: rows.BenchRow, line: rows.TableLine, rounds: list[Figures]) -> dict[str, Any]:
    spread = measure.spread([each[line.figure] for each in rounds])
    return {
        "row": row.name,
        "about": line.about,
        "connections": row.connections,
        "policy": row.policy,
        "pinned": row.pinned,
        "bound": line.bound,
        "goal": line.goal,
        "met": Bound(line.bound).met(spread.median),
        "rounds": len(rounds),
        "median": spread.median,
        "least": spread.least,
        "most": spread.most,
        "figures": measure.medians(rounds),
    }


def _show(report: dict[str, Any]) -> None:
    console = Console()
    console.print(figures.origin(report["machine"]), f"; {report['rounds']} rounds", style="dim", sep="")
    table = Table("row", "what", "median", "least to most", "bound", "", "goal")
    told: dict[str, str] = {}
    for row in report["rows"]:
        mark = {True: "✓", False: "✗", None: ""}[row["met"]]
        spread = f"{row['least']:.3g} to {row['most']:.3g}"
        table.add_row(row["row"], row["about"], f"{row['median']:.3g}", spread, row["bound"], mark, row["goal"])
        how = f"connections: {row['connections']}; {row['policy']}; pinned: {row['pinned']}"
        about = ", ".join(f"{k} {v:,.4g}" for k, v in row["figures"].items() if not k.startswith("ratio"))
        told[row["row"]] = f"{how}\n    {about}"
    console.print(table)
    for name, words in told.items():
        console.print(f"{name}: {words}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
