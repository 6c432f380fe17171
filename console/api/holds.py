"""The routes that hold a source: what comes of it is kept and not routed; looking at that, releasing.

Comes in: GET to look, POST to hold and to release. Goes out: JSON. Never shows a value of a person, and never decides
about single events: jobs do.
"""

from collections import Counter
from dataclasses import asdict

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import causes
from console.api.request import (
    DecisionBody,
    Json,
    get_mailroom,
    get_operator,
    read_ms,
    read_selection,
    refuse,
    refuse_source,
    takes,
    write_audit,
)
from mailroom.holds import SourceHold, SourceHolds
from mailroom.sentences import say
from rules.event_types.base import from_epoch


class HoldRequest(DecisionBody):
    """Until when a source is held, ms; 0: until somebody releases it."""

    until: int = Field(0, ge=0)


class LiftRequest(DecisionBody):
    """An empty object."""


def _holds(request: Request, reason: str = "") -> SourceHolds:
    return SourceHolds(get_mailroom(request), get_operator(request, reason).decision)


def describe(hold: SourceHold) -> Json:
    """Return a hold as JSON; times in RFC 3339."""
    return {**asdict(hold), "at": from_epoch(hold.at), "until": from_epoch(hold.until) if hold.until else None}


async def explain(request: Request, source: str) -> str:
    """Return why nothing of a source is routed; empty where it is not held."""
    hold = (await _holds(request).all()).get(source)
    if hold is None:
        return ""
    until = say("until", at=from_epoch(hold.until)) if hold.until else ""
    told = {"who": hold.by or say("a_person"), "since": from_epoch(hold.at), "until": until}
    return say("source_held", source=source, **told, why=f": {hold.why}" if hold.why else "")


async def show_held(request: Request) -> Response:
    """Answer what waits of a held source, by type; with `items=true` each event, in the order of routing.

    `type`, `before` (ms) and `ids` choose among them.
    """
    name, selection, before = request.path_params["name"], read_selection(request), read_ms(request, "before")
    if selection is None or before is None:
        return refuse("bad_since", "since and before are times in ms")
    holds = _holds(request)
    hold = (await holds.all()).get(name)
    found = (await holds.choose(name, selection.type, before, selection.ids))[0] if hold is not None else []
    answer: Json = {
        "source": name,
        "hold": describe(hold) if hold is not None else None,
        "total": len(found),
        "types": dict(Counter(each.type for each in found).most_common()),
        "groups": causes.group_held(name, found),
    }
    if request.query_params.get("items") == "true":
        answer["items"] = [asdict(each) for each in found]
    return JSONResponse(answer)


@takes(HoldRequest)
async def hold_source(request: Request, decision: HoldRequest) -> Response:
    """Hold a source."""
    name = request.path_params["name"]
    book = await request.app.state.book_in_force.get()
    if book is None or name not in book.sources:
        return refuse_source(book)
    await write_audit(request, "hold", name, decision.reason)
    return JSONResponse({"changed": await _holds(request, decision.reason).hold(name, decision.until)})


@takes(LiftRequest)
async def release_source(request: Request, decision: LiftRequest) -> Response:
    """Let all that waits of a source be routed."""
    name = request.path_params["name"]
    await write_audit(request, "release_source", name, decision.reason)
    return JSONResponse({"changed": await _holds(request, decision.reason).release(name)})


ROUTES = (
    Route("/sources/{name}/held", show_held),
    Route("/sources/{name}/hold", hold_source, methods=["POST"]),
    Route("/sources/{name}/release", release_source, methods=["POST"]),
)
