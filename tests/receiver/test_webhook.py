import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from receiver import verification
from tests.conftest import PrivateValkey, wait_until
from tests.receiver import fixtures
from tests.receiver.book import SOURCES
from tests.receiver.port import AT, JSON, SD, Port, PortAnswer

CONTACT = {"id": 12, "email": "eva@example.org", "first_name": "Eva"}


def post_recorded(port: Port, name: str, source: str | None = None) -> PortAnswer:
    """Send a recorded body as its platform would."""
    kind, _, file = name.partition("/")
    body = (fixtures.FOLDER / name).read_bytes()
    gate = port.book.entry(source or SOURCES[kind])
    signed = verification.sign(gate.verified_by(), body, time.time(), "msg_1")
    event = fixtures.event_of(name)
    path = f"/in/{gate.source.name}" + (f"/{event}" if event else "")
    return port.post(path, body, {"Content-Type": fixtures.TYPES[Path(file).suffix].decode(), **signed.headers})


def test_every_recorded_body(port: Port) -> None:
    """Every recorded body is answered 2xx and each of its events is kept, ready for a worker or in quarantine."""
    for name in fixtures.NAMES:
        answer = post_recorded(port, name)
        assert answer.status in (200, 202), (name, answer)
        batch = fixtures.unpacked(name)
        taken = [item for item in batch.items if item.type is not None]
        assert len(answer.ids) == len(taken)
        for item, event_id in zip(taken, answer.ids, strict=True):
            if item.invalid is not None:
                assert port.fate(event_id).state == "quarantined"
                assert port.fate(event_id).why == str(item.invalid)
            else:
                kept = port.kept(event_id)
                assert (kept.type, kept.body, kept.source) == (item.type, item.body, SOURCES[name.partition("/")[0]])
                assert kept.data


def test_what_is_kept(port: Port) -> None:
    """An event carries time, order key, subject, message id and trace, and its body byte by byte."""
    body = json.dumps(
        {
            "id": "9c74c8d4896d4e45906d956902a99f75",
            "attempt": 1,
            "properties": {"timestamp": 1795000000000},
            "notifications": [{"action": "profile.delete", "payload": {"id": "4711", "odd": 1.50}}],
        }
    )
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    kept = port.kept(port.post("/in/sd_nord", body, {**SD, "traceparent": trace}).ids[0])
    assert (kept.kind, kept.type, kept.order_key) == ("seminardesk", "profile.deleted", "seminardesk:profile:4711")
    assert (kept.subject, kept.time) == ("profile/4711", "2026-11-18T11:06:40.000Z")
    assert (kept.sender_id, kept.position, kept.traceparent) == ("9c74c8d4896d4e45906d956902a99f75", 0, trace)
    assert kept.body.decode() in body
    assert kept.data == {"id": 4711, "odd": 1.5}
    assert kept.received_at.endswith("Z")


def test_sent_twice(port: Port) -> None:
    """A message sent twice gets the same answer and the same ids; it is one event."""
    first = post_recorded(port, "seminardesk/batch.programme.json")
    again = post_recorded(port, "seminardesk/batch.programme.json")
    assert (again.status, again.body) == (first.status, first.body)
    assert port.counts()["duplicate|sd_nord|seminar.created"] == 1


def test_sent_twice_without_message_id(port: Port) -> None:
    """Without a message id a body that repeats the latest one of its order key is a duplicate; added again is new."""
    first = port.post("/in/at/group_added", CONTACT).ids
    assert port.post("/in/at/group_added", CONTACT).ids == first
    port.post("/in/at/group_removed", {**CONTACT, "n": 1})
    assert port.post("/in/at/group_added", CONTACT).ids != first


def test_quarantined_twice(port: Port) -> None:
    """A quarantined message sent twice is answered with its first id."""
    first = post_recorded(port, "seminardesk/booking.create.invalid_status.json")
    assert first.json["notifications"][0]["status"] == 200
    assert post_recorded(port, "seminardesk/booking.create.invalid_status.json").ids == first.ids


def test_refused_when_asked_for(port: Port) -> None:
    """With `on_invalid: refuse` a body that does not fit is 422 with the field's path, and nothing of it is kept."""
    answer = post_recorded(port, "seminardesk/batch.one_invalid.json", "sd_streng")
    assert (answer.status, answer.json["error"], answer.json["field"]) == (422, "invalid", "id")
    assert not [name for name in port.counts() if name.startswith("received")]


def test_unknown_action(port: Port) -> None:
    """An unknown action is 400 inside of 200, and the other notifications are kept."""
    answer = post_recorded(port, "seminardesk/batch.unknown_action.json")
    assert answer.status == 200
    assert [each["status"] for each in answer.json["notifications"]] == [200, 400, 200]
    assert len(answer.ids) == 2


REFUSED: list[tuple[str, Any, dict[str, str], int, str]] = [
    ("/in/nobody", {}, AT, 404, "unknown_source"),
    ("/in/", {}, AT, 404, "unknown_source"),
    ("/in/at", CONTACT, AT, 404, "missing_event"),
    ("/in/at/exploded", CONTACT, AT, 404, "unknown_event"),
    ("/in/at/unsubscribed", CONTACT, JSON, 401, "missing_credentials"),
    ("/in/at/unsubscribed", CONTACT, {**AT, "X-Relais-Token": "guess"}, 401, "wrong_credentials"),
    ("/in/sd_nord", {}, {**JSON, "Authorization": "Basic !"}, 401, "malformed_credentials"),
    ("/in/shop", {}, JSON, 401, "missing_signature"),
    ("/in/shop", {}, {**JSON, "X-Signature": "sha256=00"}, 401, "wrong_signature"),
    ("/in/at/unsubscribed", b"{", AT, 400, "bad_json"),
    ("/in/at/unsubscribed", b"", AT, 400, "empty_body"),
    ("/in/at/unsubscribed", b"[1]", AT, 400, "not_an_object"),
    ("/in/at/unsubscribed", b"<a/>", {**AT, "Content-Type": "application/xml"}, 415, "unsupported_type"),
    ("/in/at/unsubscribed", b"x", {**AT, "Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
    ("/in/at/unsubscribed?a=%FF", CONTACT, AT, 400, "bad_query"),
    ("/in/sd_nord", {"id": "1"}, SD, 400, "no_notifications"),
    ("/in/at/unsubscribed", b"x" * 70_000, AT, 413, "too_large"),
    ("/in/half/unsubscribed", CONTACT, AT, 503, "secret_missing"),
    ("/elsewhere", CONTACT, AT, 404, "not_found"),
    ("/healthz", CONTACT, AT, 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("path", "body", "headers", "status", "code"), REFUSED)
def test_refused(shared: Port, path: str, body: Any, headers: dict[str, str], status: int, code: str) -> None:
    """Each kind of trouble has its status, a code that never changes, and a hint."""
    answer = shared.post(path, body, headers)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert answer.json["hint"]
    assert answer.headers["content-type"] == "application/json"


def test_only_post(shared: Port) -> None:
    """Webhooks are posted; any other method says so."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = shared.post("/in/at/unsubscribed", b"", AT, method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_healthz(shared: Port) -> None:
    """The only other thing on the public port is a sign of life."""
    assert shared.post("/healthz", b"", {}, "GET").json == {"status": "ok"}
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/events", "/in"):
        assert shared.post(path, b"", {}, "GET").status == 404


def test_both_tokens(shared: Port) -> None:
    """While a token rotates both are taken."""
    for token in ("new", "old"):
        assert shared.post("/in/at/unsubscribed", CONTACT, {**AT, "X-Relais-Token": token}).status == 202


def test_too_large_without_length(shared: Port) -> None:
    """A body that does not announce its length is cut off at the cap, and the answer arrives."""
    head = b"POST /in/at/unsubscribed HTTP/1.1\r\nHost: x\r\nX-Relais-Token: new\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    answer = shared.send(head + chunk * 6 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"too_large"' in answer


def test_too_slow(shared: Port) -> None:
    """Who does not finish a body in time is sent away."""
    with shared.connect() as connection:
        connection.sendall(
            b"POST /in/at/unsubscribed HTTP/1.1\r\nHost: x\r\nX-Relais-Token: new\r\nContent-Length: 50\r\n\r\n{"
        )
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer


def test_store_away(port: Port, valkey: PrivateValkey) -> None:
    """While the store is away the answer is 503 with Retry-After; when it is back the receiver goes on by itself."""
    valkey.stop(kill=True)
    answer = port.post("/in/at/unsubscribed", CONTACT)
    assert (answer.status, answer.json["error"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    invalid = port.post("/in/at/unsubscribed", {"first_name": "Niemand"})
    assert (invalid.status, invalid.json["error"]) == (503, "store_unavailable")
    assert port.post("/healthz", b"", {}, "GET").status == 200
    valkey.start()
    assert port.post("/in/at/unsubscribed", CONTACT).status == 202


def test_store_away_at_start(tmp_path: Path, valkey: PrivateValkey) -> None:
    """A receiver that starts before its store answers 503, and takes webhooks as soon as the store is there."""
    valkey.stop(kill=True)
    with Port(tmp_path, valkey.url) as port:
        assert port.post("/in/at/unsubscribed", CONTACT).status == 503
        valkey.start()
        wait_until(lambda: port.post("/in/at/unsubscribed", CONTACT).status == 202, "the receiver found the store")


def test_killed_store_keeps_what_was_acknowledged(port: Port, valkey: PrivateValkey) -> None:
    """What was acknowledged is there after the store was killed."""
    ids = [port.post("/in/at/unsubscribed", {**CONTACT, "n": n}).ids[0] for n in range(20)]
    valkey.stop(kill=True)
    valkey.start()
    for event_id in ids:
        assert port.kept(event_id).data["email"] == "eva@example.org"


def test_inspection(port: Port) -> None:
    """A refused request is kept with its code, its body and its headers without secrets."""
    port.post("/in/at/unsubscribed", b"{broken", {**AT, "X-Odd": "kept"})
    wait_until(lambda: len(port.refused()) == 1, "the refused request is kept")
    reason, source, headers, body = port.refused()[0]
    assert (reason, source, body) == ("bad_json", "at", b"{broken")
    assert headers["x-relais-token"] == "***"
    assert headers["x-odd"] == "kept"


def test_in_order(port: Port) -> None:
    """Requests of one connection are kept in the order in which they were sent."""
    ids = [port.post("/in/at/contact_changed", {**CONTACT, "n": n}).ids[0] for n in range(10)]
    assert [port.kept(event_id).data["n"] for event_id in ids] == list(range(10))


def test_at_once(port: Port) -> None:
    """Many senders at once get each their own ids."""
    answers: dict[int, PortAnswer] = {}

    def send(n: int) -> None:
        answers[n] = port.post("/in/at/contact_changed", {"id": n, "email": f"person-{n}@example.org"})

    threads = [threading.Thread(target=send, args=(n,)) for n in range(1, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert all(port.kept(answer.ids[0]).data["id"] == n for n, answer in answers.items())
    assert len(answers) == 59


def test_book_changes(port: Port, tmp_path: Path) -> None:
    """A source that ops add is there within moments, without a restart."""
    path = tmp_path / "book/sources.yaml"
    late = (
        "  late:\n    kind: activetrail\n    verify:\n"
        "      header:\n        name: X-Relais-Token\n        value: ${AT_TOKEN}\n"
    )
    assert port.post("/in/late/unsubscribed", CONTACT).status == 404
    path.write_text(path.read_text() + late)
    wait_until(lambda: port.post("/in/late/unsubscribed", CONTACT).status == 202, "the new source is there")


def test_basic_with_umlauts(port: Port) -> None:
    """A wrong password in any encoding is just wrong."""
    wrong = base64.b64encode("relais:gehëim".encode("latin-1")).decode()
    assert port.post("/in/sd_nord", {}, {**JSON, "Authorization": f"Basic {wrong}"}).status == 401
