"""When somebody is there: the days and hours that `hold: until business hours` waits for.

Comes in: an instant. Goes out: the first instant from then on at which it is open. Never reads a clock or the book.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class BusinessHours:
    """`business_hours:` of the book. The beginning belongs to them, the end does not."""

    #: Days of the week, 0 is Monday.
    days: frozenset[int]
    #: Minutes since midnight by the clock on the wall; the end is after the beginning, 1440 at the most.
    begin: int
    end: int
    #: Name of the zone: `Europe/Berlin`.
    zone: str
    #: Days on which nobody is there.
    free: frozenset[date] = frozenset()
    #: As the book says it, for people: `mon-fri 08:00-18:00 Europe/Berlin`.
    says: str = ""

    def next_open(self, at: int) -> int:
        """Return the first instant from `at` on at which it is open; both in ms since 1970. A later `at` never opens
        before an earlier one.
        """
        now = datetime.fromtimestamp(at / 1000, UTC)
        day = now.astimezone(ZoneInfo(self.zone)).date()
        while True:
            opens, closes = self._span(day)
            if opens < closes and now < closes:
                return max(at, int(opens.timestamp() * 1000))
            day += timedelta(days=1)

    def _span(self, day: date) -> tuple[datetime, datetime]:
        """Return from when to when it is open on a day; a day on which it is not closes when it opens.

        A time of the day that comes twice (clocks are put back) opens at the second and closes at the first one, and
        one that is left out opens after and closes before the gap: it is never open by a reading of the wall clock
        outside of its hours.
        """
        midnight = datetime.combine(day, time(), ZoneInfo(self.zone))
        opens = max(_both(midnight + timedelta(minutes=self.begin)))
        if day.weekday() not in self.days or day in self.free:
            return opens, opens
        return opens, min(_both(midnight + timedelta(minutes=self.end)))

    def __str__(self) -> str:
        return self.says


def _both(local: datetime) -> tuple[datetime, datetime]:
    return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)
