import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.matching import operators
from rules.matching.operators import ArgumentWrong
from rules.matching.path import ABSENT
from rules.matching.truth import FALSE, TRUE, UNKNOWN


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("a*c", "ac", True),
        ("a*c", "abc", True),
        ("a*c", "a*c", True),
        ("a*c", "abcd", False),
        ("a*a", "a", False),  # the two ends do not overlap
        ("*b*", "abc", True),
        ("*b*b*", "abc", False),
        ("a*b*c", "a-b-b-c", True),
        ("a**c", "abc", True),
        (r"a\*c", "a*c", True),
        (r"a\*c", "abc", False),
        (r"a\\*", "a\\b", True),
        ("plain", "plain", True),
        ("plain", "plainer", False),
        ("*.x", "a\nb.x", True),
        ("ab*ab*ab", "abab", False),
        ("[a-z]*", "b", False),  # nothing but the star is special
    ],
)
def test_wildcard(pattern: str, text: str, fits: bool) -> None:
    """A star is any text, also none; all else stands for itself."""
    assert operators.wildcard(pattern).test(text) == (TRUE if fits else FALSE)


@given(st.text(alphabet="ab*", min_size=1, max_size=8), st.text(alphabet="ab", max_size=10))
def test_wildcard_like_the_slow_way(pattern: str, text: str) -> None:
    """It agrees with trying every way to cut the text."""

    def slow(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(slow(pattern[1:], text[cut:]) for cut in range(len(text) + 1))
        return bool(text) and text[0] == pattern[0] and slow(pattern[1:], text[1:])

    if not pattern.strip("*"):
        with pytest.raises(ArgumentWrong):
            operators.wildcard(pattern)
        return
    assert operators.wildcard(pattern).test(text) == (TRUE if slow(pattern, text) else FALSE)


def test_wildcard_bomb() -> None:
    """The patterns that hang regular expressions take no time: a piece is never looked for twice."""
    condition = operators.wildcard("*a" * 400 + "*b")
    started = time.process_time()
    assert condition.test("a" * 60_000) == FALSE
    assert operators.wildcard(("a" * 40 + "b*") * 20 + "x").test("a" * 60_000 + "x") == FALSE
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("instant", "inside"),
    [
        ("2026-03-27T07:59:59.999Z", False),  # Friday in winter, 08:59 in Berlin
        ("2026-03-27T08:00:00.000Z", True),
        ("2026-03-27T16:59:59.999Z", True),
        ("2026-03-27T17:00:00.000Z", False),  # the end is outside
        ("2026-03-30T07:00:00.000Z", True),  # Monday in summer, 09:00 in Berlin
        ("2026-03-30T16:00:00.000Z", False),
        ("2026-03-28T10:00:00.000Z", False),  # Saturday
        ("2026-03-30T09:00:00+02:00", True),  # any offset
        ("2026-03-29T23:30:00-10:00", True),  # Monday 11:30 in Berlin
    ],
)
def test_office_hours(instant: str, inside: bool) -> None:
    """Days and times are those of the zone, summer time included."""
    context = operators.when({"days": "mon-fri", "between": ["09:00", "18:00"], "zone": "Europe/Berlin"})
    assert context.test(instant) == (TRUE if inside else FALSE)


@pytest.mark.parametrize(
    ("instant", "inside"),
    [
        ("2026-11-20T21:59:00Z", False),
        ("2026-11-20T22:00:00Z", True),  # Friday
        ("2026-11-21T05:59:00Z", True),  # the same night
        ("2026-11-21T06:00:00Z", False),
        ("2026-11-21T22:00:00Z", False),  # Saturday night
        ("2026-11-20T05:00:00Z", False),  # the night before
    ],
)
def test_over_midnight(instant: str, inside: bool) -> None:
    """A range over midnight belongs to the day on which it begins."""
    night = operators.when({"days": "fri", "between": ["22:00", "06:00"], "zone": "UTC"})
    assert night.test(instant) == (TRUE if inside else FALSE)


@pytest.mark.parametrize("instant", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"])
def test_the_hour_that_comes_twice(instant: str) -> None:
    """Both hours between two and three, when summer time ends, are between two and three."""
    assert operators.when({"between": ["02:00", "03:00"], "zone": "Europe/Berlin"}).test(instant) == TRUE


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("fri-mon", {4, 5, 6, 0}),
        ("sun", {6}),
        (["mon", "wed-thu"], {0, 2, 3}),
        ("mon - tue", {0, 1}),
    ],
)
def test_days(days: Any, found: set[int]) -> None:
    """Days are one, a range, also over the weekend, or a list."""
    monday_to_sunday = [f"2026-11-{16 + day}T12:00:00Z" for day in range(7)]
    condition = operators.when({"days": days, "zone": "UTC"})
    assert {day for day, instant in enumerate(monday_to_sunday) if condition.test(instant) == TRUE} == found


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00+14:00",  # before the first day in any zone to the west
        "9999-12-31T23:59:59-14:00",
        "yesterday",
        "",
        1_602_144_000_000,
        None,
        ["2026-11-20T09:00:00Z"],
        "2" * 100_000,
    ],
)
def test_no_instant(value: Any) -> None:
    """Of what is no instant nobody knows the day."""
    assert operators.when({"days": "mon-sun", "zone": "America/New_York"}).test(value) == UNKNOWN


def test_instant_without_offset() -> None:
    """A date, and a time without an offset, are meant in the zone of the condition; a date has no time of the day."""
    friday = operators.when({"days": "fri", "zone": "America/New_York"})
    assert [friday.test(value) for value in ("2026-11-20", "2026-11-20T23:00:00", "2026-11-21")] == [TRUE, TRUE, FALSE]
    mornings = operators.when({"between": ["09:00", "12:00"], "zone": "America/New_York"})
    assert [mornings.test(value) for value in ("2026-11-20", "2026-11-20T09:00:00")] == [UNKNOWN, TRUE]


@pytest.mark.parametrize(
    ("address", "truth"),
    [
        ("192.0.2.1", TRUE),
        ("::ffff:192.0.2.1", TRUE),  # the same, as IPv6 writes it
        ("2001:db8::1", TRUE),
        ("2001:db9::1", FALSE),
        ("198.51.100.1", FALSE),
        ("192.0.2.1/32", UNKNOWN),
        ("192.0.2.256", UNKNOWN),
        (" 192.0.2.1", UNKNOWN),
        (3221225985, UNKNOWN),
        ("1" * 100_000, UNKNOWN),
    ],
)
def test_cidr(address: Any, truth: int) -> None:
    """An address is in a network of its own family; what is no address is unknown."""
    assert operators.cidr(["192.0.2.0/24", "2001:db8::/32"]).test(address) == truth


@pytest.mark.parametrize(
    ("operator", "argument", "text", "mend"),
    [
        ("prefix", 5, "prefix needs text", "write it in quotes"),
        ("prefix", "", "the empty text fits every text", "exists: true"),
        ("prefix", [], "an empty list", "a list of texts"),
        ("prefix", ["a", 5], "prefix needs text", "write it in quotes"),
        ("suffix", "x" * 1001, "1001 characters", "at most 1000"),
        ("wildcard", "*", "it fits every text", "exists: true"),
        ("wildcard", r"a\n", r"\n means nothing", r"write \* for a star"),
        ("wildcard", "a\\", "it ends with a backslash", r"write \\ for a backslash"),
        ("gt", "5", "gt needs a number", "without quotes"),
        ("gt", "five", "gt needs a number", "gt: 100"),
        ("gt", True, "gt needs a number", "gt: 100"),
        ("gte", None, "gte needs a number", "gte: 100"),
        ("lt", float("inf"), "finite", "lt: 100"),
        ("lte", [1], "lte needs a number", "lte: 100"),
        ("between", [5], "between needs two bounds", "between: [10, 20]"),
        ("between", [6, 5], "6 is more than 5", "between: [5, 6]"),
        ("between", ["09:00", "18:00"], "need a zone", "add zone: Europe/Berlin"),
        ("cidr", "192.0.2.7/24", "an address inside a network", 'did you mean "192.0.2.0/24"?'),
        ("cidr", "home", "is no network", "192.0.2.0/24"),
        ("cidr", 5, "cidr needs text", "write it in quotes"),
    ],
)
def test_wrong_arguments(operator: str, argument: Any, text: str, mend: str) -> None:
    """What an operator cannot work with is refused, with the mend."""
    with pytest.raises(ArgumentWrong) as caught:
        operators.SIMPLE[operator](argument)
    assert text in caught.value.text
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("arguments", "text", "mend"),
    [
        ({"days": "mon"}, "need a zone", "add zone: Europe/Berlin"),
        ({"zone": "UTC"}, "zone alone asks nothing", "add days"),
        ({"days": "mon", "zone": "Europe/Berln"}, 'there is no zone "Europe/Berln"', 'did you mean "Europe/Berlin"?'),
        ({"days": "mon", "zone": "../../etc/passwd"}, "there is no zone", ""),
        ({"days": "mon", "zone": 1}, "zone needs a name", "Europe/Berlin"),
        ({"days": "Monday", "zone": "UTC"}, 'there is no day "Monday"', 'did you mean "mon"?'),
        ({"days": "mo-fr", "zone": "UTC"}, 'there is no day "mo"', "days are mon, tue"),
        ({"days": [], "zone": "UTC"}, "an empty list", "mon-fri"),
        ({"days": 1, "zone": "UTC"}, "days needs names", "mon-fri"),
        ({"between": [9, 18], "zone": "UTC"}, "two times of the day", "[09:00, 18:00]"),
        ({"between": ["9:00", "18:00"], "zone": "UTC"}, "two times of the day", "[09:00, 18:00]"),
        ({"between": ["09:00", "25:00"], "zone": "UTC"}, "two times of the day", "[09:00, 18:00]"),
        ({"between": ["09:00", "09:00"], "zone": "UTC"}, "there is no time", "[00:00, 24:00]"),
        ({"between": "09:00", "zone": "UTC"}, "two bounds", "between"),
    ],
)
def test_wrong_times(arguments: dict[str, Any], text: str, mend: str) -> None:
    """Days, times and zones are checked before any event comes."""
    with pytest.raises(ArgumentWrong) as caught:
        operators.when(arguments)
    assert text in caught.value.text
    assert mend in caught.value.mend


#: Anything that JSON may hold, NaN and infinity too, which Python's reader lets through.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONDITIONS = [
    operators.equal_to(["a", 1, True, None]),
    operators.equal_to(["a"]),
    operators.is_(["number", None]),
    operators.moment("before", "Europe/Berlin")("2026-01-01"),
    operators.moment("after", None)("2026-01-01T00:00:00Z"),
    operators.age("older_than", "30d", "UTC")("2026-01-01T00:00:00Z"),
    operators.age("newer_than", "30d", None)("2026-01-01T00:00:00Z"),
    operators.prefix("a"),
    operators.suffix("a"),
    operators.wildcard("a*b"),
    operators.gt(1),
    operators.gte(1),
    operators.lt(1),
    operators.lte(1),
    operators.between([1, 10**400]),
    operators.cidr("192.0.2.0/24"),
    operators.when({"days": "mon", "zone": "UTC"}),
]


@given(ANYTHING)
def test_anything(value: Any) -> None:
    """No value whatever makes a condition raise or say something else than a truth value."""
    for condition in CONDITIONS:
        assert condition.test(value) in (TRUE, FALSE, UNKNOWN)


@given(ANYTHING)
def test_any_view(value: Any) -> None:
    """Of any value whatever a view makes something, or nothing, and never raises."""
    assert isinstance(operators.fold(value), type(value))
    assert operators.to_number(value) is ABSENT or isinstance(operators.to_number(value), int | float)
    assert operators.count(value) is ABSENT or operators.count(value) >= 0


@pytest.mark.parametrize(
    ("value", "number"),
    [("19.99", 19.99), ("-5", -5), ("+5", 5), (" 5 ", 5), ("007", 7), (5, 5), (5.5, 5.5)],
)
def test_to_number(value: Any, number: Any) -> None:
    """A number in a text is written as in JSON, also with blanks around it or a plus."""
    assert operators.to_number(value) == number


@pytest.mark.parametrize(
    "value", ["19,99", "5 EUR", "", "1e5", ".5", "٥", "9" * 19, True, None, [], float("nan")], ids=repr
)
def test_to_no_number(value: Any) -> None:
    """What else there is, is no number."""
    assert operators.to_number(value) is ABSENT


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("2026-03-28", TRUE, FALSE),
        ("2026-03-28T22:59:59Z", TRUE, FALSE),
        ("2026-03-28T23:00:00Z", FALSE, FALSE),  # midnight in Berlin
        ("2026-03-29T00:00:00", FALSE, FALSE),
        ("2026-03-29", FALSE, FALSE),
        ("2026-03-29T21:59:59.999Z", FALSE, FALSE),  # the day has 23 hours
        ("2026-03-29T22:00:00Z", FALSE, TRUE),
        ("2026-03-30", FALSE, TRUE),
        ("2026-03-30T00:00:00+14:00", FALSE, FALSE),
        ("2026-13-01", UNKNOWN, UNKNOWN),
        ("0001-01-01", UNKNOWN, UNKNOWN),  # in UTC it is the year before the first
        ("9999-12-31", UNKNOWN, UNKNOWN),
        (20260329, UNKNOWN, UNKNOWN),
    ],
)
def test_moments(value: Any, before: int, after: int) -> None:
    """A date is its whole day in the zone, summer time minded, as argument and as value."""
    assert operators.moment("before", "Europe/Berlin")("2026-03-29").test(value) == before
    assert operators.moment("after", "Europe/Berlin")("2026-03-29").test(value) == after


def test_not_a_number() -> None:
    """NaN, which Python's JSON reader lets through, is no number to compare with, and infinity is one."""
    assert operators.lt(5).test(float("nan")) == UNKNOWN
    assert operators.gt(5).test(float("inf")) == TRUE
    assert operators.gt(5).test(10**400) == TRUE
