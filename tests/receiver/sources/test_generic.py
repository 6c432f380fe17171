import json
import re
import textwrap
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from receiver import errors, intake, verification
from receiver.request import RawRequest
from receiver.sources.base import SourceAnswer, SourceItem
from receiver.sources.generic import SOURCE, GenericOptions, ReadPlaces
from rules.compiler import loader
from rules.rulebook import Source
from rules.verify import Verify
from tests.receiver import book, fixtures


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


@pytest.mark.parametrize("never", [0, "0", -1, "1970-01-01T00:00:12Z", "0001-01-01T00:00:00"])
def test_time_of_a_clock_that_was_not_set(never: Any) -> None:
    """A time from before there were webhooks is none: it would make a sign-up or an unsubscription stale."""
    found = item({"at": never}, ReadPlaces(time="body.at"), "x")
    assert (found.time, "read.time" in found.unread) == (None, True)


@pytest.mark.parametrize("written", ["20261120T100000", "20261120100000", "2026-11-20 09:00:00+00", 1795165200])
def test_time_in_other_ways(written: Any) -> None:
    """ISO 8601 without signs between is a date, not a moment of 1970; a zone may be as short as data bases write it."""
    [found] = unpacked({"at": written}, {"read": {"type": "x", "time": "body.at"}, "zone": "Europe/Berlin"})
    assert found.time == "2026-11-20T09:00:00.000Z"


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


def options(**read: Any) -> GenericOptions:
    return GenericOptions(read=ReadPlaces(**read))


FORM = b"application/x-www-form-urlencoded"
OPEN = {"id": "body.id", "type": "body.type", "order_key": "body.email"}


def test_f22_query_only() -> None:
    """F22: a POST without a body is an event where the book looks into the URL, else it is empty."""
    request = fixtures.verified(b"", b"", b"email=eva+x@example.org&type=contact.unsubscribed&msg=7")
    [item] = SOURCE.unpack(request, options(id="query.msg", type="query.type", order_key="query.email"), None).items
    assert (item.type, item.sender_id, item.order_key) == ("contact.unsubscribed", "7", "email:eva+x@example.org")
    assert SOURCE.read("contact.unsubscribed", item.body)["email"] == "eva+x@example.org"
    empty = fixtures.verified(b"{}", query=b"email=eva@example.org&type=contact.unsubscribed")
    [item] = SOURCE.unpack(empty, options(type="query.type", order_key="query.email"), None).items
    assert (item.invalid, item.order_key) == (None, "email:eva@example.org")
    with pytest.raises(errors.NotParseable, match="empty_body"):
        SOURCE.unpack(request, options(id="body.msg"), "x")
    [item] = SOURCE.unpack(fixtures.verified(b'{"a": 1}', query=b"type=x&b=2"), options(type="query.type"), None).items
    assert json.loads(item.body) == {"a": 1}


def test_f23_d14f_form() -> None:
    """F23, D14f: a generic source reads forms; places lead into brackets."""
    [item] = SOURCE.unpack(
        fixtures.verified(b"type=change&email=eva+x%40example.org&id=5", FORM), options(**OPEN), None
    ).items
    assert (item.type, item.sender_id, item.order_key) == ("change", "5", "email:eva+x@example.org")
    assert SOURCE.read("change", item.body) == {"type": "change", "email": "eva+x@example.org", "id": "5"}
    nested = fixtures.verified(b"type=subscribe&data[email]=eva@example.org", FORM)
    [item] = SOURCE.unpack(nested, options(type="body.type", order_key="body.data.email"), None).items
    assert item.order_key == "email:eva@example.org"


def test_f25_multipart() -> None:
    """F25: fields of multipart/form-data are read; files are left out, and said so."""
    raw = (
        b'--b\r\nContent-Disposition: form-data; name="type"\r\n\r\nform.sent\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nx\r\n--b--\r\n'
    )
    [item] = SOURCE.unpack(
        fixtures.verified(raw, b"multipart/form-data; boundary=b"), options(type="body.type"), None
    ).items
    assert (item.type, item.unread) == ("form.sent", ("(files)",))


@pytest.mark.parametrize(
    "told",
    ["Rechnung gelöscht", "contact|updated", "list_addition (v2)", "order–paid", "https://example.org/x?y", "a\u202eb"],
)
def test_f34_unreadable_type(told: str) -> None:
    """F34: words that make no type are told as what came, not as missing."""
    invalid = item({"event": told}, ReadPlaces(type="body.event")).invalid
    assert invalid is not None
    assert f'the type at body.event is "{told}"' in invalid.why
    missing = item({"evnt": told}, ReadPlaces(type="body.event")).invalid
    assert missing is not None
    assert "there is no text at body.event" in missing.why
    url = item({}, ReadPlaces()).invalid
    assert url is not None
    assert "the URL names no type" in url.why


@pytest.mark.parametrize("place", ["body.events[0].type", "body.events.0.type"])
def test_f36_places_in_lists(place: str) -> None:
    """F36: a place may lead into a list."""
    read = ReadPlaces(type=place, id="body.events[0].ids[1]", ignore=("body.events[0].n",))
    found = item({"events": [{"type": "order.paid", "ids": [1, 2], "n": 5}]}, read)
    assert (found.type, found.sender_id) == ("order.paid", "2")
    assert found.content == b'{"events":[{"ids":[1,2],"type":"order.paid"}]}'
    assert item({"events": []}, read).invalid is not None


@pytest.mark.parametrize(
    "place",
    [
        "body.events[].type",
        "body.events[*].type",
        "body..type",
        "body.a.",
        "body.data[email]",
        "body.a b",
        "header.X Y",
        "header.ä",
    ],
)
def test_f36_places_that_never_match(place: str) -> None:
    """F36: a place that can never be found does not compile."""
    with pytest.raises(ValidationError, match="can never be found"):
        ReadPlaces(type=place)


def test_f38_absent_places() -> None:
    """F38: an event at which the book's places for id, order key or time find nothing says so."""
    read = ReadPlaces(id="body.uuid", type="body.event", order_key="body.mail", time="body.at")
    assert item({"event": "x"}, read).unread == ("read.id", "read.time", "read.order_key")
    assert item({"event": "x", "uuid": 1, "mail": "a@example.org", "at": 1795000000000}, read).unread == ()
    assert item({"event": "x", "uuid": 1, "mail": "x" * 256, "at": "gestern"}, read).unread == (
        "read.time",
        "read.order_key",
    )


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("id", "uuid"), ("id", []), ("id", 5), ("id", ["body.a", 5]), ("type", ["body.a", ""]), ("type", {"a": "b"})],
)
def test_one_message_of_a_wrong_place(key: str, wrong: Any) -> None:
    """What is neither a place nor a list of places is refused once, under its own name."""
    with pytest.raises(ValidationError) as caught:
        ReadPlaces.model_validate({key: wrong})
    (error,) = caught.value.errors()
    assert (error["loc"], "must be a place" in error["msg"]) == ((key,), True)


def test_places_that_are_counted() -> None:
    """Places of type, subject and `ignore` at which nothing stands, and each of several for the id, are counted."""
    read = ReadPlaces(id=("body.a", "body.b"), type="body.kind", subject="body.about", ignore=("body.try", "body.a"))
    found = item({"a": 1, "event": "x"}, read)
    assert set(found.empty) == {"read.id body.b", "read.subject", "read.ignore body.try", "read.type"}
    assert found.invalid is not None
    assert item({"a": 1, "b": 2, "kind": "x", "about": 0, "try": 1}, read).empty == ()
    assert item({"kind": "?!"}, ReadPlaces(type="body.kind")).empty == ()


def test_f43_nul() -> None:
    """F43: NUL is taken out of JSON and of forms."""
    [found] = SOURCE.unpack(fixtures.verified(b"type=x&first_name=E%00va", FORM), options(type="body.type"), None).items
    assert SOURCE.read("x", found.body)["first_name"] == "Eva"
    found = item({"event": "x", "first_name": "E\0va"}, ReadPlaces(type="body.event"))
    assert (SOURCE.read("x", found.body)["first_name"], found.unread) == ("Eva", ("(characters)",))


def test_f48_element_that_is_no_object() -> None:
    """F48: the good elements of an array are events, the others are kept apart."""
    items = SOURCE.unpack(fixtures.verified(b'[{"type": "x"}, 5]'), options(type="body.type"), None).items
    assert [each.invalid is None for each in items] == [True, False]


def unpacked(body: Any, options: dict[str, Any], event: str | None = None, *, kept: bool = False) -> list[SourceItem]:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    label = FORM if isinstance(body, bytes) else b"application/json"
    request = verification.trusted(RawRequest(raw, ((b"content-type", label),)), kept=kept)
    return SOURCE.unpack(request, GenericOptions.model_validate(options), event).items


def data_of(item: SourceItem) -> dict[str, Any]:
    assert item.type is not None
    return dict(SOURCE.read(item.type, item.body))


ENVELOPE = {
    "data": "body.data",
    "read": {"type": "body.type", "id": "body.id", "time": "body.timestamp", "order_key": "body.data.email"},
}


def test_f13_envelope() -> None:
    """F13: with `data:` what stands inside the envelope is the person, and the envelope is none."""
    body = {
        "id": "m1",
        "type": "contact.updated",
        "timestamp": "2026-11-20T10:00:00Z",
        "support": "help@example.org",
        "data": {"email": "Eva@example.org", "last_name": "Muster"},
    }
    [found] = unpacked(body, ENVELOPE)
    assert (found.invalid, found.type, found.sender_id) == (None, "contact.updated", "m1")
    assert found.identities == ("email:eva@example.org",)
    assert found.time == "2026-11-20T10:00:00.000Z"
    assert json.loads(found.body) == body["data"]
    assert data_of(found)["last_name"] == "Muster"
    [cloud] = unpacked({"specversion": "1.0", **body}, ENVELOPE)
    assert cloud.body == found.body
    [magnetis] = unpacked({"data": {"id": "call-1", "caller": "+49301234567"}}, {"data": "body.data"}, "call:completed")
    assert magnetis.type == "call.completed"
    assert magnetis.invalid is None


@pytest.mark.parametrize("data", [None, 5, [], [{"email": "eva@example.org"}], "x"])
def test_nothing_at_data(data: Any) -> None:
    """A body without its noun is quarantined whole, under the id it would have had."""
    body = {"id": "m1", "type": "order.paid", "data": data}
    [found] = unpacked(body, ENVELOPE)
    assert found.invalid is not None
    assert "there is no object at body.data" in found.invalid.why
    assert (json.loads(found.body), found.sender_id) == (body, "m1")


def test_content_of_an_envelope() -> None:
    """An attempt counter around the noun makes no other event; another type does."""
    body = {"id": "m1", "type": "order.paid", "data": {"nr": 1}}
    [first], [again] = unpacked(body, ENVELOPE), unpacked({**body, "attempt": 2}, ENVELOPE)
    [other] = unpacked({**body, "type": "order.gone"}, ENVELOPE)
    assert first.content == again.content != other.content
    ignoring = {**ENVELOPE, "read": {**ENVELOPE["read"], "ignore": ["body.data.try"]}}  # type: ignore[dict-item]
    [first], [again] = (unpacked({**body, "data": {"nr": 1, "try": each}}, ignoring) for each in (1, 2))
    assert first.content == again.content
    assert first.body != again.body


LIST = {
    "items": "body.events",
    "read": {"type": "item.event", "id": ["body.account", "item.id"], "order_key": "item.email", "time": "item.at"},
    "zone": "Europe/Berlin",
}


def test_items() -> None:
    """Each entry of the list that `items:` names is an event; places lead into the envelope and into the entry."""
    entries = [
        {"event": "order.paid", "id": 1, "email": "eva@example.org", "at": "2026-11-20 10:00:00", "total": 1.50},
        {"event": "order.gone", "id": 2, "email": "jean@example.org", "at": "2026-07-20T10:00:00Z"},
    ]
    one, other = unpacked({"account": "a", "events": entries}, LIST)
    assert (one.type, one.sender_id, one.time) == ("order.paid", '["a","1"]', "2026-11-20T09:00:00.000Z")
    assert (other.type, other.position, other.time) == ("order.gone", 1, "2026-07-20T10:00:00.000Z")
    assert (one.order_key, other.order_key) == ("email:eva@example.org", "email:jean@example.org")
    assert one.body == json.dumps(entries[0]).encode()
    assert unpacked({"account": "a", "events": []}, LIST) == []
    [single] = unpacked({"account": "a", "events": entries[0]}, LIST)
    assert single.body == one.body
    # Not its position: a second attempt may send fewer.
    [later] = unpacked({"account": "a", "events": entries[1:]}, LIST)
    assert (later.sender_id, later.identity, later.body) == (other.sender_id, other.identity, other.body)
    [good, bad] = unpacked({"account": "a", "events": [entries[0], 5]}, LIST)
    assert good.invalid is None
    assert bad.invalid is not None
    assert len(unpacked([{"account": "a", "events": entries}, {"account": "b", "events": entries}], LIST)) == 4


@pytest.mark.parametrize("events", [None, 5, "x", [5], {}])
def test_no_items(events: Any) -> None:
    """A body without the list is quarantined whole; an empty object in its place is an entry."""
    [found] = unpacked({"account": "a", "events": events}, LIST)
    assert found.invalid is not None
    assert found.type == "unknown"


def test_items_with_data() -> None:
    """The noun of an entry stands below it."""
    options = {**LIST, "data": "item.payload.person"}
    entry = {"event": "order.paid", "id": 1, "email": "x@example.org", "payload": {"person": {"first_name": "Eva"}}}
    [found] = unpacked({"account": "a", "events": [entry]}, options)
    assert (json.loads(found.body), found.order_key) == ({"first_name": "Eva"}, "email:x@example.org")


def test_kept_bodies_are_read_again() -> None:
    """What was kept without its envelope is read under the name that it had, cut out or not."""
    [kept] = unpacked(b'{"email": "eva@example.org"}', ENVELOPE, "contact.updated", kept=True)
    assert (kept.invalid, kept.type, kept.order_key) == (None, "contact.updated", "email:eva@example.org")
    [kept] = unpacked({"id": "m", "type": "order.paid", "data": {"nr": 1}}, ENVELOPE, kept=True)
    assert (kept.type, json.loads(kept.body)) == ("order.paid", {"nr": 1})
    [kept] = unpacked({"event": "order.paid", "id": 1}, LIST, kept=True)
    assert (kept.type, kept.invalid) == ("order.paid", None)
    [kept] = unpacked(
        {"nr": 1},
        {"data": "body.list[0].x", "read": {"type": "order.paid", "order_key": "body.list[0].x.nr"}},
        kept=True,
    )
    assert (json.loads(kept.body), kept.order_key) == ({"nr": 1}, "id:1")


@pytest.mark.parametrize(
    ("told", "type"),
    [
        ("Rechnung gelöscht", "invoice.deleted"),
        ("rechnung  GELO\u0308SCHT ", "invoice.deleted"),
        ("contact|updated", "contact.updated"),
        (7, "order.paid"),
        ("order.gone", "order.gone"),
    ],
)
def test_f34_types(told: Any, type: str) -> None:
    """F34: the words of a platform are ours by a table; what is not in it is read as before."""
    types = {"Rechnung gelöscht": "invoice.deleted", "contact|updated": "contact.updated", 7: "order.paid"}
    [found] = unpacked({"event": told, "email": "eva@example.org"}, {"types": types, "read": {"type": "body.event"}})
    assert found.type == type


def test_type_of_several_places() -> None:
    """A type of several places is their texts with dots between them; those count at which something stands."""
    options = {"read": {"type": ["body.object", "body.action"]}, "types": {"issue.opened": "ticket.new"}}
    assert [
        unpacked(each, options)[0].type
        for each in (
            {"object": "Pull Request", "action": "closed"},
            {"object": "push"},
            {"object": "issue", "action": "opened"},
        )
    ] == ["pull_request.closed", "push", "ticket.new"]


def test_json_in_a_form() -> None:
    """JSON in a field of a form is the noun, or the list of events; a form of that field alone is its JSON."""
    [found] = unpacked(
        b"token=x&payload=%7B%22type%22%3A%22order.paid%22%7D",
        {"data": "body.payload", "read": {"type": "body.payload.type"}},
    )
    assert (found.type, json.loads(found.body)) == ("order.paid", {"type": "order.paid"})
    several = b"v=1&events=%5B%7B%22e%22%3A%22a%22%7D%2C%7B%22e%22%3A%22b%22%7D%5D"
    assert [each.type for each in unpacked(several, {"items": "body.events", "read": {"type": "item.e"}})] == ["a", "b"]
    [alone] = unpacked(b"payload=%7B%22type%22%3A%22order.paid%22%7D", {"read": {"type": "body.type"}})
    assert alone.type == "order.paid"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"zone": "Europe/Berlin"}, "is for the time"),
        ({"zone": "CEST+2", "read": {"time": "body.at"}}, "time zone"),
        ({"types": {"x": "order.paid"}, "read": {"type": "order.paid"}}, "is a fixed one"),
        ({"types": {"a  B": "x", "A b": "y"}}, "a word twice"),
        ({"types": {"a": "Order Paid"}}, "dotted name"),
        ({"read": {"type": "data.event"}}, "looks like a place, and there is none such: write body.event"),
        ({"read": {"type": "raw.event.name"}}, "write body.event.name"),
        ({"items": "item.events"}, "place in the body"),
        ({"items": "query.events"}, "place in the body"),
        ({"data": "header.X"}, "place in the body"),
        ({"items": "body.events", "data": "body.data"}, "write item"),
        ({"items": "body.events", "read": {"ignore": ["body.n"]}}, "write item"),
        ({"read": {"id": []}}, "or a list of places"),
    ],
)
def test_what_never_counts(options: dict[str, Any], says: str) -> None:
    """A composition of which a part would never count is refused."""
    with pytest.raises(ValidationError, match=says):
        GenericOptions.model_validate(options)


def greeted(
    method: str, handshake: dict[str, Any], query: bytes = b"", *headers: tuple[bytes, bytes]
) -> SourceAnswer | None:
    request = verification.greet(RawRequest(b"", headers, query), (), 0)
    return SOURCE.greet(method, request, GenericOptions.model_validate({"handshake": handshake}))


def test_no_handshake() -> None:
    """Where the book says nothing, nothing but POST is answered; each method is switched on by itself."""
    assert not SOURCE.greets(GenericOptions())
    assert SOURCE.greet("GET", verification.greet(RawRequest(b""), (), 0), GenericOptions()) is None
    for method, handshake in (
        ("GET", {"head": True}),
        ("HEAD", {"get": True}),
        ("OPTIONS", {"get": True, "head": True}),
    ):
        assert greeted(method, handshake) is None
    got = greeted("GET", {"get": True}, b"a=b")
    assert got is not None
    assert (got.status, got.body) == (200, b"")
    assert got.headers[0] == (b"content-type", b"text/plain; charset=utf-8")


def test_echo() -> None:
    """The word is sent back as text, or as JSON under a name; from a parameter, a header or a posted body."""
    word = b"Validation: Testing client application reachability for subscription Request-Id: 1a2b"
    text = greeted("GET", {"echo": "query.validationToken"}, b"validationToken=" + word.replace(b" ", b"%20"))
    assert text is not None
    assert text.body == word
    okta = {"echo": "header.X-Okta-Verification-Challenge", "key": "verification"}
    as_json = greeted("GET", okta, b"", (b"x-okta-verification-challenge", b"abc-1"))
    assert as_json is not None
    assert (json.loads(as_json.body), as_json.headers) == ({"verification": "abc-1"}, ())
    slack = GenericOptions.model_validate({"handshake": {"echo": "body.challenge"}, "read": {"type": "body.type"}})
    batch = SOURCE.unpack(fixtures.verified(b'{"type": "url_verification", "challenge": "3eZbrw1aB"}'), slack, None)
    assert batch.items == []
    assert SOURCE.answer(batch, [])[:2] == (200, b"3eZbrw1aB")
    batch = SOURCE.unpack(fixtures.verified(b'{"type": "message"}'), slack, None)
    assert [item.type for item in batch.items] == ["message"]
    told = {"handshake": {"echo": "body.challenge"}, "read": {"type": "body.type", "id": "body.event_id"}}
    event = b'{"type": "message", "event_id": "Ev1", "challenge": "an event that has such a field"}'
    batch = SOURCE.unpack(fixtures.verified(event), GenericOptions.model_validate(told), None)
    assert [item.sender_id for item in batch.items] == ["Ev1"]
    batch = SOURCE.unpack(fixtures.verified(b'{"challenge": "3eZbrw1aB"}'), GenericOptions.model_validate(told), None)
    assert SOURCE.answer(batch, [])[:2] == (200, b"3eZbrw1aB")
    graph = GenericOptions.model_validate({"handshake": {"echo": "query.validationToken", "method": "POST"}})
    batch = SOURCE.unpack(fixtures.verified(b"", query=b"validationToken=abc%20d"), graph, None)
    assert SOURCE.answer(batch, [])[:2] == (200, b"abc d")


@given(st.text(max_size=600))
def test_echo_is_no_open_reflector(word: str) -> None:
    """Only a short word of harmless signs comes back, whatever is asked; never HTML, never a header."""
    query = b"c=" + quote(word, safe="").encode()
    if not re.fullmatch(r"[\w .~:/+=,;@|-]{1,512}", word, re.ASCII):
        with pytest.raises(errors.NotParseable, match="bad_challenge") as caught:
            greeted("GET", {"echo": "query.c"}, query)
        assert len(word) < 5 or word not in caught.value.hint
        return
    answer = greeted("GET", {"echo": "query.c"}, query)
    assert answer is not None
    assert answer.body == word.encode()
    assert answer.headers[0] == (b"content-type", b"text/plain; charset=utf-8")


def test_cloudevents_handshake() -> None:
    """OPTIONS is answered for the origins of the book; with * without repeating who asks."""
    asks = (b"webhook-request-origin", b"Events.example.org")
    named = greeted("OPTIONS", {"origins": ["events.example.org"]}, b"", asks, (b"webhook-request-rate", b"120"))
    assert named is not None
    assert dict(named.headers)[b"webhook-allowed-origin"] == b"events.example.org"
    assert dict(named.headers)[b"webhook-allowed-rate"] == b"*"
    every = greeted("OPTIONS", {"origins": ["*"]}, b"", (b"webhook-request-origin", b"a b<c>"))
    assert every is not None
    assert dict(every.headers)[b"webhook-allowed-origin"] == b"*"
    assert greeted("OPTIONS", {"origins": ["other.example.org"]}, b"", asks) is None
    assert greeted("OPTIONS", {"origins": ["*"]}) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"handshake": {}}, "says nothing"),
        ({"handshake": {"get": True, "key": "x"}}, "belong to echo"),
        ({"handshake": {"echo": "body.challenge", "method": "GET"}}, "can never be found"),
        ({"handshake": {"echo": "challenge"}}, "must be a place"),
        ({"handshake": {"origins": ["<x>"]}}, "must be an origin"),
        ({"handshake": {"echo": "query.c", "key": "a b"}}, "pattern"),
        ({"handshake": {"get": True}, "get_is_event": True}, "one or the other"),
        ({"handshake": {"echo": "query.c"}, "get_is_event": True}, "one or the other"),
        ({"answer": {"status": 302}}, "less than or equal to 299"),
        ({"answer": {"status": 204, "body": "x"}}, "there is none"),
        ({"answer": {"body": "ok", "type": "application/json"}}, "the body is none"),
    ],
)
def test_wrong_answers_and_handshakes(options: dict[str, Any], says: str) -> None:
    """An answer or a handshake that could never work is refused."""
    with pytest.raises(ValidationError, match=says):
        GenericOptions.model_validate(options)


def test_answers() -> None:
    """The book says status and body; with a status alone the body is the ids of the events."""
    for answer, wanted in (
        ({"status": 200}, (200, b'{"events":[{"id":"x"}]}', ())),
        ({"status": 204}, (204, b"", ((b"content-type", b"text/plain; charset=utf-8"),))),
        ({"body": "[accepted]"}, (200, b"[accepted]", ((b"content-type", b"text/plain; charset=utf-8"),))),
        ({"body": "{}", "type": "application/json"}, (200, b"{}", ((b"content-type", b"application/json"),))),
    ):
        options = GenericOptions.model_validate({"answer": answer, "read": {"type": "order.paid"}})
        batch = SOURCE.unpack(fixtures.verified(b"{}"), options, None)
        told = SOURCE.answer(batch, ["x"])
        assert (*told, ()) == wanted if len(told) == 2 else told == wanted


CLOUD = {
    "cloudevents": True,
    "data": "body.data",
    "read": {"id": ["body.source", "body.id"], "type": "body.type", "time": "body.time", "subject": "body.subject"},
}


def test_cloudevents() -> None:
    """A CloudEvent is the same with its attributes in the body, in headers, or in an array of several."""
    attributes = {"specversion": "1.0", "id": "A-1", "source": "/shop/1", "type": "com.example.Order.Paid"}
    attributes |= {"time": "2026-11-20T10:00:00Z", "subject": "Bücher"}
    data = {"email": "eva@example.org", "nr": 1.50}
    [structured] = unpacked({**attributes, "data": data}, CLOUD)
    headers = [(f"ce-{name}".encode(), quote(value).encode()) for name, value in attributes.items()]
    raw = RawRequest(json.dumps(data).encode(), ((b"content-type", b"application/json"), *headers))
    [binary] = SOURCE.unpack(verification.trusted(raw), GenericOptions.model_validate(CLOUD), None).items
    [batched, _] = unpacked([{**attributes, "data": data}, {**attributes, "id": "A-2", "data": data}], CLOUD)
    assert structured == binary == batched
    assert (binary.type, binary.sender_id, binary.subject) == ("com.example.order.paid", '["/shop/1","A-1"]', "Bücher")
    assert (binary.time, json.loads(binary.body)) == ("2026-11-20T10:00:00.000Z", data)


def problems_of(text: str) -> list[str]:
    checked = loader.check_texts({"book.yaml": textwrap.dedent(text)}, book.CATALOGUE)
    return [f"{each.line}: {each.text}" for each in checked.problems]


def test_secret_places() -> None:
    """`rules check` says at which place nothing is ever found, because a secret stands there."""
    text = """
        sources:
          shop:
            kind: generic
            verify:
              query:
                name: token
                value: ${A}
              hmac:
                header: [X-S, X-Old]
                secret: ${B}
            read:
              type: body.type
              id: query.token
              order_key: header.x-old
              subject: query.subject
    """
    assert problems_of(text) == [
        "14: nothing is ever found at query.token: verify: says it is a secret",
        "15: nothing is ever found at header.x-old: verify: says it is a secret",
    ]
    text = """
        sources:
          shop:
            kind: generic
            verify:
              handshake:
                name: token
                value: ${A}
    """
    assert "says nothing: name a way to verify" in problems_of(text)[0]


NAMES = st.sampled_from(["events", "data", "type", "id", "email", "payload", "a b", "0"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "eva@example.org", "{", "[1]", '{"type": "y", "data": {}}', "\0", "\ud800", "{\\"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)
COMPOSITIONS: list[dict[str, Any]] = [
    ENVELOPE,
    LIST,
    {"data": "body.payload", "read": {"type": ["body.type", "body.id"], "id": "header.X"}},
    {"items": "body.payload.events", "data": "item.data", "read": {"type": "item.type", "ignore": ["item.data.id"]}},
    {"items": "body.events", "read": {"type": "item.0", "subject": "item.payload.data"}, "types": {"x": "order.paid"}},
    {"data": 'body["a b"][0]', "cloudevents": True, "handshake": {"echo": "body.data.type"}},
]


@given(VALUES, st.sampled_from(COMPOSITIONS), st.booleans(), st.booleans())
def test_any_value_at_any_place(value: Any, options: dict[str, Any], kept: bool, binary: bool) -> None:
    """Whatever comes, a composition makes items of it or refuses it; each item's body is an object, or says why not."""
    headers = ((b"ce-specversion", b"1.0"), (b"ce-id", b"%00\xff")) if binary else ()
    request = verification.trusted(RawRequest(json.dumps(value).encode(), headers), kept=kept)
    try:
        items = SOURCE.unpack(request, GenericOptions.model_validate(options), "x.y").items
    except errors.RequestRefused:
        return
    for item in items:
        assert isinstance(json.loads(item.body), dict) or item.invalid is not None
        if item.invalid is None and item.type is not None:
            SOURCE.read(item.type, item.body)
            assert intake.build_event(
                item, Source("s", "generic", GenericOptions(), Verify(none="in a test")), "2026"
            ).id
