"""A receiver of webhooks, as one is written after Standard Webhooks (spec/standard-webhooks.md), and CloudEvents 1.0.

Comes in: POST to `/webhook/messages`, signed. Goes out: 204, also for a message that came before, which is kept once;
401 for a signature or time that does not hold, 400 for no JSON. What the specification asks of a receiver: HMAC-SHA256
over id, time and body, five minutes, `webhook-id` as the key against repetitions. `/webhook/gone` answers 410, by which
a receiver says that it wants no more. Everything else is 501.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import fallback
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

#: Seconds by which the clocks may differ.
TOLERANCE = 300


class WebhookReceiver:
    """The receiver, and what it has received."""

    name = "webhook"
    prefix = "/webhook"

    def __init__(self, accounts: Accounts) -> None:
        self._key = base64.b64decode(accounts.webhook_secret.removeprefix("whsec_"))
        #: By webhook-id.
        self.messages: dict[str, dict[str, Any]] = {}

    def reset(self) -> None:
        """Forget all messages."""
        self.messages = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take no setting. Raises ValueError."""
        raise ValueError(f"webhook has no setting {', '.join(sorted(settings))}")

    def holds(self) -> Mapping[str, Any]:
        """Return the messages, each once."""
        return {"messages": list(self.messages.values())}

    def object_of(self, call: VendorCall) -> str | None:
        """Return nothing: what a message is about is between sender and receiver."""
        return None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return JSONResponse({"error": text}, status)

    def app(self) -> ASGIApp:
        """Return the receiver."""
        return Starlette(
            routes=[
                Route("/gone", self._refuse_gone, methods=["POST"]),
                Route("/messages", self._receive, methods=["POST"]),
                fallback.build_route(self),
            ]
        )

    async def _refuse_gone(self, request: Request) -> Response:
        return self.error(410, "this endpoint wants no more messages")

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        id, sent = (request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp"))
        if not id or not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE:
            return self.error(401, "webhook-id or webhook-timestamp is missing, or the time is too far away")
        if not self._is_signed(f"{id}.{sent}.".encode() + body, request.headers.get("webhook-signature", "")):
            return self.error(401, "no signature is the one of this message")
        try:
            told = json.loads(body)
        except ValueError:
            return self.error(400, "the body is no JSON")
        if id in self.messages:
            self.messages[id]["came"] += 1
        else:
            self.messages[id] = {"id": id, "came": 1, "attributes": _attributes(request), "body": told}
        return Response(status_code=204)

    def _is_signed(self, content: bytes, signatures: str) -> bool:
        expected = base64.b64encode(hmac.new(self._key, content, hashlib.sha256).digest()).decode()
        given = [text for version, _, text in (each.partition(",") for each in signatures.split()) if version == "v1"]
        return any(hmac.compare_digest(each.encode(), expected.encode()) for each in given)


def _attributes(request: Request) -> dict[str, str]:
    """Return the attributes of a CloudEvent in headers."""
    return {name[3:]: unquote(value) for name, value in request.headers.items() if name.startswith("ce-")}
