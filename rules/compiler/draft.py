"""The state that the section compilers share while a book is compiled.

Comes in: a catalogue. Goes out: the sources, destinations, rules and tests read so far, and every problem found. Never
reads a file.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from rules.business_hours import BusinessHours
from rules.catalogue import Catalogue, DestinationKind, SourceKind
from rules.matching.field_types import FieldScope
from rules.rule import Rule
from rules.rulebook import AlertSettings, Destination, Source
from rules.snake_case import TYPE, spell_type
from rules.source.node import Node
from rules.source.problem import Problem
from rules.source.yaml_document import Path


@dataclass(frozen=True)
class Reach:
    """The events for which a rule can fire, as far as its `when:` restricts source and type."""

    #: Names of sources, and event types; None: any.
    sources: frozenset[str] | None
    types: frozenset[str] | None
    #: The sources of the book that can send such events.
    senders: tuple[str, ...]


@dataclass(frozen=True)
class WrittenRule:
    """A rule with its node in the file, for checks that compare rules."""

    name: str
    node: Node
    #: None where it has errors.
    rule: Rule | None


@dataclass
class Draft:
    """What the sections of a book have yielded so far."""

    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)
    #: Every name written, also of entries with errors: a rule that uses such an entry is not reported a second time.
    source_names: set[str] = field(default_factory=set)
    destination_names: set[str] = field(default_factory=set)
    #: Name of each destination -> its node, for what needs the sources, too.
    source_nodes: dict[str, Node] = field(default_factory=dict)
    destination_nodes: dict[str, Node] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    constants_model: type[BaseModel] | None = None
    alerts: AlertSettings | None = None
    #: `country:` of the book, for the sources that name none.
    country: str | None = None
    #: `business_hours:` of the book, and the node at which it says so, right or wrong.
    business_hours: BusinessHours | None = None
    business_hours_node: Node | None = None
    #: Name of each rule and test -> `file:line`.
    rule_names: dict[str, str] = field(default_factory=dict)
    test_names: dict[str, str] = field(default_factory=dict)
    #: Every rule with its node, for checks that compare rules.
    written: list[WrittenRule] = field(default_factory=list)
    #: What rules of the same reach may refer to.
    scopes: dict[Reach, FieldScope] = field(default_factory=dict)
    tests: list[Any] = field(default_factory=list)

    def source_kind(self, source: Source) -> SourceKind:
        """Return the kind of a source."""
        return self.catalogue.sources[source.kind]

    def destination_kind(self, destination: Destination) -> DestinationKind:
        """Return the kind of a destination."""
        return self.catalogue.destinations[destination.kind]


def note_cannot(node: Node, written: str, why: str | None) -> bool:
    """Note that a destination cannot do what a rule asks of it, if there is a reason known."""
    if why is not None:
        text = f'"{written}" cannot be done: {why}'
        node.wrong(text, "ask another destination for it, or take it out", "cannot", inner=(written,), key=True)
    return why is not None


def check_spelling(node: Node, word: str, inner: Path = ()) -> bool:
    """Return whether an event can be of a type as it is written; note it where not: written as the platform does it."""
    right = TYPE.match(word) is not None
    if not right:
        mend = "say under types: of the source what it is"
        if "*" in word:
            mend = f'write {{wildcard: "{word}"}}'
        elif spelt := spell_type(word):
            mend = f"write {spelt}"
        text = f'no event is ever of type "{word}": types have small letters, digits, _ and dots'
        node.wrong(text, mend, "unknown_type", inner=inner)
    return right
