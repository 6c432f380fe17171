"""What a webhook is answered and what is kept of it, over our own HTTP protocol and over uvicorn's plain one."""

import asyncio
import base64
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from receiver import verification, webhook
from receiver.settings import ReceiverSettings
from receiver.webhook import Receiver
from tests.conftest import PrivateValkey, wait_until
from tests.receiver import book, fixtures
from tests.receiver.book import SOURCES
from tests.receiver.port import AT, JSON, SD, Port, PortAnswer
from tests.receiver.test_intake import FakeEventStore

EVA = "eva@example.org"
CONTACT = {"id": 12, "email": EVA, "first_name": "Eva"}


@pytest.fixture(params=[False, True], ids=["own", "plain"])
def port(request: pytest.FixtureRequest, tmp_path: Path, valkey: PrivateValkey) -> Iterator[Port]:
    """A running receiver with the book of `tests.receiver.book`, either way."""
    with Port(tmp_path, valkey.url, max_body=65_536, body_seconds=1, plain_http=request.param) as running:
        yield running


def post_recorded(port: Port, name: str, source: str | None = None) -> PortAnswer:
    """Send a recorded body as its platform would."""
    kind, _, file = name.partition("/")
    body = (fixtures.FOLDER / name).read_bytes()
    gate = port.book.entry(source or SOURCES[kind])
    signed = verification.sign(gate.verified_by(), body, time.time(), "msg_1")
    event = fixtures.event_of(name)
    path = f"/in/{gate.source.name}" + (f"/{event}" if event else "")
    if Path(file).suffix == fixtures.QUERY:
        return port.post(f"{path}?{body.decode().strip()}&{urlencode(signed.query)}", b"", signed.headers)
    path += f"?{urlencode(signed.query)}" if signed.query else ""
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
    ("/in/at/unsubscribed", CONTACT, {**AT, "X-Relais-Token": ""}, 401, "wrong_credentials"),
    ("/in/url/unsubscribed?token=guess", CONTACT, JSON, 401, "wrong_credentials"),
    ("/in/url/unsubscribed?token=", CONTACT, JSON, 401, "wrong_credentials"),
    ("/in/url/unsubscribed", CONTACT, JSON, 401, "missing_credentials"),
    ("/in/url/unsubscribed?token=new&token=old", CONTACT, JSON, 401, "ambiguous_parameter"),
    ("/in/sd_nord", {}, {**JSON, "Authorization": "Basic !"}, 401, "malformed_credentials"),
    ("/in/shop", {}, JSON, 401, "missing_signature"),
    ("/in/shop", {}, {**JSON, "X-Signature": "sha256=00"}, 401, "wrong_signature"),
    ("/in/at/unsubscribed", b"{", AT, 400, "bad_json"),
    ("/in/at/unsubscribed", b"", AT, 400, "empty_body"),
    ("/in/at/unsubscribed", b"[1]", AT, 400, "not_an_object"),
    ("/in/at/unsubscribed", b"<a/>", {**AT, "Content-Type": "application/xml"}, 415, "unsupported_type"),
    ("/in/at/unsubscribed", b"x", {**AT, "Content-Encoding": "gzip"}, 400, "bad_packing"),
    ("/in/at/unsubscribed", b"x", {**AT, "Content-Encoding": "br"}, 415, "unsupported_encoding"),
    ("/in/at/unsubscribed?a=%FF", CONTACT, AT, 400, "bad_query"),
    ("/in/sd_nord", {"id": "1"}, SD, 400, "no_notifications"),
    ("/in/at/unsubscribed", b"x" * 70_000, AT, 413, "too_large"),
    ("/in/half/unsubscribed", CONTACT, AT, 503, "secret_missing"),
    ("/elsewhere", CONTACT, AT, 404, "not_found"),
    ("/healthz", CONTACT, AT, 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("path", "body", "headers", "status", "code"), REFUSED)
def test_refused(either: Port, path: str, body: Any, headers: dict[str, str], status: int, code: str) -> None:
    """Each kind of trouble has its status, a code that never changes, and a hint."""
    answer = either.post(path, body, headers)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert answer.json["hint"]
    assert answer.headers["content-type"] == "application/json"


def test_only_post(either: Port) -> None:
    """Webhooks are posted; any other method says so."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = either.post("/in/at/unsubscribed", b"", AT, method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_both_tokens(either: Port) -> None:
    """While a token rotates both are taken, in a header as in the URL."""
    for token in ("new", "old"):
        assert either.post("/in/at/unsubscribed", CONTACT, {**AT, "X-Relais-Token": token}).status == 202
        assert either.post(f"/in/url/unsubscribed?token={token}", CONTACT, JSON).status == 202


def test_too_large_without_length(either: Port) -> None:
    """A body that does not announce its length is cut off at the cap, and the answer arrives."""
    head = b"POST /in/at/unsubscribed HTTP/1.1\r\nHost: x\r\nX-Relais-Token: new\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    answer = either.send(head + chunk * 6 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"too_large"' in answer


def test_too_slow(either: Port) -> None:
    """Who does not finish a body in time is sent away."""
    with either.connect() as connection:
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


def test_killed_store_keeps_what_was_acknowledged(port: Port, valkey: PrivateValkey) -> None:
    """What was acknowledged is there after the store was killed."""
    ids = [port.post("/in/at/unsubscribed", {**CONTACT, "n": n}).ids[0] for n in range(20)]
    valkey.stop(kill=True)
    valkey.start()
    for event_id in ids:
        assert port.kept(event_id).data["email"] == "eva@example.org"


def test_signatures_are_not_kept(port: Port) -> None:
    """A refused request is kept without the header that its source verifies senders by, whatever its name is."""
    port.post("/in/proof", {"event": "order.paid"}, {**JSON, "X-Proof": "00ff", "X-Other": "00ff"})
    wait_until(lambda: len(port.refused()) == 1, "the refused request is kept")
    reason, _, headers, _ = port.refused()[0]
    assert reason == "wrong_signature"
    assert (headers["x-proof"], headers["x-other"]) == ("***", "00ff")


def test_quarantine_is_logged(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    """The log names each event that goes to quarantine, with the reason and without a value."""
    body = [{"id": 1, "email": "eva@example.org"}, {"email": "nobody"}, {"email": "nobody either"}]
    ids = port.post("/in/at/contact_changed", body).ids
    lines = [record.getMessage() for record in caplog.records if "receiver.quarantined" in record.getMessage()]
    assert [line.partition(" why=")[0] for line in lines] == [
        f"receiver.quarantined source=at type=contact.changed event_id={each}" for each in ids[1:]
    ]
    assert [line.partition(" why=")[2] for line in lines] == [port.fate(each).why for each in ids[1:]]
    assert "nobody" not in caplog.text


def test_inspection(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    """A refused request is kept with its code, its body and its headers without secrets; the log has a line for it."""
    port.post("/in/at/unsubscribed", b"{broken", {**AT, "X-Odd": "kept"})
    wait_until(lambda: len(port.refused()) == 1, "the refused request is kept")
    reason, source, headers, body = port.refused()[0]
    assert (reason, source, body) == ("bad_json", "at", b"{broken")
    assert headers["x-relais-token"] == "***"
    assert headers["x-odd"] == "kept"
    assert "receiver.refused code=bad_json source=at dropped_so_far=0" in caplog.text


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


class Sender:
    """A sender of one request with a body in parts, as ASGI shows it to the application."""

    def __init__(self, *parts: bytes, path: str = "/in/at/contact_changed") -> None:
        headers = [(b"x-relais-token", b"new"), (b"content-type", b"application/json")]
        self.scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        self.parts = list(parts)
        self.read = 0
        #: What it is told.
        self.status = 0
        self.told: Any = None

    async def receive(self) -> dict[str, Any]:
        if self.read == len(self.parts):
            await asyncio.Event().wait()
        self.read += 1
        return {"type": "http.request", "body": self.parts[self.read - 1], "more_body": self.read < len(self.parts)}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.told = json.loads(message["body"])


def receiver(folder: Path, **settings: Any) -> Receiver:
    """Return a receiver without a server around it."""
    chosen = ReceiverSettings(book=book.write(folder), **settings)
    return Receiver(chosen, book.holder(folder), FakeEventStore())


@pytest.mark.parametrize("parts", [9, 20])
def test_reads_on(tmp_path: Path, parts: int) -> None:
    """Of a body that is too large eight times the largest is read, so that the answer is seen, and no more."""
    sender = Sender(*[b"x" * 1024] * parts, b"", path="/in/at/contact_changed")
    asyncio.run(receiver(tmp_path, max_body=1024)(sender.scope, sender.receive, sender.send))
    assert (sender.status, sender.told["error"]) == (413, "too_large")
    assert sender.read == 9


@pytest.mark.parametrize(("size", "status"), [(1024, 202), (1025, 413)])
@pytest.mark.parametrize("parts", [1, 2])
def test_largest_body(tmp_path: Path, size: int, status: int, parts: int) -> None:
    """A body may have exactly so many bytes as the setting says, whether it comes at once or in parts."""
    body = json.dumps({"id": 12, "email": "eva@example.org", "note": "x" * (size - 50)}).encode()
    assert len(body) == size
    sender = Sender(body) if parts == 1 else Sender(body[:1000], body[1000:])
    asyncio.run(receiver(tmp_path, max_body=1024)(sender.scope, sender.receive, sender.send))
    assert sender.status == status


def test_time_for_a_body(tmp_path: Path) -> None:
    """A body may take as long as the setting says, and the time ends with it."""

    async def run() -> tuple[list[float], list[asyncio.TimerHandle]]:
        loop = asyncio.get_running_loop()
        delays: list[float] = []
        timers: list[asyncio.TimerHandle] = []
        call_later = loop.call_later

        def noted(delay: float, callback: Any, *args: Any, **more: Any) -> asyncio.TimerHandle:
            delays.append(delay)
            timers.append(call_later(delay, callback, *args, **more))
            return timers[-1]

        loop.call_later = noted  # type: ignore[assignment, method-assign]
        sender = Sender(b"{}")
        await receiver(tmp_path, body_seconds=7.5)(sender.scope, sender.receive, sender.send)
        assert sender.status == 202
        return delays, timers

    delays, timers = asyncio.run(run())
    assert delays == [7.5]
    assert [timer.cancelled() for timer in timers] == [True]


def test_bodies_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Incomplete bodies of all requests count together up to a bound, and no more once they have ended."""
    assert webhook.MOST_UNDER_WAY == 256 * 1024 * 1024
    monkeypatch.setattr(webhook, "MOST_UNDER_WAY", 3_000)

    async def run() -> None:
        running = receiver(tmp_path)
        slow = Sender(b"{" + b" " * 1_999, b"", b"}")
        slow.parts, rest = slow.parts[:1], slow.parts[1:]
        waiting = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if slow.read:
                await waiting.wait()
                slow.parts += rest
                rest.clear()
                return await slow.receive()
            slow.read = 1
            return {"type": "http.request", "body": slow.parts[0], "more_body": True}

        first = asyncio.create_task(running(slow.scope, receive, slow.send))
        await asyncio.sleep(0)
        for size, status in ((1_001, 503), (1_000, 202)):
            other = Sender(b"{" + b" " * (size - 1), b"}") if status == 503 else Sender(b"{" + b" " * (size - 2), b"}")
            await running(other.scope, other.receive, other.send)
            assert other.status == status
        waiting.set()
        await first
        assert slow.status == 202
        last = Sender(b"{" + b" " * 2_998, b"}")
        await running(last.scope, last.receive, last.send)
        assert last.status == 202

    asyncio.run(run())


def test_f05_one_id_for_several_events(port: Port) -> None:
    """F05: what comes under an id that came before with other content is an event of its own, and counted as that."""
    delivered, bounced = ({"event": name, "id": 26224, "email": EVA} for name in ("delivered", "hard_bounce"))
    kept = [port.post("/in/typed", body, JSON).ids[0] for body in (delivered, bounced)]
    assert [port.kept(each).data["event"] for each in kept] == ["delivered", "hard_bounce"]
    assert port.counts()["other_content|typed"] == 1
    assert "duplicate|typed|hard_bounce" not in port.counts()
    assert port.post("/in/typed", bounced, JSON).ids == [kept[1]]


def test_f08_fewer_items_at_the_second_attempt(port: Port) -> None:
    """F08: an item keeps its id wherever it stands when its request comes again."""
    items = [{"action": "profile.delete", "payload": {"id": id}} for id in ("4711", "4712")]
    first, again = (
        port.post("/in/sd_nord", {"id": "R", "attempt": attempt, "notifications": sent}, SD).ids
        for attempt, sent in ((1, items), (2, items[1:]))
    )
    assert again == first[1:]
    assert port.kept(again[0]).data == {"id": 4712}


def test_f09_sent_again_after_the_mend(port: Port, tmp_path: Path) -> None:
    """F09: a quarantined event that its sender sends again after the book was mended is taken in."""
    path = tmp_path / "book/sources.yaml"
    right = path.read_text()
    body = {"event": "order.paid", "id": 7}

    def state(n: int) -> str:
        return port.fate(port.post("/in/typed", {**body, "id": n}, JSON).ids[0]).state

    fine = state(1)
    place, _, rest = right.partition("  typed:")
    path.write_text(place + "  typed:" + rest.replace("type: body.event", "type: body.evnt", 1))
    tries = itertools.count(100)
    wait_until(lambda: state(next(tries)) == "quarantined", "the book with the mistake is in force")
    assert state(7) == "quarantined"
    path.write_text(right)
    wait_until(lambda: state(next(tries)) == fine, "the mended book is in force")
    assert state(7) == fine
    [kept] = port.post("/in/typed", body, JSON).ids
    assert port.kept(kept).type == "order.paid"


def test_f51_many_items_in_one_request(tmp_path: Path, valkey: PrivateValkey) -> None:
    """F51: a batch above the bound is refused with the setting's name; with that raised all of it is taken."""
    items = [{"action": "profile.delete", "payload": {"id": n, "text": "x" * 11_000}} for n in range(100)]
    batch = {"id": "R", "attempt": 1, "notifications": items}
    with Port(tmp_path, valkey.url) as running:
        answer = running.post("/in/sd_nord", batch, SD)
        assert (answer.status, answer.json["error"]) == (413, "too_large")
        assert "RELAIS_MAX_BODY" in answer.json["hint"]
    with Port(tmp_path, valkey.url, max_body=2_000_000) as running:
        assert len(set(running.post("/in/sd_nord", batch, SD).ids)) == 100


def test_f10_unread_is_told(port: Port) -> None:
    """F10: the ledger names what was left out, and it is counted by source and field."""
    body = {"email": "eva@example.org", "birthday": "17/05/1990", "first_name": "E\0va"}
    [kept] = port.post("/in/at/unsubscribed", body).ids
    assert port.kept(kept).data == {"email": "eva@example.org", "first_name": "Eva"}
    assert port.fate(kept).as_json()["unread"] == ["(characters)", "birthday"]
    assert port.counts()["unread|at|birthday"] == port.counts()["unread|at|(characters)"] == 1
    assert port.post("/in/at/unsubscribed", body).ids == [kept]
    assert port.counts()["unread|at|birthday"] == 1


def test_t1_declared_types(port: Port) -> None:
    """T1: a declared type is held, or the event says that it could not be read."""
    total, late = ({"event": "order.paid", "id": n, "total": told} for n, told in ((1, "19.99"), (2, "1,234")))
    kept = [port.post("/in/typed", body, JSON).ids[0] for body in (total, late)]
    assert port.kept(kept[0]).data["total"] == 19.99
    assert "total" not in port.kept(kept[1]).data
    assert port.fate(kept[1]).unread == ["total"]


def test_unknown_names_are_not_told(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    """What a stranger writes where a source's name stands is in no line, and is kept without addresses."""
    with caplog.at_level("WARNING", logger="relais.receiver"):
        assert port.post("/in/eva@example.org/sk_live_4eC39HqLyjWD", b"{}").status == 404
        wait_until(lambda: port.refused() != [], "it is kept")
    [(reason, source, _, _)] = port.refused()
    assert (reason, source) == ("unknown_source", "***")
    assert "source=unknown" in caplog.text
    assert "eva" not in caplog.text


@pytest.mark.parametrize("plain_http", [False, True])
def test_f49_keep_alive(tmp_path: Path, valkey: PrivateValkey, plain_http: bool) -> None:
    """F49: how long an idle connection stays open is a setting, longer by default than proxies keep one."""
    assert ReceiverSettings().keep_alive_seconds == 150
    with Port(tmp_path, valkey.url, keep_alive_seconds=1, plain_http=plain_http) as running:
        with running.connect() as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while part := idle.recv(65536):
                received += part
        assert received.endswith(b'{"status":"ok"}')


def test_f31_handshakes(port: Port) -> None:
    """F31: a source whose book says so answers what its platform asks first; a source without stays as it was."""
    asked = "/in/greeted?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    answer = port.post(f"{asked}new", b"", {}, "GET")
    assert (answer.status, answer.body) == (200, b"1158201444")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path, status, code in (
        (f"{asked}wrong", 401, "wrong_credentials"),
        ("/in/greeted?hub.challenge=1", 401, "missing_credentials"),
        ("/in/greeted?hub.verify_token=new", 400, "bad_challenge"),
        ("/in/greeted?hub.verify_token=new&hub.challenge=%3Cscript%3E", 400, "bad_challenge"),
        ("/in/shop?hub.challenge=1", 405, "method_not_allowed"),
        ("/in/nobody?hub.challenge=1", 405, "method_not_allowed"),
    ):
        refused = port.post(path, b"", {}, "GET")
        assert (refused.status, refused.json["error"]) == (status, code)
    head = port.post(f"{asked}new", b"", {}, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert port.post(f"{asked}new", b"", {}, "PUT").status == 405
    allowed = port.post(f"{asked}new", b"", {"WebHook-Request-Origin": "events.example.org"}, "OPTIONS")
    assert (allowed.status, allowed.headers["webhook-allowed-origin"]) == (200, "events.example.org")
    assert port.post(f"{asked}new", b"", {"WebHook-Request-Origin": "other.example.org"}, "OPTIONS").status == 405


def test_answer_of_the_book(port: Port) -> None:
    """A source answers what its platform expects, also to a request with no event in it."""
    for body in (b'{"object": "page", "entry": [{"id": 1}]}', b'{"object": "page", "entry": []}'):
        signed = verification.sign(port.book.entry("greeted").verified_by(), body, time.time(), "msg_1")
        answer = port.post("/in/greeted", body, {**JSON, **signed.headers})
        assert (answer.status, answer.body) == (200, b"EVENT_RECEIVED")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_f33_get(port: Port) -> None:
    """F33: a GET with parameters is an event where the book says so; the secret among them is no part of it."""
    answer = port.post("/in/calls?token=new&call=17&caller=%2B49301234567", b"", {}, "GET")
    assert answer.status == 202
    kept = port.kept(answer.ids[0])
    assert (kept.type, kept.sender_id) == ("call.ended", "17")
    assert json.loads(kept.body) == {"call": "17", "caller": "+49301234567"}
    assert port.post("/in/calls?token=wrong&call=17", b"", {}, "GET").status == 401
    assert port.post("/in/calls?token=new", b"", {}, "GET").json["error"] == "empty_body"
    assert port.post("/in/calls?token=new&call=18", b"", {}, "HEAD").status == 405
    assert port.post("/in/calls?token=new&call=18", b"", {}).status == 202
