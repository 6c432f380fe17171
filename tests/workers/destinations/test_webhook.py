import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from receiver import errors, verification
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from receiver.sources.generic import SOURCE
from rules.compiler import loader
from sandbox.server import Running
from tests.receiver import book
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import HANG, RESET, RawServer, Request, reply

OLD, NEW = "whsec_b2xkLXNlY3JldC1vZi1hLXRlc3Q=", "whsec_bmV3LXNlY3JldC1vZi1hLXRlc3Q"
MESSAGE = {
    "key": "eva@example.org",
    "type": "contact.changed",
    "subject": "Büro 7 %",
    "time": "2026-11-29T09:00:00Z",
    "data": {"email": "eva@example.org", "name": "Müller"},
}


def make(server: RawServer, **options: Any) -> Desk:
    """Return a destination that signs with the old secret unless told otherwise."""
    return Desk("webhook", {"base": f"{server.url}/hooks?tenant=7", "secret": OLD} | options)


def sent(**options: Any) -> Request:
    """Return one message as it goes over the wire."""
    with RawServer(reply(204)) as server:
        make(server, **options).deliver("send", MESSAGE, id="EVENT.0")
    return server.requests[0]


def received(request: Request, preset: str, secret: str = OLD) -> SourceItem:
    """Return what our own receiver reads of a message, with a preset of its own."""
    text = f"sources: {{x: {{kind: generic, preset: {preset}, verify: {{standard_webhooks: {{secret: '${{A}}'}}}}}}}}"
    checked = loader.check_texts({"book.yaml": text}, book.CATALOGUE)
    assert checked.book is not None, checked.problems
    source = checked.book.sources["x"]
    raw = RawRequest(
        request.body, [(name.encode(), value.encode()) for name, value in request.headers.items()], b"tenant=7"
    )
    verified = verification.verify(raw, verification.checks(source.verify, {"A": secret}), time.time())
    (item,) = SOURCE.unpack(verified, source.options, None).items
    return item


def test_our_own_receiver_knows_it() -> None:
    """A message after Standard Webhooks is verified and read by the preset of that name; its id is the delivery's."""
    item = received(sent(format="standard"), "standard_webhooks")
    assert (item.type, item.sender_id, item.time) == ("contact.changed", "EVENT_0", "2026-11-29T09:00:00.000Z")
    assert json.loads(item.body) == MESSAGE["data"]


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents_binary"])
def test_cloudevents(format: str) -> None:
    """A CloudEvent is one, structured or in headers, with its subject as it was written."""
    request = sent(format=format, source="//relais.example.org/it")
    item = received(request, "cloudevents")
    assert (item.type, item.subject) == ("contact.changed", "Büro 7 %")
    assert item.sender_id == '["//relais.example.org/it","EVENT_0"]'
    assert json.loads(item.body) == MESSAGE["data"]
    structured = format == "cloudevents"
    assert request.headers["content-type"] == ("application/cloudevents+json" if structured else "application/json")
    if not structured:
        assert request.headers["ce-subject"] == "B%C3%BCro%207%20%25"


def test_plain() -> None:
    """Plain JSON is the data and nothing else; the address is asked as it stands."""
    request = sent(format="plain")
    assert (request.method, request.target, request.json()) == ("POST", "/hooks?tenant=7", MESSAGE["data"])


def test_two_secrets_sign() -> None:
    """While a secret is rotated both sign, so it does not matter which one the receiver has."""
    request = sent(secret=[OLD, NEW], format="standard")
    assert len(request.headers["webhook-signature"].split()) == 2
    assert received(request, "standard_webhooks", OLD) == received(request, "standard_webhooks", NEW)
    with pytest.raises(errors.Unverified, match="wrong_signature"):
        received(sent(secret=NEW), "standard_webhooks", OLD)


def test_headers_alone() -> None:
    """Without a secret nothing is signed; a header proves who sends, and the id is there all the same."""
    headers = sent(secret=None, headers={"Authorization": "Bearer abc"}).headers
    assert headers["authorization"] == "Bearer abc"
    assert headers["webhook-id"] == "EVENT_0"
    assert "webhook-signature" not in headers


def test_what_is_not_said_is_not_sent() -> None:
    """No subject and no time are no attributes."""
    with RawServer(reply(204)) as server:
        make(server).deliver("send", {"key": "k", "type": "a.b", "data": None, "subject": ""})
    told = server.requests[0].json()
    assert told == {
        "specversion": "1.0",
        "id": "d1",
        "source": "relais",
        "type": "a.b",
        "datacontenttype": "application/json",
        "data": None,
    }


def test_header_injection() -> None:
    """A line end in an attribute makes no header."""
    with RawServer(reply(204)) as server:
        make(server, format="cloudevents_binary").deliver("send", MESSAGE | {"subject": "a\r\nX-Evil: 1"})
    assert server.requests[0].headers["ce-subject"] == "a%0D%0AX-Evil:%201"
    assert "x-evil" not in server.requests[0].headers


@pytest.mark.parametrize("step", [reply(500), RESET, HANG])
def test_doubt_is_sent_again(step: bytes) -> None:
    """What may have come is sent again: same id, same body, a signature of its own time."""
    with RawServer(step, reply(204)) as server:
        desk = make(server)
        assert desk.fail("send", MESSAGE, timeout=0.3).failure == "transient"
        desk.deliver("send", MESSAGE, attempt=2)
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert received(second, "cloudevents").type == "contact.changed"


def test_receiver_keeps_it_once(sandbox: Running) -> None:
    """A message whose answer was lost is one message for a receiver that keeps to the scheme."""
    secret = sandbox.world.accounts.webhook_secret
    desk = Desk("webhook", {"base": f"{sandbox.base('webhook')}/messages", "secret": secret})
    order(sandbox, vendor="webhook", status=500, after_effect=True)
    assert desk.fail("send", MESSAGE).failure == "transient"
    assert desk.deliver("send", MESSAGE, attempt=2).status == 204
    (kept,) = sandbox.world.webhook.messages.values()
    assert (kept["came"], kept["body"]["data"]) == (2, MESSAGE["data"])


@pytest.mark.parametrize(
    ("step", "failure", "code", "wait"),
    [
        (reply(410), "permanent", "gone", 0),
        (reply(404), "permanent", "not_found", 0),
        (reply(302, Location="/elsewhere"), "transient", "redirected", 0),
        (reply(429), "limited", "limited", 0),
        (reply(429, Retry_After="9"), "limited", "limited", 9),
        (reply(503, Retry_After="9"), "transient", "unavailable", 9),
        (reply(401), "credential", "unauthorised", 0),
    ],
)
def test_refusals(step: bytes, failure: str, code: str, wait: float) -> None:
    """410 is final; a redirect is a failure and not followed; 429 is waited for, 503 tried again."""
    with RawServer(step) as server:
        failed = make(server).fail("send", MESSAGE)
    assert (failed.failure, failed.code, failed.wait) == (failure, code, wait)


@pytest.mark.parametrize("body", ["<html>ok</html>", '{"ok": false}', "", "ok", "{"])
def test_status_decides(body: str) -> None:
    """2xx is success whatever stands in the body, as the scheme has it."""
    with RawServer(reply(200, body, "text/html")) as server:
        assert make(server).deliver("send", MESSAGE).status == 200


def test_errors_decide_otherwise() -> None:
    """A receiver whose proxy answers 200 with a page can be told so."""
    rules = [{"status": [200], "content_type": "text/html", "is": "transient", "code": "a_page"}]
    with RawServer(reply(200, "<html>", "text/html")) as server:
        failed = make(server, errors=rules).fail("send", MESSAGE)
    assert (failed.failure, failed.code) == ("transient", "a_page")


@pytest.mark.parametrize(
    "options",
    [
        {"base": "https://hooks.example.org"},
        {"secret": []},
        {"secret": OLD, "base": "https://eva:geheim@hooks.example.org"},
        {"secret": OLD, "base": "ftp://hooks.example.org"},
        {"secret": OLD, "headers": {"Webhook-Id": "x"}},
        {"secret": OLD, "headers": {"ce-id": "x"}},
        {"secret": OLD, "headers": {"Content-Type": "x"}},
        {"secret": OLD, "headers": {"a b": "x"}},
        {"secret": OLD, "source": "a b"},
        {"secret": OLD, "format": "xml"},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    """Options that cannot work are refused when the book is checked, without a word of a secret."""
    with pytest.raises(ValidationError) as caught:
        Desk("webhook", {"base": "https://hooks.example.org"} | options)
    assert "whsec" not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_secret_that_is_none() -> None:
    """A secret that is no base64 makes the destination unusable, and is not shown."""
    with RawServer(reply(204)) as server, pytest.raises(ValueError, match="whsec_ followed by base64") as caught:
        make(server, secret="whsec_?").deliver("send", MESSAGE)
    assert "?" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"time": "2026-11-29"}, {"time": "soon"}, {"type": ""}, {"key": " "}])
def test_arguments_refused(wrong: dict[str, Any]) -> None:
    """A time needs a zone; type and key are not empty."""
    with RawServer(reply(204)) as server, pytest.raises(ValidationError):
        make(server).deliver("send", MESSAGE | wrong)
