from typing import Any

import pytest

from receiver import places
from tests.receiver import fixtures

REQUEST = fixtures.verified(b"", query=b"id=7&a.b=8")


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("body.id", 1),
        ("body.list[1].id", 3),
        ("body.list.1.id", 3),
        ("body.list[5].id", None),
        ('body["Order Id"].nr', 4),
        ("body['a.b']", 5),
        ('body.deep["x"]["y z"]', 6),
        ("body.payload.id", 9),
        ("body.payload.list[0]", 10),
        ("body.broken.id", None),
        ("body.text.id", None),
        ("body.Gr\u00f6\u00dfe", 11),
        ('body["deep"]["fu\u0308nf"]', 12),
        ("item.id", 2),
        ("query.id", "7"),
        ("query.a.b", "8"),
        ("header.Content-Type", "application/json"),
        ("header.X-None", None),
    ],
)
def test_found(place: str, found: Any) -> None:
    """A place leads into lists, quoted names, JSON inside a text, headers and parameters."""
    body = {
        "Gro\u0308\u00dfe": 11,
        "id": 1,
        "list": [{"id": 2}, {"id": 3}],
        "Order Id": {"nr": 4},
        "a.b": 5,
        "deep": {"f\u00fcnf": 12, "x": {"y z": 6}},
        "payload": '{"id": 9, "list": [10]}',
        "broken": '{"id": 9',
        "text": "id",
    }
    assert places.compile_place(place)(REQUEST, body, {"id": 2}) == found


@pytest.mark.parametrize(
    "place", ["", "body", "body.", "cookie.x", "body[0].x", "body..x", 'body["a]', "body.a[b]", "body.a[]", "body.a b"]
)
def test_refused(place: str) -> None:
    """What is no place says so, or that it can never be found."""
    with pytest.raises(ValueError, match=r"must be a place|can never be found"):
        places.compile_place(place)


@pytest.mark.parametrize(
    ("value", "text"), [("a ", "a"), (5, "5"), (1.5, "1.5"), (True, None), (None, None), ("", None), ({}, None)]
)
def test_as_text(value: Any, text: str | None) -> None:
    """Texts and numbers are texts; all else is none."""
    assert places.as_text(value) == text
