"""docs/truth-table.md is true: every cell is run."""

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rules.matching import operators
from rules.matching.path import ABSENT
from tests.rules import writing
from tests.rules.asking import truth, yaml

TABLES = (Path(__file__).parents[2] / "docs" / "truth-table.md").read_text(encoding="utf-8")

GUARDED = """
rules:
  - name: guarded
    when:
      type: contact.changed
    not_older_than: contact.unsubscribed
    then: nothing
"""
WORDS = {"true", "false", "unknown"}


class Cell(NamedTuple):
    condition: str
    column: str
    #: What stands at the field, ABSENT for nothing.
    value: Any
    expected: str

    def __str__(self) -> str:
        return f"{self.condition} of {self.column}"


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, the names of the columns first."""
    section = TABLES.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


#: What stands at the field in the columns that need no sample.
COLUMNS: dict[str, Any] = {
    "absent": ABSENT,
    "`null`": None,
    "`false`": False,
    '`""`': "",
    "list absent": ABSENT,
    "list `null`": None,
    "empty list": [],
}


def cells(heading: str) -> list[Cell]:
    names, *lines = rows(heading)
    return [
        Cell(line[0].strip("`"), name, *sample(name, text))
        for line in lines
        for name, text in zip(names[1:], line[1:], strict=True)
    ]


def sample(column: str, text: str) -> tuple[Any, str]:
    """Return the value and the truth value that a cell names."""
    value, expected = text.rsplit(" ", 1) if " " in text else ("", text)
    assert expected in WORDS, text
    if column in COLUMNS:
        assert not value
        return COLUMNS[column], expected
    return (ABSENT if value == "absent" else json.loads(value.strip("`"))), expected


@pytest.mark.parametrize("cell", cells("One field"), ids=str)
def test_one_field(cell: Cell) -> None:
    """Of one field each condition says what the table says."""
    data = {} if cell.value is ABSENT else {"x": cell.value}
    assert truth({"data.x": yaml(cell.condition)}, data) == cell.expected


@pytest.mark.parametrize("cell", cells("Lists"), ids=str)
def test_lists(cell: Cell) -> None:
    """Of a list each condition says what the table says."""
    data = {} if cell.value is ABSENT else {"x": cell.value}
    assert truth({"data.x[].y": yaml(cell.condition)}, data) == cell.expected


@pytest.mark.parametrize("cell", cells("One element"), ids=str)
def test_one_element(cell: Cell) -> None:
    """Of one element each condition says what the table says."""
    data = {} if cell.value is ABSENT else {"x": cell.value}
    assert truth({"data.x": yaml(cell.condition)}, data) == cell.expected


@pytest.mark.parametrize("row", rows("Held until business hours")[1:], ids=" ".join)
def test_held(row: list[str]) -> None:
    """A rule that holds sends when the table says, whatever time it is."""
    days, delay, made, sent = row
    hours = f"business_hours: {{days: {days}, hours: 02:30-18:00, zone: Europe/Berlin, free: [2026-12-25]}}"
    rule = f"- {{name: a, when: {{source: at}}, delay: {delay}, hold: until business hours, then: nothing}}"
    options = writing.book(f"{hours}\nrules: [{rule.removeprefix('- ')}]").rules[0].options
    now, due = (round(datetime.fromisoformat(text).timestamp() * 1000) for text in (made, sent))
    assert options.due(now) == due


@pytest.mark.parametrize("row", rows("Joining")[1:], ids=" ".join)
def test_joining(row: list[str]) -> None:
    """AND is the lesser, OR the greater, NOT the mirror; however it is written."""
    one, other, both, either, denied = row
    data = {"a": 1, "b": 1}
    values = {"true": 1, "false": 2}
    fields = {word: ({"data.a": values[word]} if word in values else {"data.absent": 1}) for word in WORDS}
    others = {word: ({"data.b": values[word]} if word in values else {"data.absent_too": 1}) for word in WORDS}
    assert truth({**fields[one], **others[other]}, data) == both
    assert truth({**others[other], **fields[one]}, data) == both
    assert truth({"any_of": [fields[one], others[other]]}, data) == either
    assert truth({"any_of": [others[other], fields[one]]}, data) == either
    (asked,) = fields[one].items()
    assert truth({asked[0]: {"not": asked[1]}}, data) == denied


@pytest.mark.parametrize("row", rows("Stale")[1:], ids=" ".join)
def test_stale(row: list[str]) -> None:
    """What happened before the newest event of a type is stale; without a time, when it was received counts."""
    time, received, newest, expected = row
    minutes = {"none": None, "no time": "yesterday"}
    one = replace(
        writing.event("contact.changed"),
        time=minutes.get(time, f"2026-01-15T11:{time}:00+01:00"),
        received_at=f"2026-01-15T10:{received}:00.000Z",
    )
    (rule,) = writing.book(GUARDED).match(one).fired
    known = {} if newest == "none" else {"contact.unsubscribed": f"2026-01-15T10:{newest}:00.000Z"}
    assert bool(rule.find_newer(one, known)) is (expected == "stale")
    assert not rule.find_newer(one, {"contact.bounced": "2026-01-15T10:59:00.000Z"})


def test_all_operators() -> None:
    """Every operator has a row about one field, and so has its absence."""
    conditions = " ".join(cell.condition for cell in cells("One field"))
    assert {name for name in operators.NAMES if not re.search(rf"\b{name}:", conditions)} == set()
