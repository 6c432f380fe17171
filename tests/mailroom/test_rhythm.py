"""Which minutes a source used, and what is usual by them."""

from mailroom import rhythm


def test_minutes() -> None:
    """The bits of some days are minutes since 1970, in order."""
    assert rhythm.find_minutes({3: b"\x80\x01", 1: b"\x40"}) == [1_441, 4_320, 4_335]
    assert rhythm.find_minutes({}) == []


def test_usual_gap() -> None:
    """The median of the gaps; too few minutes say nothing, and one long night changes nothing."""
    assert rhythm.find_usual_gap([0, 5, 10, 15, 20]) is None
    assert rhythm.find_usual_gap([0, 5, 10, 15, 20, 900]) == 5
    assert rhythm.find_usual_gap([]) is None
