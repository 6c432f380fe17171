"""One webhook: from the request to its answer.

Comes in: an HTTP request from the internet, with its body or with a way to read it. Goes out: an answer, 2xx only when
all events of the request are on disk. Never answers 500 to anything that a stranger can send.
"""

import asyncio
import functools
import time
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from mailroom import tracing
from mailroom.tracing import TraceSpan, Tracing
from receiver import errors, intake, verification
from receiver.intake import EventStore, Ids, Intake
from receiver.refused_requests import RefusedRequests, hide_secrets, hide_values
from receiver.request import Answer, Headers, RawRequest, has_type
from receiver.rulebook import RulebookWatcher, SourceEntry
from receiver.settings import ReceiverSettings
from receiver.sources.base import Batch, SourceAnswer

PREFIX = "/in/"
#: How many times the largest body is read, and thrown away, of a body that is too large: a sender that is still sending
#: would not read the answer.
READ_ON = 8
#: Bytes of bodies that come in parts and are not complete, of all requests together: anybody can begin one.
MOST_UNDER_WAY = 256 * 1024 * 1024
#: Characters that are kept of a source's name in the URL when its request is refused.
NAME_KEEPS = 64


class Receiver:
    """Takes webhooks. An ASGI application of its own: this is the path that has to be fast."""

    def __init__(self, settings: ReceiverSettings, book: RulebookWatcher, mailroom: EventStore) -> None:
        self._settings = settings
        self._book = book
        self.intake = Intake(mailroom, settings.waiting_events)
        self.refused_requests = RefusedRequests(mailroom)
        #: What is counted of each source, for people.
        self.tally = self.intake.tally
        #: Bytes of incomplete bodies in memory.
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a request, unless its head says enough, then take it and send the answer."""
        answered: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

        def answer(status: int, headers: Headers, body: bytes) -> None:
            if not answered.done():  # else the server stops, and waits no longer
                answered.set_result((status, headers, body))

        request = WebhookRequest(scope, answer)
        try:
            if scope["method"] != "POST":
                self._greet(request)
            else:
                request.entry = self._book.entry(request.source)
                request.demand_size(self._settings.max_body)
                self.take_whole(scope, await self._read(request, receive), answer)
        except Exception as exc:
            self._refuse(request, exc)
        status, headers, body = await answered
        kind = () if has_type(headers) else ((b"content-type", b"application/json"),)
        size = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*kind, size, *headers]})
        await send({"type": "http.response.body", "body": body})

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """Verify, read and keep a request whose body is there. Never raises.

        It is answered at once if it is refused, else when its events are on disk.
        """
        request = WebhookRequest(scope, answer)
        request.body = body
        try:
            entry = request.entry = self._book.entry(request.source)
            request.demand_size(self._settings.max_body, len(body))
            raw = RawRequest(body, request.headers, scope["query_string"], request.client, self._settings.max_body)
            now = time.time()
            verified = verification.verify(raw, entry.verified_by(), now)
            request.verified = True
            entry.proved[verified.proofs] = int(now * 1000)
            batch = entry.adapter.unpack(verified, entry.source.options, request.event)
            traceparent = request.header(b"traceparent")
            if tracing.on is not None:
                traceparent = request.begin_span(tracing.on, traceparent, now)
            self.intake.keep_soon(
                batch,
                entry.source,
                functools.partial(self._answer, request, entry, batch),
                intake.format_time(int(now * 1000)),
                traceparent,
            )
        except Exception as exc:
            self._refuse(request, exc)

    def _greet(self, request: "WebhookRequest") -> None:
        """Answer a request that is no POST, where the book says that the source has such. Raises RequestRefused."""
        if self._book.has(request.source):
            entry = request.entry = self._book.entry(request.source)
            if request.scope["method"] == "GET" and entry.adapter.takes_get(entry.source.options):
                self.take_whole(request.scope, b"", request.answer)
                return
            raw = RawRequest(b"", request.headers, request.scope["query_string"], request.client)
            if entry.adapter.greets(entry.source.options):
                now = time.time()
                verified = verification.greet(raw, entry.verified_by(), now)
                entry.proved[verified.proofs] = int(now * 1000)
                found = entry.adapter.greet(request.scope["method"], verified, entry.source.options, request.event)
                if found is not None:
                    request.answer(found.status, found.headers, found.body)
                    return
        request.demand_post()

    def _answer(
        self, request: "WebhookRequest", entry: SourceEntry, batch: Batch, kept: Ids | errors.RequestRefused
    ) -> None:
        """Answer a request whose events are on disk, or could not be kept."""
        if isinstance(kept, errors.RequestRefused):
            self._refuse(request, kept)
            return
        self.tally.notes.came[entry.source.name] = int(time.time() * 1000)
        if request.span is not None:
            request.span.end(events=len(kept) - kept.count(None))
        try:
            answer = entry.adapter.answer(batch, kept)
        except Exception as exc:
            self._refuse(request, exc)
        else:
            request.answer(answer[0], answer.headers if isinstance(answer, SourceAnswer) else (), answer[1])

    def _refuse(self, request: "WebhookRequest", exc: Exception) -> None:
        """Answer a request that is not taken, and show it to people."""
        refused = exc if isinstance(exc, errors.RequestRefused) else errors.unforeseen(exc)
        if request.span is not None:
            request.span.fail(refused.code)
            request.span.end()
        if request.entry is not None:
            self.tally.refuse(request.entry.source.name, refused.code)
        if not isinstance(refused, errors.NotKept):  # else the sender comes again, and the store has other worries
            self._keep_refused(request, refused.code)
        told = request.entry.adapter.refuse(refused, request.event) if request.entry else None
        answer_headers = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
        if told is None:
            request.answer(refused.status, answer_headers, refused.answer)
        else:
            request.answer(told.status, [*told.headers, *answer_headers], told.body)

    def _keep_refused(self, request: "WebhookRequest", code: str) -> None:
        """Keep a refused request for people, without secrets, and without what its URL says of a person."""
        secret = request.entry.secret_headers if request.entry else frozenset()
        headers = hide_secrets(request.headers, secret)
        source = request.source[:NAME_KEEPS]
        event = request.event or ""
        if request.entry is not None:
            event = request.entry.adapter.hide_person(event)
        elif not self._book.has(source):
            source = "" if code != "unknown_source" else hide_values(source)
            event = event.partition("/")[0]  # what follows may name a person, and no source says where
        event = hide_values(event)[:NAME_KEEPS]
        self.refused_requests.keep(code, source, headers, request.body, name=event, verified=request.verified)

    async def _read(self, request: "WebhookRequest", receive: Receive) -> bytes:
        """Return the body. Raises TooLarge, TooSlow, NotParseable, NotKept."""
        task = asyncio.current_task()
        deadline = asyncio.get_running_loop().call_later(self._settings.body_seconds, request.give_up, task)
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                body, message = await self._read_on(request, message, receive)
        except asyncio.CancelledError:
            if task is None or not request.too_slow or task.uncancel():
                raise
            raise errors.TooSlow("too_slow", "the body did not arrive in time") from None
        finally:
            deadline.cancel()
        if message["type"] != "http.request":
            raise errors.NotParseable("cut_short", "the connection ended before the body did")
        return body

    async def _read_on(self, request: "WebhookRequest", message: Message, receive: Receive) -> tuple[bytes, Message]:
        """Return a body that comes in parts, and the last message. Raises TooLarge, NotKept."""
        parts: list[bytes] = []
        size, kept, most = 0, 0, self._settings.max_body
        try:
            while True:
                part: bytes = message.get("body", b"")
                size += len(part)
                if size <= most:
                    parts.append(part)
                    kept += len(part)
                    self._under_way += len(part)
                    if self._under_way > MOST_UNDER_WAY:
                        raise errors.NotKept("busy", "too many bodies are under way; try again")
                if not message.get("more_body") or size > READ_ON * most:
                    break
                message = await receive()
        finally:
            self._under_way -= kept
        request.demand_size(most, size)
        return b"".join(parts), message


class WebhookRequest:
    """What is known of a request while it is being answered."""

    __slots__ = ("answer", "body", "entry", "event", "headers", "scope", "source", "span", "too_slow", "verified")

    def __init__(self, scope: Scope, answer: Answer) -> None:
        self.scope = scope
        self.answer = answer
        self.headers: Headers = scope["headers"]
        path: str = scope["path"]
        source, _, rest = path.removeprefix(PREFIX).partition("/")
        self.source = source
        #: What follows the source's name in the URL.
        self.event = rest.rstrip("/") or None
        #: The source in the book, once it has been found.
        self.entry: SourceEntry | None = None
        self.body = b""
        #: Whether its sender has proved who he is.
        self.verified = False
        #: Whether `give_up` ended the wait for the body.
        self.too_slow = False
        #: Its span, where traces are sent and its sender is known.
        self.span: TraceSpan | None = None

    def begin_span(self, tracer: Tracing, traceparent: bytes | None, now: float) -> bytes:
        """Begin the span of a request that is verified, and return the traceparent of its events."""
        known = traceparent is not None and intake.TRACEPARENT.match(traceparent)
        origin = (traceparent.decode("ascii"), int(now * 1000)) if traceparent is not None and known else None
        self.span = tracer.begin(f"webhook {self.source}", "server", origin, {"source": self.source}, now)
        return self.span.traceparent.encode()

    def give_up(self, task: "asyncio.Task[Any] | None") -> None:
        """End the wait for the body."""
        if task is not None:
            self.too_slow = True
            task.cancel()

    @property
    def client(self) -> str | None:
        """The address at the other end."""
        client = self.scope.get("client")
        return client[0] if client else None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header."""
        for each, value in self.headers:
            if each == name:
                return value
        return None

    def demand_post(self) -> None:
        """Raise NotAllowed for other methods."""
        if self.scope["method"] != "POST":
            raise errors.NotAllowed("method_not_allowed", "webhooks are sent with POST")

    def demand_size(self, most: int, size: int | None = None) -> None:
        """Raise TooLarge for a body larger than the cap, by the bytes received or by the length its head announces.

        What is announced is read on within bounds, as what is not: who is still sending sees no answer.
        """
        bound = most
        if size is None:
            announced = self.header(b"content-length")
            if announced is None:
                return
            if not announced.isdigit():
                raise errors.NotParseable("bad_length", "the header Content-Length must be a number")
            size, bound = int(announced[:20]), READ_ON * most
        if size > bound:
            raise errors.TooLarge("too_large", f"a body may have {most} bytes (RELAIS_MAX_BODY)")
