"""How often each rule fired, by day.

Comes in: what the rules said of an event, or the store. Goes out: the counters that its settlement raises, a line each,
or what they say of the last 31 days. Names of rules and numbers only, never a value of anybody.
"""

import time
from datetime import UTC, datetime

from mailroom.client import MailroomClient
from rules.rulebook import Matching
from rules.tools.coverage import RuleCount, RuleCounts, RuleEvent

DAY = 86_400_000  # ms
#: Days that are read: as long as the store keeps a page.
DAYS = 31


def counters(matching: Matching) -> list[str]:
    """Return the counters of an event's rules: on the page of today, which the settlement makes if need be."""
    page = f"@{page_of(int(time.time() * 1000))}"
    lines = [f"{page} fired|{rule.name}" for rule in matching.fired]
    lines += [f"{page} observed|{rule.name}" for rule in matching.observed]
    if matching.unreached is not None:
        lines.append(f"{page} unreached|{matching.unreached.name}")
    return lines


async def read(mailroom: MailroomClient, since: int) -> RuleCounts:
    """Return what was counted, whole days in UTC from that of `since` on (ms) and all that is kept.

    Raises StoreUnavailable.
    """
    today = int(time.time() * 1000) // DAY
    days = range(today - DAYS, today + 2)  # a worker's clock may be ahead
    pipe = mailroom.store.pipeline(transaction=False)
    for day in days:
        pipe.hgetall(mailroom.key(page_of(day * DAY)))
    found: dict[tuple[RuleEvent, str], RuleCount] = {}
    first = 0
    for day, page in zip(days, await mailroom.read(pipe.execute()), strict=True):
        first = first or (day * DAY if page else 0)
        for field, value in page.items():
            what, _, rule = field.decode().partition("|")
            last = what == "last"
            if last:
                what, _, rule = rule.partition("|")
            count = found.setdefault((what, rule), RuleCount())
            if last:
                count.last = max(count.last, int(value))
            else:
                count.kept += int(value)
                count.since += int(value) if day >= since // DAY else 0
    return RuleCounts(found, first)


def page_of(ms: int) -> str:
    """Return the page of the day of a time."""
    return f"rules:{ms // DAY}"


def begin_of_day(ms: int) -> str:
    """Return the day, in UTC, to which counting goes back where a time is asked for."""
    return datetime.fromtimestamp(ms // DAY * DAY / 1000, UTC).date().isoformat()
