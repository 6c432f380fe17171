"""The routes that the notebook answers: `/events`, `/events.csv`, `/stats`, `/people/find`, `/people/HASH`.

Comes in: GET requests, and POST ones that hold what must not stand in a URL. Goes out: pages, counts, series, a stream
of what happens. Never shows a value of a person, and never asks the store for more than where its log ends.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, get_args

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from console import people
from console.api import spreadsheet
from console.api.request import DecisionBody, Json, get_mailroom, read_number, refuse, takes, write_audit
from console.api.spreadsheet import RowPages
from console.notebook import EventFilter, Follower, Notebook, search
from console.notebook.tables import DAYS, SCALES
from mailroom.ledger import EventState
from rules.event_types.base import from_epoch, to_epoch

#: Events of a page: when nothing is said, and at most.
PAGE, LARGEST_PAGE = 50, 500
#: Parameters that say which events are meant.
FILTERS = ("source", "type", "state", "book", "destination", "action", "rule", "code", "who")
#: Characters of an address, number or id that is searched for.
LONGEST_TEXT = 500
#: The columns of a list as CSV.
COLUMNS = ("received_at", "id", "source", "type", "state", "destination", "action", "rule", "delivery_state", "code")
#: Those of a delivery, as it calls them.
OF_ONE = ("destination", "action", "rule", "state", "code")

T = TypeVar("T")


class FindPerson(DecisionBody):
    """Who is searched for: an address, a telephone number, an id of a sender or of a system."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


class Unclear(ValueError):
    """A question cannot be read; the two arguments are code and hint."""


def read_filter(request: Request) -> EventFilter:
    """Return which events a query means. Raises Unclear."""
    query = request.query_params
    found: dict[str, Any] = {name: query.get(name, "") for name in FILTERS}
    if found["state"] and found["state"] not in get_args(EventState):
        raise Unclear("bad_state", f"state is one of {', '.join(get_args(EventState))}")
    for name in ("since", "until"):
        if text := query.get(name, ""):
            try:
                found[name] = int(text) if text.isascii() and text.isdecimal() else to_epoch(text)
            except (ValueError, OverflowError) as exc:
                raise Unclear("bad_time", f"{name} is a time as 2026-11-21T10:00:00Z, or ms since 1970") from exc
    if any(found.get(name, 0) >= 1 << 62 for name in ("since", "until")):
        raise Unclear("bad_time", "since and until lie between 1970 and 9999")
    return EventFilter(**found)


async def ask(request: Request, question: Callable[[Notebook], T]) -> T:
    """Return what the notebook answers, as soon as it has noted what the store has noted by now."""
    follower: Follower = request.app.state.follower
    await follower.catch_up()
    return await asyncio.to_thread(question, request.app.state.notebook)


def tell_state(request: Request) -> Json:
    """Return how far the notebook is: `as_of`, and whether all that the ledger knows is in it."""
    progress = request.app.state.follower.progress
    return {"as_of": from_epoch(progress.as_of) if progress.as_of else None, "complete": progress.complete}


async def list_events(request: Request) -> Response:
    """Answer events, newest first, as pages; `follow=true` streams what happens from now on."""
    try:
        chosen = read_filter(request)
        if request.query_params.get("follow") == "true":
            return StreamingResponse(follow(request, chosen), media_type="application/x-ndjson")
        limit = read_number(request.query_params.get("limit"), PAGE)
        if limit is None or limit != int(limit) or not 1 <= limit <= LARGEST_PAGE:
            raise Unclear("bad_limit", f"limit is a whole number from 1 to {LARGEST_PAGE}")
        cursor = read_cursor(request)
    except Unclear as exc:
        return refuse(*exc.args)
    total = request.query_params.get("total") == "true"

    def look(notebook: Notebook) -> Json:
        found, before = search.page(notebook, chosen, int(limit), cursor)
        answer: Json = {"events": found, "next": before or None}
        return {**answer, "total": search.count(notebook, chosen)} if total else answer

    return JSONResponse({**await ask(request, look), **tell_state(request)})


def read_cursor(request: Request) -> str:
    """Return the cursor that a query says (`cursor`, or `before`). Raises Unclear."""
    cursor = request.query_params.get("cursor") or request.query_params.get("before", "")
    try:
        if cursor:
            search.read_cursor(cursor)
    except ValueError as exc:
        raise Unclear("bad_cursor", "cursor is what `next` of the page before says") from exc
    return cursor


async def follow(request: Request, chosen: EventFilter) -> AsyncIterator[bytes]:
    """Yield each event as a line of JSON when it has come in, and again when it has ended; at most 80 a second.

    A line `{"left_out": 3}` says of how many more nothing is shown.
    """
    yield b"\n"  # sends the head of the answer at once
    async for frame in request.app.state.follower.watch():
        shown, left_out = frame.show(chosen)
        for event in (*shown, *([{"left_out": left_out}] if left_out else ())):
            yield json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def export_events(request: Request) -> Response:
    """Answer all events that are meant as CSV, a line for each delivery, newest first."""
    try:
        chosen = read_filter(request)
    except Unclear as exc:
        return refuse(*exc.args)
    await request.app.state.follower.catch_up()
    return spreadsheet.answer("events", COLUMNS, list_rows(request.app.state.notebook, chosen))


async def list_rows(notebook: Notebook, chosen: EventFilter) -> RowPages:
    """Yield events as rows, one for each delivery, page by page."""
    cursor, more = "", True
    while more:
        found, cursor = await asyncio.to_thread(search.page, notebook, chosen, LARGEST_PAGE, cursor)
        yield [
            (*(event[column] for column in COLUMNS[:5]), *(one.get(name, "") for name in OF_ONE))
            for event in found
            for one in event["deliveries"] or [{}]
        ]
        more = bool(cursor)


async def show_stats(request: Request) -> Response:
    """Answer what came and what was attempted, step by step, of the last `span` seconds (3 hours) up to 31 days."""
    span = read_number(request.query_params.get("span"), 3 * 3600)
    if span is None or not 60 <= span <= DAYS * 86_400:
        return refuse("bad_span", f"span is a number of seconds from 60 to {DAYS * 86_400}")
    return JSONResponse({**await find_stats(request, int(span)), **tell_state(request)})


async def find_stats(request: Request, span: int) -> Json:
    """Return what came and what was attempted in the last `span` seconds."""
    scale = search.choose_scale(span)
    until = int(time.time()) + 1
    # A step that has only begun to be kept would look like a quiet one.
    since = max(until - span, until - SCALES[scale] + scale)
    return await ask(request, lambda notebook: search.stats(notebook, since, until, scale))


async def read_readings(request: Request, text: str, reason: str = "") -> dict[str, str]:
    """Return the keyed hashes that a text may stand for, and how it was read; the audit says who wanted to know."""
    mailroom = get_mailroom(request)
    await mailroom.prepare()
    readings = {mailroom.hash(reading.identity): reading.read_as for reading in people.read(text)}
    for who in readings:
        await write_audit(request, "find_person", who, reason)
    return readings


@takes(FindPerson)
async def find_person(request: Request, asked: FindPerson) -> Response:
    """Answer as what a text is read, the keyed hash of each reading, and how many events are found by it."""
    readings = await read_readings(request, asked.text, asked.reason)
    states = await ask(request, lambda notebook: [search.states(notebook, who) for who in readings])
    answer = [
        {"who": who, "read_as": read_as, "events": sum(found.values()), "states": found}
        for (who, read_as), found in zip(readings.items(), states, strict=True)
    ]
    return JSONResponse({"readings": answer, **tell_state(request)})


async def show_person(request: Request) -> Response:
    """Answer what is known of whom a keyed hash stands for: their newest events, and how many there are by state."""
    who = request.path_params["who"]
    chosen = EventFilter(who=who)
    try:
        cursor = read_cursor(request)
    except Unclear as exc:
        return refuse(*exc.args)
    (found, before), states = await ask(
        request, lambda notebook: (search.page(notebook, chosen, PAGE, cursor), search.states(notebook, who))
    )
    if not states:
        return refuse("unknown_person", "no event of the last 31 days is found by this hash", 404)
    await write_audit(request, "show_person", who)
    answer: Json = {"who": who, "events": found, "next": before or None, "states": states}
    return JSONResponse({**answer, "total": sum(states.values()), **tell_state(request)})


ROUTES = (
    Route("/events", list_events),
    Route("/events.csv", export_events),
    Route("/stats", show_stats),
    Route("/people/find", find_person, methods=["POST"]),
    Route("/people/{who}", show_person),
)
