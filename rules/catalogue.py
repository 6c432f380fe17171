"""What exists: the kinds of sources with their event types, the kinds of destinations with their actions.

The adapters declare themselves in these words; `console.catalogue` puts all of them into one Catalogue. So the compiler
knows every type, field, action and argument, and `rules` imports no adapter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

Consent = Literal["newsletter", "tracking"]


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


@dataclass(frozen=True)
class ActionKind:
    """Something a destination can do (`destination.action` in a rule), or a look-up it can answer."""

    name: str
    about: str
    arguments: type[BaseModel]
    #: The object the action touches, from its validated arguments: `email:eva@example.org`. Deliveries that write one
    #: object at one destination never overlap and keep their order.
    writes: Callable[[Any], str]
    #: The same in words, for `relais rules actions`.
    writes_about: str
    #: What makes two deliveries one effect, from its arguments; None: every delivery is an effect of its own.
    once_by: Callable[[Any], str] | None
    once_by_about: str
    #: The consents it needs. `newsletter` not given: the action is skipped. `tracking` not given: it goes on without.
    consent: frozenset[Consent] = frozenset()
    #: True for unsubscribes, erasures and consent changes: never coalesced away.
    keep_always: bool = False
    #: What `result` is in `next:`; None: nothing to read.
    result: type[BaseModel] | None = None
    #: True: allowed under `look_up:` only, and its result model says which fields the look-up has.
    look_up: bool = False
    #: True: it creates something, so an unknown answer is ambiguous and a repetition needs a find first.
    creates: bool = False


@dataclass(frozen=True)
class DestinationKind:
    """A kind of system that deliveries go to (`kind:` of a destination)."""

    name: str
    about: str
    #: What ops may write under the destination beside what every destination has
    #: (`kind limit quota concurrency breaker timeout pool allow_private`).
    options: type[BaseModel]
    actions: Mapping[str, ActionKind]


@dataclass(frozen=True)
class Catalogue:
    """All there is."""

    sources: Mapping[str, SourceKind]
    destinations: Mapping[str, DestinationKind]
    #: Event type -> the model of its `data`. A type that is not in it has open data (generic sources).
    types: Mapping[str, type[BaseModel]] = field(default_factory=dict)
