"""What is noted of the shape of a body: paths and kinds, and never what may be a value."""

import asyncio
import json
from typing import Any

import pytest

from mailroom.shapes import TypeSample
from receiver import shape
from receiver.shape import ShapeTally


def look(*bodies: Any, tally: ShapeTally | None = None, type: str = "order.paid") -> dict[tuple[str, str], int]:
    """Return which fields of which kinds were in how many of these bodies."""
    tally = tally or ShapeTally()

    async def run() -> TypeSample:
        for body in bodies:
            tally.sample("shop", type, body if isinstance(body, bytes) else json.dumps(body).encode())
            await tally.look()
        (found,) = tally.take_due(last=True)["shop"].values()
        return found

    found = asyncio.run(run())
    assert found.n == len(bodies)
    return {name: n for name, (n, _, _) in found.seen.items()}


def test_kinds() -> None:
    """Each kind of JSON has its word; what stands in a list stands at its name with brackets."""
    found = look({"a": "x", "b": 1.5, "c": True, "d": None, "e": [{"f": 1}, 2], "g": {"h": {}}}, {"a": 1})
    assert found == {
        ("a", "text"): 1,
        ("a", "number"): 1,
        ("b", "number"): 1,
        ("c", "true/false"): 1,
        ("d", "null"): 1,
        ("e", "list"): 1,
        ("e[]", "object"): 1,
        ("e[]", "number"): 1,
        ("e[].f", "number"): 1,
        ("g", "object"): 1,
        ("g.h", "object"): 1,
    }


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("firstName", True),
        ("address_line_2", True),
        ("sha256", True),
        ("E-Mail-Adresse", True),
        ("eva@example.org", False),
        ("eva%40example.org", False),
        ("12", False),
        ("2026-11-29", False),
        ("order-48151", False),
        ("Eva Muster", False),
        ("x" * 61, False),
        ("", False),
        ("a\x1b[2J", False),
    ],
)
def test_names(name: str, kept: bool) -> None:
    """The name of a field stays, what may be a value does not."""
    found = look({"seats": {name: {"row": 1}}})
    assert found.keys() - {("seats", "object")} == {
        (f"seats.{name if kept else '*'}", "object"),
        (f"seats.{name if kept else '*'}.row", "number"),
    }


def test_names_of_forms() -> None:
    """What a person called a field of a form stays, at the top and if it holds no object."""
    assert look({"Vorname des Gastes": "Eva", "Eva Muster": {}}).keys() == {
        ("Vorname des Gastes", "text"),
        ("*", "object"),
    }


def test_keyed_by_values() -> None:
    """An object with too many names is keyed by values, in one body or over time."""
    many = {f"k{chr(97 + n // 26)}{chr(97 + n % 26)}": n for n in range(shape.MOST_MEMBERS + 1)}
    assert look({"seats": many}).keys() == {("seats", "object"), ("seats.*", "number")}
    tally = ShapeTally()
    found = look(*({"seats": {name: 1}} for name in many), tally=tally)
    assert len(found) == shape.MOST_MEMBERS + 2
    assert found["seats.*", "number"] == 1


def test_hostile() -> None:
    """Who invents names, levels, lists and types without end fills neither memory nor store."""
    letters = [chr(97 + n // 26) + chr(97 + n % 26) for n in range(90)]
    tally = ShapeTally()
    for first in letters:
        found = look({first: {second: dict.fromkeys(letters[:30], 1) for second in letters}}, tally=tally)
        assert len(found) <= shape.MOST_FIELDS
    assert sum(map(len, tally._members.values())) < 3 * shape.MOST_FIELDS
    assert sum(map(len, tally._known["shop"].values())) <= shape.MOST_FIELDS
    deep: Any = 1
    for _ in range(50):
        deep = {"a": [deep]}
    assert len(look(deep)) == shape.MOST_LEVELS
    assert look({"a": [{"b": n} for n in range(50)]})["a[].b", "number"] == 1
    for n in range(shape.MOST_TYPES + 50):
        tally.sample("many", f"t.{chr(97 + n // 26)}{chr(97 + n % 26)}", b"{}")
        asyncio.run(tally.look())
    assert len(tally._known["many"]) == shape.MOST_TYPES
    assert shape.fold_type("order.4815162.paid") == "order.*.paid"


def test_one_of_each_type_and_second() -> None:
    """Of a type the latest is looked at; too many types, large bodies and what is no JSON are not."""
    tally = ShapeTally()
    tally.sample("shop", "a", b'{"old": 1}')
    for n in range(shape.MOST_SAMPLES + 5):
        tally.sample("shop", f"type_{chr(97 + n // 26)}{chr(97 + n % 26)}", b"{}")
    tally.sample("shop", "a", b'{"new": 1}')
    asyncio.run(tally.look())
    seen = tally.take_due(last=True)["shop"]
    assert len(seen) == shape.MOST_SAMPLES
    assert seen["a"] == TypeSample(1, {("new", "number"): (1, 1, 1)})
    tally.sample("shop", "a", b"[" * (shape.MOST_BYTES + 1))
    tally.sample("shop", "b", b"no JSON")
    asyncio.run(tally.look())
    assert tally.take_due(last=True) == {}


def test_when_written() -> None:
    """What is new is written at once, what is known once a minute."""
    tally = ShapeTally()

    def due(body: bytes) -> bool:
        tally.sample("shop", "a", body)
        asyncio.run(tally.look())
        return bool(tally.take_due())

    assert [due(each) for each in (b'{"a": 1}', b'{"a": 1}', b'{"a": 2}', b'{"a": "x"}', b'{"a": 1}')] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert tally.take_due(last=True)["shop"]["a"].n == 1
