"""Every key that a book may hold does something: it is read by more than the code that checks books."""

import ast
import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from console import catalogue
from rules.action import ActionOptions
from rules.compiler import rules_section, systems_section
from rules.rulebook import AlertSettings

ROOT = Path(__file__).parents[2]
EVERYTHING = catalogue.build()

#: What carries out a book, beside the rules themselves.
MACHINES = ("receiver", "workers", "mailroom", "console")

#: Keys whose work is done when the book is compiled: nothing is left to read afterwards.
DONE_BY_COMPILING = {
    "api": "turns `api.person` of a look-up into the destination that it names",
    **dict.fromkeys(
        ("retain_dead", "retain_quarantined", "retain_refused"), "is in Rulebook.terms, which workers read"
    ),
}


@cache
def reads(*folders: str) -> frozenset[str]:
    """Return the names of the attributes that the code of some folders reads, without what checks books."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if path.is_relative_to(ROOT / "rules" / "compiler"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    found.add(node.attr)
    return frozenset(found)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation: `Collection | None`, `tuple[ErrorRule, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """Yield where each key of a model stands in a book, and the field that holds it."""
    for name, field in model.model_fields.items():
        yield f"{path}.{field.alias or name}", name
        for inner in models(field.annotation):
            yield from keys(inner, f"{path}.{field.alias or name}")


def machine_keys() -> Iterator[tuple[str, str]]:
    """Yield the keys that the receiver, the workers, the mailroom or the console must read."""
    yield from keys(systems_section.SourceKeys, "sources")
    yield from keys(systems_section.DestinationKeys, "destinations")
    yield from keys(AlertSettings, "alerts")
    for source in EVERYTHING.sources.values():
        yield from keys(source.options, f"sources({source.name})")
    for destination in EVERYTHING.destinations.values():
        yield from keys(destination.options, f"destinations({destination.name})")
    for field in dataclasses.fields(ActionOptions):
        yield f"rules.{field.name}", field.name


def rule_keys() -> Iterator[str]:
    """Yield the keys of a rule that the rules themselves carry out when an event comes."""
    theirs = {field.name for field in dataclasses.fields(ActionOptions)}
    yield from (key for key in rules_section.KEYS if key not in theirs)


@pytest.mark.parametrize(("place", "name"), sorted(machine_keys()))
def test_is_read_by_a_machine(place: str, name: str) -> None:
    """What is written about sources, destinations, alerts and the waits of actions is read where it takes effect."""
    assert name in reads(*MACHINES) or name in DONE_BY_COMPILING, place


@pytest.mark.parametrize("name", sorted(rule_keys()))
def test_is_read_by_the_rules(name: str) -> None:
    """What else is written at a rule is read when an event comes, not only when the book is checked."""
    assert name in reads("rules") or name in DONE_BY_COMPILING
