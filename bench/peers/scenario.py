"""The scenario: which webhooks there are, what the destination does with them, what counts as lost or out of order.

0.8 kB contact updates, each person's five after one another; four of five match; four fields are mapped. The next
webhook of a person is sent when the one before it was acknowledged, so their order is a fact.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bench.stage import bodies

#: Webhooks of one person.
EACH = 5
#: Seconds that the destination takes, and after which a refused delivery may come again (`Retry-After`).
DELAY, AGAIN = 0.02, 1
#: Of so many webhooks these are answered with this status when they arrive for the first time: about 1 % each.
CYCLE, FAULTS = 101, {7: 503, 57: 429}
NUMBER = re.compile(rb"Muster (\d+)")

WORDS = (
    "0.8 kB contact updates over 32 connections, {count} in a run, five of each person in a row; 80 % match, "
    "four fields are mapped, the destination answers after 20 ms, refuses 1 % with 503 and 1 % with 429 at first, with "
    "`Retry-After: 1`. Once undisturbed; once with `kill -9` for all of the tool's processes, its store included, when "
    "half was acknowledged, and a restart on what is on disk. Missing: acknowledged, matching, and not delivered in "
    "the time that the tool's own rules need; kept: still in its store then; the rest is lost. "
    "Delivered/s is that of the first nine tenths; CPU is the processor time of all of the tool's processes, its store "
    "included, undisturbed, for 1,000 acknowledged webhooks. Relais sends nothing to a destination for as long as "
    "`Retry-After` says, and each refusal here says it; the others send on."
)


def matches(number: int) -> bool:
    """Whether a webhook is to be delivered: it is about somebody in Berlin."""
    return (number + number // EACH) % 5 != 0


def person(number: int) -> int:
    """Return whom a webhook is about."""
    return number // EACH


def fault(number: int) -> int:
    """Return the status with which a webhook is refused at first, 0 if it is taken at once."""
    return FAULTS.get(number % CYCLE, 0)


def webhooks(count: int) -> list[bytes]:
    """Return the bodies; the number of each stands in the last name, which is mapped."""
    out = []
    for number, body in enumerate(bodies(count)):
        body = body.replace(b"person%d@" % number, b"person%d@" % person(number))
        out.append(body if matches(number) else body.replace(b'"city": "Berlin"', b'"city": "Hamburg"'))
    return out


def lanes(count: int, connections: int) -> list[list[int]]:
    """Return the numbers that each connection sends, in this order: a person's webhooks keep to one connection."""
    out: list[list[int]] = [[] for _ in range(connections)]
    for number in range(count):
        out[person(number) % connections].append(number)
    return out


@dataclass(frozen=True)
class PeerVerdict:
    """What became of the acknowledged webhooks."""

    acknowledged: int
    missing: int
    order_breaks: int
    repeated: int


def speed(times: Sequence[float]) -> float:
    """Return how many a second were delivered in the first nine tenths: the last ones wait for their retries."""
    most = len(times) * 9 // 10
    return most / times[most - 1] if most else 0.0


def judge(acknowledged: Collection[int], delivered: Sequence[int]) -> PeerVerdict:
    """Compare what was acknowledged with what the destination took, in this order."""
    times = Counter(delivered)
    missing = sum(matches(number) and number not in times for number in acknowledged)
    repeated = sum(n - 1 for n in times.values())
    return PeerVerdict(len(acknowledged), missing, _breaks(dict.fromkeys(delivered)), repeated)


def _breaks(delivered: Iterable[int]) -> int:
    """Return how many were delivered after a later one of the same person."""
    latest: dict[int, int] = {}
    breaks = 0
    for number in delivered:
        who = person(number)
        breaks += number < latest.get(who, -1)
        latest[who] = max(number, latest.get(who, -1))
    return breaks
