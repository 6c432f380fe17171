"""When it is open, by another reckoning than the module's: the wall clock, asked instant by instant."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rules.action import ActionOptions
from rules.business_hours import BusinessHours
from rules.matching import operators, truth

BERLIN = BusinessHours(frozenset(range(5)), 8 * 60, 18 * 60, "Europe/Berlin", frozenset([date(2026, 12, 25)]))
#: Zones whose clocks jump by an hour, by half an hour, at midnight, over a whole day, or never.
ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "UTC")
HOUR = 3_600_000


def at(text: str) -> int:
    """Return the ms of an instant; without an offset of the time in Berlin."""
    instant = datetime.fromisoformat(text)
    instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    return round(instant.timestamp() * 1000)


def is_open(hours: BusinessHours, moment: int) -> bool:
    """Return what the clock on the wall says, by the operator of conditions."""
    instant = datetime.fromtimestamp(moment / 1000, UTC)
    if instant.astimezone(ZoneInfo(hours.zone)).date() in hours.free:
        return False
    texts = [f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.begin, hours.end)]
    days = [operators.DAYS[day] for day in sorted(hours.days)]
    test = operators.when({"days": days, "between": texts, "zone": hours.zone}).test
    return test(instant.isoformat()) == truth.TRUE


@st.composite
def business_hours(draw: st.DrawFn) -> BusinessHours:
    begin, end = sorted(draw(st.lists(st.integers(0, 24 * 60), min_size=2, max_size=2, unique=True)))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    free = draw(st.frozensets(st.dates(date(2011, 12, 20), date(2012, 1, 10)), max_size=12))
    return BusinessHours(days, begin, end, draw(st.sampled_from(ZONES)), free)


#: Around the day that Samoa left out, around changes of clocks, and anywhere.
MOMENTS = st.one_of(
    st.integers(at("2011-12-28"), at("2012-01-02")),
    st.integers(at("2026-03-27"), at("2026-04-06")),
    st.integers(at("2026-10-23"), at("2026-10-27")),
    st.integers(at("2000-01-01"), at("2100-01-01")),
)


@given(business_hours(), MOMENTS)
@example(BusinessHours(frozenset({6}), 150, 160, "Europe/Berlin"), at("2026-03-29T01:00:00+00:00"))
def test_due_is_open(hours: BusinessHours, now: int) -> None:
    """What is due is due within the hours, and never earlier than now."""
    due = hours.next_open(now)
    assert due >= now
    assert is_open(hours, due)


@given(business_hours(), MOMENTS, st.integers(0, 200 * HOUR))
def test_order_is_kept(hours: BusinessHours, now: int, later: int) -> None:
    """What is made later is not due earlier, with a delay, too."""
    options = ActionOptions(delay=5 * 60_000, hold=hours)
    assert options.due(now) <= options.due(now + later)


@given(st.integers(at("2026-01-01"), at("2027-01-01")))
def test_nothing_waits_longer_than_it_must(now: int) -> None:
    """Where the clock on the wall says that it is open, nothing waits; and nothing waits past an opening."""
    due = BERLIN.next_open(now)
    if is_open(BERLIN, now):
        assert due == now
    else:
        assert not any(is_open(BERLIN, moment) for moment in range(now, due, HOUR))
        assert not is_open(BERLIN, due - 1)


@pytest.mark.parametrize(
    ("zone", "begin", "end", "now", "due"),
    [
        # The clock jumps from 2:00 to 3:00: half past two is half past three.
        ("Europe/Berlin", 150, 18 * 60, "2026-03-29T00:00:00+01:00", "2026-03-29T03:30:00+02:00"),
        # All hours of the day are left out: it opens on the next one.
        ("Europe/Berlin", 130, 170, "2026-03-29T00:00:00+01:00", "2026-03-30T02:10:00+02:00"),
        # From 2:00 to 3:00 there is twice: it opens at the second half past two, when it would be open for good.
        ("Europe/Berlin", 150, 18 * 60, "2026-10-25T02:40:00+02:00", "2026-10-25T02:30:00+01:00"),
        # A day of 23 hours is a day.
        ("Europe/Berlin", 8 * 60, 24 * 60, "2026-03-28T23:59:59+01:00", "2026-03-28T23:59:59+01:00"),
        ("Europe/Berlin", 8 * 60, 24 * 60, "2026-03-29T00:00:00+01:00", "2026-03-29T08:00:00+02:00"),
        # Samoa went from the 29th to the 31st.
        ("Pacific/Apia", 8 * 60, 18 * 60, "2011-12-29T20:00:00-10:00", "2011-12-31T08:00:00+14:00"),
    ],
)
def test_clocks_that_jump(zone: str, begin: int, end: int, now: str, due: str) -> None:
    """It opens by the clock on the wall, also where that jumps."""
    hours = BusinessHours(frozenset(range(7)), begin, end, zone)
    assert hours.next_open(at(now)) == at(due)


def test_first_the_delay() -> None:
    """A delay that ends at night is followed by the next open hour; one that ends by day is all that is waited."""
    options = ActionOptions(delay=2 * HOUR, hold=BERLIN)
    assert options.due(at("2026-12-24T17:00")) == at("2026-12-28T08:00")
    assert options.due(at("2026-12-24T07:00")) == at("2026-12-24T09:00")
    assert ActionOptions(delay=2 * HOUR).due(at("2026-12-24T17:00")) == at("2026-12-24T19:00")
    assert ActionOptions().due(5) == 5


def test_many_free_days() -> None:
    """Free days are passed over however many they are."""
    first = date(2026, 1, 1)
    hours = BusinessHours(frozenset({3}), 0, 24 * 60, "UTC", frozenset(first + timedelta(days=n) for n in range(400)))
    assert hours.next_open(at("2026-01-01T00:00:00+00:00")) == at("2027-02-11T00:00:00+00:00")


def test_in_words() -> None:
    """What a delivery waits for is said in its order."""
    hours = BusinessHours(frozenset({0}), 0, 60, "UTC", says="mon 00:00-01:00 UTC")
    assert ActionOptions().waits_for == ""
    assert ActionOptions(delay=5).waits_for == "the delay of its rule"
    assert (
        ActionOptions(delay=5, hold=hours).waits_for
        == "the delay of its rule, then business hours (mon 00:00-01:00 UTC)"
    )
