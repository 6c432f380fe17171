"""ASGI middleware before every imitated vendor: request log, injected faults, rate limit.

Comes in: an ASGI request below a vendor's prefix. Goes out: the vendor's own answer, or that of an injected fault.
Never interprets the request.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import wire
from sandbox.calls import OwnLimits, Vendor, VendorCall
from sandbox.faults import SandboxFault, SandboxFaults
from sandbox.journal import Journal, JournalEntry

#: Bytes; Maileon's own bound for a list of transactions is the largest of all vendors (support.maileon.com, "Create
#: transactions").
LARGEST_BODY = 9_000_000


class BodyTooLarge(Exception):
    """The body is larger than LARGEST_BODY."""


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


class CallLimit:
    """A rate limit: a number of requests in a sliding window of seconds."""

    def __init__(self, requests: int, per: float) -> None:
        self.requests = requests
        self.per = per
        self._taken: deque[float] = deque()

    def wait(self) -> float:
        """Return 0 and count the request, or return the seconds until a request is allowed."""
        now = time.monotonic()
        while self._taken and self._taken[0] <= now - self.per:
            self._taken.popleft()
        if len(self._taken) < self.requests:
            self._taken.append(now)
            return 0.0
        return self._taken[0] + self.per - now


class VendorGate:
    """An ASGI app around a vendor's."""

    def __init__(self, vendor: Vendor, faults: SandboxFaults, journal: Journal) -> None:
        self._vendor = vendor
        self._app: ASGIApp = vendor.app()
        self._faults = faults
        self._journal = journal
        self.rate: CallLimit | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, inject a fault if one applies, else let the vendor answer."""
        try:
            body = await _read(receive)
        except BodyTooLarge:
            await self._vendor.error(413, "The body is too large")(scope, receive, send)
            return
        except ClientGone:
            return
        call = VendorCall(scope["method"], _below(scope), _query(scope), body)
        touched = self._vendor.object_of(call)
        entry = self._journal.open(self._vendor.name, call, touched)
        status = 0
        try:
            messages = await self._answer(scope, receive, body, call, entry)
            if messages is None:
                await wire.reset(scope, receive)
                return
            status = messages[0]["status"]
        except asyncio.CancelledError:
            # The server stops while a delayed answer is pending.
            await wire.reset(scope, receive)
            return
        finally:
            self._journal.close(entry, status)
        for message in messages:
            await send(message)

    async def _answer(
        self, scope: Scope, receive: Receive, body: bytes, call: VendorCall, entry: JournalEntry
    ) -> list[Message] | None:
        """Return the ASGI messages of the answer; None: reset the connection."""
        fault = self._faults.take(self._vendor.name, self._vendor.prefix, call, entry.object)
        if fault is not None:
            entry.fault = ("after " if fault.after_effect else "") + _word(fault)
            if not fault.after_effect:
                await asyncio.sleep(fault.delay)
                if fault.fails:
                    return await self._ordered(scope, fault)
        elif self.rate is not None and (wait := self.rate.wait()):
            return await _capture(self._limited(wait), scope, b"")
        messages = await _capture(self._app, scope, body)
        if fault is not None and fault.after_effect:
            await asyncio.sleep(fault.delay)
            if fault.fails:
                return await self._ordered(scope, fault)
        return messages

    def _limited(self, wait: float) -> Response:
        """Return what a vendor answers to one request too many."""
        if isinstance(self._vendor, OwnLimits):
            return self._vendor.limited(wait)
        refusal = self._vendor.error(429, "Too many requests")
        refusal.headers["Retry-After"] = str(int(wait) + 1)
        return refusal

    async def _ordered(self, scope: Scope, fault: SandboxFault) -> list[Message] | None:
        if fault.status is None:
            return None
        if fault.body is None:
            response = self._vendor.error(fault.status, "The sandbox was told to fail")
        else:
            response = Response(fault.body, fault.status, media_type=fault.content_type or "text/html")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = fault.retry_after
        return await _capture(response, scope, b"")


def _word(fault: SandboxFault) -> str:
    return "reset" if fault.status is None and fault.reset else "status" if fault.status is not None else "delay"


def _below(scope: Scope) -> str:
    """Return the path below the prefix at which the vendor is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _query(scope: Scope) -> Mapping[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > LARGEST_BODY:
            raise BodyTooLarge
        if not message.get("more_body"):
            return b"".join(chunks)


async def _capture(app: ASGIApp, scope: Scope, body: bytes) -> list[Message]:
    """Run an app on a body that has been read already, and return the messages that it sends."""
    messages: list[Message] = []
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return requests.pop() if requests else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages
