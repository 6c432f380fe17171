"""Which minutes a source used, and what is usual by them."""

import pytest

from mailroom import rhythm
from mailroom.rhythm import DAY, WEEK

#: Four weeks of a source that sends each quarter of an hour, and not at night.
STEADY = [day * DAY + minute for day in range(5 * 7) for minute in range(8 * 60, 20 * 60, 15)]
#: The last of a Wednesday's afternoon in the fifth week.
LAST = 4 * WEEK + 2 * DAY + 15 * 60


def test_minutes() -> None:
    """The bits of some days are minutes since 1970, in order."""
    assert rhythm.find_minutes({3: b"\x80\x01", 1: b"\x40"}) == [1_441, 4_320, 4_335]
    assert rhythm.find_minutes({}) == []


def test_usual_gap() -> None:
    """The median of the gaps; too few minutes say nothing, and one long night changes nothing."""
    assert rhythm.find_usual_gap([0, 5, 10, 15, 20]) is None
    assert rhythm.find_usual_gap([0, 5, 10, 15, 20, 900]) == 5
    assert rhythm.find_usual_gap([]) is None


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        (59, 3),
        (150, 10),
        (300, 19),
        (14 * 60, 19),
        (WEEK, 7 * 48),
        (3 * WEEK, 7 * 48),
    ],
)
def test_expect(silence: int, expected: int) -> None:
    """What is usual is that of the same span of the last weeks: nights count nothing, a long silence its first week."""
    before = [minute for minute in STEADY if minute <= LAST]
    assert rhythm.expect(before, LAST, LAST + silence) == (expected, 4)


def test_silence() -> None:
    """A silence is long when ten minutes were to be expected, after an hour at the earliest."""
    before = [minute for minute in STEADY if minute <= LAST]
    assert rhythm.explain_silence(before, LAST, LAST + 149) == ""
    says = "in the same span of the last 4 weeks it sent in 10 minutes or more"
    assert rhythm.explain_silence(before, LAST, LAST + 150) == says
    dense = list(range(LAST + 1))
    assert rhythm.explain_silence(dense, LAST, LAST + 59) == ""
    assert "in 60 minutes" in rhythm.explain_silence(dense, LAST, LAST + 60)


def test_learning() -> None:
    """Less than two weeks say nothing, and nothing at all neither."""
    for first, known in ((LAST - 2 * WEEK, True), (LAST - 2 * WEEK + 1, False)):
        assert bool(rhythm.explain_silence(list(range(first, LAST + 1)), LAST, LAST + 600)) is known
    assert rhythm.expect([], LAST, LAST + 600) is None


def test_what_came_once() -> None:
    """An import in one or two of four weeks is not waited for; a source that was silent before is not quiet again."""
    imports = [*range(LAST - 2 * WEEK + 60, LAST - 2 * WEEK + 120), *range(LAST - WEEK + 60, LAST - WEEK + 120)]
    known = [LAST - 4 * WEEK, *imports, LAST]
    assert rhythm.expect(known, LAST, LAST + 600) == (0, 4)
    assert rhythm.expect([*range(LAST - 3 * WEEK, LAST - 2 * WEEK), LAST], LAST, LAST + 600) == (0, 3)
