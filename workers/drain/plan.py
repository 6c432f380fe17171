"""What the rules ask for of one event, as deliveries that do not exist yet.

Comes in: an event, the rules that fired for it, and what their look-ups brought. Goes out: a Plan: the records of new
deliveries, and what the ledger says of them. Never reads or writes the store, and never logs.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from mailroom import DeadLetterInfo, NewDelivery, ledger
from mailroom.ledger import LONGEST_WHY, MadeDelivery, ObservedAction, SkippedAction
from mailroom.reroute import Reroute
from rules.action import Action, AskedAction, FailedAction, Skipped
from rules.catalogue import Name
from rules.errors import RulesError, ValueFailed
from rules.event import LEAVING_TYPES, URGENT_TYPES, Event
from rules.rule import Facts
from rules.rulebook import LookUp, Matching, Rule, Rulebook
from workers.delivery import Delivery
from workers.outcome import Failed

#: A new delivery and its arguments as the action's model: nothing of it has to be read once more if it is sent now.
FreshDelivery = tuple[Delivery, BaseModel]


@dataclass(slots=True)
class LookUpResults:
    """What the look-ups of a rule brought, or why there is nothing."""

    results: Mapping[str, Any]
    failed: Failed | None = None
    destination: str = ""
    name: str = ""
    error: str = ""

    @property
    def can_wait(self) -> bool:
        """Whether asking again may bring an answer."""
        return self.failed is not None and self.failed.failure != "permanent"

    def check(self) -> None:
        """Raise ValueFailed where there is nothing and asking again brings nothing."""
        if self.failed is not None:
            raise ValueFailed(self.name, f"the look-up was refused ({self.failed.code})")
        if self.error:
            raise ValueFailed(self.name, self.error)


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What a plan asks of its drain."""

    #: Hashes what names an object (see `Mailroom.hash`).
    hash: Callable[[str], str]
    #: Tells whether this drain serves a destination, so that its new deliveries may be leased in the same step.
    serves: Callable[[str], bool]
    #: Returns how many more boxes this drain may lease.
    free: Callable[[], int]


@dataclass(slots=True)
class Plan:
    """The deliveries that follow from one event, or from one delivery of it (`next:`)."""

    context: PlanContext
    #: What their ids begin with.
    parent: str
    #: The event's id, the day of its reception and its `retain`; the version of the book.
    event: str
    day: str
    retain: int
    book: str
    redo: Reroute | None = None
    #: Of the event: its source, and whether what is made of it goes before others.
    source: str = ""
    urgent: bool = False
    leaves: bool = False
    #: What its deliveries carry where traces are sent.
    origin: tuple[str, int] | None = None
    #: Type of events -> when the newest of it happened that concerns the same person.
    newest: Mapping[str, str] = field(default_factory=dict)
    new: list[NewDelivery] = field(default_factory=list)
    made: list[MadeDelivery] = field(default_factory=list)
    skipped: list[SkippedAction] = field(default_factory=list)
    #: Those of the new ones that may be leased at once, by id.
    fresh: dict[str, FreshDelivery] = field(default_factory=dict)
    #: Those of the new ones that come into being as dead letters, by id.
    failed: dict[str, DeadLetterInfo] = field(default_factory=dict)
    #: What the ledger says of those that are not sent at once.
    waits: list[str] = field(default_factory=list)
    #: What the action before touches, and how that is hashed: mostly it is the same person.
    hashed: tuple[tuple[Name, ...], tuple[str, ...], tuple[str, ...]] = ((), (), ())

    def classify(self, event: Event) -> None:
        """Take over in which class the event is served: what is made of it is in the same one."""
        self.source, self.urgent = event.source, event.type in URGENT_TYPES
        self.leaves = event.type in LEAVING_TYPES

    def add(self, actions: Iterable[AskedAction], results: Mapping[str, Any]) -> None:
        """Add what a rule asks for: deliveries, what it left out and why, and dead letters of what it cannot make."""
        now = int(time.time() * 1000)
        free = self.context.free() - len(self.new) > 0
        born: list[tuple[FreshDelivery, NewDelivery, str]] = []
        left_out: list[SkippedAction] = []
        lost: list[FailedAction] = []
        for action in actions:
            if isinstance(action, FailedAction):
                lost.append(action)
                continue
            if isinstance(action, Skipped):
                left_out.append((action.destination, action.name, action.rule, action.code, action.why))
                continue
            born.append(self._make(action, len(self.new) + len(born), results, free=free, now=now))
        for fresh, record, waits_for in born:
            delivery = fresh[0]
            if waits_for:
                self.waits.append(ledger.waits(delivery.id, delivery.due, waits_for))
            if record.lease:
                self.fresh[delivery.id] = fresh
            self.new.append(record)
            self.made.append((delivery.id, delivery.destination, delivery.action, delivery.rule))
        self.skipped += left_out
        for each in lost:
            self.add_failed(each.rule, f"{each.destination}.{each.name}", each.error, each.path)

    def _make(
        self, action: Action, n: int, results: Mapping[str, Any], *, free: bool, now: int
    ) -> tuple[FreshDelivery, NewDelivery, str]:
        """Return the delivery of an action, its record, and why it waits. `free`: it may be leased at once."""
        hash, options = self.context.hash, action.options
        wait = options.due(now) - now if options.delay or options.hold is not None else 0
        touches, names, weak = self.hashed
        if touches != action.touches:
            names = tuple([hash(name.key) for name in action.touches if not name.weak])
            weak = tuple([hash(name.key) for name in action.touches if name.weak])
            self.hashed = (action.touches, names, weak)
        delivery = Delivery(
            f"{self.parent}.{n}",
            self.event,
            self.day,
            action.destination,
            action.name,
            action.rule,
            action.path,
            self.book,
            action.arguments,
            names[0],
            self.retain,
            results if action.has_next or action.late else None,
            options.in_order,
            now + wait if wait else 0,
            wait,
            self.redo is not None and self.redo.doubtful(action.rule, action.path),
            self.leaves or action.kind.leaves(action.model),
            bool(wait) and not action.kind.owed,
            options.hold is not None,
            action.late,
            self.origin,
        )
        once = options.only_once
        record = NewDelivery(
            delivery.id,
            action.destination,
            names,
            delivery.encode(),
            lease=free and self.context.serves(action.destination),
            once_key=hash(f"{action.rule}|{action.path}|{once.key}") if once else "",
            once_ms=once.within if once else 0,
            coalesce_key=hash("|".join((action.name, *sorted(action.touched)))) if options.coalesce else "",
            delay=max(wait, options.coalesce),
            weak=weak,
            source=self.source,
            urgent=self.urgent or action.kind.keep_always,
        )
        return (delivery, action.model), record, options.waits_for if wait else ""

    def add_failed(self, rule: str, step: str, error: Exception, path: tuple[int, ...] = ()) -> None:
        """Add a dead letter for what a rule could not be asked for; `step`: its destination and action, if known."""
        destination, action = _place(step)
        id = f"{self.parent}.{len(self.new)}"
        info = DeadLetterInfo(destination, self.event, _code(error), why_failed(error), action=action, rule=rule)
        record = Delivery(id, self.event, self.day, destination, action, rule, path, self.book, {}, "")
        self.new.append(NewDelivery(id, destination, (), record.encode(), dead=info))
        self.made.append((id, destination, action, rule))
        self.failed[id] = info

    def lines(self) -> list[str]:
        """Return what the ledger says of single deliveries: what waits, and the dead letters among them."""
        return [*self.waits, *(ledger.never_made(id, info.code, info.why) for id, info in self.failed.items())]


def plan(
    event: Event,
    matching: Matching,
    found: Mapping[str, LookUpResults],
    redo: Reroute | None,
    book: Rulebook,
    context: PlanContext,
    newest: Mapping[str, str] | None = None,
    origin: tuple[str, int] | None = None,
) -> Plan:
    """Return what follows from an event. An action that cannot be made leaves a dead letter, and the others go on.

    `found`: what look-ups brought, by the name of the rule. `redo`: what is asked for once more; each place of a rule
    that had failed stays a dead letter of its own. `newest`: type of events -> when the newest of it happened that
    concerns the same person.
    """
    parent = event.id if redo is None else f"{event.id}.a{redo.round}"
    made = Plan(context, parent, event.id, event.received_at[:10], event.retain, book.version, redo)
    made.classify(event)
    made.newest = newest or {}
    made.origin = origin
    facts = Facts(event, book.constants)
    lost = {} if redo is None else redo.lost(book)
    for name, why in lost.items():
        _add_failed_places(made, name, "", ValueFailed("", why))
    for rule in matching.fired:
        if rule.name in lost:
            continue
        if why := rule.find_newer(event, made.newest):
            made.add(rule.leave_out(event, why), {})
            continue
        look_up = found.get(rule.name)
        try:
            if look_up is not None:
                look_up.check()
            results = look_up.results if look_up is not None else {}
            actions = rule.ask_first(Facts(event, book.constants, results) if results else facts)
            made.add(actions if redo is None else redo.wanted(rule.name, actions), results)
        except Exception as exc:
            step = next(iter(rule.steps()), None)
            _add_failed_places(made, rule.name, step.written if step is not None else "", exc)
    return made


def _add_failed_places(made: Plan, rule: str, step: str, error: Exception) -> None:
    for path in ((),) if made.redo is None else made.redo.only[rule]:
        made.add_failed(rule, step, error, path)


#: Returns what a look-up brought where a rule in force has asked the same for this event; None: nobody has.
KnownAnswer = Callable[[LookUp, Event, Action], Mapping[str, Any] | None]


def observe(
    event: Event, rules: Iterable[Rule], answer: KnownAnswer, newest: Mapping[str, str]
) -> list[ObservedAction]:
    """Return what observed rules would ask for of an event, without a value of anybody. Makes and sends nothing."""
    return [seen for rule in rules for seen in _observe(event, rule, answer, newest)]


def _observe(event: Event, rule: Rule, answer: KnownAnswer, newest: Mapping[str, str]) -> list[ObservedAction]:
    if not rule.then:
        return [("", "", rule.name, "", "")]
    if why := rule.find_newer(event, newest):
        return [_seen(one) for one in rule.leave_out(event, why)]
    try:
        results: dict[str, Any] = {}
        for look_up in rule.look_ups:
            known = answer(look_up, event, look_up.request(event, results))
            if known is None:
                why = f"{look_up.name} is not looked up for a rule that is only observed"
                return [(*_place(step.written), rule.name, "look_up", why) for step in rule.then]
            results[look_up.name] = known
        return [_seen(one) for one in rule.ask(event, results)]
    except Exception as exc:
        return [(*_place(step.written), rule.name, *_reason(exc)) for step in rule.then]


def _seen(one: AskedAction) -> ObservedAction:
    if isinstance(one, FailedAction):
        return (one.destination, one.name, one.rule, *_reason(one.error))
    if isinstance(one, Skipped):
        return (one.destination, one.name, one.rule, one.code, one.why[:LONGEST_WHY])
    return (one.destination, one.name, one.rule, "", "")


def _place(written: str) -> tuple[str, str]:
    destination, _, action = written.partition(".")
    return destination, action


def _reason(error: Exception) -> tuple[str, str]:
    return _code(error), why_failed(error)[:LONGEST_WHY]


def _code(error: Exception) -> str:
    return "value_failed" if isinstance(error, ValueFailed) else "rule_failed"


def why_failed(error: Exception) -> str:
    """Return why, without a value of anybody: only our own errors are known to hold none."""
    return str(error) if isinstance(error, RulesError) else f"a bug ({error.__class__.__name__})"
