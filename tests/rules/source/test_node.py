from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from rules.source import yaml_document
from rules.source.finding import Finding
from rules.source.node import Node
from rules.source.problem import Problem
from rules.source.units import Duration, Rate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: Literal["one", "two"] = "one"
    on: bool = False


class NodeRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=2)
    count: int = 0
    limit: Rate | None = None
    wait: Duration = 0
    inner: Inner = Inner()


def place(text: str) -> tuple[Node, list[Problem]]:
    problems: list[Problem] = []
    doc = yaml_document.read(text.encode(), "a.yaml", problems)
    assert doc is not None
    return Node(doc, (), doc.value, problems), problems


def read(text: str) -> list[str]:
    top, problems = place(text)
    top.model(NodeRecord, top.value)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count: 1\n", "a.yaml:1:1 name is missing; write name: here"),
        ("name: ab\ncont: 1\n", 'a.yaml:2:1 "cont" is unknown here; did you mean "count"?'),
        ("name: a\n", "a.yaml:1:7 name must have at least 2 characters"),
        ("name: 12\n", "a.yaml:1:7 name must be text; put it in quotes"),
        ("name: ab\ncount: many\n", "a.yaml:2:8 count must be a whole number"),
        ("name: ab\nlimit: 5\n", "a.yaml:2:8 limit must be a rate such as 5/s, 60/min or 5000/day"),
        ("name: ab\nwait: 5\n", "a.yaml:2:7 wait must be a time such as 30s, 10m, 2h or 30d"),
        ("name: ab\ninner:\n  word: three\n", "a.yaml:3:9 word must be one or two"),
        ("name: ab\ninner:\n  on: off\n", "a.yaml:3:7 on must be true or false, not text; write false, without quotes"),
        ("name: ab\ninner: 1\n", "a.yaml:2:8 inner must be a mapping"),
    ],
)
def test_model(text: str, problem: str) -> None:
    """What does not fit a record is said in plain words, at its place, without the value."""
    assert read(text) == [problem]


def test_fits() -> None:
    """A record that fits is returned, and nothing is noted."""
    top, problems = place("name: ab\nlimit: 5/s\nwait: 10m\ninner: {word: two}\n")
    record = top.model(NodeRecord, top.value)
    assert record is not None
    assert (record.limit, record.wait, record.inner.word) == (Rate(5, 1_000), 600_000, "two")
    assert problems == []


@pytest.mark.parametrize(
    ("text", "ask", "problem"),
    [
        ("a: 1\n", "mapping", "a must be a mapping, not a number"),
        ("a:\n", "mapping", "a must be a mapping, not empty"),
        ("a: {}\n", "items", "a must be a list, not a mapping"),
        ("a: 1\n", "text", "a must be text, not a number"),
        ("a: ''\n", "text", "a is empty"),
        ("a: yes\n", "flag", "a must be true or false, not text"),
    ],
)
def test_shape(text: str, ask: str, problem: str) -> None:
    """What is not of the expected shape is noted, and read as empty."""
    top, problems = place(text)
    found: Any = getattr(top.at("a"), ask)()
    assert not found
    assert [each.text for each in problems] == [problem]


def test_findings() -> None:
    """A finding inside a node becomes a problem at its line; some are about the key."""
    top, problems = place("when:\n  data.x: 1\n")
    finding = Finding(("data.x",), "no such field", "leave it out", "unknown_field")
    top.at("when").note([finding])
    top.at("when").note([finding], keys=("unknown_field",))
    assert [(problem.line, problem.column) for problem in problems] == [(2, 11), (2, 3)]
