"""Charts as SVG, drawn by the server: bars over time. Each has a table beside it, which says the same.

Comes in: counts. Goes out: the places of bars. Never holds a colour: the style sheet does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: The drawing, in units of its own.
WIDTH, HEIGHT = 480.0, 60.0


@dataclass(frozen=True)
class ChartBar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    #: What it stands for.
    label: str
    count: int


def draw_bars(labels: Sequence[str], counts: Sequence[int], most: int = 48) -> list[ChartBar]:
    """Return bars; neighbours are added up where there are more than `most`."""
    step = max(1, -(-len(counts) // most))
    sums = [(labels[n], sum(counts[n : n + step])) for n in range(0, len(counts), step)]
    highest = max((count for _, count in sums), default=0) or 1
    width = WIDTH / max(1, len(sums))
    return [
        ChartBar(
            round(n * width, 2), round(HEIGHT * (1 - count / highest), 2), round(width * 0.8, 2),
            round(HEIGHT * count / highest, 2), label, count,
        )
        for n, (label, count) in enumerate(sums)
    ]  # fmt: skip
