"""The routes under `/boxes`: boxes that are held for a person.

Comes in: GET to look. Goes out: JSON. Never shows a value of a person, and never decides: jobs do.
"""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import causes
from console.api.request import (
    Json,
    describe_rules,
    get_mailroom,
    get_operator,
    read_selection,
    refuse,
)
from mailroom.operator import HeldBox
from rules.event_types.base import from_epoch


async def list_boxes(request: Request) -> Response:
    """Answer the held boxes, the oldest first."""
    selection = read_selection(request)
    if selection is None:
        return refuse("bad_since", "since is a time in ms")
    held = await get_operator(request).held(selection)
    return JSONResponse(
        {
            "total": len(held),
            "groups": causes.group(held, await describe_rules(request)),
            "boxes": [as_json(one) for one in held],
        }
    )


async def show_box(request: Request) -> Response:
    """Answer one held box, with the story of the event at its head."""
    held = await get_operator(request).box(request.path_params["destination"], request.path_params["box"])
    if held is None:
        return refuse("unknown_box", "no held box of this name", 404)
    fate = await get_mailroom(request).fate(held.event)
    before = await get_mailroom(request).ahead(held.destination, held.box, held.item)
    ahead = [item for item, _ in before]
    return JSONResponse({**as_json(held), "ahead": ahead, "story": fate.as_json() if fate is not None else None})


def as_json(held: HeldBox) -> Json:
    """Return a held box as JSON."""
    return {"id": held.id, **asdict(held), "at": from_epoch(held.at)}


ROUTES = (
    Route("/boxes", list_boxes),
    Route("/boxes/{destination}/{box}", show_box),
)
