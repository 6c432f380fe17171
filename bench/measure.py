"""Arithmetic of figures: quantiles, medians with their spread, and whether a bound is met.

Comes in: numbers. Goes out: numbers. Never measures anything.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Figures = dict[str, float]


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value below which a share `q` of the values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Bound:
    """What a figure is held against: `≥ 0.6`, `≤ 4`, `> 1`; an empty text holds it against nothing."""

    text: str

    def met(self, value: float) -> bool | None:
        """Say whether a value keeps the bound; None where there is none. Raises ValueError for a text like no other."""
        if not self.text:
            return None
        found = re.fullmatch(r"([≥≤><]) ([\d.]+)", self.text)
        if found is None:
            raise ValueError(f"{self.text!r} is no bound; one looks like `≥ 0.6`")
        limit = float(found[2])
        return {"≥": value >= limit, "≤": value <= limit, ">": value > limit, "<": value < limit}[found[1]]


@dataclass(frozen=True)
class Spread:
    """Median, least and most of several rounds."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of the values with their spread."""
    return Spread(statistics.median(values), min(values), max(values))


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over the rounds that have it, in the order of the first round."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: statistics.median(f[name] for f in rounds if name in f) for name in names}
