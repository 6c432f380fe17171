from tests.soak import growth


def test_grows() -> None:
    """A figure that rises by more than the threshold from the second third to the last one grows, and says how fast."""
    found = growth([(10.0 * n, 100.0 + n / 2) for n in range(90)], least=1.0)
    assert found.grows
    assert found.last - found.middle == 15.0
    assert round(found.per_hour, 6) == 180.0


def test_warm_up() -> None:
    """What rises at first only, or swings, does not grow."""
    assert not growth([(10.0 * n, min(n, 30) + 0.4 * (n % 2)) for n in range(90)], least=1.0).grows


def test_threshold() -> None:
    """A share of a large figure, or a unit or so of a small one, is no growth."""
    assert not growth([(float(n), 1000 + n / 10) for n in range(90)], least=1.0).grows
    assert not growth([(float(n), 3 + n / 100) for n in range(90)], least=1.0).grows
    assert growth([(float(n), 3 + n / 10) for n in range(90)], least=1.0).grows
