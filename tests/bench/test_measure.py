"""Arithmetic of figures."""

import pytest

from bench.measure import Bound, medians, quantile, spread


@pytest.mark.parametrize(("q", "value"), [(0.0, 1), (0.5, 3), (0.99, 5), (1.0, 5)])
def test_a_quantile(q: float, value: float) -> None:
    """A quantile is a value that was measured, whatever their order."""
    assert quantile([5, 1, 3, 2, 4], q) == value


def test_a_quantile_of_nothing() -> None:
    """Nothing measured is no crash of the table."""
    assert quantile([], 0.5) == 0


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        ("≥ 0.6", 0.6, True),
        ("≥ 0.6", 0.59, False),
        ("≤ 4", 4.0, True),
        ("≤ 4", 4.01, False),
        ("> 1", 1.0, False),
        ("< 1", 0.5, True),
        ("", 7.0, None),
    ],
)
def test_a_verdict(bound: str, value: float, met: bool | None) -> None:
    """A bound is kept, broken, or not there."""
    assert Bound(bound).met(value) is met


def test_a_bound_that_is_none() -> None:
    """A bound that nobody can check is refused instead of shown as kept."""
    with pytest.raises(ValueError, match="is no bound"):
        Bound("about 3").met(3)


def test_a_spread() -> None:
    """The median stands between the least and the most of all rounds."""
    found = spread([3.0, 1.0, 2.0])
    assert (found.least, found.median, found.most) == (1.0, 2.0, 3.0)


def test_medians_of_rounds() -> None:
    """A figure that only some rounds have is the median of those."""
    assert medians([{"a": 1, "b": 5}, {"a": 3}, {"a": 2}]) == {"a": 2, "b": 5}
