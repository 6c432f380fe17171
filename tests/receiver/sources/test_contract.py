"""What every kind of source promises, whatever its platform: asked of each over a real socket."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from receiver import sources, verification
from tests.receiver import book
from tests.receiver.port import JSON, Port, PortAnswer

#: What the shared receiver takes at the most, in bytes.
MOST = 65_536


@dataclass(frozen=True)
class SourceExample:
    """A body of a kind, and what would be wrong with it."""

    #: What stands in the URL behind the source.
    event: str | None
    #: Returns a body with one item; its argument is a name, in the item's id or address.
    body: Callable[[str], Any]
    #: Makes a body of the bodies of two items.
    batch: Callable[[Any, Any], Any]
    #: A body without the one field that its item cannot be without, or with another type of value in it.
    missing: Any
    wrong: Any
    #: What is answered to an event that we do not take: its place, a body, status and code.
    unknown: tuple[str | None, Any, int, str]


def _envelope(*notifications: Any) -> Any:
    return {"id": None, "properties": {"timestamp": 1}, "notifications": list(notifications)}


def _deleted(name: str) -> Any:
    return _envelope({"action": "profile.delete", "payload": {"id": sum(name.encode()) * 1000 + len(name)}})


EXAMPLES = {
    "activetrail": SourceExample(
        "unsubscribed",
        lambda name: {"email": f"{name}@example.org"},
        lambda one, other: [one, other],
        {"first_name": "Eva"},
        {"email": {"a": 1}},
        ("deleted", {"email": "eva@example.org"}, 404, "unknown_event"),
    ),
    "cmxorganize": SourceExample(
        None,
        lambda name: {"E-Mailadresse": f"{name}@example.org"},
        lambda one, other: [one, other],
        {"Name": "Muster"},
        {"E-Mailadresse": ["a"]},
        ("purchase", {"email": "eva@example.org"}, 404, "unknown_event"),
    ),
    "generic": SourceExample(
        None,
        lambda name: {"id": name, "event": "order.paid", "customer": {"email": "eva@example.org"}},
        lambda one, other: [one, other],
        {"id": "x"},
        {"id": "x", "event": 5.5},
        (None, {"id": "x", "event": "größer!"}, 202, ""),
    ),
    "magnetis": SourceExample(
        "call:completed",
        lambda name: {"data": {"id": f"call-{name}", "caller": "+33199001234"}},
        lambda one, other: {"data": [one["data"], other["data"]]},
        {"data": {"duration": 3}},
        {"data": {"id": {"a": 1}, "caller": "+33199001234", "duration": []}},
        ("call:transferred", {"data": {"id": "call-1"}}, 404, "unknown_event"),
    ),
    "maileon": SourceExample(
        "unsubscription",
        lambda name: {"email": f"{name}@example.org", "timestamp": 1795860000000},
        lambda one, other: [one, other],
        {"firstname": "Eva"},
        {"email": [], "external_id": {}},
        ("open", {"email": "eva@example.org"}, 404, "unknown_event"),
    ),
    "seminardesk": SourceExample(
        None,
        _deleted,
        lambda one, other: _envelope(*one["notifications"], *other["notifications"]),
        _envelope({"action": "event.create", "payload": {"id": "37eb"}}),
        _envelope({"action": "booking.create", "payload": {"id": 1, "booker": 5, "guests": {}}}),
        (None, _envelope({"action": "seminar.dance", "payload": {"id": 1}}), 200, ""),
    ),
}

pytestmark = pytest.mark.parametrize("kind", sorted(EXAMPLES))


def send(
    port: Port, kind: str, body: Any, *, event: str | None = "", wrong: bool = False, label: str = JSON["Content-Type"]
) -> PortAnswer:
    """Send a body as its platform would; `wrong`: with another secret."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    entry = port.book.entry(book.SOURCES[kind])
    checks = entry.verified_by()
    if wrong:
        environ = {name: f"not {value}" for name, value in book.ENVIRON.items()}
        checks = verification.checks(entry.source.verify, environ)
    signed = verification.sign(checks, content, time.time(), "msg_1")
    event = EXAMPLES[kind].event if event == "" else event
    path = f"/in/{entry.source.name}" + (f"/{event}" if event else "")
    query = f"?{urlencode(signed.query)}" if signed.query else ""
    return port.post(path + query, content, {"Content-Type": label, **signed.headers})


def test_every_kind_is_here(kind: str) -> None:
    """No kind of source is without an example."""
    assert kind in sources.SOURCES
    assert EXAMPLES.keys() == sources.SOURCES.keys()


def test_wrong_credential(shared: Port, kind: str) -> None:
    """Another secret is 401, and nothing of secret or query is kept with the refused request."""
    before = len(shared.refused())
    answer = send(shared, kind, EXAMPLES[kind].body("wrong"), wrong=True)
    assert (answer.status, answer.json["error"]) in {(401, "wrong_credentials"), (401, "wrong_signature")}
    refused = shared.refused()[before:]
    assert not any("not " in value for *_, headers, _ in refused for value in headers.values())


def test_missing_field(shared: Port, kind: str) -> None:
    """Authentic and without what its type needs: answered 2xx, kept in quarantine, with the field."""
    answer = send(shared, kind, EXAMPLES[kind].missing)
    assert answer.status in (200, 202)
    fate = shared.fate(answer.ids[0])
    assert fate.state == "quarantined"
    assert fate.why


def test_wrong_type_of_value(shared: Port, kind: str) -> None:
    """A value of another type is left out, or the event is in quarantine: it is answered 2xx and kept."""
    answer = send(shared, kind, EXAMPLES[kind].wrong)
    assert answer.status in (200, 202)
    if shared.fate(answer.ids[0]).state != "quarantined":
        assert shared.kept(answer.ids[0]).unread


def test_huge(shared: Port, kind: str) -> None:
    """A body over the cap is 413."""
    answer = send(shared, kind, {"filler": "x" * MOST, **EXAMPLES[kind].body("huge")})
    assert (answer.status, answer.json["error"]) == (413, "too_large")


@pytest.mark.parametrize("body", [b"", b"  \n "])
def test_empty(shared: Port, kind: str, body: bytes) -> None:
    """An empty body that says nothing in the URL either is 400."""
    answer = send(shared, kind, body)
    assert (answer.status, answer.json["error"]) == (400, "empty_body")


@pytest.mark.parametrize("body", [b"[1, 2]", b"5", b'"text"', b"null"])
def test_no_object(shared: Port, kind: str, body: bytes) -> None:
    """JSON without an object in it is 400, and never an event."""
    assert send(shared, kind, body).status == 400


def test_wrong_encoding(shared: Port, kind: str) -> None:
    """Bytes that are no text, or are packed otherwise than they say, are 400; text in Latin-1 that says so is read."""
    broken = b'{"email": "\xff\xfe\xc3"}'
    assert send(shared, kind, broken).status == 400
    assert send(shared, kind, b"\x1f\x8bnot packed at all").status == 400
    named = json.dumps({**EXAMPLES[kind].body("latin"), "last_name": "Müller"}, ensure_ascii=False).encode("latin-1")
    assert send(shared, kind, named, label="application/json; charset=ISO-8859-1").status in (200, 202)


def test_duplicate(shared: Port, kind: str) -> None:
    """The same request again is answered the same, with the first id."""
    first = send(shared, kind, EXAMPLES[kind].body("twice"))
    assert first.status in (200, 202)
    assert len(first.ids) == 1
    again = send(shared, kind, EXAMPLES[kind].body("twice"))
    assert (again.status, again.ids) == (first.status, first.ids)


def test_batch(shared: Port, kind: str) -> None:
    """Two items in one request are two events."""
    example = EXAMPLES[kind]
    answer = send(shared, kind, example.batch(example.body("one"), example.body("another")))
    assert answer.status in (200, 202)
    assert len(set(answer.ids)) == 2


def test_unknown_event(shared: Port, kind: str) -> None:
    """An event that we do not take is said to be unknown, where the address is wrong with a 404, never with a 5xx."""
    event, body, status, code = EXAMPLES[kind].unknown
    answer = send(shared, kind, body, event=event)
    assert (answer.status, answer.json.get("error", "")) == (status, code)
