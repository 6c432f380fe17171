import pytest

from rules.source import units
from rules.source.units import Rate


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("10m", 600_000),
        ("30d", 2_592_000_000),
        ("7d", 604_800_000),
        ("250ms", 250),
        ("2h", 7_200_000),
        (0, 0),
        ("0", 0),
    ],
)
def test_duration(written: str | int, milliseconds: int) -> None:
    """A time is a number and a unit; 0 needs none."""
    assert units.duration(written) == milliseconds


@pytest.mark.parametrize("written", [5, "5", "m", "-5m", "1.5h", "10 m", "10M", "99999d", None, False, [], "05m"])
def test_no_duration(written: object) -> None:
    """A unit is never guessed."""
    with pytest.raises(ValueError, match=r"must be a time|longer than"):
        units.duration(written)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("5/s", Rate(5, 1_000)),
        ("5000/day", Rate(5_000, 86_400_000)),
        ("60/min", Rate(60, 60_000)),
        ("100/hour", Rate(100, 3_600_000)),
    ],
)
def test_rate(written: str, rate: Rate) -> None:
    """A rate is so many per time."""
    assert units.rate(written) == rate


@pytest.mark.parametrize("written", ["5", "5/", "/s", "5 / s", "0/s", "5/week", 5, None, "999999999/s"])
def test_no_rate(written: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r"must be a rate|more than"):
        units.rate(written)
