"""When a source sends: the minutes in which something came of it, and what is usual by them.

Comes in: for each day the bits of its minutes, as the store keeps them. Goes out: minutes, spans. Pure: never asks the
store or a clock. Minutes are counted, not events: an import of a thousand is a minute, as is a single order.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median

#: Minutes of a day.
DAY = 1_440
WEEK = 7 * DAY
#: Weeks that teach what is usual, and how many it takes.
MOST_WEEKS, FEWEST_WEEKS = 4, 2
#: A source is quiet if in the same span of former weeks it sent in so many minutes, and after so many at the earliest.
EXPECTED, SHORTEST = 10, 60
#: So many gaps are needed before one is called usual.
FEWEST_GAPS = 5


def find_minutes(days: Mapping[int, bytes]) -> list[int]:
    """Return the minutes since 1970 whose bit is set, in order. `days`: day since 1970 -> its bits."""
    return [day * DAY + minute for day in sorted(days) for minute in _read_bits(days[day])]


def _read_bits(bits: bytes) -> Iterator[int]:
    for at, byte in enumerate(bits):
        if byte:
            yield from (at * 8 + bit for bit in range(8) if byte & 128 >> bit)


def find_usual_gap(minutes: Sequence[int]) -> int | None:
    """Return how many minutes usually pass until it sends again, None where too little came to say."""
    gaps = [after - before for before, after in pairwise(minutes)]
    return round(median(gaps)) if len(gaps) >= FEWEST_GAPS else None


def find_deaf(receivers: Sequence[int], last: int, now: int) -> frozenset[int]:
    """Return the minutes between two in which no receiver was there. `receivers`: those in which one was, in order.

    Of the time before the first of them nothing is known, so none is deaf.
    """
    first = max(last + 1, receivers[0]) if receivers else now
    return frozenset(range(first, now)).difference(receivers)


def expect(minutes: Sequence[int], last: int, now: int, deaf: Collection[int] = frozenset()) -> tuple[int, int] | None:
    """Return in how many minutes it usually sent in the span of the week from `last` to `now`, and by how many weeks.

    Of that span in the last weeks the poorest but one counts, of two the poorer: an import that came once is not waited
    for. Of a longer silence its first week counts. All are minutes since 1970. None: it is not known for long enough.
    Nothing is expected in `deaf` minutes, in which no receiver was there.
    """
    weeks = min(MOST_WEEKS, (last - minutes[0]) // WEEK) if minutes else 0
    if weeks < FEWEST_WEEKS:
        return None
    until = min(now, last + WEEK)
    spans = [(last - ago * WEEK, until - ago * WEEK) for ago in range(1, weeks + 1)]
    counts = sorted(
        sum(
            minute + ago * WEEK not in deaf
            for minute in minutes[bisect_right(minutes, begin) : bisect_right(minutes, end)]
        )
        for ago, (begin, end) in enumerate(spans, 1)
    )
    return counts[(weeks - 1) // 2], weeks


def explain_silence(minutes: Sequence[int], last: int, now: int, deaf: Collection[int] = frozenset()) -> str:
    """Return in words why a silence is long by the source's own rhythm; empty: it is not. Minutes since 1970.

    `deaf`: those of them in which no receiver was there.
    """
    if now - last - len(deaf) < SHORTEST or (found := expect(minutes, last, now, deaf)) is None or found[0] < EXPECTED:
        return ""
    return f"in the same span of the last {found[1]} weeks it sent in {found[0]} minutes or more"
