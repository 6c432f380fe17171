"""When a source sends: the minutes in which something came of it, and what is usual by them.

Comes in: for each day the bits of its minutes, as the store keeps them. Goes out: minutes, spans. Pure: never asks the
store or a clock. Minutes are counted, not events: an import of a thousand is a minute, as is a single order.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median

#: Minutes of a day.
DAY = 1_440
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
