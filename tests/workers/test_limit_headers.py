"""What headers say of waits and limits: `Retry-After`, the drafts of `RateLimit`, and the names that vendors have."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from rules.quota import Quota
from workers import limit_headers
from workers.http import HttpAnswer
from workers.limit_headers import LONGEST_WAIT

#: Noon: the day in UTC has twelve hours left.
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HALF_A_DAY = 43_200
NOON = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0.5 ", 0.5),
        ("Sat, 21 Nov 2026 12:05:00 GMT", 300),
        ("Sat, 21 Nov 2026 12:05:00", 300),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("999999999", LONGEST_WAIT),
        ("Mon, 21 Nov 2099 12:00:00 GMT", LONGEST_WAIT),
        ("-5", 0),
        ("soon", 0),
        ("1e400", 0),
        ("", 0),
        ("Sat, 99 Nov 2026 12:05:00 GMT", 0),
        ("120, 120", 120),
        ("30,120", 120),
        ("30, soon", 30),
        ("Sat, 21 Nov 2026 12:01:00 GMT, Sat, 21 Nov 2026 12:05:00 GMT", 300),
        ("120, Sat, 21 Nov 2026 12:05:00 GMT", 300),
        ("Saturday, 21-Nov-26 12:05:00 GMT", 300),
        ("Sat Nov 21 12:05:00 2026", 300),
        ("2026-11-21T12:05:00Z", 300),
        ("2026-11-21T13:05:00.500+01:00", 300.5),
        ("2026-11-21 12:05:00", 300),
        ("2026-11-21T11:00:00Z", 0),
        (str(int(NOW.timestamp()) + 300), 300),
        (str(int(NOW.timestamp()) * 1000 + 300_000), 300),
        (str(int(NOW.timestamp()) - 300), 0),
        ("9" * 400, LONGEST_WAIT),
        ("120s", 120),
        ("2 seconds", 2),
        ('"120"', 120),
        ("120;", 0),
        ("\u0661\u0662", 0),
        ("2026-99-21T12:05:00Z", 0),
        (",", 0),
    ],
)
def test_d8c_retry_after(value: str, seconds: float) -> None:
    """D8c: seconds, dates and Unix times are read, joined ones, too; what is past or nonsense is 0, a day the most."""
    assert limit_headers.read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "30"}, (7, 100, 30, "")),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON // 1000 + 90)}, (0, None, 90, "")),
        ({"RateLimit-Limit": "10, 10;w=1, 50;w=60", "RateLimit-Remaining": "9"}, (9, 10, None, "")),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, (50, 100, 5, "")),
        ({"RateLimit": '"default";r=50;t=30'}, (50, None, 30, "")),
        ({"RateLimit": '"daily";r=12;t=43200', "RateLimit-Policy": '"daily";q=50;w=86400'}, (12, None, 43_200, "day")),
        # HubSpot (second-hand) and Pipedrive.
        (
            {"X-HubSpot-RateLimit-Daily": "250000", "X-HubSpot-RateLimit-Daily-Remaining": "249999"},
            (249_999, 250_000, None, "day"),
        ),
        (
            {"X-HubSpot-RateLimit-Secondly": "19", "X-HubSpot-RateLimit-Secondly-Remaining": "18"},
            (18, 19, None, "short"),
        ),
        ({"x-daily-ratelimit-token-remaining": "29990"}, (29_990, None, None, "day")),
        ({"X-Rate-Limit-Remaining-Day": "3"}, (3, None, None, "day")),
        ({"X-RateLimit-Remaining": "-1"}, (0, None, None, "")),
    ],
)
def test_read(headers: Mapping[str, str], told: tuple[object, ...]) -> None:
    """One limit: what is left, of how many, until when in seconds, and of how long a time its name says it is."""
    (limit,) = limit_headers.read(headers, NOW)
    assert (limit.remaining, limit.limit, limit.reset, limit.span) == told


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json", "X-Frame-Options": "deny"},
        {"X-RateLimit-Limit": "100"},
        {"X-RateLimit-Remaining": "many"},
        {"X-RateLimit-Remaining": "9" * 40},
        {"RateLimit": "nonsense"},
        {"RateLimit-Policy": '"default";q=100;w=10'},
        {"X-HubSpot-RateLimit-Interval-Milliseconds": "10000"},
        {"X-RateLimit-" + "a-" * 60 + "Remaining": "0"},  # no vendor has such a name
    ],
)
def test_read_nothing(headers: Mapping[str, str]) -> None:
    """What says neither what is left nor a reset says nothing."""
    assert limit_headers.read(headers, NOW) == []


def test_several() -> None:
    """Several limits are told apart."""
    headers = {
        "x-ratelimit-limit": "20",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "2",
        "x-daily-ratelimit-token-remaining": "500",
    }
    limits = limit_headers.read(headers, NOW)
    assert limit_headers.find_rest(limits) == 2
    assert limit_headers.find_left(limits, Quota(limit="30000/day"), NOON) == 500
    two = limit_headers.read({"RateLimit": '"burst";r=0;t=4, "daily";r=9;t=43000'}, NOW)
    assert (limit_headers.find_rest(two), limit_headers.find_left(two, Quota(limit="10/day"), NOON)) == (4, 9)


@pytest.mark.parametrize(
    ("headers", "quota", "left"),
    [
        # It ends when our page does.
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(HALF_A_DAY)}, "100/day", 7),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(HALF_A_DAY + 60)}, "100/day", 7),
        # It does not: 8 left of ten seconds are not 8 left of the day, whatever the number.
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "8", "X-RateLimit-Reset": "10"}, "100/day", None),
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "8", "X-RateLimit-Reset": "21600"}, "100/day", None),
        # It does not say when it ends: the book's number tells.
        ({"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "8"}, "100/day", 8),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "8"}, "100/day", None),
        ({"X-RateLimit-Remaining": "8"}, "100/day", None),
        # Its name says of how long a time it is.
        ({"X-RateLimit-Remaining-Day": "8"}, "100/day", 8),
        ({"X-RateLimit-Remaining-Day": "8"}, "100/month", None),
        ({"X-RateLimit-Remaining-Month": "8", "X-RateLimit-Remaining-Day": "1"}, "100/month", 8),
        ({"X-RateLimit-Limit-Minute": "100", "X-RateLimit-Remaining-Minute": "8"}, "100/day", None),
    ],
)
def test_find_left(headers: Mapping[str, str], quota: str, left: int | None) -> None:
    """What is left counts for the quota of the book only where it is that of the same page."""
    assert limit_headers.find_left(limit_headers.read(headers, NOW), Quota(limit=quota), NOON) == left


def test_end_of_the_page() -> None:
    """In the last hour a limit of seconds may end when the page does; it is not taken for it."""
    late = NOON + (HALF_A_DAY - 60) * 1000
    limits = limit_headers.read({"X-RateLimit-Remaining": "8", "X-RateLimit-Reset": "60"}, NOW)
    assert limit_headers.find_left(limits, Quota(limit="100/day"), late) is None


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7", "X-RateLimit-Reset": "60"}, 7),
        (429, {"X-RateLimit-Reset": "60"}, 60),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, 60),
        (429, {"RateLimit": '"burst";r=0;t=4, "daily";r=9;t=43000'}, 4),
        (429, {"X-RateLimit-Remaining": "5"}, 0),
        (429, {"X-RateLimit-Reset": "99999999"}, LONGEST_WAIT),
        (503, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, 60),
        (503, {"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "60"}, 0),
        (429, {}, 0),
    ],
)
def test_wait_of_an_answer(status: int, headers: Mapping[str, str], seconds: float) -> None:
    """Where `Retry-After` does not say how long to wait, the reset of the limit that is used up does."""
    assert HttpAnswer(status, {name.lower(): value for name, value in headers.items()}, "", b"").wait(NOW) == seconds
