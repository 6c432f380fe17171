"""The page Events: a list by filters that stand in the address, and what comes in just now.

Comes in: GET requests. Goes out: pages of 50 events, a stream of rows (text/event-stream). Never shows a value of a
person, and never says a number that the list behind it does not have.
"""

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from console.api import notebook
from console.api.notebook import Unclear
from console.notebook import EventFilter, Notebook, search
from console.notebook.follower import Frame
from console.notebook.tables import DAYS
from console.web import page, people, snapshots
from console.web.language import N_
from mailroom.ledger import EventState

#: Spans that the form offers: seconds -> their name.
SPANS: Mapping[str, str] = {
    "900": N_("last 15 minutes"),
    "3600": N_("last hour"),
    "86400": N_("last 24 hours"),
    "604800": N_("last 7 days"),
    str(DAYS * 86_400): N_("all 31 days"),
}
#: Events are counted up to here.
MOST_COUNTED = 10_000
#: Seconds between two signs of life of a tail.
QUIET = 15.0


async def list_events(request: Request) -> Response:
    """Answer events, newest first."""
    chosen, cursor = read_chosen(request), notebook.read_cursor(request)

    def look(its: Notebook) -> tuple[list[dict[str, Any]], str, int]:
        found, before = search.page(its, chosen, notebook.PAGE, cursor)
        return found, before, search.count(its, chosen, MOST_COUNTED + 1)

    events, before, total = await notebook.ask(request, look)
    book = await snapshots.find_book(request)
    return await page.render(
        request,
        "events.html",
        events=events,
        older={**read_filters(request), "cursor": before} if before else None,
        newest=not cursor,
        total=min(total, MOST_COUNTED),
        more=total > MOST_COUNTED,
        chosen=read_filters(request),
        spans=SPANS,
        states=get_args(EventState),
        sources=sorted(book.sources) if book else [],
        destinations=["in", *sorted(book.destinations)] if book else [],
        rules=[rule.name for rule in book.rules] if book else [],
        command=write_command(chosen, read_filters(request).get("span", "")),
        told=notebook.tell_state(request),
    )


def read_filters(request: Request) -> dict[str, str]:
    """Return what the address says of which events are meant."""
    names = (*notebook.FILTERS, "since", "until", "span")
    return {name: text for name in names if (text := request.query_params.get(name, ""))}


def read_chosen(request: Request) -> EventFilter:
    """Return which events an address means. Raises Unclear."""
    chosen = notebook.read_filter(request)
    span = request.query_params.get("span", "")
    if not span:
        return chosen
    if span not in SPANS:
        raise Unclear("bad_span", f"span is one of {', '.join(SPANS)}")
    # Whole minutes: the same page asked again a second later is the same.
    return replace(chosen, since=(int(time.time() - int(span)) // 60 * 60) * 1000)


def write_command(chosen: EventFilter, span: str) -> str:
    """Return the command that shows the same."""
    told = [(name, getattr(chosen, name)) for name in notebook.FILTERS if name != "who" and getattr(chosen, name)]
    words = [f"--{name} {shlex.quote(text)}" for name, text in told]
    if span:
        words.append(f"--since {int(span) // 60}m")
    return " ".join(["relais events list", *words])


async def tail_events(request: Request) -> Response:
    """Stream what comes in from now on, as rows of the list."""
    chosen = read_chosen(request)
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(follow(request, chosen), media_type="text/event-stream", headers=headers)


async def follow(request: Request, chosen: EventFilter) -> AsyncIterator[str]:
    """Yield frames: rows, how many came in it, how many of them are not shown."""
    language, zone = page.read_look(request)
    template = page.environment(language, request.app.state.base).get_template("events.rows.html")
    frames = request.app.state.follower.watch()

    def draw(frame: Frame) -> str:
        shown, left_out = frame.show(chosen)
        if not shown:
            return ""
        rows = template.render(events=list(reversed(shown)), language=language, zone=zone)
        told = {"rows": rows, "shown": len(shown), "left_out": left_out}
        return f"event: frame\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"

    yield "retry: 2000\nevent: begun\ndata:\n\n"
    waiting = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            done, _ = await asyncio.wait([waiting], timeout=QUIET)
            if not done:
                yield ": quiet\n\n"
                continue
            if (frame := waiting.result()) is None:
                return
            waiting = asyncio.ensure_future(anext(frames, None))
            if text := frame.once((chosen, language, zone), partial(draw, frame)):
                yield text
    finally:
        waiting.cancel()


async def search_anything(request: Request) -> Response:
    """Find an event by its id, else a person. What was typed stands in no address."""

    form = await page.read_form(request)
    text = form.get("text", "").strip()
    if text and "@" not in text and await request.app.state.mailroom.fate(text) is not None:
        return RedirectResponse(page.link(request.app.state.base, "events", text), 303)
    return await people.find(request, text)


ROUTES = (
    Route("/events", list_events),
    Route("/events/tail", tail_events),
    Route("/search", search_anything, methods=["POST"]),
)
