"""Compares the deliveries of two books for the same events.

Comes in: two books, events, and answers to look-ups where they are known. Goes out: per rule the deliveries that would
be added, gone or changed, with counts and a few samples. Never sends anything, so actions under `next:`, which need the
answer of a destination, are left out.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rules.action import Action, FailedAction
from rules.errors import ValueFailed
from rules.event import Event
from rules.rule import ActionStep
from rules.rulebook import LookUp, Rule, Rulebook
from rules.source import yaml_document

#: `failing`: the old rule could be evaluated and the new one cannot; it would leave a dead letter.
Change = Literal["added", "gone", "changed", "failing"]

#: Returns the answer to a look-up for an event; None: it is not known.
Answer = Callable[[LookUp, Event, Action], "Mapping[str, Any] | None"]

#: Samples kept for each rule and change.
SAMPLES = 3

#: Keys of a rule that do not influence its actions, only whether it fires.
NO_EFFECT = frozenset({"name", "when", "unless", "enabled", "mode", "stop", "on_echo"})

UNKNOWN_ANSWER = "it asks for something else, and the answers to its look-ups are not known"


@dataclass(frozen=True)
class Sample:
    """One delivery that differs between the two books."""

    event_id: str
    event_type: str
    #: The action by the old book and by the new one. None: there is none. Both None: it needs an answer that is not
    #: known.
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
    """All differences of one kind that one rule makes for one action."""

    rule: str
    change: Change
    #: `crm.add_note` …; empty where the whole rule fails.
    action: str
    #: Why it fails; without any value.
    why: str = ""
    count: int = 0
    samples: list[Sample] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = {"rule": self.rule, "change": self.change, "action": self.action, "count": self.count}
        if self.why:
            found["why"] = self.why
        return {**found, "samples": [sample.as_json() for sample in self.samples]}


@dataclass
class Preview:
    """The differences between two books, for a set of events."""

    old: str
    new: str
    events: int = 0
    #: Deliveries that are the same by both books.
    same: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: Rule -> reason why its deliveries could not be compared -> number of events.
    undecided: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Rules with `not_older_than`: what came before these events is not known.
    guarded: set[str] = field(default_factory=set)
    #: Types of events among these of which some may be echoes of our own writes: they are judged as if none was.
    echoes: set[str] = field(default_factory=set)
    #: Events that no rule of the old book, or of the new one, matches.
    unmatched_before: int = 0
    unmatched_after: int = 0
    #: Events that rules of the old book, or of the new one, only observe: what they ask for is no delivery.
    observed_before: int = 0
    observed_after: int = 0

    @property
    def differs(self) -> bool:
        """Whether the books differ for these events, or may: a changed rule whose look-up answers are not known."""
        return bool(self.differences) or any(UNKNOWN_ANSWER in reasons for reasons in self.undecided.values())

    def count(self, change: Change) -> int:
        """Return how many deliveries would be added, gone or changed, or how many rules would fail."""
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
            "failing": self.count("failing"),
            "unmatched": {"before": self.unmatched_before, "after": self.unmatched_after},
            "observed": {"before": self.observed_before, "after": self.observed_after},
            "differences": [difference.as_json() for difference in self.differences],
            "undecided": self.undecided,
            "guarded": sorted(self.guarded),
            "echoes": sorted(self.echoes),
        }


def preview(old: Rulebook, new: Rulebook, events: Iterable[Event], answer: Answer | None = None) -> Preview:
    """Compare two books for the same events, in the order given: of a person nothing is known but what they say."""
    pair = BookPair(old, new)
    comparison = pair.begin()
    newest: dict[str, dict[str, str]] = {}
    for event in events:
        known = newest.setdefault(event.order_key, {}) if event.order_key else {}
        known[event.type] = max(known.get(event.type, ""), event.happened_at)
        comparison.compare(event, _apply(old, event, answer, known), _apply(new, event, answer, known))
        if any(event.type in book.echo_types.get(event.source, ()) for book in (old, new)):
            comparison.found.echoes.add(event.type)
    return comparison.end()


class BookPair:
    """Two books to compare, event by event as they come."""

    def __init__(self, old: Rulebook, new: Rulebook) -> None:
        self.old = old
        self.new = new
        self._definitions = _find_definitions(old), _find_definitions(new)

    def begin(self) -> "_Comparison":
        """Return a comparison that has seen no event yet."""
        return _Comparison(Preview(self.old.version, self.new.version), *self._definitions)

    def compare(self, event: Event, answer: Answer | None, newest: Mapping[str, str]) -> Preview:
        """Compare the books for one event; `newest`: when what makes others stale happened last, by type."""
        comparison = self.begin()
        comparison.compare(event, _apply(self.old, event, answer, newest), _apply(self.new, event, answer, newest))
        return comparison.end()


# What one book asks for. ---------------------------------------------------------------------------------------------


@dataclass
class _Outcome:
    """The result of applying one book to one event."""

    actions: list[Action] = field(default_factory=list)
    #: Rules that fire, but whose actions need the answer to a look-up that is not known.
    waiting: list[Rule] = field(default_factory=list)
    #: Rules that cannot be carried out -> why.
    failed: dict[str, str] = field(default_factory=dict)
    #: Whether any rule fires, also one all of whose actions are skipped.
    matched: bool = False
    #: Whether any rule would, that is only observed.
    observed: bool = False
    #: Rules that fire, and leave out what is stale.
    guarded: set[str] = field(default_factory=set)


def _apply(book: Rulebook, event: Event, answer: Answer | None, newest: Mapping[str, str]) -> _Outcome:
    matching = book.match(event)
    fired = matching.fired
    guarded = {rule.name for rule in fired if rule.not_older_than}
    found = _Outcome(matched=bool(fired), observed=bool(matching.observed), guarded=guarded)
    for rule in fired:
        if rule.find_newer(event, newest):
            continue
        try:
            results = _look_up(rule, event, answer)
            if results is None:
                found.waiting.append(rule)
                continue
            for one in rule.ask(event, results):
                if isinstance(one, Action):
                    found.actions.append(one)
                elif isinstance(one, FailedAction):
                    found.failed.setdefault(rule.name, str(one.error))
        except ValueFailed as exc:
            found.failed[rule.name] = str(exc)
    return found


def _look_up(rule: Rule, event: Event, answer: Answer | None) -> Mapping[str, Any] | None:
    results: dict[str, Any] = {}
    for look_up in rule.look_ups:
        request = look_up.request(event, results)
        result = answer(look_up, event, request) if answer else None
        if result is None:
            return None
        results[look_up.name] = result
    return results


def _find_definitions(book: Rulebook) -> Mapping[str, str]:
    """Return for each rule with look-ups, by name, everything that determines its actions, as one text to compare."""
    wanted = {rule.name for rule in book.rules if rule.look_ups}
    found: dict[str, str] = {}
    for name, text in book.files.items() if wanted else ():
        read = yaml_document.read(text.encode("utf-8", "surrogatepass"), name, [])
        top = read.value if read is not None and isinstance(read.value, Mapping) else {}
        for rule in top.get("rules") or ():
            if rule.get("name") in wanted:
                parts = {key: value for key, value in rule.items() if key not in NO_EFFECT}
                whole = [parts, top.get("defaults"), book.constants]
                found[rule["name"]] = json.dumps(whole, sort_keys=True, default=str)
    return found


# Comparing. ----------------------------------------------------------------------------------------------------------


@dataclass
class _Comparison:
    """Collects the differences event by event."""

    found: Preview
    old: Mapping[str, str]
    new: Mapping[str, str]
    by_key: dict[tuple[str, Change, str], Difference] = field(default_factory=dict)

    def end(self) -> Preview:
        """Return what differs, in order."""
        self.found.differences = sorted(self.by_key.values(), key=lambda each: (each.rule, each.change, each.action))
        return self.found

    def compare(self, event: Event, before: _Outcome, after: _Outcome) -> None:
        """Add the differences for one event."""
        self.found.events += 1
        self.found.unmatched_before += not (before.matched or before.observed)
        self.found.unmatched_after += not (after.matched or after.observed)
        self.found.observed_before += before.observed
        self.found.observed_after += after.observed
        self.found.guarded |= before.guarded | after.guarded
        undecided = self._compare_waiting(event, before.waiting, after.waiting, {*before.failed, *after.failed})
        for rule, why in after.failed.items():
            if rule in before.failed:
                self._add_undecided(rule, f"fails in both books: {why}")
            elif rule not in undecided:
                self._add("failing", event, rule, "", why=why)
        # If one book cannot evaluate a rule, its deliveries by the other book are left out too: they are no difference.
        self._compare_actions(
            event,
            [action for action in before.actions if action.rule not in undecided],
            [action for action in after.actions if action.rule not in undecided],
        )

    def _compare_waiting(self, event: Event, before: list[Rule], after: list[Rule], failed: set[str]) -> set[str]:
        """Compare rules that need an answer that is not known; return the names of those that cannot be compared."""
        before, after = list(before), list(after)
        for old in list(before):
            new = next((each for each in after if self.old.get(old.name) == self.new.get(each.name)), None)
            if new is not None:
                before.remove(old)
                after.remove(new)
                self.found.same += len(old.then)
        undecided = {rule.name for rule in before} & {rule.name for rule in after}
        undecided |= {rule.name for rule in (*before, *after)} & failed
        for name in sorted(undecided):
            self._add_undecided(name, UNKNOWN_ANSWER)
        for change, rules in (("gone", before), ("added", after)):
            for rule in rules:
                for step in rule.then if rule.name not in undecided else ():
                    self._add(change, event, rule.name, _name_step(step, event))  # type: ignore[arg-type]
        return undecided

    def _compare_actions(self, event: Event, before: list[Action], after: list[Action]) -> None:
        # First match actions of the same rule, then actions on the same object, which finds renamed and split rules.
        for alike in (_same_rule, _same_object):
            for old in list(before):
                new = next((each for each in after if alike(old, each)), None)
                if new is None:
                    continue
                before.remove(old)
                after.remove(new)
                if _effect(old) == _effect(new):
                    self.found.same += 1
                else:
                    self._add("changed", event, new.rule, _name_action(new), old, new)
        for old in before:
            self._add("gone", event, old.rule, _name_action(old), old, None)
        for new in after:
            self._add("added", event, new.rule, _name_action(new), None, new)

    def _add_undecided(self, rule: str, why: str) -> None:
        reasons = self.found.undecided.setdefault(rule, {})
        reasons[why] = reasons.get(why, 0) + 1

    def _add(
        self,
        change: Change,
        event: Event,
        rule: str,
        action: str,
        old: Action | None = None,
        new: Action | None = None,
        *,
        why: str = "",
    ) -> None:
        difference = self.by_key.setdefault((rule, change, action or why), Difference(rule, change, action, why))
        difference.count += 1
        if len(difference.samples) < SAMPLES:
            difference.samples.append(Sample(event.id, event.type, old, new))


def _name_step(step: ActionStep, event: Event) -> str:
    try:
        return f"{step.target.destination_for(event)}.{step.target.action}"
    except ValueFailed:
        return step.written


def _name_action(action: Action) -> str:
    return f"{action.destination}.{action.name}"


def _same_rule(old: Action, new: Action) -> bool:
    return (old.rule, old.path, old.destination, old.name) == (new.rule, new.path, new.destination, new.name)


def _same_object(old: Action, new: Action) -> bool:
    if (old.destination, old.name) != (new.destination, new.name):
        return False
    return any(name in new.touches for name in old.touches if not name.weak)


def _effect(action: Action) -> tuple[Any, ...]:
    return (action.arguments, action.touches, action.once_by, action.options, action.has_next)


def _as_json(action: Action | None) -> dict[str, Any] | None:
    if action is None:
        return None
    return {
        "action": _name_action(action),
        "rule": action.rule,
        "arguments": dict(action.arguments),
        "touches": action.touched,
        "once_by": action.once_by,
        "options": {**asdict(action.options), "hold": str(action.options.hold or "")},
    }
