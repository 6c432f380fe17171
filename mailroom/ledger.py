"""What became of an event: the ledger's lines, read back as one story.

Comes in: the lines of JSON that were written while it happened (never with a value of a person in them). Goes out: a
Fate. Never touches Redis.

Lines, by `t`:
  routed       at, source, type, received, book, fired: [rule], missed: [[rule, at, why]],
               made: [[delivery, destination, action, rule]], skipped: [[destination, action, rule, code, why]]
  attempt      at, d(elivery), n, outcome, code, status, ms, then: done | wait | hold | dead | back
  next         d(elivery), made: […], skipped: […]
  other_content  first            its sender's id came before, with other content, as the event `first`
  came_again   (nothing)          it was in quarantine, came again and fits now
  once         d(elivery)         not made: `only_once` had seen its like
  coalesced    d(elivery), by     a newer one took its place
  quarantined  at, source, type, received, why
  failed       at, source, type, received, book, code, why       the event itself is a dead letter
  held         d(elivery or event), code                         its box waits for a person: it killed three drains

What a person did; `d` is a delivery, or the event itself where that was what died or was held:
  released     d, at                 the held box goes on with it
  skipped      d, at, code, then     the held box goes on without it; then: dead | dropped
  revived      d, at                 a dead letter is sent once more
  again        d, at                 a dead letter's event is routed once more for it; the next `routed` has `again`: 1
  dropped      d, at                 a dead letter is given up
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
    #: waiting | held | delivered | dead | skipped | coalesced | retried (another took its place: routed once more)
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
    #: The event that had the same sender's id before, with other content.
    same_id_as: str = ""
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
            **({"same_id_as": self.same_id_as} if self.same_id_as else {}),
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


#: Why an item ended that a person gave up.
BY_HAND = "by a person"


def tell(event_id: str, lines: Iterable[str]) -> Fate:
    """Return the story that the ledger's lines tell; without lines the event is waiting to be routed."""
    story = _Story(Fate(event_id))
    for text in lines:
        line = json.loads(text)
        if "received" in line:
            story.fate.source, story.fate.type, story.fate.received_at = line["source"], line["type"], line["received"]
        tell_it = getattr(story, line["t"], None)
        if tell_it is not None:  # A newer version, side by side with this one, may know more kinds.
            tell_it(line)
    return story.end()


class _Story:
    """One method per kind of line."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.by_id: dict[str, DeliveryFate] = {}
        #: What became of the event itself while it was an item of the inbox; `routed`: its deliveries tell.
        self.itself = "waiting"

    def end(self) -> Fate:
        fate = self.fate
        if self.itself == "routed":
            fate.state = _state(fate)
        elif self.itself == "waiting" and fate.deliveries:
            fate.state = "delivering"
        else:
            fate.state = self.itself
        return fate

    def routed(self, line: Mapping[str, Any]) -> None:
        fate = self.fate
        self.itself = "routed"
        fate.book, fate.why = line["book"], ""
        rules: list[dict[str, Any]] = [{"name": name, "matched": True} for name in line["fired"]]
        rules += [{"name": n, "matched": False, "at": at, "why": why} for n, at, why in line["missed"]]
        if line.get("again"):
            # Only what had died was asked for once more: what is said of other rules still holds.
            said = {rule["name"] for rule in rules}
            rules = [rule for rule in fate.rules if rule["name"] not in said] + rules
        fate.rules = rules
        self.next(line)

    def next(self, line: Mapping[str, Any]) -> None:
        for made in line.get("made", ()):
            delivery = DeliveryFate(*made)
            self.by_id[delivery.id] = delivery
            self.fate.deliveries.append(delivery)
        for destination, action, rule, code, why in line.get("skipped", ()):
            self.fate.deliveries.append(DeliveryFate("", destination, action, rule, "skipped", f"{code}: {why}"))

    def attempt(self, line: Mapping[str, Any]) -> None:
        delivery = self.by_id.get(line["d"])
        if delivery is None:
            return
        then = line["then"]
        if "outcome" in line:
            delivery.attempts.append({k: line[k] for k in ("at", "n", "outcome", "code", "status", "ms")})
        delivery.state = {"done": "delivered", "dead": "dead", "hold": "held"}.get(then, "waiting")
        delivery.why = line.get("code", "") if then in ("dead", "hold") else ""

    def once(self, line: Mapping[str, Any]) -> None:
        self._became(line, "skipped", "only_once")

    def coalesced(self, line: Mapping[str, Any]) -> None:
        self._became(line, "coalesced", f"by {line['by']}")

    def quarantined(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why, self.fate.book = "quarantined", line["why"], ""

    def other_content(self, line: Mapping[str, Any]) -> None:
        self.fate.same_id_as = line["first"]

    def came_again(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why = "waiting", ""

    def failed(self, line: Mapping[str, Any]) -> None:
        self.itself, self.fate.why, self.fate.book = "dead", line["why"], line["book"]

    def held(self, line: Mapping[str, Any]) -> None:
        self._became(line, "held", line["code"], itself="waiting")

    def released(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", "released by a person")

    def skipped(self, line: Mapping[str, Any]) -> None:
        if line["then"] == "dead":
            self._became(line, "dead", f"{line['code']}, skipped by a person")
        else:
            self._became(line, "skipped", BY_HAND)

    def revived(self, line: Mapping[str, Any]) -> None:
        self._became(line, "waiting", "retried by a person")

    def again(self, line: Mapping[str, Any]) -> None:
        self._became(line, "retried", "by today's rules", itself="waiting")
        self.itself = "waiting"

    def dropped(self, line: Mapping[str, Any]) -> None:
        self._became(line, "skipped", BY_HAND)

    def _became(self, line: Mapping[str, Any], state: str, why: str, *, itself: str = "") -> None:
        delivery = self.by_id.get(line["d"])
        if delivery is not None:
            delivery.state, delivery.why = state, why
        elif line["d"] == self.fate.id:
            self.itself, self.fate.why = itself or state, why


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
    # Nothing was sent: no consent, a condition of the action, or a person gave it up.
    return "skipped"
