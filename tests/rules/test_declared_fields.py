from typing import Any

import pytest

from rules import declared_fields, event
from rules.event import Event


def convert(word: str, value: Any) -> Any:
    found, unread = declared_fields.convert({"x": value}, {"x": word})
    assert unread == (() if "x" in found else ("x",))
    return found.get("x", "left out")


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("19.99", 19.99),
        (" 12 ", 12),
        ("+5", 5),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("1e3", 1000),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1.234.567,8", 1234567.8),
        ("1 234,56", 1234.56),
        ("1\u00a0234,56", 1234.56),
        ("1'234.50", 1234.5),
        ("19,99", 19.99),
        ("0,5", 0.5),
        ("1.234", 1.234),
        ("12345678901234567890", 12345678901234567890),
        (7, 7),
        (7.5, 7.5),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_t1_numbers(given: Any, number: Any) -> None:
    """T1: a text that can be one number only is that number; an empty one is null."""
    assert convert("number", given) == number


@pytest.mark.parametrize(
    "given",
    [
        "1,234",
        "1.234.567",
        "19.99 €",
        "12-",
        "1_000",
        "0x10",
        "NaN",
        "inf",
        "1e999",
        "zwölf",
        "١",
        True,
        [1],
        {},
        "1" * 41,
    ],
)
def test_t1_no_numbers(given: Any) -> None:
    """T1: what could be two numbers, or is none, is left out and named."""
    assert convert("number", given) == "left out"


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        ("boolean", "true", True),
        ("boolean", " Nein ", False),
        ("boolean", 1, True),
        ("boolean", 0, False),
        ("boolean", False, False),
        ("boolean", "", None),
        ("boolean", "vielleicht", "left out"),
        ("boolean", 2, "left out"),
        ("text", 5, "5"),
        ("text", 5.0, "5"),
        ("text", 5.5, "5.5"),
        ("text", True, "true"),
        ("text", "", ""),
        ("text", ["a"], "left out"),
        ("instant", "2026-11-20", "2026-11-20T00:00:00.000Z"),
        ("instant", " 2026-11-20T10:00:00+01:00 ", "2026-11-20T09:00:00.000Z"),
        ("instant", 1795000000000, "2026-11-18T11:06:40.000Z"),
        ("instant", "1795000000", "2026-11-18T11:06:40.000Z"),
        ("instant", 202611301000, "1976-06-03T00:55:01.000Z"),
        ("instant", "20261120", "2026-11-20T00:00:00.000Z"),
        ("instant", 20261120, "2026-11-20T00:00:00.000Z"),
        ("instant", "20261120100000", "2026-11-20T10:00:00.000Z"),
        ("instant", "20261120T1000Z", "2026-11-20T10:00:00.000Z"),
        ("instant", "20261120T100000+0100", "2026-11-20T09:00:00.000Z"),
        ("instant", "2026-11-20 10:00:00.5+01", "2026-11-20T09:00:00.500Z"),
        ("instant", "2026-11-20 10:00:00 +0100", "2026-11-20T09:00:00.000Z"),
        ("instant", "2026-11-20 10:00:00 UTC", "2026-11-20T10:00:00.000Z"),
        ("instant", "0000-00-00 00:00:00", None),
        ("instant", "", None),
        ("instant", "20.11.2026", "left out"),
        ("instant", True, "left out"),
        ("list", [1], [1]),
        ("list", "", None),
        ("list", "a,b", "left out"),
        ("object", {"a": 1}, {"a": 1}),
        ("object", [1], "left out"),
        ("any", [1], [1]),
    ],
)
def test_other_types(word: str, given: Any, expected: Any) -> None:
    """Each declared type is held: converted by its rule, null, or left out and named."""
    found = convert(word, given)
    assert (found, type(found)) == (expected, type(expected))


def test_places() -> None:
    """A declared field may stand inside others, and in each element of a list; what is absent stays absent."""
    data = {"order": {"total": "5"}, "lines": [{"n": "1"}, {"n": "x", "m": "1"}, 7], "tags": [1, True]}
    types = {
        "order.total": "number",
        "data.lines[].n": "number",
        "tags[]": "text",
        "no.where": "number",
        "gone": "text",
    }
    found, unread = declared_fields.convert(data, types)
    assert found == {"order": {"total": 5}, "lines": [{"n": 1}, {"m": "1"}, 7], "tags": ["1", "true"]}
    assert unread == ("data.lines[].n",)
    assert data["order"] == {"total": "5"}


def test_record() -> None:
    """The record of an event holds the types, and so does its data whoever reads it."""
    made = Event.of(
        {
            **vars(Event("i", "s", "generic", "x", "2026-01-01T00:00:00.000Z", b'{"total": "19.99"}')),
            "types": {"total": "number"},
            "unread": ("birthday",),
        }
    )
    read = event.decode("i", made.encode(), lambda kind, type, body: {"total": "19.99"})
    assert (read.data, read.unread) == ({"total": 19.99}, ("birthday",))
