"""The public port: `POST /in/{source}`, `POST /in/{source}/{event}` and `GET /healthz`, nothing else.

Comes in: settings, the book, the mailroom. Goes out: the ASGI application, with what runs beside it while it serves.
Never routes or delivers an event, and never opens a second door.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mailroom import StoreUnavailable, liveness
from mailroom.keys import BEAT, NO_POOL, SCHEMA
from receiver import errors
from receiver.intake import EventStore, Intake
from receiver.request import Answer
from receiver.rulebook import RulebookWatcher
from receiver.settings import ReceiverSettings
from receiver.source_tally import SourceTally
from receiver.webhook import PREFIX, Receiver

log = logging.getLogger("relais.receiver")

#: Seconds between two attempts to reach a store that was away when the receiver started.
PREPARE_AGAIN = 1.0
#: Seconds that a receiver which stops takes at the most to say so.
LEAVE_WITHIN = 1.0


#: Returns what fetches from sources and gives it to this intake, until cancelled.
MakePuller = Callable[[Intake], Coroutine[Any, Any, None]]


def build_app(
    settings: ReceiverSettings, book: RulebookWatcher, mailroom: EventStore, puller: MakePuller | None = None
) -> Starlette:
    """Return the application. It connects when it starts; without a spool it answers 503 until the store is there."""
    receiver = Receiver(settings, book, mailroom)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(book.watch(mailroom.approved_book), name="book"),
            asyncio.create_task(receiver.refused_requests.carry(), name="refused requests"),
        ]
        if not await prepare(mailroom):
            tasks.append(asyncio.create_task(prepare_until_there(mailroom), name="prepare"))
        name = f"receiver.{uuid4().hex}"
        tasks.append(asyncio.create_task(beat(mailroom, name, receiver.tally, book), name="beat"))
        if puller is not None:
            tasks.append(asyncio.create_task(puller(receiver.intake), name="pull"))
        try:
            yield
        finally:
            await receiver.intake.drain()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await leave(mailroom, name, receiver.tally, book)
            await mailroom.close()

    port = PublicPort if settings.plain_http else FastPublicPort
    return port(
        receiver,
        routes=[Route("/healthz", healthz)],
        exception_handlers={HTTPException: not_ours},
        lifespan=lifespan,
    )


class PublicPort(Starlette):
    """Webhooks go straight to the receiver, past middleware and routing, which would cost a tenth of the speed."""

    def __init__(self, receiver: Receiver, **options: Any) -> None:
        super().__init__(**options)
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._receiver(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class FastPublicPort(PublicPort):
    """The same, and `receiver.http_protocol` may hand over a request as a whole, past ASGI."""

    def takes_whole(self, scope: Scope) -> bool:
        """Say whether `take_whole` is for such a request."""
        path: str = scope["path"]
        return scope["method"] == "POST" and path.startswith(PREFIX)

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """See to it that a webhook is answered whose body is there. Never raises."""
        self._receiver.take_whole(scope, body, answer)


async def prepare(mailroom: EventStore) -> bool:
    """Prepare the mailroom; return whether the store is there. Raises StoreDamaged."""
    try:
        await mailroom.prepare()
    except StoreUnavailable as exc:
        log.warning("store.away answers=503 why=%s", exc)
        return False
    return True


async def prepare_until_there(mailroom: EventStore) -> None:
    """Prepare the mailroom as soon as the store is there."""
    while True:
        await asyncio.sleep(PREPARE_AGAIN)
        with contextlib.suppress(StoreUnavailable):
            await mailroom.prepare()
            log.info("store.back")
            return


async def beat(mailroom: EventStore, name: str, tally: SourceTally, book: RulebookWatcher) -> None:
    """Say each second that this receiver lives and which schema it speaks, so that no migration passes over it.

    What was counted of the sources is written, too, and what the spool holds of persons who were forgotten is erased. A
    store that is away is asked again, and holds nothing else up.
    """
    said = f"{SCHEMA} {liveness.place()}"
    for turn in itertools.count(1):
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            await mailroom.say_process(name, NO_POOL, 0, turn, said=said)
            await tally.write(mailroom.note_sources, book.entries)
            await mailroom.forget_spooled(name)
        await asyncio.sleep(BEAT)


async def leave(mailroom: EventStore, name: str, tally: SourceTally, book: RulebookWatcher) -> None:
    """Write what was counted last, and say that this receiver ends; else the sweep notices."""
    with contextlib.suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(LEAVE_WITHIN):
            await tally.write(mailroom.note_sources, book.entries, last=True)
            await mailroom.forget_process(name)


async def healthz(request: Request) -> Response:
    """Say that the process answers; whether it is ready, the console's /readyz says."""
    return JSONResponse({"status": "ok"})


async def not_ours(request: Request, exc: Exception) -> Response:
    """Answer a request that is no webhook, in the same form as every refusal."""
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
