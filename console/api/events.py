"""The route `/events/ID`: what became of one event, told by the store itself.

Comes in: GET requests. Goes out: an event with its rules, deliveries and attempts. Never shows a value of a person: the
ledger holds none.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import holds, rooms
from console.api.request import Json, describe_rules, get_mailroom, read_number, refuse
from mailroom import INBOX, Fate, ItemPlace
from mailroom.sentences import spell_out
from rules.event_types.base import from_epoch

#: `?wait=` may hold the answer back for this many seconds at most; who wants to wait longer asks again.
LONGEST_WAIT = 60.0
#: Deliveries of one event of which it is told what they wait for.
MOST_PLACES = 50


async def show_event(request: Request) -> Response:
    """Answer what became of one event, as soon as that is settled or after `wait` seconds."""
    wait = read_number(request.query_params.get("wait"), 0)
    if wait is None or not 0 <= wait <= LONGEST_WAIT:
        return refuse("bad_wait", f"wait is a number of seconds up to {LONGEST_WAIT:.0f}")
    fate = await request.app.state.watcher.fate(request.path_params["id"], wait)
    if fate is None:
        return refuse("unknown_event", "no event of this id in the last 31 days", 404)
    return JSONResponse(await describe_event(request, fate))


async def describe_event(request: Request, fate: Fate) -> Json:
    """Return an event's story as JSON, with what its rules are for, and what waits for what."""
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
    return {**spell_out(answer), "settled": fate.settled}


def describe_place(place: ItemPlace) -> Json:
    """Return where a delivery stands as JSON."""
    next_attempt = from_epoch(place.due_at) if place.due_at else None
    return {
        "state": place.state,
        "attempts": place.attempts,
        "next_attempt": next_attempt,
        "ahead": list(place.ahead),
    }


ROUTES = (Route("/events/{id}", show_event),)
