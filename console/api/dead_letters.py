"""The routes under `/dead`: deliveries that failed for good.

Comes in: GET to look. Goes out: JSON. Never shows a value of a person, and never decides: jobs do.
"""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import causes
from console.api.notebook import ask, tell_state
from console.api.request import (
    Json,
    describe_rules,
    get_mailroom,
    get_operator,
    read_selection,
    refuse,
)
from console.notebook import search
from console.notebook.file import wall_clock
from mailroom.operator import DeadLetterView, Selection
from rules.event_types.base import from_epoch


async def list_dead_letters(request: Request) -> Response:
    """Answer the dead letters grouped by cause; with `items=true` each of them, in the order of a retry.

    `dropped=true`: those that were given up and can still be had back.
    """
    selection = read_selection(request)
    if selection is None:
        return refuse("bad_since", "since is a time in ms")
    dropped = request.query_params.get("dropped") == "true"
    each = request.query_params.get("items") == "true"
    if not (dropped or each or selection.ids) and (grouped := await _group(request, selection)) is not None:
        return JSONResponse(grouped)
    letters = await get_operator(request).dead(selection, dropped=dropped)
    answer: Json = {"total": len(letters), "groups": causes.group(letters, await describe_rules(request))}
    if each:
        answer["items"] = [as_json(letter) for letter in letters]
    return JSONResponse(answer)


async def _group(request: Request, selection: Selection) -> Json | None:
    """Return what the notebook knows, however many there are; None while it is not complete: then the store tells."""
    chosen, since = vars(selection), selection.since
    groups = await ask(request, lambda notebook: search.group_dead(notebook, chosen, wall_clock(), since))
    state = tell_state(request)
    if not state["complete"]:
        return None
    whys = await get_operator(request).whys([cause["sample"] for cause in groups])
    descriptions = await describe_rules(request)
    for cause, why in zip(groups, whys, strict=True):
        cause["why"] = why or cause["code"]
        if description := descriptions.get(cause["rule"], ""):
            cause["description"] = description
    return {"total": sum(cause["count"] for cause in groups), "groups": groups, **state}


async def show_dead_letter(request: Request) -> Response:
    """Answer one dead letter, with the story of its event."""
    letter = await get_operator(request).letter(request.path_params["id"])
    if letter is None:
        return refuse("unknown_letter", "no dead letter of this id; `relais events show` tells of its event", 404)
    fate = await get_mailroom(request).fate(letter.event)
    return JSONResponse({**as_json(letter), "story": fate.as_json() if fate is not None else None})


def as_json(letter: DeadLetterView) -> Json:
    """Return a dead letter as JSON."""
    fields = asdict(letter)
    del fields["info"]
    return {**fields, "at": from_epoch(letter.at)}


ROUTES = (
    Route("/dead", list_dead_letters),
    Route("/dead/{id}", show_dead_letter),
)
