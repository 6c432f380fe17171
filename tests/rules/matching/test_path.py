from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.matching import path
from rules.matching.path import ABSENT, ANY, Path, PathWrong, WhereStep
from rules.source.look_alikes import nfc

FACTS = {
    "data": {
        "email": "eva@example.org",
        "booker": {"id": 12},
        "nothing": None,
        "items": [{"id": 1, "name": "one"}, {"id": "2", "name": "two"}, {"id": True, "name": "three"}],
        "Odd key": {"x": 1},
    },
    "type": "order.created",
}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("type", ()),
        ("data.email", ("email",)),
        ("data.booker.id", ("booker", "id")),
        ("data.items[].name", ("items", ANY, "name")),
        ("data.items[][].x", ("items", ANY, ANY, "x")),
        ("data.items[id=12].name", ("items", WhereStep("id", 12), "name")),
        ("data.items[price=-1.5]", ("items", WhereStep("price", -1.5))),
        ("data.items[name=two]", ("items", WhereStep("name", "two"))),
        ('data.items[name="a b]"]', ("items", WhereStep("name", "a b]"))),
        ("data.items[paid=true]", ("items", WhereStep("paid", True))),
        ('data["Odd key"].x', ("Odd key", "x")),
        (r'data["a \"quote\" and a \\"]', ('a "quote" and a \\',)),
        ("data.größe", ("größe",)),
    ],
)
def test_parse(text: str, steps: tuple[Any, ...]) -> None:
    """A path is read step by step and written again as it was."""
    parsed = path.parse(text)
    assert parsed.steps == steps
    assert parsed.text == text


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "a path is words with dots between"),
        (".email", "a path is words with dots between"),
        ("data.", '["Odd key"]'),
        ("data..email", '["Odd key"]'),
        ("data.e-mail", '["Odd key"]'),
        ("data.12", 'name the element by a field, [id=12], or take any with []; a key is ["12"]'),
        ("data email", '["Odd key"]'),
        ("data[0]", "name the element by a field, [id=12], or take any with []"),
        ("data[", "there is []"),
        ("data[x]", "there is []"),
        ("data[id=]", "write a number, a word"),
        ("data[id=1", "write a number, a word"),
        ("data[id=007]", "write a number, a word"),
        ('data["x', '["Odd key"]'),
        ('data["x"', '["Odd key"]'),
        ('data["x\\', '["Odd key"]'),
        ("data.x" * 200, "at most 500"),
        ("data" + ".x" * 21, "write a shorter one"),
    ],
)
def test_parse_wrong(text: str, mend: str) -> None:
    """What is no path is refused, and the mend says what would be right."""
    with pytest.raises(PathWrong) as caught:
        path.parse(text)
    assert mend in caught.value.mend


@given(st.text(max_size=40) | st.text(alphabet='data.[]"=\\x1 ', max_size=40))
def test_parse_anything(text: str) -> None:
    """Any text is a path that reads itself again, or is refused."""
    try:
        parsed = path.parse(text)
    except PathWrong:
        return
    assert path.parse(parsed.text) == parsed


@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_keys(keys: list[str]) -> None:
    """Whatever the keys of an event are, there is a path to them."""
    written = Path("data", tuple(keys)).text
    assert path.parse(written).steps == tuple(nfc(key) for key in keys)
    assert path.reader_of(path.parse(written))({"data": _nested(keys)}) == 1


def _nested(keys: list[str]) -> Any:
    return {keys[0]: _nested(keys[1:])} if keys else 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("type", "order.created"),
        ("data.email", "eva@example.org"),
        ("data.booker.id", 12),
        ("data.nothing", None),
        ("data.items[id=1].name", "one"),
        ('data.items[id="2"].name', "two"),
        ("data.items[id=2].name", ABSENT),
        ("data.items[id=true].name", "three"),
        ('data["Odd key"].x', 1),
        ("subject", ABSENT),
        ("data.phone", ABSENT),
        ("data.email.x", ABSENT),
        ("data.nothing.x", ABSENT),
        ("data.email[id=1]", ABSENT),
        ("type.upper", ABSENT),
        ("data.keys", ABSENT),
    ],
)
def test_reader(text: str, value: Any) -> None:
    """A reader finds the value or says that there is none; a dot is never an attribute."""
    assert path.reader_of(path.parse(text))(FACTS) == value


def test_where_absent() -> None:
    """The shortest missing part is named, with the value before it."""
    assert path.where_absent(path.parse("data.a.b.c"), {"data": {"a": {}}}) == ("data.a.b", {})
    assert path.where_absent(path.parse("data.a.b"), {"data": {"a": None}}) == ("data.a.b", None)
    assert path.where_absent(path.parse("booker.id"), {"data": {}}) == ("booker", ABSENT)


def test_facts_on_demand() -> None:
    """Facts may make a name only when it is asked for."""

    class Late(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return {"made": name}

    assert path.reader_of(path.parse("raw.made"))(Late()) == "raw"
