"""The routes `/events` and `/events/ID`: which events came in, and what became of each.

Comes in: GET requests. Goes out: pages of events, a stream of them, one event with its deliveries. Never shows a value
of a person: the ledger holds none.
"""

import json
import re
from collections.abc import AsyncIterator
from typing import get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from console.api import holds, rooms
from console.api.request import Json, describe_rules, get_mailroom, read_number, refuse
from mailroom import INBOX, ItemPlace, Mailroom
from mailroom.ledger import EventState
from rules.event_types.base import from_epoch

#: `?wait=` may hold the answer back for this many seconds at most; who wants to wait longer asks again.
LONGEST_WAIT = 60.0
#: Events of a page: when nothing is said, and at most.
PAGE, LARGEST_PAGE = 50, 500
#: Deliveries of one event of which it is told what they wait for.
MOST_PLACES = 50


async def list_events(request: Request) -> Response:
    """Answer the newest events, newest first; `before` is the cursor of the page before. `follow` streams.

    `state`: only those that are in it.
    """
    if request.query_params.get("follow") == "true":
        return StreamingResponse(follow(get_mailroom(request)), media_type="application/x-ndjson")
    limit = read_number(request.query_params.get("limit"), PAGE)
    if limit is None or limit != int(limit) or not 1 <= limit <= LARGEST_PAGE:
        return refuse("bad_limit", f"limit is a whole number from 1 to {LARGEST_PAGE}")
    before = request.query_params.get("before", "")
    if before and not is_cursor(before):
        return refuse("bad_cursor", "before is what `next` of the page before says")
    state = request.query_params.get("state", "")
    if state and state not in get_args(EventState):
        return refuse("bad_state", f"state is one of {', '.join(get_args(EventState))}")
    found, cursor = await get_mailroom(request).recent(int(limit), before, state)
    return JSONResponse({"events": [fate.as_json() for fate in found], "next": cursor or None})


def is_cursor(text: str) -> bool:
    """Say whether a text is the id of an entry of a stream: two numbers of 64 bits, the second one at will."""
    parts = text.split("-", 1)
    return all(re.fullmatch(r"[0-9]{1,20}", part) and int(part) < 1 << 64 for part in parts)


async def follow(mailroom: Mailroom) -> AsyncIterator[bytes]:
    """Yield each event as a line of JSON when it has come in, and again when it has ended."""
    yield b"\n"  # sends the head of the answer at once
    async for _, name in mailroom.tail():
        fate = await mailroom.fate(name)
        if fate is not None:
            yield json.dumps(fate.as_json(), ensure_ascii=False).encode() + b"\n"


async def show_event(request: Request) -> Response:
    """Answer what became of one event, as soon as that is settled or after `wait` seconds."""
    wait = read_number(request.query_params.get("wait"), 0)
    if wait is None or not 0 <= wait <= LONGEST_WAIT:
        return refuse("bad_wait", f"wait is a number of seconds up to {LONGEST_WAIT:.0f}")
    fate = await request.app.state.watcher.fate(request.path_params["id"], wait)
    if fate is None:
        return refuse("unknown_event", "no event of this id in the last 31 days", 404)
    answer = fate.as_json()
    descriptions = await describe_rules(request, answer["book"])
    for rule in answer["rules"]:
        if described := descriptions.get(rule["name"]):
            rule["description"] = described
    waiting = [delivery for delivery in answer["deliveries"] if delivery["state"] == "waiting"]
    if waiting or fate.state == "waiting":
        whys = {room.name: rooms.explain(room) for room in await get_mailroom(request).rooms()}
        for delivery in waiting[:MOST_PLACES]:
            if (place := await get_mailroom(request).place(delivery["destination"], delivery["id"])) is not None:
                delivery["waits"] = describe_place(place)
        for delivery in waiting:
            if why := whys.get(delivery["destination"]):
                delivery["why"] = why
        if fate.state == "waiting" and (why := whys.get(INBOX) or await holds.explain(request, fate.source)):
            answer["why"] = why
    return JSONResponse({**answer, "settled": fate.settled})


def describe_place(place: ItemPlace) -> Json:
    """Return where a delivery stands as JSON."""
    next_attempt = from_epoch(place.due_at) if place.due_at else None
    return {
        "state": place.state,
        "attempts": place.attempts,
        "next_attempt": next_attempt,
        "ahead": list(place.ahead),
    }


ROUTES = (Route("/events", list_events), Route("/events/{id}", show_event))
