"""What an answer's headers say of waits and of the vendor's own limits.

Comes in: headers, and what the book knows of the key's quota. Goes out: how long nothing may be sent, and how many
requests are left of that quota. Never believes that a limit of seconds is the quota of a day.

Read are `Retry-After`; `RateLimit` with its items (draft-ietf-httpapi-ratelimit-headers, from its version 03 on:
`limit=100, remaining=0, reset=20`; `"day";r=0;t=20`); and all names with `RateLimit` and a word for what they hold:
`RateLimit-Remaining`, `X-RateLimit-Reset`, HubSpot's `X-HubSpot-RateLimit-Daily-Remaining`, Pipedrive's
`x-daily-ratelimit-token-remaining`. Lexware, ActiveTrail and Maileon document none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from rules.quota import Quota

#: Seconds by which the vendor's clock may differ from ours where both speak of the end of the same page.
SLACK = 300.0
#: What ends sooner is no page of a day, whatever its number.
SHORT = 3_600.0
#: Seconds, the longest wait that is believed: daily quotas end within a day, a larger number is an error.
LONGEST_WAIT = 86_400.0
#: From here on a number is a Unix time and no wait, and from here on one in milliseconds.
UNIX_TIMES = (1e9, 1e11)

#: Characters of a name; longer ones are no vendor's.
LONGEST_NAME = 100

_NAME = re.compile(r"(?:^|-)rate-?limit(?:-|$)")
_KINDS: Mapping[str, str] = {
    "remaining": "remaining",
    "left": "remaining",
    "r": "remaining",
    "reset": "reset",
    "t": "reset",
    "limit": "limit",
    "max": "limit",
}
#: Words in a name or in the name of a policy that say of how long a time it is.
_SPANS: Mapping[str, str] = {
    "day": "day",
    "daily": "day",
    "month": "month",
    "monthly": "month",
    "hour": "short",
    "hourly": "short",
    "minute": "short",
    "second": "short",
    "secondly": "short",
    "burst": "short",
}
_COUNT = re.compile(r"-?\d{1,12}")
_SECONDS = re.compile(r"(\d+(?:\.\d*)?)\s*(?:s|secs?|seconds?)?", re.ASCII | re.IGNORECASE)
#: A comma, unless it is the one of an HTTP date.
_BETWEEN_WAITS = re.compile(r",(?!\s*\d{1,2}[ -](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))", re.IGNORECASE)
_PAIR = re.compile(r'([a-z]+)\s*=\s*"?([^";,]+)', re.IGNORECASE)


@dataclass
class VendorLimit:
    """One of a vendor's limits, as far as it says."""

    remaining: int | None = None
    limit: int | None = None
    #: Seconds until all is left again.
    reset: float | None = None
    #: day, month, short; empty: its name does not say.
    span: str = ""


def read(headers: Mapping[str, str], now: datetime | None = None) -> list[VendorLimit]:
    """Return the limits that headers tell of; those of which neither what is left nor a reset is said are left out."""
    found: dict[tuple[str, ...], VendorLimit] = {}
    for header, value in headers.items():
        name = header.lower()
        if len(name) > LONGEST_NAME or (about := _read_name(name)) is None:
            continue
        kind, rest, span = about
        if not kind:
            for n, item in enumerate(re.split(r',(?=\s*")', value)):
                words = re.findall(r"[a-z]+", item.partition(";")[0].lower()) if ";" in item else []
                limit = found[name, str(n)] = VendorLimit(span=_span(words))
                for key, said in _PAIR.findall(item):
                    _note(limit, key.lower(), said, now)
            continue
        _note(found.setdefault(rest, VendorLimit(span=span)), kind, value, now)
    return [limit for limit in found.values() if limit.remaining is not None or limit.reset is not None]


@lru_cache(maxsize=512)
def _read_name(name: str) -> tuple[str, tuple[str, ...], str] | None:
    """Return what a header of this name holds, of which limit, and of how long a time; None: it tells of no limit.

    Holds nothing: its items say what they hold. Cached: a vendor's answers have the same headers each time.
    """
    if not _NAME.search(name) or name.endswith("-policy"):
        return None
    if name.removeprefix("x-") == "ratelimit":
        return "", (), ""
    words = [word for word in _NAME.sub("-", name).split("-") if word not in ("", "x")]
    kind = next((word for word in words if word in _KINDS), "limit")
    rest = tuple(word for word in words if word != kind)
    return kind, rest, _span(rest)


def _span(words: Iterable[str]) -> str:
    return next((_SPANS[word] for word in words if word in _SPANS), "")


def _note(limit: VendorLimit, word: str, value: str, now: datetime | None) -> None:
    value = value.partition(",")[0].partition(";")[0].strip()
    match _KINDS.get(word):
        case "remaining" if _COUNT.fullmatch(value):
            limit.remaining = max(0, int(value))
        case "limit" if _COUNT.fullmatch(value) and value[0] != "-":
            limit.limit = int(value)
        case "reset":
            limit.reset = _read_wait(value, now or datetime.now(UTC))


def read_retry_after(value: str, now: datetime) -> float:
    """Return the seconds of a `Retry-After`, between 0 and LONGEST_WAIT.

    Seconds, an HTTP date, an ISO 8601 date (without an offset: UTC) or a Unix time in seconds or milliseconds; of
    several that a proxy joined, the longest. What is past, negative or nonsense is 0.
    """
    return min(
        max((_read_wait(part.strip(' "'), now) for part in _BETWEEN_WAITS.split(value)), default=0.0), LONGEST_WAIT
    )


def _read_wait(value: str, now: datetime) -> float:
    if found := _SECONDS.fullmatch(value):
        seconds = float(found[1])
        if seconds < UNIX_TIMES[0] or seconds >= 10_000 * UNIX_TIMES[0]:
            return seconds
        return max(0.0, (seconds if seconds < UNIX_TIMES[1] else seconds / 1000) - now.timestamp())
    try:
        then = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
        then = then if then.tzinfo is not None else then.replace(tzinfo=UTC)
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def find_rest(limits: Sequence[VendorLimit], *, refused: bool = False) -> float:
    """Return the seconds for which nothing may be sent, 0 if nothing says so.

    A limit of which nothing is left lasts until its reset. `refused`: the answer was 429, so the one that resets first
    counts where none says that nothing is left.
    """
    over = [limit.reset for limit in limits if limit.remaining == 0 and limit.reset is not None]
    if not over and refused:
        over = [min((limit.reset for limit in limits if limit.reset is not None), default=0.0)]
    return min(max(over, default=0.0), LONGEST_WAIT)


def find_left(limits: Sequence[VendorLimit], quota: Quota, now: int) -> int | None:
    """Return how many requests the vendor says are left of a quota; None where none of its limits is that quota's.

    It is that quota's where its name says day or month as the book does; or where it ends when our page does, and not
    within the hour; or where it has no end and the book's number. `now`: ms since 1970.
    """
    ends = (quota.page(now)[1] - now) / 1000
    lefts = []
    for limit in limits:
        if limit.remaining is None or limit.span not in ("", quota.per):
            continue
        if limit.reset is not None:
            same = limit.reset > SHORT and abs(limit.reset - ends) <= SLACK
        else:
            same = limit.limit == quota.number
        if same or limit.span:
            lefts.append(limit.remaining)
    return min(lefts, default=None)
