"""A book while it is being read: what its sections have given so far.

Comes in: a catalogue. Goes out: sources, destinations, rules and tests as read, and every problem. Never reads a file.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from rules.catalogue import Catalogue, DestinationKind, SourceKind
from rules.rule import Rule
from rules.rulebook import AlertSettings, Destination, Source
from rules.source.node import Node
from rules.source.problem import Problem


@dataclass(frozen=True)
class WrittenRule:
    """A rule as it stands in the file, for the checks that look at several."""

    name: str
    node: Node
    #: None where it has errors.
    rule: Rule | None


@dataclass
class Draft:
    """A book while it is being read: what the sections have given so far."""

    catalogue: Catalogue
    problems: list[Problem] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)
    #: Names written, whether they could be read or not: no second complaint about who uses a broken one.
    source_names: set[str] = field(default_factory=set)
    destination_names: set[str] = field(default_factory=set)
    constants: dict[str, Any] = field(default_factory=dict)
    constants_model: type[BaseModel] | None = None
    alerts: AlertSettings | None = None
    #: Name of each rule and test -> where it stands.
    rule_names: dict[str, str] = field(default_factory=dict)
    test_names: dict[str, str] = field(default_factory=dict)
    #: Each rule with its place, for the checks that look at several rules.
    written: list[WrittenRule] = field(default_factory=list)
    tests: list[Any] = field(default_factory=list)

    def source_kind(self, source: Source) -> SourceKind:
        """Return the kind of a source."""
        return self.catalogue.sources[source.kind]

    def destination_kind(self, destination: Destination) -> DestinationKind:
        """Return the kind of a destination."""
        return self.catalogue.destinations[destination.kind]
