import json
from typing import Any

import pytest
from pydantic import ValidationError

from receiver import verification
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from receiver.sources.generic import SOURCE, GenericOptions, ReadPlaces
from tests.receiver import fixtures


def item(body: Any, read: ReadPlaces, event: str | None = None, *headers: tuple[bytes, bytes]) -> SourceItem:
    request = RawRequest(json.dumps(body).encode(), ((b"content-type", b"application/json"), *headers), b"kind=x")
    return SOURCE.unpack(verification.trusted(request), GenericOptions(read=read), event).items[0]


def test_places() -> None:
    """Id, type and order key are found where the book says they stand."""
    order = fixtures.unpacked("generic/order.paid.plain.json").items[0]
    assert (order.sender_id, order.type, order.order_key) == ("evt_1001", "order.paid", "email:ada@example.org")


def test_open_data() -> None:
    """Data of a type without a model is the body in our spelling of names."""
    body = fixtures.unpacked("generic/order.paid.plain.json").items[0].body
    data = SOURCE.read("order.paid", body)
    assert data["order_id"] == "O-17"
    assert data["customer"]["first_name"] == "Ada"
    assert data["lines"][0]["unit_price"] == 19.9


def test_known_type() -> None:
    """A type that has a model is read by it."""
    signup = fixtures.unpacked("generic/newsletter.signup.known_type.json").items[0]
    assert SOURCE.read("newsletter.signup", signup.body)["single_user_tracking"] is False
    assert item({"event": "newsletter.signup"}, ReadPlaces(type="body.event")).invalid is not None


@pytest.mark.parametrize(
    ("told", "type"),
    [
        ("order.paid", "order.paid"),
        ("Order/Paid", "order.paid"),
        ("order:paid", "order.paid"),
        ("OrderPaid", "order_paid"),
        ("order paid-late", "order_paid_late"),
    ],
)
def test_spellings_of_types(told: str, type: str) -> None:
    """A platform's way to write its types becomes a dotted name."""
    assert item({"event": told}, ReadPlaces(type="body.event")).type == type


@pytest.mark.parametrize("told", [None, "", "...", "ördér", "a" * 101, True, {"a": 1}, []])
def test_no_type(told: Any) -> None:
    """A body without a usable type is quarantined: no rule could ever match it."""
    unknown = item({"event": told}, ReadPlaces(type="body.event"))
    assert unknown.type == "unknown"
    assert unknown.invalid is not None
    assert unknown.invalid.field == "type"


def test_type_elsewhere() -> None:
    """The type may be fixed, stand in a header or a parameter, or at the end of the URL."""
    assert item({}, ReadPlaces(type="order.paid")).type == "order.paid"
    assert item({}, ReadPlaces(type="header.X-Event"), None, (b"x-event", b"order.paid")).type == "order.paid"
    assert item({}, ReadPlaces(type="query.kind")).type == "x"
    assert item({}, ReadPlaces(), "order.paid").type == "order.paid"


def test_order_key_found() -> None:
    """Without a place for it the first address in the body is the order key."""
    assert item({"a": {"mail": "Eva@Example.org"}}, ReadPlaces(), "x").order_key == "email:eva@example.org"
    assert item({"a": 1}, ReadPlaces(), "x").order_key is None
    assert item({"number": 17}, ReadPlaces(order_key="body.number"), "x").order_key == "id:17"


def test_time() -> None:
    """The platform's time is read as an instant; what is none is left out."""
    assert item({"at": "2026-11-20T10:00:00+01:00"}, ReadPlaces(time="body.at"), "x").time == "2026-11-20T09:00:00.000Z"
    assert item({"at": 1795000000000}, ReadPlaces(time="body.at"), "x").time == "2026-11-18T11:06:40.000Z"
    assert item({"at": "gestern"}, ReadPlaces(time="body.at"), "x").time is None


@pytest.mark.parametrize("place", ["id", "body", "body.", "cookie.x", ".x"])
def test_wrong_places(place: str) -> None:
    """A book that names no place of a request does not compile."""
    with pytest.raises(ValidationError, match="must be a place"):
        ReadPlaces(id=place)


def test_id_of_several_places() -> None:
    """Several places name a message together; where one is absent, it has no id."""
    read = ReadPlaces(id=("body.shop", "body.number"))
    one, other = item({"shop": "a/b", "number": 7}, read, "x"), item({"shop": "a", "number": "b/7"}, read, "x")
    assert one.sender_id is not None
    assert other.sender_id is not None
    assert one.sender_id != other.sender_id
    assert item({"shop": "a"}, read, "x").sender_id is None
    assert item({"shop": "a"}, ReadPlaces(id=("body.shop",)), "x").sender_id == "a"
    with pytest.raises(ValidationError):
        ReadPlaces(id=())


def test_ignored_places() -> None:
    """What changes when a message is repeated is no part of its content, wherever it stands."""
    read = ReadPlaces(id="body.id", ignore=("body.attempt", "body.meta.sent_at"))
    first = item({"id": "m", "attempt": 1, "meta": {"sent_at": 5, "shop": "x"}, "a": [1]}, read, "x")
    again = item({"a": [1], "id": "m", "attempt": 2, "meta": {"shop": "x"}}, read, "x")
    other = item({"a": [2], "id": "m", "attempt": 2, "meta": {"shop": "x"}}, read, "x")
    assert first.content is not None
    assert first.content == again.content != other.content
    assert json.loads(first.body)["attempt"] == 1
    assert item({"id": "m"}, ReadPlaces(id="body.id"), "x").content is None
    with pytest.raises(ValidationError, match="must be a place in the body"):
        ReadPlaces(ignore=("header.x-attempt",))
