"""The routes of sources: what came of each today and when last, what is odd about it, how its fields changed.

Comes in: GET to look, POST to accept what a source sends now. Goes out: JSON. Never shows a value of a person, nor of a
secret: that is called by its reference.
"""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import holds
from console.api.request import DecisionBody, Json, get_mailroom, refuse_source, takes, write_audit
from mailroom import observations, shapes
from mailroom.holds import SourceHold, SourceHolds
from mailroom.observations import SourceView
from mailroom.shapes import SourceShape
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook, Source


class AcceptRequest(DecisionBody):
    """An empty object."""


async def list_sources(request: Request) -> Response:
    """Answer every source of the book in force."""
    return JSONResponse({"sources": await find_sources(request)})


async def find_sources(request: Request) -> list[Json]:
    """Return every source of the book in force."""
    mailroom = get_mailroom(request)
    book = await request.app.state.book_in_force.get()
    known = book.sources if book is not None else {}
    held = await SourceHolds(mailroom).all()
    now = int(time.time() * 1000)
    seen = await observations.read(mailroom, known, now)
    found = []
    for name, source in sorted(known.items()):
        changes = list(shapes.find_changes(await shapes.read(mailroom, name)))
        found.append(
            {
                **as_json(source, seen[name], held.get(name), now),
                "drift": len(changes),
                "echoes_of": list_written(book, name) if book is not None else [],
            }
        )
    return found


async def list_drift(request: Request) -> Response:
    """Answer what is not as it was in what each source sends; `source`: of this one."""
    book = await request.app.state.book_in_force.get()
    known = sorted(book.sources if book is not None else ())
    only = request.query_params.get("source", "")
    if only and only not in known:
        return refuse_source(book)
    mailroom = get_mailroom(request)
    names = [only] if only else known
    found = [describe_shape(name, await shapes.read(mailroom, name)) for name in names]
    return JSONResponse({"sources": found})


def describe_shape(name: str, shape: SourceShape) -> Json:
    """Return what is known of what a source sends as JSON, and what has changed in it."""
    return {
        "source": name,
        "accepted": from_epoch(shape.accepted) if shape.accepted else None,
        "left_out": shape.left_out,
        "types": [
            {
                "type": type,
                "samples": its.n,
                "fields": len(its.fields),
                "first": _moment(its.first or None),
                "last": _moment(its.last or None),
            }
            for type, its in sorted(shape.types.items())
        ],
        "changes": [
            {
                "what": one.what,
                "type": one.type,
                "field": one.path or None,
                "says": one.says,
                "first": from_epoch(one.first),
                "last": from_epoch(one.last),
            }
            for one in shapes.find_changes(shape)
        ],
    }


@takes(AcceptRequest)
async def accept_shape(request: Request, decision: AcceptRequest) -> Response:
    """Take what a source sends now as usual."""
    name = request.path_params["name"]
    book = await request.app.state.book_in_force.get()
    if book is None or name not in book.sources:
        return refuse_source(book)
    await write_audit(request, "accept", name, decision.reason)
    ended = await shapes.accept(get_mailroom(request), name, int(time.time() * 1000))
    return JSONResponse({"ended": ended})


def list_written(book: Rulebook, source: str) -> list[str]:
    """Return the destinations of which the source tells what Relais wrote there."""
    if source not in book.echo_types:
        return []
    destinations = book.destinations.values()
    return sorted(one.name for one in destinations if any(pair.source == source for pair in one.echoes))


def as_json(source: Source, seen: SourceView, hold: SourceHold | None, now: int) -> Json:
    """Return a source as JSON; spans in seconds, times in RFC 3339."""
    return {
        "source": source.name,
        "kind": source.kind,
        "last_event": _moment(seen.came),
        "last_event_seconds": None if seen.came is None else max(0, now - seen.came) // 1000,
        "usual_gap_seconds": None if seen.usual_gap is None else seen.usual_gap * 60,
        "today": {"taken": seen.taken, "quarantined": seen.quarantined, "refused": seen.refused},
        "quiet": seen.quiet,
        "unread": {name: n for name, n in seen.unread.items() if " " not in name},
        "empty_places": find_empty_places(source, seen),
        "secrets": [
            {"name": name, "last_verified": _moment(seen.verified.get(name))} for name in source.verify.secret_names
        ],
        "hold": holds.describe(hold) if hold is not None else None,
    }


def find_empty_places(source: Source, seen: SourceView) -> list[Json]:
    """Return the places of the book at which nothing stood in any event, and since when; of several the ones meant."""
    meant = {one.name.partition(" ")[0] for one in seen.empty if " " in one.name}
    return [
        {
            "key": one.name.partition(" ")[0].removeprefix("read."),
            "place": one.name.partition(" ")[2] or str(_find_place(source, one.name)),
            "events": one.events,
            "since": one.since,
        }
        for one in seen.empty
        if one.name not in meant
    ]


def _find_place(source: Source, name: str) -> object:
    part, _, key = name.partition(".")
    place = getattr(getattr(source.options if part == "read" else source, part, None), key, None)
    return " and ".join(place) if isinstance(place, tuple) else place or name


def _moment(ms: int | None) -> str | None:
    return None if ms is None else from_epoch(ms)


ROUTES = (
    Route("/sources", list_sources),
    Route("/sources/drift", list_drift),
    Route("/sources/{name}/accept", accept_shape, methods=["POST"]),
)
