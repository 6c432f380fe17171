"""A delivery: one action of one event, as it waits in a destination's room.

Comes in: an action of a rule, or a record of the store. Goes out: the record, or the delivery. Never needs the book or
a look-up to be carried out, not even after days; only `next:` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json


@dataclass(slots=True)
class Delivery:
    """One thing to do at one destination. Its arguments are personal data."""

    id: str
    event: str
    #: The event's page of the ledger, `2026-11-21`.
    day: str
    destination: str
    action: str
    rule: str
    #: The action's place in the rule (see `rules.action.Action.path`).
    path: tuple[int, ...]
    #: Version of the book that made it.
    book: str
    arguments: Mapping[str, Any]
    #: Hash of the name that is its home: the name of its box.
    box: str
    #: Milliseconds that the event's payload outlives its settling.
    retain: int = 0
    #: Look-up results by name, kept only where `next:` may want them; None: nothing follows.
    results: Mapping[str, Any] | None = None
    in_order: bool = False
    #: Wall clock in ms before which it is not sent (`delay:` and `hold:` of the rule), and the wait itself, which is
    #: the longest that it waits whatever the clock says; 0: at once.
    due: int = 0
    delay: int = 0
    #: It may have been sent before: a dead letter that a person retries. Mostly written by `mailroom/lua`.
    doubtful: bool = False
    #: Its person leaves: what waits of earlier events becomes stale. `waits`: it does so when its person leaves.
    leaves: bool = False
    waits: bool = False
    #: `hold: until business hours`: each attempt waits for them.
    hold: bool = False
    #: Its rule looks something up at delivery: `arguments` has only what names its object until that is done.
    late: bool = False
    #: The traceparent of what made it, and when, in ms since 1970, where traces are sent.
    origin: tuple[str, int] | None = None

    def encode(self) -> bytes:
        """Return it as JSON."""
        # At the head, where the mailroom looks for it.
        record: dict[str, Any] = {"doubtful": True} if self.doubtful else {}
        if self.leaves:
            record["leaves"] = True
        elif self.waits:
            record["waits"] = True
        record |= {
            "id": self.id,
            "event": self.event,
            "day": self.day,
            "to": self.destination,
            "action": self.action,
            "rule": self.rule,
            "path": self.path,
            "book": self.book,
            "box": self.box,
            "args": self.arguments,
        }
        if self.retain:
            record["retain"] = self.retain
        if self.results is not None:
            record["results"] = self.results
        if self.in_order:
            record["in_order"] = True
        if self.delay:
            record["due"], record["delay"] = self.due, self.delay
        if self.hold:
            record["hold"] = True
        if self.late:
            record["late"] = True
        if self.origin is not None:
            record["trace"] = self.origin
        return to_json(record)


def decode(record: bytes) -> Delivery:
    """Return the delivery of a record."""
    r = from_json(record)
    return Delivery(
        r["id"],
        r["event"],
        r["day"],
        r["to"],
        r["action"],
        r["rule"],
        tuple(r["path"]),
        r["book"],
        r["args"],
        r["box"],
        r.get("retain", 0),
        r.get("results"),
        r.get("in_order", False),
        r.get("due", 0),
        r.get("delay", 0),
        r.get("doubtful", False),
        r.get("leaves", False),
        r.get("waits", False),
        r.get("hold", False),
        r.get("late", False),
        tuple(r["trace"]) if "trace" in r else None,
    )
