"""How often each rule fired, by day.

Comes in: what the rules said of an event, or the store. Goes out: counts, written once a second, or what they say of
the last 31 days. Names of rules and numbers only, never a value of anybody.
"""

import contextlib
import time
from datetime import UTC, datetime

from mailroom.client import MailroomClient
from mailroom.errors import StoreUnavailable
from rules.rulebook import Matching
from rules.tools.coverage import RuleCount, RuleCounts, RuleEvent

DAY = 86_400_000  # ms
#: Days that are read: as long as the store keeps a page.
DAYS = 31


class RuleTally:
    """What rules did since it was last written. A killed process loses it: a second of counts, no event."""

    def __init__(self) -> None:
        #: What they did and the name of the rule, as it stands on a page -> how often.
        self.waiting: dict[str, int] = {}

    def add(self, matching: Matching) -> None:
        """Count what the rules said of an event."""
        for rule in matching.fired:
            self._raise(f"fired|{rule.name}")
        for rule in matching.observed:
            self._raise(f"observed|{rule.name}")
        if matching.unreached is not None:
            self._raise(f"unreached|{matching.unreached.name}")

    def _raise(self, name: str) -> None:
        self.waiting[name] = self.waiting.get(name, 0) + 1

    async def write(self, mailroom: MailroomClient) -> None:
        """Write it to the page of today. Where the store takes nothing it is lost: nothing hangs on it."""
        if not self.waiting:
            return
        counts, self.waiting = self.waiting, {}
        now = int(time.time() * 1000)
        page = mailroom.key(page_of(now))
        pipe = mailroom.store.pipeline(transaction=False)
        for name, n in counts.items():
            pipe.hincrby(page, name, n)
        pipe.hset(page, mapping={f"last|{name}": now for name in counts})
        pipe.expire(page, DAYS * DAY // 1000)
        with contextlib.suppress(StoreUnavailable):
            await mailroom.read(pipe.execute())


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
