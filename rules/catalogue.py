"""The records in which adapters declare themselves: kinds of sources and their event types, destinations and actions.

Comes in: nothing. `console.catalogue` collects the declarations of all adapters into one Catalogue and passes it to the
compiler. So the compiler knows every type, field, action and argument, and `rules` never imports an adapter.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, create_model

from rules.source.units import Rate
from rules.verify import Verify

Consent = Literal["newsletter", "tracking"]

#: What becomes of a delivery whose answer was lost: what it made is searched for and found again; it is held for a
#: person; or it is sent again, because a second time changes nothing.
OnDoubt = Literal["found again", "held", "sent again"]

#: Names that one action may have at the most.
MOST_NAMES = 8


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A name by which an action may find, create or rename an object at its destination, and by which one is known."""

    #: What it is: email, external_id, phone, invoice. Names of different kinds are never the same.
    kind: str
    #: As it is searched and written: the key of an address or number, an id as text.
    value: str
    #: Shared by nature, as a company's telephone is: deliveries that share it never overlap, but keep no order.
    weak: bool = False

    @property
    def key(self) -> str:
        """Return it as it is hashed: `email:eva@example.org`."""
        return f"{self.kind}:{self.value}"

    def __str__(self) -> str:
        return f"~{self.key}" if self.weak else self.key


@dataclass(frozen=True)
class StandIn:
    """Where the sandbox imitates a kind of destination: the options that lead there, as a book would write them.

    `{sandbox}` in a text is the sandbox's address. A key is `${SANDBOX_NAME}`, a field of `sandbox/accounts.py`.
    """

    options: Mapping[str, Any]
    #: Options that stay as the book has them. All others are the kind's defaults, so that no address of the book can be
    #: kept by mistake: never name one here that leads anywhere.
    keeps: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SourceKind:
    """A kind of platform that posts webhooks (`kind:` of a source)."""

    name: str
    #: One sentence for `relais sources` and error messages.
    about: str
    #: What ops may write under the source beside what every source has (`kind`, `verify`, `api` …).
    options: type[BaseModel]
    #: The event types it may send. Empty: any dotted name (a generic source).
    types: frozenset[str]
    #: Whether only the URL says what happened (`/in/at/unsubscribed`), asked with the options that ops wrote. Replays
    #: and rule tests then take it from the file's name up to the first dot.
    event_from_url: Callable[[Any], bool] = lambda options: False
    #: Finds what can never work in options and `verify:` together: where in the options, what is wrong, and the mend.
    check: Callable[[Any, Verify], Iterable[tuple[tuple[str, ...], str, str]]] = lambda options, verify: ()
    #: Name of a preset -> the keys of a source that `preset:` stands for.
    presets: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    #: The option that tells several of them in one book apart, where their ids alone do not: `tenant`.
    told_apart_by: str = ""
    #: Milliseconds that the payload of an event that no rule wanted is kept where the book does not say.
    retain_unmatched: int = 86_400_000
    #: Group of its options in which its API is asked (`hooks`, `pull`) -> what leads that to the sandbox, written as in
    #: a StandIn. What else stands in the group stays. A group that is named here by nobody reaches no API in a sandbox.
    stand_in: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class _Asked:
    """Stands for any value, and notes which attributes of the first one were asked for."""

    def __init__(self, there: bool, read: set[str] | None = None) -> None:
        self._there, self._read = there, read

    def __getattr__(self, name: str) -> "_Asked":
        if self._read is not None:
            self._read.add(name)
        return _Asked(self._there)

    def __call__(self, *arguments: Any) -> "_Asked":
        return self

    def __bool__(self) -> bool:
        return self._there


@dataclass(frozen=True)
class ActionKind:
    """Something a destination can do (`destination.action` in a rule), or a look-up it can answer."""

    name: str
    about: str
    arguments: type[BaseModel]
    #: Every name by which the action may find, create or rename an object, from its validated arguments: each once, a
    #: strong one first, which is the home. Deliveries to one destination that share a strong name never overlap and
    #: keep their order.
    touches: Callable[[Any], tuple[Name, ...]]
    #: The same in words, for `relais rules actions`; `~` before a weak one.
    touches_about: str
    #: What makes two deliveries one effect, from the arguments; None: each is its own. Arguments that are equal in it
    #: share a strong name, so that the second one is sent after the first has ended, and finds what that has done.
    once_by: Callable[[Any], str] | None
    once_by_about: str
    #: The consents it needs. Without `newsletter` the action is skipped; without `tracking` it is sent without
    #: tracking.
    consent: frozenset[Consent] = frozenset()
    #: True for unsubscribes, erasures and consent changes: `coalesce:` never drops one in favour of a newer one.
    keep_always: bool = False
    #: Whether the arguments say that the person leaves, or agrees no longer. Then what waits for a rule's `delay` or
    #: `hold` under one of its strong names ends as stale.
    leaves: Callable[[Any], bool] = lambda _: False
    #: True: it is owed whoever leaves (an invoice), and never ends so.
    owed: bool = False
    #: The model of `result` in `next:`; None: the action returns nothing.
    result: type[BaseModel] | None = None
    #: True: allowed under `look_up:` only, and its result model says which fields the look-up has.
    look_up: bool = False
    #: True: it creates an object. If its answer is lost, the client must search for the object before it repeats.
    creates: bool = False
    #: The types of events by which a platform may tell that this action has changed something there. Of an urgent type
    #: (`contact.unsubscribed`) only what arguments caused that say so: `leaves`.
    echoes: frozenset[str] = frozenset()
    #: Of a driver that took it: what becomes of a delivery whose answer was lost. None: nobody took it, or it looks up.
    on_doubt: OnDoubt | None = None
    #: What the key needs there, in the words of the vendor.
    rights: str = ""
    #: Limits that the vendor documents for it.
    limits: str = ""
    #: Argument that this driver cannot write, dotted (`customer.address`, `lines.tax_rate`) -> why, in a sentence.
    refuses: Mapping[str, str] = field(default_factory=dict)

    def adopt(
        self,
        on_doubt: OnDoubt | None,
        *,
        rights: str = "",
        limits: str = "",
        refuses: Mapping[str, str] | None = None,
    ) -> "ActionKind":
        """Return the action as one driver does it; `on_doubt` is None for a look-up only."""
        return replace(self, on_doubt=on_doubt, rights=rights, limits=limits, refuses=refuses or {})

    @cached_property
    def naming(self) -> frozenset[str]:
        """The arguments that `touches` reads: those that name the object."""
        read: set[str] = set()
        for there in (True, False):
            self.touches(_Asked(there, read))
        return frozenset(read & self.arguments.model_fields.keys())

    @cached_property
    def names_model(self) -> type[BaseModel]:
        """The model of these arguments alone, for a delivery whose other arguments are made when it is due."""
        fields: dict[str, Any] = {
            name: (field.annotation, field)
            for name, field in self.arguments.model_fields.items()
            if name in self.naming
        }
        return create_model(f"NamesOf{self.arguments.__name__}", __config__=self.arguments.model_config, **fields)

    def list_strong_names(self, arguments: Any) -> tuple[Name, ...]:
        """Return the names by which the object is found, the strongest first."""
        return tuple(name for name in self.touches(arguments) if not name.weak)


@dataclass(frozen=True)
class DestinationKind:
    """A kind of system that deliveries go to (`kind:` of a destination)."""

    name: str
    about: str
    #: What ops may write under the destination beside what every destination has
    #: (`kind limit concurrency breaker timeout pool allow_private`).
    options: type[BaseModel]
    actions: Mapping[str, ActionKind]
    #: None: the sandbox does not imitate it, and in a sandbox nothing is sent to it.
    stand_in: StandIn | None = None
    #: Shared action that it cannot do -> why, in a sentence without a full stop: a book that asks for it is refused
    #: with it.
    cannot: Mapping[str, str] = field(default_factory=dict)
    #: Requests that the vendor takes, where the book says no `limit:`.
    limit: Rate | None = None
    #: What `relais forget --at` deletes of a person there, by the options of a destination; empty: it cannot.
    deletes: Callable[[Any], str] = field(default=lambda _: "")


def find_refused(kind: ActionKind, arguments: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where arguments, as JSON has them, hold what the driver cannot write, and why. Null is nothing."""
    for path, why in kind.refuses.items():
        for at in _find_values(arguments, tuple(path.split(".")), ()):
            yield at, why


def _find_values(value: Any, path: tuple[str, ...], at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        for index, each in enumerate(value):
            yield from _find_values(each, path, (*at, index))
    elif not path:
        if value is not None:
            yield at
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _find_values(value[path[0]], path[1:], (*at, path[0]))


@dataclass(frozen=True)
class Catalogue:
    """Every kind of source, every kind of destination and every event type."""

    sources: Mapping[str, SourceKind]
    destinations: Mapping[str, DestinationKind]
    #: Event type -> the model of its `data`. A type that is not in it has open data (generic sources).
    types: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    #: Address of the sandbox (`RELAIS_SANDBOX`) that every compiled book leads to; empty: to the real vendors.
    sandbox: str = ""
