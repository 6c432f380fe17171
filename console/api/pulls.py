"""The routes under `/pulls`: how far the pulling of sources has come, what is left of its quota, and back-fills.

Comes in: GET to look, POST to ask for a back-fill or to stop it. Goes out: JSON. Never pulls: the receivers do.
"""

import time
from collections.abc import Mapping
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, Json, get_mailroom, read_who, refuse, refuse_source, takes, write_audit
from mailroom.pulls import PullBoard
from receiver import sources
from rules.event_types.base import from_epoch

#: Ms for which the ledger knows what came.
KNOWN = 31 * 86_400_000
#: Names of moments in what the receivers write down.
_MOMENTS = ("at", "next", "asked", "began", "ended", "since", "until")


class FillRequest(DecisionBody):
    """What a back-fill is about, in ms since 1970; `until` 0: now."""

    since: int = Field(gt=0)
    until: int = Field(0, ge=0)
    #: Only say what is missing.
    dry: bool = False


class StopFillRequest(DecisionBody):
    """An empty object."""


async def list_pulls(request: Request) -> Response:
    """Answer each source that was ever pulled, with its quota and its back-fill."""
    board = PullBoard(get_mailroom(request))
    states, fills = await board.states(), await board.fills()
    names = sorted({*states, *fills})
    return JSONResponse({"pulls": [as_json(name, states.get(name, {}), fills.get(name)) for name in names]})


def as_json(name: str, state: Mapping[str, Any], fill: Mapping[str, Any] | None) -> Json:
    """Return how far a source has come as JSON; times in RFC 3339."""
    told: Json = {"source": name, **_readable(state), "fill": None}
    if quota := told.get("quota"):
        used, limit = int(quota["used"]), int(quota["limit"])
        told["quota"] = {**quota, "left": max(0, limit - used), "ends": from_epoch(int(quota["ends"]))}
    if fill is not None:
        marks: Mapping[str, int] = fill.get("marks") or {}
        length = max(1, fill["until"] - fill["since"])
        # Each stream has its own way to go; those that have not begun stand at the beginning.
        streams = max(len(marks), len(state.get("marks") or {}), 1)
        done = sum(min(mark, fill["until"]) - fill["since"] for mark in marks.values()) / (length * streams)
        done = 1.0 if fill.get("ended") else min(done, 1.0)
        told["fill"] = {**_readable(fill), "done": round(done, 4), "ends_about": _ends_about(fill, done)}
    return told


def _readable(state: Mapping[str, Any]) -> Json:
    found: Json = {name: from_epoch(value) if name in _MOMENTS and value else value for name, value in state.items()}
    if isinstance(found.get("marks"), dict):
        found["marks"] = {stream: from_epoch(mark) for stream, mark in found["marks"].items()}
    return found


def _ends_about(fill: Mapping[str, Any], done: float) -> str | None:
    """Return when it will have ended if it goes on as so far; None while nobody can say."""
    began = fill.get("began")
    if not began or fill.get("ended") or fill.get("stopped") or not 0 < done < 1:
        return None
    now = int(time.time() * 1000)
    return from_epoch(max(now + int((now - began) / done * (1 - done)), fill.get("next") or 0))


@takes(FillRequest)
async def ask_fill(request: Request, decision: FillRequest) -> Response:
    """Ask the receivers for what happened since a moment."""
    name = request.path_params["name"]
    if (why := await _cannot(request, name)) is not None:
        return why
    now = int(time.time() * 1000)
    until = decision.until or now
    if not decision.since < until <= now + 1000:
        return refuse("bad_time", "it must lie in the past, and since: before until:", 400)
    if decision.dry and decision.since < now - KNOWN:
        return refuse("too_long_ago", "what came more than 31 days ago is not known any more", 400)
    await write_audit(request, "compare" if decision.dry else "pull", name, decision.reason)
    board = PullBoard(get_mailroom(request))
    await board.ask_fill(name, decision.since, until, now, read_who(request), dry=decision.dry)
    return JSONResponse({"changed": True})


async def _cannot(request: Request, name: str) -> Response | None:
    book = await request.app.state.book_in_force.get()
    source = book.sources.get(name) if book is not None else None
    if source is None:
        return refuse_source(book)
    if sources.SOURCES[source.kind].pull_settings(source.options) is None:
        return refuse(
            "not_pulled", f"nothing is fetched from {name}: its kind cannot, or it has no pull: in the book", 409
        )
    return None


@takes(StopFillRequest)
async def stop_fill(request: Request, decision: StopFillRequest) -> Response:
    """Stop a back-fill; what it has brought stays."""
    name = request.path_params["name"]
    await write_audit(request, "stop_pull", name, decision.reason)
    return JSONResponse({"changed": await PullBoard(get_mailroom(request)).stop_fill(name)})


ROUTES = (
    Route("/pulls", list_pulls),
    Route("/pulls/{name}/fill", ask_fill, methods=["POST"]),
    Route("/pulls/{name}/stop", stop_fill, methods=["POST"]),
)
