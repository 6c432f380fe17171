"""One compiled rule: when it fires, which look-ups it needs, which actions it asks for.

Comes in: an Event and the results of look-ups. Goes out: Actions with filled arguments, and for skipped ones the
reason. Never sends, looks anything up or reads a clock: options that need those are recorded in the Action, and the
drain and the mailroom enforce them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from rules import addresses
from rules.action import STALE, Action, ActionOptions, AskedAction, FailedAction, OnlyOnce, Skipped
from rules.catalogue import MOST_NAMES, ActionKind, Name, find_refused
from rules.errors import ValueFailed
from rules.event import Event
from rules.matching import truth
from rules.matching.path import ABSENT
from rules.matching.pattern import Pattern
from rules.matching.truth import NO_REASON, Why
from rules.source.node import words_of
from rules.values import limits
from rules.values.arguments import CompiledArguments, Value

#: The name that stands for "the API of the platform that sent the event".
API = "api"
#: Of rules that set none.
NO_OPTIONS = ActionOptions()


class Facts(dict[str, Any]):
    """The event as a rule sees it. What the event lacks is absent, not null; `raw` is parsed on first use."""

    __slots__ = ("event", "validated")

    def __init__(self, event: Event, constants: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            source=event.source, type=event.type, id=event.id, received_at=event.received_at, data=event.data
        )
        self.event = event
        #: What was validated last for a kind of action, by its identity: destinations are often told the same.
        self.validated: dict[int, _Validated] = {}
        if event.subject is not None:
            self["subject"] = event.subject
        if event.time is not None:
            self["time"] = event.time
        if event.order_key is not None:
            self["order_key"] = event.order_key
        if constants:
            self["vars"] = constants
        if beside:
            self.update(beside)

    def __missing__(self, name: str) -> Any:
        if name != "raw":
            raise KeyError(name)
        self["raw"] = self.event.raw
        return self["raw"]


class _Validated(NamedTuple):
    """Arguments that were rendered, and what came of them."""

    rendered: Mapping[str, Any]
    model: BaseModel
    arguments: Mapping[str, Any]
    touches: tuple[Name, ...]


@dataclass(frozen=True)
class Target:
    """The destination of an action or look-up: one by name, or (`api`) the API of the event's source."""

    #: As written before the dot: a destination's name, or `api`.
    written: str
    #: Name of the action or look-up, and its kind.
    action: str
    kind: ActionKind
    #: For `api`: the name of each source -> the name of its destination.
    by_source: Mapping[str, str] = field(default_factory=dict)

    def destination_for(self, event: Event) -> str:
        """Return the destination's name. Raises ValueFailed where the event's source has no API."""
        if self.written != API:
            return self.written
        try:
            return self.by_source[event.source]
        except KeyError:
            raise ValueFailed(API, f"the source {event.source} has no api:") from None

    def action_for(
        self,
        facts: Facts,
        rendered: Mapping[str, Any],
        rule: str,
        path: tuple[int, ...],
        *,
        has_next: bool = False,
        options: ActionOptions | None = None,
        late: bool = False,
    ) -> Action:
        """Return the Action with validated arguments; `late`: with those that name the object. Raises ValueFailed."""
        kind = self.kind
        known = facts.validated.get(id(kind))
        # In Python `True == 1`; as JSON they are not the same.
        if known is None or known.rendered != rendered or late or to_json(known.rendered) != to_json(rendered):
            model = validate_arguments(kind.names_model if late else kind.arguments, rendered)
            # What `model_dump` calls, which takes a fifth more.
            arguments = model.__pydantic_serializer__.to_python(model, mode="json", exclude_unset=True)
            for at, why in find_refused(kind, arguments):  # It came by a template; the book's own words are checked.
                raise ValueFailed(".".join(str(step) for step in at), f"{why}, and it is given")
            known = _Validated(rendered, model, arguments, find_names(kind, model))
            if not late:
                facts.validated[id(kind)] = known
        return Action.of(
            destination=self.destination_for(facts.event),
            name=self.action,
            arguments=known.arguments,
            touches=known.touches,
            model=known.model,
            kind=kind,
            rule=rule,
            path=path,
            has_next=has_next,
            options=options or NO_OPTIONS,
            late=late,
        )


def validate_arguments(model: type[BaseModel], rendered: Mapping[str, Any]) -> BaseModel:
    """Return the arguments as the action's model, or a part of it. Raises ValueFailed, whose text holds no value."""
    try:
        found: BaseModel = model.__pydantic_validator__.validate_python(dict(rendered))
        return found
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ValueFailed(where, words_of(dict(first))) from exc


def find_names(kind: ActionKind, arguments: BaseModel) -> tuple[Name, ...]:
    """Return the names of the objects that an action touches. Raises ValueFailed, whose text holds no value."""
    try:
        names = kind.touches(arguments)
    except (ValueError, TypeError, AttributeError, LookupError) as exc:
        raise ValueFailed("", f"what it touches cannot be told ({exc.__class__.__name__})") from exc
    if len(names) > MOST_NAMES:
        raise ValueFailed("", f"it touches {len(names)} names, and {MOST_NAMES} is the most")
    if not names or names[0].weak or (len(names) > 1 and len(set(names)) < len(names)):
        raise ValueFailed("", "what it touches must begin with a strong name, and have each name once")
    return names


@dataclass(frozen=True)
class ConsentFrom:
    """The source of one consent: a path that must be true, a reason in words (`given:`), or none (`false`)."""

    path: str = ""
    pattern: Pattern | None = None
    given: str = ""

    def ask(self, facts: Mapping[str, Any]) -> tuple[bool, str]:
        """Return whether the consent is given, and if not, why."""
        if self.given:
            return True, ""
        if self.pattern is None:
            return False, "the rule says it is not given"
        verdict = self.pattern.test(facts)
        return verdict.truth == truth.TRUE, verdict.why


@dataclass(frozen=True)
class ActionStep:
    """One action under `then:` or `next:`, compiled."""

    target: Target
    arguments: CompiledArguments
    consent: Mapping[str, ConsentFrom]
    only_if: Pattern | None
    next: tuple["ActionStep", ...]
    #: Its position in the rule: (0,) is the first action, (0, 1) the second one under `next:` of the first.
    path: tuple[int, ...]
    #: Line in the file, for explain.
    line: int = 0
    #: The arguments that name the object, where the rule looks something up at delivery; else None.
    names: CompiledArguments | None = None

    @property
    def written(self) -> str:
        """The action as the book names it: `crm.add_note`."""
        return f"{self.target.written}.{self.target.action}"

    def ask(self, facts: Facts, rule: str, options: ActionOptions, *, late: bool = False) -> Action | Skipped:
        """Return the Action for an event, or why it is skipped. Raises ValueFailed.

        `late`: only what names its object; all else, and whether it is skipped, is decided when it is due.
        """
        try:
            if late and self.names is not None:
                return self.target.action_for(
                    facts, self.names.render(facts), rule, self.path, options=self._keep(options), late=True
                )
            return self._ask(facts, rule, options)
        except ValueFailed as exc:
            raise exc.inside(rule, self.written) from exc.__cause__

    def _ask(self, facts: Facts, rule: str, options: ActionOptions) -> Action | Skipped:
        if self.only_if is not None:
            verdict = self.only_if.test(facts)
            if verdict.truth != truth.TRUE:
                return self._skipped(facts.event, rule, "only_if", f"only_if: {verdict.why}")
        consents = {}
        for word, source in self.consent.items():
            given, why = source.ask(facts)
            if not given and word == "newsletter":
                return self._skipped(facts.event, rule, "no_consent", f"no {word} consent: {why}")
            consents[word] = given
        rendered = self.arguments.render(facts)
        if consents:
            rendered = {**rendered, "consent": consents}
        return self.target.action_for(
            facts, rendered, rule, self.path, has_next=bool(self.next), options=self._keep(options)
        )

    def _keep(self, options: ActionOptions) -> ActionOptions:
        """Return the options without those that would leave out what must be done."""
        return replace(options, coalesce=0) if options.coalesce and self.target.kind.keep_always else options

    def _skipped(self, event: Event, rule: str, code: str, why: str) -> Skipped:
        return Skipped(self.target.destination_for(event), self.target.action, rule, self.path, code, why)


@dataclass(frozen=True)
class LookUp:
    """A request to a system whose answer the rule needs before its actions can be filled."""

    #: The name under which the rule sees the result.
    name: str
    target: Target
    arguments: CompiledArguments
    rule: str
    constants: Mapping[str, Any]
    #: `at: delivery`: asked when a delivery of the rule is due, not when the event comes.
    at_delivery: bool = False

    @property
    def action(self) -> str:
        """Name of the look-up at the destination."""
        return self.target.action

    def destination_for(self, event: Event) -> str:
        """Return the destination's name; `api.` is the one of the event's source. Raises ValueFailed."""
        return self.target.destination_for(event)

    def request(self, event: Event, results: Mapping[str, Any]) -> Action:
        """Return the request as an Action; `results` are those of the look-ups before it. Raises ValueFailed."""
        facts = Facts(event, self.constants, results)
        limits.begin()
        try:
            return self.target.action_for(facts, self.arguments.render(facts), self.rule, ())
        except ValueFailed as exc:
            raise exc.inside(self.rule, f"look_up {self.name}") from exc.__cause__


@dataclass(frozen=True)
class RuleVerdict:
    """Whether a rule fires for an event, and if not, at which condition it failed."""

    fires: bool
    at: str = ""
    why: Why = NO_REASON
    #: A remark where it fires although `unless` was unknown.
    note: str = ""
    #: The value that the condition was tested on, for people who may see it; ABSENT where there was none.
    actual: Any = ABSENT


#: Of a rule that fires, with no remark.
FIRES = RuleVerdict(True)


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule of the book."""

    name: str
    file: str
    line: int
    #: Position in the book, over all files: the order in which rules fire.
    position: int
    when: Pattern
    unless: Pattern | None
    look_ups: tuple[LookUp, ...]
    then: tuple[ActionStep, ...]
    options: ActionOptions
    #: `only_once:` the value for which the actions are sent once, and the time in milliseconds for which that holds.
    per: Value | None = None
    within: int = 0
    stop: bool = False
    enabled: bool = True
    #: observe: what it would do is recorded, and nothing is done.
    mode: Literal["enforce", "observe"] = "enforce"
    #: Types of events: what is older than the newest of one of them, of the same person, is not sent.
    not_older_than: tuple[str, ...] = ()
    #: record: an event that Relais caused itself by what it wrote is only recorded; route: it fires all the same.
    on_echo: Literal["record", "route"] = "record"
    #: The sources and types it can fire for; None: any.
    sources: frozenset[str] | None = None
    types: frozenset[str] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    #: What it is for, in words, shown where it is named; empty: nobody says.
    description: str = ""

    @cached_property
    def first_look_ups(self) -> tuple[LookUp, ...]:
        """Those that are asked when the event comes."""
        return tuple(look_up for look_up in self.look_ups if not look_up.at_delivery)

    @cached_property
    def late_look_ups(self) -> tuple[LookUp, ...]:
        """Those that are asked when a delivery is due: its actions are decided then."""
        return tuple(look_up for look_up in self.look_ups if look_up.at_delivery)

    @property
    def observed(self) -> bool:
        """Whether it is only observed."""
        return self.mode == "observe"

    def test(self, facts: Mapping[str, Any]) -> RuleVerdict:
        """Return whether it fires for an event with these facts."""
        verdict = self.when.test(facts)
        if verdict.truth != truth.TRUE:
            return RuleVerdict(False, verdict.at, verdict.why, actual=verdict.actual)
        if self.unless is None:
            return FIRES
        held = self.unless.test(facts)
        if held.truth == truth.TRUE:
            return RuleVerdict(False, "unless", Why.of("unless", "everything under unless holds"))
        if held.truth == truth.UNKNOWN:
            return RuleVerdict(True, note=f"unless is unknown, so it does not hold back: {held.why}")
        return RuleVerdict(True)

    def find_newer(self, event: Event, newest: Mapping[str, str]) -> str:
        """Return why an event is stale for it: what is newer, and of when. Empty: it is not.

        `newest`: type of events -> when the newest of it happened that concerns the same person.
        """
        for type in self.not_older_than:
            if newest.get(type, "") > event.happened_at:
                return f"{type} of {newest[type]} is newer than this, of {event.happened_at}"
        return ""

    def leave_out(self, event: Event, why: str) -> tuple[Skipped, ...]:
        """Return its actions as left out, because the event is stale for it."""
        return tuple(
            Skipped(
                step.target.by_source.get(event.source, step.target.written),
                step.target.action,
                self.name,
                step.path,
                STALE,
                why,
            )
            for step in self.then
        )

    def ask(self, event: Event, results: Mapping[str, Any]) -> tuple[AskedAction, ...]:
        """Return what becomes of each of its actions for an event; `results` are those of its look-ups by name."""
        return self._ask(self.then, Facts(event, self.constants, results))

    def ask_first(self, facts: Facts) -> tuple[AskedAction, ...]:
        """Return the same as far as it is decided when the event comes: of a rule that looks something up at delivery
        each action with what names its object. `facts`: with the results of the look-ups that are asked then.
        """
        return self._ask(self.then, facts, late=bool(self.late_look_ups))

    def ask_at(self, event: Event, results: Mapping[str, Any], path: tuple[int, ...]) -> AskedAction | None:
        """Return what becomes of the action at `path`, with the results of all look-ups; None where there is none."""
        step = self.step(path)
        if step is None:
            return None
        return self._ask((step,), Facts(event, self.constants, results))[0]

    def actions(self, event: Event, results: Mapping[str, Any]) -> tuple[Action | Skipped, ...]:
        """Return its actions for an event, all of them: raises the ValueFailed of the first that cannot be made."""
        return _expect_all(self.ask(event, results))

    def next_actions(
        self, event: Event, results: Mapping[str, Any], path: tuple[int, ...], result: Mapping[str, Any]
    ) -> tuple[Action | Skipped, ...]:
        """Return all actions under `next:` of the action at `path`, whose answer is `result`. Raises ValueFailed."""
        return _expect_all(self.ask_next(event, results, path, result))

    def ask_next(
        self, event: Event, results: Mapping[str, Any], path: tuple[int, ...], result: Mapping[str, Any]
    ) -> tuple[AskedAction, ...]:
        """Return what becomes of each action under `next:` of the action at `path`, whose answer is `result`."""
        step = self.step(path)
        if step is None:
            return ()
        return self._ask(step.next, Facts(event, self.constants, {**results, "result": result}))

    def step(self, path: tuple[int, ...]) -> ActionStep | None:
        """Return the step at a position in the rule; None where this version of the book has none."""
        steps = self.then
        found = None
        for at in path:
            if not 0 <= at < len(steps):
                return None
            found = steps[at]
            steps = found.next
        return found

    def steps(self) -> Iterator[ActionStep]:
        """Yield all steps, including those under `next:`."""
        waiting = list(reversed(self.then))
        while waiting:
            step = waiting.pop()
            yield step
            waiting.extend(reversed(step.next))

    def _ask(self, steps: tuple[ActionStep, ...], facts: Facts, *, late: bool = False) -> tuple[AskedAction, ...]:
        asked: list[AskedAction] = []
        lost: set[str] = set()
        limits.begin()  # one budget for all of them
        for step in steps:
            destination = step.target.written
            try:
                destination = step.target.destination_for(facts.event)
                if destination in lost:
                    raise ValueFailed("", "in_order: an action before it could not be made")
                asked.append(step.ask(facts, self.name, self._options(step, facts), late=late))
            except Exception as exc:  # It costs its own action, whatever it is, and nobody else's.
                asked.append(FailedAction(destination, step.target.action, self.name, step.path, exc))
                if self.options.in_order:
                    lost.add(destination)
        return tuple(asked)

    def _options(self, step: ActionStep, facts: Mapping[str, Any]) -> ActionOptions:
        if self.per is None:
            return self.options
        try:
            value = self.per.render(facts)
        except ValueFailed as exc:
            raise exc.inside(self.name, "only_once per") from exc.__cause__
        if isinstance(value, str):  # one person, however the address is spelled today
            value = addresses.key_or_text(value)
        place = ".".join(str(at) for at in step.path)
        return replace(self.options, only_once=OnlyOnce(f"{self.name}/{place}/{value}", self.within))


@dataclass(frozen=True)
class Miss:
    """A rule that did not fire, the condition at which it did not, and why."""

    rule: Rule
    at: str
    why: Why


def _expect_all(asked: tuple[AskedAction, ...]) -> tuple[Action | Skipped, ...]:
    """Return what was asked for. Raises what the first action failed with that cannot be made."""
    made: list[Action | Skipped] = []
    for one in asked:
        if isinstance(one, FailedAction):
            raise one.error
        made.append(one)
    return tuple(made)
