"""What a worker process knows of failures: noted as they happen, written once a second, told where they are news.

Comes in: dead letters. Goes out: cases in the store, and the alerts `case_new` and `case_came_back`. Never holds up a
delivery: what the store does not take now is written later.
"""

import time
from collections import Counter

from mailroom import Mailroom, StoreUnavailable, cases
from mailroom.cases import FailureCase, FailureCause
from mailroom.records import DeadLetterInfo
from workers.alerts import AlertSender

NEW, CAME_BACK = "case_new", "case_came_back"


class CaseKeeper:
    """One for a worker process."""

    def __init__(self, mailroom: Mailroom, alerts: AlertSender) -> None:
        self._mailroom = mailroom
        self._alerts = alerts
        self._seen: Counter[FailureCause] = Counter()

    def note(self, info: DeadLetterInfo) -> None:
        """Something has become a dead letter."""
        self._seen[FailureCause(info.room, info.code, info.rule)] += 1

    async def look(self) -> None:
        """Write what was noted, tell what is news, and answer whoever tests the alerts. Raises StoreUnavailable."""
        if test := await cases.take_test(self._mailroom):
            self._alerts.answer_soon(test)
        if not self._seen:
            return
        seen, self._seen = self._seen, Counter()
        try:
            news = await cases.note(self._mailroom, seen, time.time_ns() // 1_000_000)
        except StoreUnavailable:
            self._seen.update(seen)
            raise
        for case in news:
            self._tell(case)

    def _tell(self, case: FailureCase) -> None:
        cause = case.cause
        where = "the inbox" if cause.destination == "in" else cause.destination
        by = f' (rule "{cause.rule}")' if cause.rule else ""
        about = {"destination": cause.destination, "reason": cause.code, "rule": cause.rule}
        if case.state == "new":
            self._alerts.tell(NEW, f"{where}: {cause.code}{by}: a new kind of failure", **about)
        else:
            text = f"{where}: {cause.code}{by} fails again, {case.count} times so far"
            self._alerts.tell(CAME_BACK, text, **about)
