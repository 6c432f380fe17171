import base64
import hashlib
import hmac
import time

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, send


def post(sandbox: Running, body: bytes, *, id: str = "m1", at: int = 0, path: str = "/messages") -> SandboxAnswer:
    """Post a message, signed now or `at` seconds from now."""
    sent = int(time.time()) + at
    key = base64.b64decode(sandbox.world.accounts.webhook_secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{sent}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(sent),
        "webhook-signature": f"v1a,xx v1,{base64.b64encode(digest).decode()}",
        "ce-subject": "a%20b",
    }
    return send(f"{sandbox.base('webhook')}{path}", "POST", headers=headers, body=body)


def test_once(sandbox: Running) -> None:
    """A message that comes twice is answered 204 both times and kept once."""
    assert [post(sandbox, b'{"a": 1}').status for _ in range(2)] == [204, 204]
    (kept,) = sandbox.world.webhook.holds()["messages"]
    assert kept == {"id": "m1", "came": 2, "attributes": {"subject": "a b"}, "body": {"a": 1}}


def test_refused(sandbox: Running) -> None:
    """A time that is too far away, another signature, no JSON, an endpoint that is gone, and what is not modelled."""
    url = sandbox.base("webhook")
    assert post(sandbox, b"{}", at=-301).status == 401
    assert send(f"{url}/messages", "POST", sent={}).status == 401
    wrong = {"webhook-id": "m", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,YWJj"}
    assert send(f"{url}/messages", "POST", headers=wrong, sent={}).status == 401
    assert post(sandbox, b"no").status == 400
    assert post(sandbox, b"{}", path="/gone").status == 410
    assert post(sandbox, b"{}", path="/other").status == 501
    assert sandbox.world.webhook.messages == {}


def test_no_settings(sandbox: Running) -> None:
    """It has no settings."""
    with pytest.raises(ValueError, match="find_lag"):
        sandbox.world.webhook.tell({"find_lag": 1})
