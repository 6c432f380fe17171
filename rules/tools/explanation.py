"""Explains for every rule of a book whether it fires for an event, and why.

Comes in: a book, an event and the answers to look-ups, where known. Goes out: per rule the verdict, the conditions that
failed with the values they saw, and the filled actions, all computed by the same code as in production. Never sends
anything; and since the result holds personal data, never for a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rules.action import Action, FailedAction, Skipped
from rules.errors import ValueFailed
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.matching.operators import instant_of
from rules.matching.path import ABSENT
from rules.matching.truth import Why
from rules.rule import Facts
from rules.rulebook import Rule, Rulebook

#: What is said of a rule that does not fire for what Relais caused itself, of an event that may be that.
NOT_AN_ECHO = "not where Relais wrote this there itself: that is recorded as echo (on_echo: record)"


@dataclass(frozen=True)
class FailedCondition:
    """One condition that does not hold."""

    at: str
    why: Why
    #: The value that the condition was tested on; ABSENT where there was none.
    actual: Any = ABSENT

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; no `actual` where there was none."""
        found = {"at": self.at, "why": self.why, "code": self.why.code}
        return found if self.actual is ABSENT else {**found, "actual": self.actual}


@dataclass(frozen=True)
class RuleExplained:
    """One rule, applied to the event."""

    name: str
    file: str
    line: int
    fires: bool
    #: Why it does not fire: all conditions that do not hold, first the one that decided.
    reasons: tuple[FailedCondition, ...] = ()
    #: A remark where it fires although `unless` was unknown.
    note: str = ""
    #: The look-up requests that it would send first.
    look_ups: tuple[Action, ...] = ()
    #: Its actions; empty where the answer to a look-up is not known.
    actions: tuple[Action | Skipped, ...] = ()
    #: Why its actions could not be filled; else empty.
    failed: str = ""
    #: What the rule is for, in words.
    description: str = ""
    #: It matches and is only observed: nothing of it is sent.
    observed: bool = False
    #: From when on its actions would be sent, had the event just come, and why; empty: at once.
    held: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = {"rule": self.name, "file": self.file, "line": self.line, "matched": self.fires}
        if self.observed:
            found["observed"] = True
        if self.description:
            found["description"] = self.description
        if self.reasons:
            found["reasons"] = [reason.as_json() for reason in self.reasons]
        if self.note:
            found["note"] = self.note
        if self.look_ups:
            found["look_ups"] = [_action_as_json(action) for action in self.look_ups]
        if self.held:
            found["held"] = self.held
        if self.fires:
            found["actions"] = [_action_as_json(action) for action in self.actions]
        if self.failed:
            found["failed"] = self.failed
        return found


@dataclass(frozen=True)
class Explanation:
    """All rules of a book, applied to one event."""

    event: Event
    book: str
    rules: tuple[RuleExplained, ...] = field(default_factory=tuple)

    @property
    def fired(self) -> tuple[RuleExplained, ...]:
        """The rules that fire."""
        return tuple(rule for rule in self.rules if rule.fires)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "event": {"id": self.event.id, "source": self.event.source, "type": self.event.type},
            "book": self.book,
            "rules": [rule.as_json() for rule in self.rules],
        }


def explain(
    book: Rulebook,
    event: Event,
    results: Mapping[str, Any] | None = None,
    newest: Mapping[str, str] | None = None,
) -> Explanation:
    """Apply all rules of a book to an event; `results` are the answers to look-ups by name, where they are known.

    `newest`: when the newest event of a type happened that concerns the same person, where that is known.
    """
    matching = book.match(event)
    fired = {rule.name for rule in (*matching.fired, *matching.observed)}
    missed = {miss.rule.name: miss for miss in book.match_all(event).missed}
    facts = Facts(event, book.constants)
    explained = []
    for rule in book.rules:
        if rule.name in fired:
            told = _explain_fired(rule, event, facts, results or {}, newest or {})
            if rule.on_echo == "record" and event.type in book.echo_types.get(event.source, ()):
                told = replace(told, note="; ".join(filter(None, (told.note, NOT_AN_ECHO))))
            explained.append(replace(told, description=rule.description, observed=rule.observed))
            continue
        miss = missed[rule.name]
        reasons = _find_reasons(rule, facts) if miss.at not in ("enabled", "stop", "unless") else ()
        first = FailedCondition(miss.at, miss.why)
        told = RuleExplained(rule.name, rule.file, rule.line, False, reasons or (first,), description=rule.description)
        explained.append(told)
    return Explanation(event, book.version, tuple(explained))


def _find_reasons(rule: Rule, facts: Facts) -> tuple[FailedCondition, ...]:
    """Return all conditions that do not hold, the deciding one first."""
    deciding = rule.when.test(facts)
    others = [verdict for verdict in rule.when.every_reason(facts) if verdict != deciding]
    return tuple(FailedCondition(verdict.at, verdict.why, verdict.actual) for verdict in (deciding, *others))


def _explain_fired(
    rule: Rule, event: Event, facts: Facts, results: Mapping[str, Any], newest: Mapping[str, str]
) -> RuleExplained:
    note = rule.test(facts).note
    if why := rule.find_newer(event, newest):
        return RuleExplained(rule.name, rule.file, rule.line, True, (), note, (), rule.leave_out(event, why))
    if unknown := [type for type in rule.not_older_than if type not in newest]:
        guarded = f"sent unless {' or '.join(unknown)} of the same person is newer than {event.happened_at}"
        note = f"{note}; {guarded}" if note else guarded
    asked: list[Action] = []
    answers: dict[str, Any] = {}
    actions: tuple[Action | Skipped, ...] = ()
    failed = ""
    try:
        for look_up in rule.look_ups:
            asked.append(look_up.request(event, answers))
            if look_up.name not in results:
                failed = f"the actions are filled once {look_up.name} has been looked up"
                break
            answers[look_up.name] = results[look_up.name]
        else:
            made = rule.ask(event, answers)
            actions = tuple(one for one in made if not isinstance(one, FailedAction))
            failed = "; ".join(str(one.error) for one in made if isinstance(one, FailedAction))
    except ValueFailed as exc:
        failed = str(exc)
    held = _held(rule, event)
    if late := [look_up.name for look_up in rule.late_look_ups]:
        decided = f"decided when it is due: {', '.join(late)} is looked up then"
        note = f"{note}; {decided}" if note else decided
    return RuleExplained(rule.name, rule.file, rule.line, True, (), note, tuple(asked), actions, failed, held=held)


def _held(rule: Rule, event: Event) -> str:
    received = instant_of(event.received_at)
    if received is None or not rule.options.waits_for:
        return ""
    now = round(received.timestamp() * 1000)
    due = rule.options.due(now)
    return f"held until {from_epoch(due)}: {rule.options.waits_for}" if due > now else ""


def _action_as_json(action: Action | Skipped) -> dict[str, Any]:
    if isinstance(action, Skipped):
        return {"skipped": f"{action.destination}.{action.name}", "code": action.code, "why": action.why}
    found: dict[str, Any] = {
        "action": f"{action.destination}.{action.name}",
        "arguments": dict(action.arguments),
        "touches": action.touched,
    }
    if action.once_by is not None:
        found["once_by"] = action.once_by
    return found
