"""What a book that is only observed would do otherwise than the book in force, event by event.

Comes in: an event that is being routed, the two books, and what was looked up for it. Goes out: counters and a part of
the event's ledger line, without a value of anybody. Never sends, makes or looks up anything, and never raises: whatever
is wrong with the other book is counted, and the event goes its way.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailroom.ledger import LONGEST_WHY, ShadowDifference
from rules.event import Event
from rules.tools.preview import Answer, BookPair
from workers.drain.plan import why_failed

log = logging.getLogger("relais.drain")


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """What is written down of one event."""

    #: Version of the observed book.
    book: str
    #: Counters that the event's settlement raises.
    counters: tuple[str, ...]
    #: What differs; none: both books ask for the same.
    differences: tuple[ShadowDifference, ...] = ()

    def as_line(self) -> Mapping[str, Any] | None:
        """Return its part of the ledger line; None where there is nothing to say."""
        return {"book": self.book, "differs": self.differences} if self.differences else None


def compare(pair: BookPair, event: Event, answer: Answer, newest: Mapping[str, str]) -> ShadowVerdict:
    """Decide an event by both books. `answer`: what was looked up; `newest`: what is known of newer events."""
    version = pair.new.version
    page = f"@shadow:{version}"
    try:
        found = pair.compare(event, answer, newest)
    except Exception as exc:
        log.warning("shadow.failed event_id=%s book=%s why=%s", event.id, version, why_failed(exc))
        return ShadowVerdict(version, (f"{page} failed",))
    differs: list[ShadowDifference] = []
    for each in found.differences:
        differs += [(each.change, each.action, each.rule, each.why[:LONGEST_WHY])] * each.count
    differs += [("undecided", "", rule, why[:LONGEST_WHY]) for rule, whys in found.undecided.items() for why in whys]
    if not differs:
        return ShadowVerdict(version, (f"{page} same",))
    counters = [f"{page} {change}|{action}|{rule}" for change, action, rule, _ in differs]
    return ShadowVerdict(
        version, (f"{page} differs", *counters, f">shadowed:{version} {event.id}"), tuple(dict.fromkeys(differs))
    )
