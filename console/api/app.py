"""The private HTTP port: what came, what became of it, how the machine is. For people and their monitoring.

Comes in: GET requests, with a bearer token beyond loopback, and what people decide (`verbs.py`). Goes out: JSON, and
text for Prometheus. Never shows a value of a person: the ledger holds none.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from pydantic import Field, SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api import health, metrics, operations, standstill
from console.api.operations import refusal
from console.api.watcher import Watch
from console.checks import spool
from console.checks.store import Strict
from console.errors import UserError
from console.processes import port
from mailroom import INBOX, Mailroom, StoreUnavailable
from mailroom.settings import StoreSettings
from rules.catalogue import Catalogue

#: An answer may be waited for this many seconds; whoever wants longer asks again.
LONGEST_WAIT = 60.0
PAGE, LARGEST_PAGE = 50, 500


class ConsoleSettings(StoreSettings):
    """What `relais console` reads."""

    console_host: str = Field(
        "127.0.0.1", description="Address the console listens on; beyond loopback it wants a token."
    )
    console_port: int = Field(8081, ge=0, le=65535, description="Port the console listens on.")
    console_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of the console; must be set beyond loopback."
    )
    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
    spool: str = Field(
        ".relais/spool",
        description="Folder on a local disk where events wait while the store cannot take them. Empty: no spool.",
    )
    strict: Strict = Field(
        "",
        description="What the store must keep of acknowledged events, else the receiver refuses to start: "
        "power-cut (all), 1s (all but the last second before a power cut). Empty: anything goes.",
    )


def run(settings: ConsoleSettings, catalogue: Catalogue) -> None:
    """Serve until SIGTERM. Raises UserError."""
    if not loopback(settings.console_host) and not settings.console_token.get_secret_value():
        raise UserError(
            f"the console would listen on {settings.console_host} without a token",
            mend="set RELAIS_CONSOLE_TOKEN to a long random text, or listen on 127.0.0.1",
        )
    port.demand(settings.console_host, settings.console_port, "--port")
    # uvicorn sends a caught signal on to itself when it has stopped; a clean stop should end with status 0.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: None)
    uvicorn.run(
        build_app(settings, catalogue),
        host=settings.console_host,
        port=settings.console_port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


def build_app(settings: ConsoleSettings, catalogue: Catalogue) -> Starlette:
    """Return the application; it opens its connection to the store when it starts."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Nothing is asked of the store here: the console must be there to say that the store is away.
        key = settings.hash_key.get_secret_value().encode()
        async with (
            Mailroom.connect(settings.redis_url, hash_key=key, replicas=settings.replicas) as mailroom,
            Watch(mailroom) as watch,
        ):
            app.state.mailroom = mailroom
            app.state.watch = watch
            app.state.readiness = health.Readiness(
                mailroom,
                watch,
                settings.book,
                catalogue,
                spool=settings.spool,
                strict=settings.strict,
                replicas=settings.replicas,
            )
            yield

    guards = [Middleware(Token, token=settings.console_token.get_secret_value())]
    if not settings.console_token.get_secret_value():
        # Without a token a web page must not reach us through a name of its own that leads to 127.0.0.1.
        guards.append(
            Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", "*.localhost"])
        )
    return Starlette(
        routes=[
            Route("/events", events),
            Route("/events/{id}", event),
            Route("/books/{version}", book),
            *operations.ROUTES,
            Route("/metrics", metrics_text),
            Route("/readyz", readyz),
            Route("/healthz", healthz),
        ],
        middleware=guards,
        exception_handlers={StoreUnavailable: store_away},
        lifespan=lifespan,
    )


class Token:
    """Lets only those in who know the token, if there is one; `/healthz` tells nothing and is open."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] != "http" or not self.expected or scope["path"] == "/healthz":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self.expected):
            await self.app(scope, receive, send)
            return
        answer = JSONResponse(
            {"error": "unauthorized", "hint": "send Authorization: Bearer with the value of RELAIS_CONSOLE_TOKEN"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )
        await answer(scope, receive, send)


async def events(request: Request) -> Response:
    """Answer the newest events, newest first; `before` is the cursor of the page before. `follow` streams."""
    if request.query_params.get("follow") == "true":
        return StreamingResponse(follow(request.app.state.mailroom), media_type="application/x-ndjson")
    limit = number(request.query_params.get("limit"), PAGE)
    if limit is None or not 1 <= limit <= LARGEST_PAGE:
        return refusal("bad_limit", f"limit is a whole number from 1 to {LARGEST_PAGE}")
    before = request.query_params.get("before", "")
    if before and not all(part.isdigit() for part in before.split("-", 1)):
        return refusal("bad_cursor", "before is what `next` of the page before says")
    found, cursor = await request.app.state.mailroom.recent(int(limit), before)
    return JSONResponse({"events": [fate.as_json() for fate in found], "next": cursor or None})


async def follow(mailroom: Mailroom) -> AsyncIterator[bytes]:
    """Yield events as lines of JSON when they have come and when they have ended."""
    yield b"\n"  # the answer's head leaves at once
    async for _, name in mailroom.tail():
        fate = await mailroom.fate(name)
        if fate is not None:
            yield json.dumps(fate.as_json(), ensure_ascii=False).encode() + b"\n"


async def event(request: Request) -> Response:
    """Answer what became of one event, when it is settled or after `wait` seconds."""
    wait = number(request.query_params.get("wait"), 0)
    if wait is None or not 0 <= wait <= LONGEST_WAIT:
        return refusal("bad_wait", f"wait is a number of seconds up to {LONGEST_WAIT:.0f}")
    fate = await request.app.state.watch.fate(request.path_params["id"], wait)
    if fate is None:
        return refusal("unknown_event", "no event of this id in the last 31 days", 404)
    told = fate.as_json()
    waiting = [delivery for delivery in told["deliveries"] if delivery["state"] == "waiting"]
    if waiting or fate.state == "waiting":
        whys = {room.name: standstill.says(room) for room in await request.app.state.mailroom.rooms()}
        for delivery in waiting:
            if why := whys.get(delivery["destination"]):
                delivery["why"] = why
        if fate.state == "waiting" and (why := whys.get(INBOX)):
            told["why"] = why
    return JSONResponse({**told, "settled": fate.settled})


async def book(request: Request) -> Response:
    """Answer the files of a book that was in force, by its version; `current` is the one that is."""
    version = request.path_params["version"]
    mailroom: Mailroom = request.app.state.mailroom
    current = await mailroom.book_version() or None
    wanted = current if version == "current" else version
    files = await mailroom.kept_book(wanted) if wanted else None
    if files is None:
        return refusal("unknown_book", "no book of this version was ever in force", 404)
    return JSONResponse({"version": wanted, "current": current, "files": files})


async def metrics_text(request: Request) -> Response:
    """Answer the metrics for Prometheus; while the store is away, those of the spool."""
    mailroom: Mailroom = request.app.state.mailroom
    waiting = await asyncio.to_thread(spool.state, request.app.state.readiness.spool)
    now = time.time_ns() // 1_000_000
    try:
        snapshot = metrics.Snapshot(
            spool=waiting,
            now=now,
            counts=await mailroom.counts(),
            rooms=await mailroom.rooms(),
            dead=await mailroom.dead_count(),
            dead_for=await mailroom.dead_for(),
            quarantined=await mailroom.quarantined(),
            drains=request.app.state.watch.drains,
        )
    except StoreUnavailable:
        snapshot = metrics.Snapshot(up=False, spool=waiting, now=now)
    return Response(metrics.text(snapshot), media_type="text/plain; version=0.0.4; charset=utf-8")


async def readyz(request: Request) -> Response:
    """Answer whether everything needed is there, and what is not."""
    found = await request.app.state.readiness.look()
    return JSONResponse(found.as_json(), 200 if found.ready else 503)


async def healthz(_: Request) -> Response:
    """Answer that this process lives."""
    return JSONResponse({"alive": True})


async def store_away(_: Request, exc: Exception) -> Response:
    """Answer 503 where the store is away."""
    return JSONResponse({"error": "store_away", "hint": str(exc)}, 503, {"Retry-After": "1"})


def number(text: str | None, default: float) -> float | None:
    """Return a number from a query, None where it is none."""
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        return None


def loopback(host: str) -> bool:
    """Say whether an address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
