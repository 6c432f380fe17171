"""Asks patterns and values about one event, for the tests of this folder."""

from collections.abc import Mapping
from typing import Any

from rules.matching import pattern
from rules.matching.field_types import FieldScope
from rules.matching.pattern import Pattern, PatternVerdict
from rules.source.finding import Finding
from rules.source.problem import Problem
from rules.source.yaml_document import read
from rules.values import arguments, limits

#: Open data: anything goes.
OPEN = FieldScope()


def facts(data: Any = None, **beside: Any) -> dict[str, Any]:
    """Return what a rule sees of an invented event."""
    return {
        "source": "shop",
        "type": "order.created",
        "id": "e1",
        "received_at": "2026-11-20T09:00:00.000Z",
        "data": {} if data is None else data,
        **beside,
    }


def yaml(text: str) -> Any:
    """Return what a book would say with this text."""
    problems: list[Problem] = []
    document = read(text.encode(), "test.yaml", problems)
    assert document is not None, problems
    assert not problems, problems
    return document.value


def compiled(node: Mapping[str, Any], scope: FieldScope = OPEN) -> Pattern:
    """Return a pattern that has no errors."""
    findings: list[Finding] = []
    made = pattern.compile_pattern(node, scope, findings)
    assert [finding for finding in findings if finding.severity == "error"] == []
    return made


def verdict(node: Mapping[str, Any], data: Any = None, **beside: Any) -> PatternVerdict:
    """Return what a pattern says of an event, after checking that the short way says the same."""
    made = compiled(node)
    said = made.test(facts(data, **beside))
    assert made.fires(facts(data, **beside)) is (said.truth == 2)
    return said


def truth(node: Mapping[str, Any], data: Any = None, **beside: Any) -> str:
    """Return the truth value in the words of the docs."""
    return verdict(node, data, **beside).truth.name.lower()


def wrong(node: Any, scope: FieldScope = OPEN) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Return what is wrong with a pattern: where, what, and the mend."""
    findings: list[Finding] = []
    pattern.compile_pattern(node, scope, findings)
    return [(finding.at, finding.text, finding.mend) for finding in findings]


def rendered(node: Any, data: Any = None, *, scope: FieldScope = OPEN, **beside: Any) -> Any:
    """Return a value as it is filled from an event."""
    findings: list[Finding] = []
    made = arguments.compile_value(node, scope, findings)
    assert [finding for finding in findings if finding.severity == "error"] == []
    limits.begin()
    return made.render(facts(data, **beside))


def wrong_value(node: Any, scope: FieldScope = OPEN) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Return what is wrong with a value: where, what, and the mend."""
    findings: list[Finding] = []
    arguments.compile_value(node, scope, findings)
    return [(finding.at, finding.text, finding.mend) for finding in findings]
