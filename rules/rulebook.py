"""The compiled book. Immutable: a changed book is a new Rulebook that replaces the old one.

Comes in: an Event. Goes out: the rules that fire for it, in the book's order, and those that do not, each with the
condition that failed. Never opens a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal
from zlib import crc32

from pydantic import AfterValidator, BaseModel, ConfigDict

from rules import addresses
from rules.business_hours import BusinessHours
from rules.catalogue import ActionKind, Catalogue
from rules.dedupe import DedupeOptions
from rules.event import URGENT_TYPES, Event
from rules.index import Candidate, Index
from rules.matching.truth import Why
from rules.quota import Quota
from rules.rule import ActionStep, Facts, LookUp, Miss, Rule
from rules.secret import Secret
from rules.source.units import Rate
from rules.verify import Verify

__all__ = [
    "ActionStep",
    "AlertSettings",
    "Destination",
    "EchoPair",
    "Expected",
    "Given",
    "LookUp",
    "Matching",
    "Miss",
    "Rule",
    "Rulebook",
    "Source",
    "TestCase",
    "Verify",
]

#: `received_at` of a test's event where the test does not say: a Thursday, 11:00 in Berlin.
RECEIVED_AT = "2026-01-15T10:00:00.000Z"
#: `held_until` of an expected action where the test does not say.
ANY_TIME = -1


@dataclass(frozen=True)
class Source:
    """A platform that posts webhooks to the receiver."""

    name: str
    kind: str
    #: The options of its kind, as the kind's model.
    options: BaseModel
    verify: Verify
    #: The destination that look-ups named `api.` go to.
    api: str | None = None
    #: What happens to an authentic request whose body is invalid. keep: 2xx, quarantined and logged; refuse: 422.
    on_invalid: Literal["keep", "refuse"] = "keep"
    #: Milliseconds that a payload is kept after its event is settled.
    retain: int = 0
    #: Milliseconds that the payload of an event that no rule wanted is kept: so long it can be routed after all.
    retain_unmatched: int = 0
    #: Milliseconds that dead letters, events in quarantine and refused requests are kept; None: as long as usual.
    retain_dead: int | None = None
    retain_quarantined: int | None = None
    retain_refused: int | None = None
    #: How many times the usual turn it gets where others wait, too.
    share: int = 1
    #: other: a message of the same id with other content is another event; same: the platform changes what it repeats.
    same_id: Literal["other", "same"] = "other"
    #: What makes two messages the same beside the sender's id; None: nothing but the content, for a minute.
    dedupe: DedupeOptions | None = None
    #: Milliseconds of silence after which people are told; 0: never, None: by its own rhythm.
    quiet_after: int | None = None
    #: Two letters (`DE`): where telephone numbers without `+` belong. Its own, else the book's; None: nowhere.
    country: str | None = None
    #: Extra fields of `data` that this platform sends: name -> text, number, boolean, instant, list or object.
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EchoPair:
    """A source whose platform is the system of a destination: what is written there comes back from here."""

    source: str
    #: Types of its own that the book names, beside those that the actions know.
    types: frozenset[str] = frozenset()
    #: True: the book says `echoes:`. False: it follows from `api:` or from one key. Then no urgent type is an echo,
    #: since nobody has said that a person who leaves is known everywhere already, and no event that shows nothing of
    #: what was written, since nobody has said that the platform tells of it at all.
    said: bool = False

    def find_types(self, kind: ActionKind, *, leaves: bool = True) -> frozenset[str]:
        """Return the types of events that an action may cause. `leaves`: whether it says that the person leaves."""
        types = kind.echoes | self.types if kind.echoes else kind.echoes
        return types if self.said and leaves else types - URGENT_TYPES


@dataclass(frozen=True)
class Destination:
    """A system that deliveries go to."""

    name: str
    kind: str
    options: BaseModel
    limit: Rate | None = None
    #: How many requests its key is good for a day or month.
    quota: Quota | None = None
    #: Deliveries under way at the same time, over all workers.
    concurrency: int = 10
    #: The number of different boxes that must fail in a row before the room is paused and probed; 0: never.
    breaker: int = 10
    #: Seconds for one request.
    timeout: float = 10.0
    #: The pool of workers (an RQ queue) that delivers to it.
    pool: str = "default"
    #: True: its address may be in a private network.
    allow_private: bool = False
    #: True: this is a sandbox, which does not imitate its kind. Nothing is ever sent to it.
    absent: bool = False
    #: The sources by which what is written here comes back.
    echoes: tuple[EchoPair, ...] = ()
    #: Milliseconds in which it does.
    echo_within: int = 600_000


class AlertMail(BaseModel):
    """Alerts by mail."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: A destination of kind `mail`: its server sends them.
    destination: str
    #: Who gets them: one address, which may be that of a list.
    to: Annotated[str, AfterValidator(addresses.ascii_key)]


class AlertSettings(BaseModel):
    """Where alerts go: a new kind of failure, a quiet source, a held box, a paused destination, a bad book."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The address to which alerts are posted, as a reference.
    webhook: Secret | None = None
    #: Signs them after Standard Webhooks: `whsec_` and base64.
    secret: Secret | None = None
    #: They are sent as mails, too.
    mail: AlertMail | None = None
    #: Outside of `business_hours:` they wait, and are told as one when these begin.
    hold: Literal["until business hours"] | None = None


@dataclass(frozen=True, eq=False)
class Matching:
    """The rules that fire for an event, and those that do not; of many events the same one."""

    fired: tuple[Rule, ...]
    #: Those that would fire and are only observed (`mode: observe`): none of them is among `fired`.
    observed: tuple[Rule, ...] = ()
    #: Of the rules that were tested. In a large book the index excludes most rules without a test;
    #: `rules.tools.explanation` tests all of them.
    missed: tuple[Miss, ...] = ()
    #: One that matches, and was not asked because a rule above it ended the file. There may be others.
    unreached: Rule | None = None
    #: The delivery of ours that the event is the echo of; empty: of none.
    echo_of: str = ""

    def without(self, rules: Sequence[Rule]) -> "Matching":
        """Return the same with these rules not fired."""
        return replace(self, fired=tuple(rule for rule in self.fired if rule not in rules))

    def hold_back_echo(self, delivery: str) -> "Matching":
        """Return what is left where the event is the echo of a delivery: the rules that say `on_echo: route`."""
        held = [rule for rule in (*self.fired, *self.observed) if rule.on_echo == "record"]
        why = Why.of("echo", f"Relais wrote this there itself, as {delivery}")
        return replace(
            self,
            fired=tuple(rule for rule in self.fired if rule.on_echo == "route"),
            observed=tuple(rule for rule in self.observed if rule.on_echo == "route"),
            missed=(*(Miss(rule, "on_echo", why) for rule in held), *self.missed),
            echo_of=delivery,
        )


@dataclass(frozen=True)
class Given:
    """The input of a test: a vendor's body, a fixture (path inside the book), or an event."""

    source: str
    body: Any = None
    fixture: str | None = None
    #: The event's name in the URL, for platforms that name the event only there.
    event_name: str | None = None
    #: When it was received. Fixed, because rules may depend on it (office hours).
    received_at: str = RECEIVED_AT
    #: Type, data and, if wanted, id, subject, time, received_at, order_key of an event.
    event: Mapping[str, Any] | None = None
    look_up: Mapping[str, Any] = field(default_factory=dict)
    #: Type of events -> when the newest of it happened that concerns the same person.
    newest: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """One action that a test expects; `result` is the answer it pretends to get, for actions under `next:`."""

    destination: str
    action: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    next: "tuple[Expected, ...] | None" = None
    #: `held_until:` from when on it is sent, in ms since 1970; None: at once; ANY_TIME: the test does not say.
    held_until: int | None = ANY_TIME


@dataclass(frozen=True)
class TestCase:
    """One of the book's tests."""

    __test__ = False  # pytest: this is ours

    name: str
    file: str
    line: int
    given: Given
    expect: tuple[Expected, ...]
    #: True (`contains:`): further actions and arguments are allowed.
    partly: bool = False
    #: What observed rules would ask for; None: the test does not say.
    observed: tuple[Expected, ...] | None = None


@dataclass(frozen=True)
class Rulebook:
    """The compiled book."""

    #: A short hash of the files. Every delivery record names the version that made it.
    version: str
    #: Name of the file -> its text.
    files: Mapping[str, str]
    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    rules: tuple[Rule, ...]
    tests: tuple[TestCase, ...] = ()
    alerts: AlertSettings = field(default_factory=AlertSettings)
    constants: Mapping[str, Any] = field(default_factory=dict)
    #: What `hold: until business hours` waits for; None: the book does not say.
    business_hours: BusinessHours | None = None
    #: The catalogue it was compiled with.
    catalogue: Catalogue = field(default_factory=lambda: Catalogue({}, {}))

    @cached_property
    def _index(self) -> Index:
        return Index(rule for rule in self.rules if rule.enabled)

    @cached_property
    def _by_name(self) -> Mapping[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def guards(self) -> frozenset[str]:
        """The types of events that make older ones stale, for any rule that is enabled."""
        return frozenset(type for rule in self.rules if rule.enabled for type in rule.not_older_than)

    @property
    def terms(self) -> Mapping[str, Mapping[str, int]]:
        """State -> source -> ms that it is kept, where a source says less than usual."""
        said = {
            "dead": {name: each.retain_dead for name, each in self.sources.items()},
            "quarantine": {name: each.retain_quarantined for name, each in self.sources.items()},
            "refused": {name: each.retain_refused for name, each in self.sources.items()},
        }
        return {state: {name: ms for name, ms in of.items() if ms is not None} for state, of in said.items()}

    @cached_property
    def echo_types(self) -> Mapping[str, frozenset[str]]:
        """Source -> the types of its events that may be echoes of what is written to the same system."""
        found: dict[str, frozenset[str]] = {}
        for destination in self.destinations.values():
            for pair in destination.echoes:
                for kind in self.catalogue.destinations[destination.kind].actions.values():
                    found[pair.source] = found.get(pair.source, frozenset()) | pair.find_types(kind)
        return {source: types for source, types in found.items() if types}

    @cached_property
    def said_echoes(self) -> frozenset[str]:
        """The sources that an `echoes:` of the book names."""
        destinations = self.destinations.values()
        return frozenset(pair.source for destination in destinations for pair in destination.echoes if pair.said)

    def rule(self, name: str) -> Rule | None:
        """Return the rule of that name."""
        return self._by_name.get(name)

    def action_kind(self, destination: str, action: str) -> ActionKind | None:
        """Return the catalogue entry of an action; None where the destination has none of that name."""
        found = self.destinations.get(destination)
        return self.catalogue.destinations[found.kind].actions.get(action) if found else None

    def match(self, event: Event) -> Matching:
        """Return the rules that fire for an event, in the book's order."""
        facts = Facts(event, self.constants)
        candidates = self._index.candidates(facts)
        if candidates.matching is None:
            matching = self._test(facts, candidates.rules)
            if not candidates.decided:
                return matching
            candidates.matching = matching
        known: Matching = candidates.matching
        return known

    def match_all(self, event: Event) -> Matching:
        """Return the same with every rule tested, also those that the index excludes: for explain and for tests."""
        facts = Facts(event, self.constants)
        return self._test(facts, [(rule, None) for rule in self.rules])

    def _test(self, facts: Facts, candidates: Sequence[Candidate]) -> Matching:
        fired: list[Rule] = []
        observed: list[Rule] = []
        missed: list[Miss] = []
        behind: list[Rule] = []
        stopped: dict[str, str] = {}
        for rule, decided in candidates:
            if not rule.enabled:
                missed.append(Miss(rule, "enabled", Why.of("disabled", "enabled: false")))
                continue
            if rule.file in stopped:
                ended = f'the rule "{stopped[rule.file]}" above ends this file (stop: true)'
                missed.append(Miss(rule, "stop", Why.of("stopped", ended)))
                behind.append(rule)
                continue
            if decided.__class__ is Miss:
                missed.append(decided)
                continue
            if decided is None:
                verdict = rule.test(facts)
                if not verdict.fires:
                    missed.append(Miss(rule, verdict.at, verdict.why))
                    continue
            if rule.observed:
                observed.append(rule)
                continue
            fired.append(rule)
            if rule.stop:
                stopped[rule.file] = rule.name
        unreached = None
        if behind:
            # One of them for each event: enough to know in time which rules are never reached, and nearly for nothing.
            one = behind[crc32(facts["id"].encode()) % len(behind)]
            unreached = one if one.test(facts).fires else None
        return Matching(tuple(fired), tuple(observed), tuple(missed), unreached)
