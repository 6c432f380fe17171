"""The public port: `POST /in/{source}`, `POST /in/{source}/{event}` and `GET /healthz`, nothing else.

Comes in: HTTP requests from the internet. Goes out: an answer, 2xx only when all events of the request are on disk.
Never routes or delivers, and never answers 500 to anything that a stranger can send.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mailroom import Receipt, StoreUnavailable
from receiver import errors, group_commit, intake, verification
from receiver.group_commit import GroupCommit
from receiver.http_protocol import Answer, Headers
from receiver.refused_requests import RefusedRequests, shown
from receiver.request import RawRequest
from receiver.rulebook import RulebookWatcher, SourceEntry
from receiver.settings import ReceiverSettings
from receiver.sources.base import Batch
from rules.event import Event
from rules.event_types.base import from_epoch

logger = logging.getLogger("relais.receiver")

PREFIX = "/in/"
#: Of a body that is too large so much more is read, and thrown away, that the sender gets to see the answer.
READ_ON = 8
#: Bytes of bodies that come in parts and are not complete, of all requests together: anybody can begin one.
MOST_UNDER_WAY = 256 * 1024 * 1024
#: Seconds between two attempts to reach a store that was away when the receiver started.
PREPARE_AGAIN = 1.0
#: What a URL says is stored for inspection only to this length.
NAME_KEEPS = 64

#: Items of a batch by their position: those that fit, and those that do not, each with the reason.
Good = list[tuple[int, Event]]
Bad = list[tuple[int, Event, str]]


class EventStore(Protocol):
    """What the receiver needs of the mailroom."""

    async def prepare(self) -> None:
        """Connect and agree on the schema. Raises Unavailable, Damaged."""
        ...

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        """Keep events. Raises Unavailable."""
        ...

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep events that do not fit, each with the reason. Raises Unavailable."""
        ...

    async def refused(self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a refused request for inspection. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def build_app(settings: ReceiverSettings, book: RulebookWatcher, mailroom: EventStore) -> Starlette:
    """Return the application. It connects when it starts; without a spool it answers 503 until the store is there."""
    receiver = Receiver(settings, book, mailroom)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(book.watch(), name="book"),
            asyncio.create_task(receiver.inspection.carry(), name="inspection"),
        ]
        if not await prepared(mailroom):
            tasks.append(asyncio.create_task(prepare_until_there(mailroom), name="prepare"))
        try:
            yield
        finally:
            await receiver.drain()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await mailroom.close()

    return PublicPort(
        receiver,
        routes=[Route("/healthz", healthz)],
        exception_handlers={HTTPException: not_ours},
        lifespan=lifespan,
    )


class PublicPort(Starlette):
    """Webhooks go straight to the receiver, past middleware and routing, which would cost a tenth of the speed."""

    def __init__(self, receiver: "Receiver", **options: Any) -> None:
        super().__init__(**options)
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._receiver(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def takes_whole(self, scope: Scope) -> bool:
        """Say whether `take_whole` is for such a request."""
        path: str = scope["path"]
        return scope["method"] == "POST" and path.startswith(PREFIX)

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """See to it that a webhook is answered whose body is there. Never raises."""
        self._receiver.take_whole(scope, body, answer)


async def prepared(mailroom: EventStore) -> bool:
    """Prepare the mailroom; return whether the store is there. Raises Damaged."""
    try:
        await mailroom.prepare()
    except StoreUnavailable as exc:
        logger.warning("store_unavailable, answering 503 until it is there: %s", exc)
        return False
    return True


async def prepare_until_there(mailroom: EventStore) -> None:
    """Prepare the mailroom as soon as the store is there."""
    while True:
        await asyncio.sleep(PREPARE_AGAIN)
        with contextlib.suppress(StoreUnavailable):
            await mailroom.prepare()
            logger.info("store_there")
            return


async def healthz(request: Request) -> Response:
    """Say that the process answers; whether it is ready, the console's /readyz says."""
    return JSONResponse({"status": "ok"})


async def not_ours(request: Request, exc: Exception) -> Response:
    """Answer to what is no route of ours, in the words of our refusals."""
    status = exc.status_code if isinstance(exc, HTTPException) else 404
    refused: errors.RequestRefused = errors.NotFound("not_found", "webhooks go to /in/ and the name of the source")
    if status == 405:
        refused = errors.RequestRefused("method_not_allowed", "this address is read with GET")
    return Response(
        refused.answer,
        status_code=status,
        media_type="application/json",
        headers=dict(getattr(exc, "headers", None) or {}),
    )


class Receiver:
    """Takes webhooks. An ASGI application of its own: this is the path that has to be fast."""

    def __init__(self, settings: ReceiverSettings, book: RulebookWatcher, mailroom: EventStore) -> None:
        self._settings = settings
        self._book = book
        self._mailroom = mailroom
        self.commit = GroupCommit(mailroom, settings.waiting_events)
        self.inspection = RefusedRequests(mailroom)
        self._under_way = 0
        #: What is being kept in quarantine.
        self._aside: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whose body may still be on its way."""
        answered: asyncio.Future[tuple[int, Headers, bytes]] = asyncio.get_running_loop().create_future()

        def answer(status: int, headers: Headers, body: bytes) -> None:
            if not answered.done():  # else the server stops, and waits no longer
                answered.set_result((status, headers, body))

        attempt = WebhookRequest(scope, answer)
        try:
            attempt.demand_post()
            attempt.demand_size(self._settings.max_body)
            attempt.gate = self._book.gate(attempt.source)
            attempt.body = await self._read(attempt, receive)
        except Exception as exc:
            self._refuse(attempt, exc)
        else:
            self._take(attempt)
        status, headers, body = await answered
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                    *headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """Take one request whose body is there; it is answered now, or when its events are on disk. Never raises."""
        attempt = WebhookRequest(scope, answer)
        attempt.body = body
        try:
            attempt.demand_post()
            attempt.demand_size(self._settings.max_body, len(body))
            attempt.gate = self._book.gate(attempt.source)
        except Exception as exc:
            self._refuse(attempt, exc)
        else:
            self._take(attempt)

    async def drain(self) -> None:
        """Wait until everything that was taken is answered."""
        await self.commit.drain()
        if self._aside:
            await asyncio.wait(self._aside)

    def _take(self, attempt: "WebhookRequest") -> None:
        """Verify, read, and keep."""
        try:
            gate = attempt.admitted
            request = RawRequest(attempt.body, attempt.headers, attempt.scope["query_string"], attempt.client)
            now = time.time()
            verified = verification.verify(request, gate.verified_by(), now)
            batch = gate.adapter.unpack(verified, gate.source.options, attempt.event)
            self._keep(attempt, batch, written(int(now * 1000)))
        except Exception as exc:
            self._refuse(attempt, exc)

    async def _read(self, attempt: "WebhookRequest", receive: Receive) -> bytes:
        """Return the body. Raises TooLarge, TooSlow, NotParseable, Unavailable."""
        task = asyncio.current_task()
        deadline = asyncio.get_running_loop().call_later(self._settings.body_seconds, attempt.give_up, task)
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                body, message = await self._read_on(attempt, message, receive)
        except asyncio.CancelledError:
            if task is None or not attempt.too_slow or task.uncancel():
                raise
            raise errors.TooSlow("too_slow", "the body did not arrive in time") from None
        finally:
            deadline.cancel()
        attempt.demand_size(self._settings.max_body, len(body))
        if message["type"] != "http.request":
            raise errors.NotParseable("cut_short", "the connection ended before the body did")
        return body

    async def _read_on(self, attempt: "WebhookRequest", message: Message, receive: Receive) -> tuple[bytes, Message]:
        """Return a body that comes in parts, and the last message. Raises TooLarge, Unavailable."""
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
        attempt.demand_size(most, size)
        return b"".join(parts), message

    def _keep(self, attempt: "WebhookRequest", batch: Batch, received_at: str) -> None:
        """Keep the items of a batch. Raises Invalid, Unavailable."""
        gate = attempt.admitted
        traceparent = attempt.header(b"traceparent")
        good: Good = []
        bad: Bad = []
        if len(batch.items) > 1:
            intake.tell_apart(batch.items)
        for at, item in enumerate(batch.items):
            if item.type is None:
                continue
            made = intake.made(item, gate.source, received_at, traceparent=traceparent)
            if item.invalid is None:
                good.append((at, made))
            elif gate.source.on_invalid == "refuse":
                raise errors.Invalid(item.invalid.field, item.invalid.why)
            else:
                bad.append((at, made, str(item.invalid)))
        kept = functools.partial(self._kept, attempt, batch, good, bad)
        if good:
            self.commit.put([made for _, made in good], kept)
        else:
            kept([])

    def _kept(
        self, attempt: "WebhookRequest", batch: Batch, good: Good, bad: Bad, receipts: list[Receipt] | errors.NotKept
    ) -> None:
        """Answer a request whose good items are on disk, or could not be kept."""
        try:
            if isinstance(receipts, errors.NotKept):
                raise receipts
            #: The ids of the events, None for what we do not take.
            ids: list[str | None] = [None] * len(batch.items)
            for (at, _), receipt in zip(good, receipts, strict=True):
                ids[at] = receipt.id
            if bad:
                task = asyncio.create_task(self._quarantine(attempt, batch, bad, ids))
                self._aside.add(task)
                task.add_done_callback(self._aside.discard)
            else:
                self._accept(attempt, batch, ids)
        except Exception as exc:
            self._refuse(attempt, exc)

    async def _quarantine(self, attempt: "WebhookRequest", batch: Batch, bad: Bad, ids: list[str | None]) -> None:
        """Keep what does not fit its model, and answer."""
        for _, each, why in bad:
            logger.error("receiver.quarantined source=%s type=%s event=%s: %s", each.source, each.type, each.id, why)
        try:
            receipts = await self._mailroom.quarantine([(each, why) for _, each, why in bad])
            for (at, _, _), receipt in zip(bad, receipts, strict=True):
                ids[at] = receipt.id
            self._accept(attempt, batch, ids)
        except StoreUnavailable as exc:
            self._refuse(attempt, group_commit.unavailable(exc))
        except Exception as exc:
            self._refuse(attempt, exc)

    def _accept(self, attempt: "WebhookRequest", batch: Batch, ids: Sequence[str | None]) -> None:
        status, body = attempt.admitted.adapter.answer(batch, ids)
        attempt.answer(status, (), body)

    def _refuse(self, attempt: "WebhookRequest", exc: Exception) -> None:
        refused = exc if isinstance(exc, errors.RequestRefused) else errors.unforeseen(exc)
        self._inspect(attempt, refused)
        headers = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
        attempt.answer(refused.status, headers, refused.answer)

    def _inspect(self, attempt: "WebhookRequest", refused: errors.RequestRefused) -> None:
        if isinstance(refused, errors.NotKept):
            return  # the sender comes again, and the store has other worries
        secret = attempt.gate.secret_headers if attempt.gate else frozenset()
        self.inspection.keep(refused.code, attempt.source[:NAME_KEEPS], shown(attempt.headers, secret), attempt.body)


@functools.lru_cache(maxsize=16)
def written(milliseconds: int) -> str:
    """Return a time as events carry it; many requests share a millisecond."""
    return from_epoch(milliseconds)


class WebhookRequest:
    """What is known of a request while it is being answered."""

    __slots__ = ("answer", "body", "event", "gate", "headers", "scope", "source", "too_slow")

    def __init__(self, scope: Scope, answer: Answer) -> None:
        self.scope = scope
        self.answer = answer
        self.headers: Headers = scope["headers"]
        path: str = scope["path"]
        source, _, rest = path.removeprefix(PREFIX).partition("/")
        self.source = source
        #: What follows the source's name in the URL.
        self.event = rest.rstrip("/") or None
        self.gate: SourceEntry | None = None
        self.body = b""
        self.too_slow = False

    def give_up(self, task: "asyncio.Task[Any] | None") -> None:
        """End the wait for the body."""
        if task is not None:
            self.too_slow = True
            task.cancel()

    @property
    def admitted(self) -> SourceEntry:
        """The gate that it came through."""
        if self.gate is None:
            raise RuntimeError("not admitted yet")
        return self.gate

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
        """Raise TooLarge for a body larger than the cap, by what its head announces or by what has come."""
        if size is None:
            told = self.header(b"content-length")
            if told is None:
                return
            if not told.isdigit():
                raise errors.NotParseable("bad_length", "the header Content-Length must be a number")
            size = int(told[:20])
        if size > most:
            raise errors.TooLarge("too_large", f"a body may have {most} bytes")
