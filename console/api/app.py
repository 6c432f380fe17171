"""The application of the console: its settings, its routes, what it opens when it starts, and the server around it.

Comes in: settings and the catalogue. Goes out: a Starlette application that answers on a private port, for people and
for monitoring. Never answers a route itself: each module beside this one has `ROUTES`.
"""

import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from pydantic import Field, SecretStr
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from console.access import Audit, Sessions, Tokens, Users, oidc_settings
from console.access.oidc_settings import OidcSettings
from console.api import (
    access,
    aside,
    audit,
    auth,
    books,
    boxes,
    cases,
    dead_letters,
    events,
    forget,
    health,
    holds,
    jobs,
    metrics,
    notebook,
    permissions,
    pulls,
    quotas,
    rooms,
    shadow,
    sources,
)
from console.api.request import refuse
from console.api.watcher import MailroomWatcher
from console.checks.store import Strict
from console.errors import UserError
from console.jobs import JobBoard, JobDesk, JobRunner
from console.notebook import Follower, Notebook, NotebookUnusable
from console.processes import port
from console.web import app as web
from mailroom import Mailroom, StoreUnavailable
from mailroom.settings import QueueSettings
from rules.catalogue import Catalogue

log = logging.getLogger("relais.console")

ROUTES = (
    *aside.ROUTES,
    *forget.ROUTES,
    *notebook.ROUTES,
    *events.ROUTES,
    *books.ROUTES,
    *shadow.ROUTES,
    *dead_letters.ROUTES,
    *boxes.ROUTES,
    *rooms.ROUTES,
    *sources.ROUTES,
    *holds.ROUTES,
    *pulls.ROUTES,
    *quotas.ROUTES,
    *metrics.ROUTES,
    *health.ROUTES,
    *access.ROUTES,
    *audit.ROUTES,
    *jobs.ROUTES,
    *cases.ROUTES,
)


class ConsoleSettings(QueueSettings, OidcSettings):
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
    console_base: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path below which a proxy shows the console, /relais: its pages are at /relais/ui then.",
    )
    notebook: str = Field(
        ".relais/notebook.sqlite",
        description="SQLite file of the console: what became of the events of 31 days, without values of people. "
        "It can go at any time: a new one is written from the ledger. Empty: one that goes with the console.",
    )
    backup_days: int = Field(
        90,
        ge=0,
        le=3_660,
        description="Days that backups of the store live. So long a receipt keeps the keyed hashes of a person.",
    )
    strict: Strict = Field(
        "",
        description="What the store must keep of acknowledged events, else the receiver refuses to start: "
        "power-cut (all), 1s (all but the last second before a power cut). Empty: anything goes.",
    )


def run(settings: ConsoleSettings, catalogue: Catalogue) -> None:
    """Serve until SIGTERM. Raises UserError."""
    if not port.is_loopback(settings.console_host) and not settings.console_token.get_secret_value():
        raise UserError(
            f"the console would listen on {settings.console_host} without a token",
            mend="set RELAIS_CONSOLE_TOKEN to a long random text, or listen on 127.0.0.1",
        )
    oidc_settings.demand(settings)
    port.demand(settings.console_host, settings.console_port, "--port")
    # When uvicorn has stopped, it raises the signal that it caught once more. Ignore that one: the exit status is 0.
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


class BelowPath:
    """Middleware for a proxy that shows the console below a path, and sends the whole of it or what stands behind."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app = app
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without the path of the proxy."""
        if self.base and scope["type"] == "http" and scope["path"].startswith(f"{self.base}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self.base)}
        await self.app(scope, receive, send)


def build_app(settings: ConsoleSettings, catalogue: Catalogue) -> Starlette:
    """Return the application; it opens its connection to the store when it starts."""
    state = State()
    found = Starlette(
        routes=[Mount(auth.PAGES, web.build_pages(state)), *(permissions.guard(route) for route in ROUTES)],
        middleware=[
            Middleware(BelowPath, base=settings.console_base),
            *auth.build_middleware(settings.console_token.get_secret_value()),
        ],
        exception_handlers={StoreUnavailable: answer_store_unavailable, HTTPException: answer_elsewhere},
        lifespan=build_lifespan(settings, catalogue),
    )
    found.state = state
    return found


def build_lifespan(settings: ConsoleSettings, catalogue: Catalogue) -> Lifespan[Starlette]:
    """Return what opens the mailroom, the watcher and the readiness checks, and closes them at the end."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # `connect` sends nothing to the store: the console must start while the store is away, to say so.
        key = settings.hash_key.get_secret_value().encode()
        with contextlib.closing(open_notebook(settings.notebook)) as found:
            async with (
                Mailroom.connect(settings.redis_url, hash_key=key, replicas=settings.replicas) as mailroom,
                MailroomWatcher(mailroom) as watcher,
                Follower(mailroom, found) as follower,
                contextlib.AsyncExitStack() as stack,
            ):
                book = books.BookInForce(mailroom, catalogue)
                board, desk = JobBoard(mailroom), JobDesk(mailroom, book.get, found, follower)
                runner = await stack.enter_async_context(JobRunner(mailroom, board, desk))
                app.state.notebook, app.state.follower = found, follower
                app.state.mailroom = mailroom
                app.state.book_in_force = book
                app.state.jobs, app.state.desk, app.state.runner = board, desk, runner
                app.state.audit, app.state.sessions = Audit(mailroom), Sessions(mailroom)
                app.state.users, app.state.tokens = Users(mailroom), Tokens(mailroom)
                app.state.sign_on = None
                if settings.oidc_issuer:
                    from console.access import oidc  # of the extra

                    app.state.sign_on = await stack.enter_async_context(oidc.open_sign_on(settings, mailroom))
                app.state.forgetting = forget.ForgetRules(
                    Path(settings.receipts) if settings.receipts else None, settings.backup_days, settings.spool
                )
                app.state.watcher = watcher
                app.state.base = settings.console_base
                app.state.environ = {**os.environ, "REDIS_URL": settings.redis_url}
                web.provide(app.state)
                app.state.descriptions = {}
                app.state.readiness = health.Readiness(
                    mailroom,
                    watcher,
                    settings.book,
                    catalogue,
                    book,
                    spool=settings.spool,
                    strict=settings.strict,
                    replicas=settings.replicas,
                    rq_url=settings.rq_url,
                )
                yield

    return lifespan


def open_notebook(path: str) -> Notebook:
    """Open the notebook of a setting; where it cannot be written, one that goes with the console."""
    try:
        return Notebook(Path(path) if path else None)
    except NotebookUnusable as exc:
        log.warning("notebook.unusable why=%s", exc)
        return Notebook(None)


async def answer_elsewhere(_: Request, exc: Exception) -> Response:
    """Answer an address or method that is none in JSON, so that clients know whom they have reached."""
    status = exc.status_code if isinstance(exc, HTTPException) else 404
    if status == 404:
        return refuse("no_such_address", "the console has nothing here; is the name or id whole?", 404)
    return refuse("method_not_allowed", "the console does not take this method here", status)


async def answer_store_unavailable(_: Request, exc: Exception) -> Response:
    """Answer 503 where the store is away."""
    return auth.answer_store_away(exc)
