"""The application of the pages: its routes, its guard, the pages of what went wrong.

Comes in: the state of the console's application. Goes out: a Starlette application to mount at `/ui`. Never opens
anything itself: what it needs is in that state.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from console.api.notebook import Unclear
from console.web import (
    acts,
    assets,
    entry,
    event,
    events,
    exports,
    forget,
    guard,
    history,
    jobs,
    machine,
    now,
    page,
    people,
    rules,
    systems,
    todo,
    views,
)
from console.web.page import FormRefused
from console.web.snapshots import Snapshots
from mailroom import StoreUnavailable

ROUTES = (
    *assets.ROUTES,
    *entry.ROUTES,
    *now.ROUTES,
    *events.ROUTES,
    *event.ROUTES,
    *people.ROUTES,
    *forget.ROUTES,
    *todo.ROUTES,
    *exports.ROUTES,
    *acts.ROUTES,
    *jobs.ROUTES,
    *systems.ROUTES,
    *history.ROUTES,
    *rules.ROUTES,
    *machine.ROUTES,
    *views.ROUTES,
)


def build_pages(state: State) -> Starlette:
    """Return the pages; they share what the console's application has opened."""
    pages = Starlette(
        routes=ROUTES,
        middleware=[Middleware(guard.PageGuard, refuse=refuse)],
        exception_handlers={
            StoreUnavailable: _answer(503, "store_away"),
            FormRefused: _answer(400, "form"),
            Unclear: _unclear,
            HTTPException: _answer(404, "missing"),
        },
    )
    pages.state = state
    return pages


def provide(state: State) -> None:
    """Add to the state what pages alone need."""
    state.snapshots = Snapshots()
    state.rule_places = {}


async def _unclear(request: Request, exc: Any) -> Response:
    return await page.render(request, "refused.html", 400, code="filter", needs=exc.args[1])


async def refuse(request: Request, status: int, code: str) -> Response:
    """Return the page of a refusal."""
    return await page.render(request, "refused.html", status, code=code, needs=request.scope["state"].get("fault", ""))


def _answer(status: int, code: str) -> Callable[[Request, Any], Awaitable[Response]]:
    async def handler(request: Request, exc: Any) -> Response:
        said = exc.status_code if isinstance(exc, HTTPException) else status
        return await refuse(request, said, code)

    return handler
