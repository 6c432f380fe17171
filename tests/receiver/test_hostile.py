import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.receiver import fixtures
from tests.receiver.port import AT, SD, Port

CONTACT = b'{"email": "eva@example.org"}'


def head(*lines: bytes, path: bytes = b"/in/at/unsubscribed", length: int | None = len(CONTACT)) -> bytes:
    """Return the head of a request, written by hand."""
    told = [b"Content-Length: %d" % length] if length is not None else []
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *told, *lines, b"", b""])


TOKEN = b"X-Relais-Token: new"
TYPE = b"Content-Type: application/json"

RAW: list[tuple[bytes, bytes]] = [
    (head(b"X-Relais-Token: \xff\xfe", TYPE) + CONTACT, b"401"),
    (head(TOKEN, TOKEN, TYPE) + CONTACT, b"401"),
    (head(TOKEN, b"Content-Type: \xff\xff\xff") + CONTACT, b"202"),
    (head(TOKEN, b"Content-Type: application/json; charset=\xe4") + CONTACT, b"202"),
    (head(TOKEN, TYPE, TYPE) + CONTACT, b"202"),
    (head(TOKEN, TYPE, TYPE, length=1) + b"x", b"401"),
    (head(TOKEN, b"Content-Type: \xff\xff\xff", length=1) + b"x", b"415"),
    (head(TOKEN, TYPE, b"Content-Encoding: gzip", b"Content-Encoding: gzip") + CONTACT, b"401"),
    (head(TOKEN, TYPE, b"traceparent: \xff") + CONTACT, b"202"),
    (head(TOKEN, TYPE, b"X-Forwarded-For: " + b"a," * 2000) + CONTACT, b"202"),
    (head(TOKEN, TYPE, path=b"/in/at/%00") + CONTACT, b"404"),
    (head(TOKEN, TYPE, path=b"/in/%2e%2e/at") + CONTACT, b"404"),
    (head(TOKEN, TYPE, path=b"/in/at/%ff%fe") + CONTACT, b"404"),
    (head(TOKEN, TYPE, path=b"/in/" + b"a" * 5000) + CONTACT, b"404"),
    (head(TOKEN, TYPE, path=b"/in//////") + CONTACT, b"404"),
    (head(TOKEN, TYPE, path=b"/in/at/unsubscribed?\xff\xfe") + CONTACT, b"400"),
    (head(TOKEN, TYPE, path=b"/in/at/unsubscribed?" + b"&".join(b"a%d" % n for n in range(1500))) + CONTACT, b"400"),
    (head(TOKEN, TYPE, length=10**15), b"413"),
    (head(TOKEN, TYPE, b"Content-Length: -5", length=None) + CONTACT, b"400"),
    (head(TOKEN, TYPE, b"Content-Length: abc", length=None) + CONTACT, b"400"),
    (head(TOKEN, TYPE, b"Content-Length: 5", length=6) + CONTACT, b"400"),
    (head(TOKEN, TYPE, b"Transfer-Encoding: chunked", length=None) + b"zz\r\n", b"400"),
    (head(TOKEN, TYPE, b"Expect: 100-continue") + CONTACT, b"100"),
    (b"\x00\x01\x02\r\n\r\n", b"400"),
    (b"POST /in/at/unsubscribed HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n", b"4"),
    (b"POST in/at HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"4"),
]


@pytest.mark.parametrize(("raw", "status"), RAW)
def test_rude_requests(either: Port, raw: bytes, status: bytes) -> None:
    """Each malformed request gets the status that says what is wrong with it, never one that blames us."""
    answer = either.send(raw)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]


def test_body_cut_short(either: Port) -> None:
    """A connection that ends in mid-body keeps nothing and disturbs nobody."""
    with either.connect() as connection:
        connection.sendall(head(TOKEN, TYPE, length=1000) + CONTACT)
    assert either.post("/in/at/unsubscribed", CONTACT, AT).status == 202


LONG = b"x" * 5000
DEEP = b"[" * 3000 + b"]" * 3000

ODD: list[tuple[str, dict[str, str], bytes]] = [
    ("/in/at/contact_changed", AT, b'{"email": {"a": 1}}'),
    ("/in/at/contact_changed", AT, b'{"id": 1e400}'),
    ("/in/at/contact_changed", AT, b'{"id": 99999999999999999999999999}'),
    ("/in/at/contact_changed", AT, b'{"id": true}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "num1": 1e400, "date1": 1e300, "birthday": 5}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "birthday": "0000-00-00", "date1": "9999-12-31T23:59:59-23:59"}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "date1": -62135596800000, "date2": 253402300799999}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "contact": {"contact": {"contact": []}}}'),
    ("/in/at/contact_changed", AT, b'{"": 1, " ": 2, "id": 12, "\\u0000": "\\u0000"}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "email": "a@b@c"}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "sms": "++"}'),
    ("/in/at/contact_changed", AT, b'{"sms": "++"}'),
    ("/in/at/contact_changed", AT, b'{"id": "\\ud83d\\ude00"}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "__class__": 1, "model_config": 2, "model_fields": {}, "data": 1}'),
    ("/in/at/contact_changed", AT, b'{"id": 12, "deep": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}"),
    ("/in/at/contact_changed", AT, b'{"id": 12, "x": ' + DEEP + b"}"),
    ("/in/sd_nord", SD, b'{"notifications": [{"action": "booking.create", "payload": {"guests": [1]}}]}'),
    ("/in/sd_nord", SD, b'{"notifications": [{"action": "booking.create", "payload": {"guests": {}}}]}'),
    ("/in/sd_nord", SD, b'{"notifications": [{"action": "invoice.post", "payload": {"id": 1, "items": [null]}}]}'),
    ("/in/sd_nord", SD, b'{"notifications": [{"action": "invoice.post", "payload": {"id": 1, "totalAmount": 1e40}}]}'),
    ("/in/sd_nord", SD, b'{"notifications": [{"action": "event.create", "payload": {"id": "x", "title": [1]}}]}'),
    (
        "/in/sd_nord",
        SD,
        b'{"id": [1], "properties": [], "notifications": [{"action": "profile.delete", "payload": {}}]}',
    ),
    ("/in/sd_nord", SD, b'{"id": "\\u0000", "attempt": {}, "notifications": [{"action": "\\u0000", "payload": 1}]}'),
    (
        "/in/sd_nord",
        SD,
        b'{"id": "' + b"x" * 5000 + b'", "notifications": [{"action": "profile.delete", "payload": {"id": 1}}]}',
    ),
    ("/in/sd_nord", SD, b'{"notifications": [' + b",".join([b"{}"] * 5000) + b"]}"),
]


@pytest.mark.parametrize(("path", "headers", "body"), ODD)
def test_odd_bodies(shared: Port, path: str, headers: dict[str, str], body: bytes) -> None:
    """Authentic bodies with the oddest of values are kept, quarantined or refused, and what is kept can be read."""
    answer = shared.post(path, body, headers)
    assert answer.status < 500, answer
    if answer.status < 300:
        # An answer without events is one about notifications that we do not take, each with its status.
        assert answer.ids or {each["status"] for each in answer.json["notifications"]} == {400}
    for event_id in answer.ids if answer.status < 300 else ():
        if shared.fate(event_id).state != "quarantined":
            assert json.dumps(dict(shared.kept(event_id).data))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "email", "sms", "birthday", "date1", "num1", "ext1", "is_deleted", "contact", "status"])
BODIES = (
    st.binary(max_size=60)
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(FIELDS, ANY_JSON, max_size=5).map(lambda value: json.dumps(value).encode())
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, kind=st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_any_body(shared: Port, body: bytes, kind: str) -> None:
    """Whatever an authentic body holds, the answer is 2xx, or 4xx with one of our codes."""
    answer = shared.post("/in/at/contact_changed", body, {**AT, "Content-Type": kind})
    assert answer.status == 202 or (400 <= answer.status < 500 and answer.json["error"])


BOOKING: dict[str, Any] = json.loads((fixtures.FOLDER / "seminardesk/booking.create.guests.json").read_bytes())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_a_booking(shared: Port, data: st.DataObject) -> None:
    """Any value at any place of a notification is kept or quarantined, and what is kept can be read."""
    body = json.loads(json.dumps(BOOKING))
    place: Any = body["notifications"][0]
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ANY_JSON)
    answer = shared.post("/in/sd_nord", json.dumps(body).encode(), SD)
    assert answer.status in (200, 400), answer
    if answer.status == 200:
        for event_id in answer.ids:
            if shared.fate(event_id).state != "quarantined":
                assert shared.kept(event_id).data
