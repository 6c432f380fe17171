"""How cost grows: `python -m bench.curves` takes the points of every curve and keeps them in docs/figures/curves.json.

`--curves bodies,keys` some only · `--rounds 2` · `--quick` · `--json` prints instead of keeping. Every point is a
`cost.measure`: the events come in while the workers stand still, then are delivered, so that the cost of receiver,
store and worker is told apart, and rates are those of one side at a time. `make curves` draws the plots as well.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bench import cost, figures, machine, measure
from bench.cost import CostWork
from bench.measure import Figures

PROGRESS = Console(stderr=True)


@dataclass(frozen=True)
class Curve:
    """One plot: a line is what is varied, measured at every point."""

    name: str
    title: str
    #: What the horizontal axis says.
    axis: str
    #: Name of the line -> (place on the axis, what is measured there).
    lines: Mapping[str, Sequence[tuple[float, CostWork]]]
    #: Whether the axis is logarithmic.
    logarithmic: bool = True
    #: The rates that what is varied can change.
    rates: tuple[str, ...] = ("accepted_per_s", "delivered_per_s")


def curves(size: int) -> tuple[Curve, ...]:
    """Return all curves; `size`: events of a usual point."""
    some, few = size // 3, size // 10
    return (
        Curve(
            "workers",
            "One worker process or two, by how long a destination takes to answer",
            "worker processes",
            {f"{ms} ms": [(n, CostWork(size, workers=n, delay=ms / 1000)) for n in (1, 2)] for ms in (50, 300)},
            logarithmic=False,
            rates=("delivered_per_s",),
        ),
        Curve(
            "receivers",
            "One receiver process or two, 128 connections",
            "receiver processes",
            {"receivers": [(n, CostWork(size, connections=128, receivers=n, workers=1)) for n in (1, 2)]},
            logarithmic=False,
            rates=("accepted_per_s",),
        ),
        Curve(
            "keys",
            "Many people and one hot key",
            "people that the events are about (order keys)",
            {"events": [(n, CostWork(max(few, min(size, n * 20)), people=n)) for n in (1, 10, 100, 1_000)]},
        ),
        Curve(
            "destinations",
            "One destination and two hundred, each event to one of them",
            "destinations",
            {"events": [(n, CostWork(some, destinations=n)) for n in (1, 10, 50, 200)]},
        ),
        Curve(
            "fan_out",
            "Fan-out: one event, several deliveries",
            "deliveries of one event",
            {"events": [(n, CostWork(some, destinations=n, fan_out=True)) for n in (1, 2, 5, 10)]},
            logarithmic=False,
        ),
        Curve(
            "bodies",
            "Size of the body",
            "body, kB",
            {"events": [(kb, CostWork(n, filler=kb * 200 - 60)) for kb, n in ((1, some), (20, few), (200, few // 2))]},
        ),
    )


def main() -> int:
    """Take the points."""
    parser = argparse.ArgumentParser(prog="python -m bench.curves", description=__doc__)
    parser.add_argument("--curves", default="", help="names, separated by commas; default: all")
    parser.add_argument("--rounds", type=int, default=2, help="how often each point is taken (default 2)")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure to publish")
    parser.add_argument("--json", action="store_true", help="JSON on standard output, nothing is kept")
    words = parser.parse_args()
    every = curves(900 if words.quick else 6_000)
    wanted = [curve for curve in every if not words.curves or curve.name in words.curves.split(",")]
    if not wanted:
        parser.error(f"no curve is called so; there are: {', '.join(curve.name for curve in every)}")
    machine.raise_limits()
    began = time.monotonic()
    taken = _take(wanted, words.rounds)
    report = {
        "kind": "curves",
        "command": "make curves" + (f" ARGS='{' '.join(sys.argv[1:])}'" if sys.argv[1:] else ""),
        "machine": machine.describe(),
        "rounds": words.rounds,
        "quick": words.quick,
        "seconds": round(time.monotonic() - began),
        "curves": [_report(curve, taken) for curve in wanted],
    }
    if words.json:
        figures.show(report)
    else:
        PROGRESS.print(f"kept in {figures.save('curves', report)}; `make performance` writes plots and page")
    return 0


def _take(wanted: Sequence[Curve], rounds: int) -> dict[CostWork, list[Figures]]:
    """Measure every point once a round; a point that two curves share only once."""
    points = dict.fromkeys((curve.name, work) for curve in wanted for line in curve.lines.values() for _, work in line)
    taken: dict[CostWork, list[Figures]] = {}
    for turn in range(rounds):
        for name, work in points:
            if len(taken.get(work, [])) > turn:
                continue
            began = time.monotonic()
            taken.setdefault(work, []).append(cost.measure(work))
            PROGRESS.print(f"round {turn + 1} of {rounds}: {name}, {time.monotonic() - began:.0f} s", style="dim")
    return taken


def _report(curve: Curve, taken: Mapping[CostWork, list[Figures]]) -> dict[str, Any]:
    return {
        "name": curve.name,
        "title": curve.title,
        "axis": curve.axis,
        "logarithmic": curve.logarithmic,
        "rates": curve.rates,
        "lines": {
            line: [
                {
                    "at": at,
                    "events": work.events,
                    "connections": work.connections,
                    "figures": measure.medians(taken[work]),
                    "least": {name: min(each[name] for each in taken[work]) for name in taken[work][0]},
                    "most": {name: max(each[name] for each in taken[work]) for name in taken[work][0]},
                }
                for at, work in points
            ]
            for line, points in curve.lines.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
