"""Verdicts of a comparison: a planted slow-down is found, equal trees are not slower, a busy machine judges nothing."""

import itertools
import math
import random

import pytest

from bench import verdict
from bench.processes import Disturbance
from bench.verdict import PairedRound, fewest_rounds, interval, judge, settled

CALM, BUSY, STOLEN = Disturbance(0.05, 0.0), Disturbance(0.4, 0.0), Disturbance(0.0, 0.1)


def rounds(
    count: int, *, factor: float = 1.0, noise: float = 0.03, seed: int = 1, at: Disturbance = CALM
) -> list[PairedRound]:
    """Return rounds in which the tree of now takes `factor` times as long; both swing by `noise`."""
    source = random.Random(seed)
    return [
        PairedRound(
            {"us": 100 * math.exp(source.gauss(0, noise))}, {"us": 100 * factor * math.exp(source.gauss(0, noise))}, at
        )
        for _ in range(count)
    ]


def test_a_planted_slow_down() -> None:
    """Ten percent more among swings of three percent are found, and how much it is."""
    found = judge(rounds(16, factor=1.1), "us", 0.05)
    assert found.verdict == "slower"
    assert found.interval is not None
    assert 1 < found.interval.low < 1.1 < found.interval.high < 1.2


def test_a_gain() -> None:
    """Ten percent less are found as well."""
    assert judge(rounds(16, factor=0.9), "us", 0.05).verdict == "faster"


def test_equal_trees() -> None:
    """Two trees that are the same are not slower than each other."""
    found = judge(rounds(16), "us", 0.05)
    assert (found.verdict, found.why, found.rounds) == ("not slower", "", 16)


def test_how_often_equal_trees_are_slower() -> None:
    """Of many comparisons of equal trees, no more say `slower` or `faster` than the confidence allows."""
    verdicts = [judge(rounds(10, noise=0.1, seed=seed), "us", 0.05).verdict for seed in range(1000)]
    assert verdicts.count("slower") <= 12
    assert verdicts.count("faster") <= 12


def test_a_wild_round() -> None:
    """One round in which something took three times as long does not make a tree slower."""
    taken = rounds(24)
    taken[3] = PairedRound(taken[3].before, {"us": 300.0}, CALM)
    assert judge(taken, "us", 0.05).verdict == "not slower"


@pytest.mark.parametrize("at", [BUSY, STOLEN], ids=["others", "stolen"])
def test_a_busy_machine(at: Disturbance) -> None:
    """Rounds during which others used the machine, or the host took it away, judge nothing, and it is said."""
    found = judge(rounds(16, factor=2, at=at), "us", 0.05)
    assert found.verdict == "cannot judge"
    assert "too busy in 16 of 16 rounds" in found.why
    assert f"others used up to {at.others:.0%} of it, up to {at.stolen:.0%} was stolen" in found.why
    assert found.interval is None


def test_a_busy_round_does_not_count() -> None:
    """What was taken while others were at work is left out; the rest is judged."""
    found = judge([*rounds(16), *rounds(9, factor=2, at=BUSY)], "us", 0.05)
    assert (found.verdict, found.rounds) == ("not slower", 16)


def test_wild_swings() -> None:
    """An interval in which a large slow-down has room is no `not slower`."""
    found = judge(rounds(16, noise=0.3), "us", 0.05)
    assert found.verdict == "cannot judge"
    assert "too wide: 5% slower or more is not ruled out" in found.why


def test_too_few_rounds() -> None:
    """Seven rounds have no interval of 99 %, whatever they say; eight have one: all of them."""
    assert fewest_rounds() == 8
    assert judge(rounds(7, factor=3), "us", 0.05).why == "7 rounds were taken, an interval needs 8"
    eight = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    found = interval(eight)
    assert found is not None
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(1.7)


def test_the_signed_ranks() -> None:
    """The interval leaves out as many averages at each end as chance allows: counted over all signs by hand."""
    values = [1.01, 1.02, 0.97, 1.05, 0.99, 1.03, 1.04, 0.96, 1.07, 1.0]
    n, tail = len(values), 0.005
    sums = [sum(rank for rank, sign in enumerate(signs, 1) if sign) for signs in itertools.product((0, 1), repeat=n)]
    cut = max(each for each in range(60) if sum(one <= each for one in sums) <= tail * 2**n)
    logs = [math.log(each) for each in values]
    averages = sorted((logs[i] + logs[j]) / 2 for i in range(n) for j in range(i, n))
    found = interval(values)
    assert found is not None
    assert math.log(found.low) == pytest.approx(averages[cut])
    assert math.log(found.high) == pytest.approx(averages[-1 - cut])
    assert math.log(found.ratio) == pytest.approx(averages[len(averages) // 2])


def test_settled_says_nothing_of_where() -> None:
    """More rounds are taken while the interval is wide, whether it says something or not; a settled one is judged."""
    wide = rounds(8, factor=1.5, noise=0.1)
    assert judge(wide, "us", 0.05).verdict == "slower"
    assert not settled(wide, "us", 0.05)
    for seed in range(50):
        taken = rounds(40, factor=1.02, seed=seed)
        assert settled(taken, "us", 0.05)
        assert judge(taken, "us", 0.05).verdict != "cannot judge"
    assert not settled(rounds(40, at=BUSY), "us", 0.05)


def test_shares_of_disturbance() -> None:
    """The bounds are shares of the whole machine, and lie where a round still counts."""
    assert PairedRound({}, {}, Disturbance(verdict.OTHERS, verdict.STOLEN)).calm
    assert not PairedRound({}, {}, Disturbance(verdict.OTHERS + 0.01, 0)).calm
    assert not PairedRound({}, {}, Disturbance(0, verdict.STOLEN + 0.01)).calm
