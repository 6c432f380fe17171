"""Draws docs/plots from docs/figures/curves.json: `.cache/bench-venv/bin/python -m bench.plots` (`make performance`).

Comes in: kept figures. Goes out: one PNG a curve, cost per event on the left, events per second on the right. Lines
differ by marker and dash as well as by shade, so that they can be told apart without colour. Measures nothing.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot, ticker

from bench import figures

FOLDER = Path(__file__).parents[1] / "docs" / "plots"

COSTS = {
    "receiver_us": "receiver",
    "store_us": "store",
    "worker_us": "worker",
}
RATES = {"accepted_per_s": "acknowledged", "delivered_per_s": "delivered"}
#: Marker, dash and shade of the lines of one panel.
LOOKS = (("o", "-", "black"), ("s", "--", "0.35"), ("^", ":", "0.2"), ("D", "-.", "0.5"))


def draw(curve: Mapping[str, Any], origin: str, folder: Path) -> Path:
    """Draw one curve; return the file."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    _panel(left, curve, COSTS, "processor time per event, µs")
    _panel(right, curve, {name: RATES[name] for name in curve["rates"]}, "events per second")
    figure.suptitle(curve["title"])
    figure.supxlabel(origin, fontsize=6, color="0.3")
    path = folder / f"{curve['name']}.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return path


def _panel(axes: Any, curve: Mapping[str, Any], named: Mapping[str, str], label: str) -> None:
    looks = iter(LOOKS)
    several = len(curve["lines"]) > 1
    for name, words in named.items():
        marker, dash, shade = next(looks)
        for line, points in curve["lines"].items():
            dimmed = several and line != next(iter(curve["lines"]))
            axes.plot(
                [point["at"] for point in points],
                [_value(point["figures"], name) for point in points],
                marker=marker,
                linestyle=dash,
                color=shade,
                markerfacecolor="white" if dimmed else shade,
                label=f"{words}, {line}" if several else words,
            )
    axes.set_xlabel(curve["axis"])
    axes.set_ylabel(label)
    places = [point["at"] for points in curve["lines"].values() for point in points]
    if curve["logarithmic"]:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.FixedLocator(sorted(set(places))))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0)
    axes.grid(color="0.85", linewidth=0.6)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)


def _value(point: Mapping[str, float], name: str) -> float:
    if name == "store_us":
        return point["store_receiving_us"] + point["store_delivering_us"]
    return point[name]


def main() -> int:
    """Draw every curve that was kept."""
    kept = figures.load(figures.FOLDER).get("curves")
    if kept is None:
        print("docs/figures has no curves: `make curves` takes them", file=sys.stderr)
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for curve in kept["curves"]:
        print(draw(curve, _origin(kept), FOLDER))
    return 0


def _origin(kept: Mapping[str, Any]) -> str:
    machine: Mapping[str, str] = kept["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; commit {machine['commit']}, "
        f"{machine['date']}; appendfsync always; median of {kept['rounds']} rounds"
    )


if __name__ == "__main__":
    sys.exit(main())
