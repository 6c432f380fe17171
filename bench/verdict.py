"""Whether something became slower: ratio, interval and verdict of a figure that was taken in pairs, before and now.

Comes in: pairs of figures, each of one round, and how disturbed the machine was. Goes out: verdicts. Never measures
anything.

The interval is that of the signed ranks (Hodges and Lehmann, Wilcoxon) over the logarithms of the ratios. If nothing
changed, before and now could as well have changed places, so these lie symmetrically around 0, which is all that it
assumes: no bell curve, and one wild round cannot move it far.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.measure import Figures
from bench.processes import Disturbance

Verdict = Literal["slower", "faster", "not slower", "cannot judge"]

#: How sure an interval is. A table has eight lines; at 99 % one of 25 tables says `slower` of equal trees.
CONFIDENCE = 0.99
#: Shares of the machine's processor time that others used, or the host took away, beyond which a round is left out.
OTHERS, STOLEN = 0.15, 0.03


@dataclass(frozen=True)
class PairedRound:
    """Figures of one round, taken one right after the other."""

    before: Figures
    now: Figures
    disturbance: Disturbance

    @property
    def calm(self) -> bool:
        """Whether the machine was ours enough for the figures to count."""
        return self.disturbance.others <= OTHERS and self.disturbance.stolen <= STOLEN


@dataclass(frozen=True)
class Interval:
    """A ratio, and the interval that holds the true one."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgedFigure:
    """What became of one figure."""

    verdict: Verdict
    #: Why it cannot be judged; otherwise empty.
    why: str
    #: Rounds that count.
    rounds: int
    before: float
    now: float
    #: Of now to before: above 1 is slower. None of too few rounds.
    interval: Interval | None


def interval(ratios: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the middle of some ratios and its interval; None if they are too few for any."""
    logs = [math.log(ratio) for ratio in ratios]
    cut = _critical(len(logs), (1 - confidence) / 2)
    if cut is None:
        return None
    averages = sorted((one + other) / 2 for n, one in enumerate(logs) for other in logs[n:])
    return Interval(
        math.exp(statistics.median(averages)), math.exp(averages[cut]), math.exp(averages[len(averages) - 1 - cut])
    )


def _critical(count: int, tail: float) -> int | None:
    """Return the largest sum of positive ranks that chance undercuts or meets with at most this probability."""
    ways = [1]  # Of `ways[s]` subsets of the ranks so far the sum is s.
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for total, more in enumerate(ways):
            longer[total + rank] += more
        ways = longer
    found, below = None, 0
    for total, each in enumerate(ways):
        below += each
        if below > tail * 2**count:
            return found
        found = total
    return found


def fewest_rounds(confidence: float = CONFIDENCE) -> int:
    """Return how many rounds an interval needs."""
    return next(n for n in range(1, 100) if _critical(n, (1 - confidence) / 2) is not None)


def judge(rounds: Sequence[PairedRound], figure: str, margin: float) -> JudgedFigure:
    """Say what became of a figure of which less is better.

    `slower` and `faster`: the whole interval lies on that side of 1. `not slower`: it holds 1 and ends
    before `1 + margin`. `cannot judge`: it is wider than that, or too few rounds were undisturbed.
    """
    calm = [(each.before[figure], each.now[figure]) for each in rounds if each.calm]
    found = interval([now / before for before, now in calm])
    verdict, why = _verdict(found, margin, rounds)
    before, now = (statistics.median(side) for side in zip(*calm, strict=True)) if calm else (math.nan, math.nan)
    return JudgedFigure(verdict, why, len(calm), before, now, found)


def _verdict(found: Interval | None, margin: float, rounds: Sequence[PairedRound]) -> tuple[Verdict, str]:
    if found is None:
        return "cannot judge", _too_few(rounds)
    if found.low > 1:
        return "slower", ""
    if found.high < 1:
        return "faster", ""
    if found.high <= 1 + margin:
        return "not slower", ""
    return "cannot judge", f"the interval is too wide: {margin:.0%} slower or more is not ruled out"


def _too_few(rounds: Sequence[PairedRound]) -> str:
    disturbed = [each.disturbance for each in rounds if not each.calm]
    if not disturbed:
        return f"{len(rounds)} rounds were taken, an interval needs {fewest_rounds()}"
    others, stolen = max(each.others for each in disturbed), max(each.stolen for each in disturbed)
    return (
        f"the machine was too busy in {len(disturbed)} of {len(rounds)} rounds: others used up to {others:.0%} of it, "
        f"up to {stolen:.0%} was stolen"
    )


def settled(rounds: Sequence[PairedRound], figure: str, margin: float) -> bool:
    """Whether another round is not needed: the interval is so narrow that it must give a verdict.

    This never asks where the interval lies: stopping as soon as it says something would find what is not there.
    """
    found = interval([each.now[figure] / each.before[figure] for each in rounds if each.calm])
    return found is not None and found.high / found.low <= 1 + margin
