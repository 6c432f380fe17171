"""What became of an event: the ledger's lines, read back as one story.

Comes in: the lines of JSON that were written while it happened (never with a value of a person in them). Goes out: a
Fate. Never touches Redis.

Lines, by `t`:
  routed       at, source, type, received, book, fired: [rule], missed: [[rule, at, why]],
               made: [[delivery, destination, action, rule]], skipped: [[destination, action, rule, code, why]]
  attempt      at, d(elivery), n, outcome, code, status, ms, then: done | wait | hold | dead | back
  next         d(elivery), made: […], skipped: […]
  once         d(elivery)         not made: `only_once` had seen its like
  coalesced    d(elivery), by     a newer one took its place
  quarantined  at, source, type, received, why
  failed       at, source, type, received, book, code, why       the event itself is a dead letter (rule or look-up)
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Ends of a delivery, and what a person may still decide.
OPEN = frozenset({"waiting", "held"})


@dataclass
class DeliveryFate:
    """One action of the event, and its attempts."""

    id: str
    destination: str
    action: str
    rule: str
    #: waiting | held | delivered | dead | skipped | coalesced
    state: str = "waiting"
    why: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Fate:
    """An event's story, without a value of anybody."""

    id: str
    source: str = ""
    type: str = ""
    received_at: str = ""
    #: waiting | delivering | delivered | unmatched | coalesced | skipped | dead | quarantined
    state: str = "waiting"
    book: str = ""
    why: str = ""
    rules: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[DeliveryFate] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """True when nothing more will happen by itself."""
        return self.state not in ("waiting", "delivering")

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, in the order a person reads."""
        return {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "received_at": self.received_at,
            "state": self.state,
            **({"why": self.why} if self.why else {}),
            "book": self.book,
            "rules": self.rules,
            "deliveries": [
                {
                    "id": d.id,
                    "destination": d.destination,
                    "action": d.action,
                    "rule": d.rule,
                    "state": d.state,
                    **({"why": d.why} if d.why else {}),
                    "attempts": d.attempts,
                }
                for d in self.deliveries
            ],
        }


def tell(event_id: str, lines: Iterable[str]) -> Fate:
    """Return the story that the ledger's lines tell; without lines the event is waiting to be routed."""
    fate = Fate(event_id)
    by_id: dict[str, DeliveryFate] = {}
    routed = False

    def add(line: Mapping[str, Any]) -> None:
        for made in line.get("made", ()):
            delivery = DeliveryFate(*made)
            by_id[delivery.id] = delivery
            fate.deliveries.append(delivery)
        for destination, action, rule, code, why in line.get("skipped", ()):
            fate.deliveries.append(DeliveryFate("", destination, action, rule, "skipped", f"{code}: {why}"))

    for text in lines:
        line = json.loads(text)
        kind = line["t"]
        if "received" in line:
            fate.source, fate.type, fate.received_at = line["source"], line["type"], line["received"]
        if kind == "routed":
            routed = True
            fate.book, fate.why = line["book"], ""
            fate.rules = [{"name": name, "matched": True} for name in line["fired"]]
            fate.rules += [{"name": n, "matched": False, "at": at, "why": why} for n, at, why in line["missed"]]
            add(line)
        elif kind == "next":
            add(line)
        elif kind == "attempt":
            delivery = by_id.get(line["d"])
            if delivery is not None:
                then = line["then"]
                if "outcome" in line:
                    delivery.attempts.append({k: line[k] for k in ("at", "n", "outcome", "code", "status", "ms")})
                delivery.state = {"done": "delivered", "dead": "dead", "hold": "held"}.get(then, "waiting")
                delivery.why = line.get("code", "") if then in ("dead", "hold") else ""
        elif kind in ("once", "coalesced"):
            delivery = by_id.get(line["d"])
            if delivery is not None:
                delivery.state = "coalesced" if kind == "coalesced" else "skipped"
                delivery.why = "only_once" if kind == "once" else f"by {line['by']}"
        elif kind in ("quarantined", "failed"):
            fate.state = "quarantined" if kind == "quarantined" else "dead"
            fate.why = line["why"]
            fate.book = line.get("book", "")
    if routed:
        fate.state = _state(fate)
    return fate


def _state(fate: Fate) -> str:
    states = {d.state for d in fate.deliveries}
    if not fate.rules or not any(rule["matched"] for rule in fate.rules):
        return "unmatched"
    if states & OPEN:
        return "delivering"
    if "dead" in states:
        return "dead"
    if "delivered" in states:
        return "delivered"
    if "coalesced" in states:
        return "coalesced"
    return "skipped"
