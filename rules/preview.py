"""What a new book would do otherwise than the one in force.

Comes in: two books, events, and answers to look-ups where they are known. Goes out: the deliveries that would be added,
gone or changed, by rule, with counts and a few samples. Never sends anything; actions under `next:` need the answer
of a destination and are left out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rules.action import Action
from rules.book import Book, LookUp, Rule
from rules.errors import ValueFailed
from rules.event import Event

Change = Literal["added", "gone", "changed"]

#: Answers a look-up for an event; None: the answer is not known any more.
Answer = Callable[[LookUp, Event, Action], "Mapping[str, Any] | None"]

#: Samples kept for each rule and change: enough to see what is meant.
SAMPLES = 3


@dataclass(frozen=True)
class Sample:
    """One delivery that would be another."""

    event_id: str
    event_type: str
    #: The action in the book in force, and in the new one.
    before: Action | None
    after: Action | None

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "event": self.event_id,
            "type": self.event_type,
            "before": _as_json(self.before),
            "after": _as_json(self.after),
        }


@dataclass
class Difference:
    """One rule, one kind of change."""

    rule: str
    change: Change
    #: `crm.add_note` …
    action: str
    count: int = 0
    samples: list[Sample] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "rule": self.rule,
            "change": self.change,
            "action": self.action,
            "count": self.count,
            "samples": [sample.as_json() for sample in self.samples],
        }


@dataclass
class Preview:
    """What would be otherwise."""

    old: str
    new: str
    events: int = 0
    #: Deliveries that both books ask for in the same way.
    same: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: Rule -> how often it could not be said what it asks for, and why.
    undecided: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Events that no rule of the book in force, or of the new one, matches.
    unmatched_before: int = 0
    unmatched_after: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything would be otherwise."""
        return bool(self.differences)

    def count(self, change: Change) -> int:
        """Return how many deliveries would be added, gone or changed."""
        return sum(difference.count for difference in self.differences if difference.change == change)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "old": self.old,
            "new": self.new,
            "events": self.events,
            "same": self.same,
            "added": self.count("added"),
            "gone": self.count("gone"),
            "changed": self.count("changed"),
            "unmatched": {"before": self.unmatched_before, "after": self.unmatched_after},
            "differences": [difference.as_json() for difference in self.differences],
            "undecided": self.undecided,
        }


def preview(old: Book, new: Book, events: Iterable[Event], answer: Answer | None = None) -> Preview:
    """Return what the new book would do otherwise for these events."""
    found = Preview(old.version, new.version)
    by_key: dict[tuple[str, Change, str], Difference] = {}
    for event in events:
        found.events += 1
        before, unsure_before = _deliveries(found, old, event, answer)
        after, unsure_after = _deliveries(found, new, event, answer)
        found.unmatched_before += not before and not unsure_before
        found.unmatched_after += not after and not unsure_after
        # What one book cannot decide is no difference: the other one's deliveries of that rule are left out too.
        unsure = unsure_before | unsure_after
        _compare(
            found,
            by_key,
            event,
            [action for action in before if action.rule not in unsure],
            [action for action in after if action.rule not in unsure],
        )
    found.differences = sorted(by_key.values(), key=lambda each: (each.rule, each.change, each.action))
    return found


def _deliveries(found: Preview, book: Book, event: Event, answer: Answer | None) -> tuple[list[Action], set[str]]:
    actions: list[Action] = []
    unsure: set[str] = set()
    for rule in book.match(event).fired:
        try:
            asked = _asked(rule, event, answer)
        except ValueFailed as exc:
            reason = str(exc)
        else:
            if asked is not None:
                actions += asked
                continue
            reason = "the answer of a look-up is not known"
        unsure.add(rule.name)
        reasons = found.undecided.setdefault(rule.name, {})
        reasons[reason] = reasons.get(reason, 0) + 1
    return actions, unsure


def _asked(rule: Rule, event: Event, answer: Answer | None) -> list[Action] | None:
    results: dict[str, Any] = {}
    for look_up in rule.look_ups:
        request = look_up.request(event, results)
        result = answer(look_up, event, request) if answer else None
        if result is None:
            return None
        results[look_up.name] = result
    return [action for action in rule.actions(event, results) if isinstance(action, Action)]


def _compare(
    found: Preview,
    by_key: dict[tuple[str, Change, str], Difference],
    event: Event,
    before: list[Action],
    after: list[Action],
) -> None:
    # First those of the same rule, then those that a renamed or split rule asks for.
    for alike in (_same_rule, _same_object):
        for old in list(before):
            new = next((each for each in after if alike(old, each)), None)
            if new is None:
                continue
            before.remove(old)
            after.remove(new)
            if _effect(old) == _effect(new):
                found.same += 1
            else:
                _count(by_key, "changed", event, old, new)
    for old in before:
        _count(by_key, "gone", event, old, None)
    for new in after:
        _count(by_key, "added", event, None, new)


def _same_rule(old: Action, new: Action) -> bool:
    return (old.rule, old.path, old.destination, old.name) == (new.rule, new.path, new.destination, new.name)


def _same_object(old: Action, new: Action) -> bool:
    return (old.destination, old.name, old.writes) == (new.destination, new.name, new.writes)


def _effect(action: Action) -> tuple[Any, ...]:
    return (action.arguments, action.writes, action.once_by, action.options, action.has_next)


def _count(
    by_key: dict[tuple[str, Change, str], Difference],
    change: Change,
    event: Event,
    old: Action | None,
    new: Action | None,
) -> None:
    action = new or old
    if action is None:
        return
    written = f"{action.destination}.{action.name}"
    difference = by_key.setdefault((action.rule, change, written), Difference(action.rule, change, written))
    difference.count += 1
    if len(difference.samples) < SAMPLES:
        difference.samples.append(Sample(event.id, event.type, old, new))


def _as_json(action: Action | None) -> dict[str, Any] | None:
    if action is None:
        return None
    return {"action": f"{action.destination}.{action.name}", "rule": action.rule, "arguments": dict(action.arguments)}
