"""The route `/sources`: each source of the book, what came of it today and when last, and what is odd about it.

Comes in: GET. Goes out: JSON. Never shows a value of a person, nor of a secret: that is called by its reference.
"""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import holds
from console.api.request import Json, get_mailroom
from mailroom import observations
from mailroom.holds import SourceHold, SourceHolds
from mailroom.observations import SourceView
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook, Source


async def list_sources(request: Request) -> Response:
    """Answer every source of the book in force."""
    mailroom = get_mailroom(request)
    book = await request.app.state.book_in_force.get()
    known = book.sources if book is not None else {}
    held = await SourceHolds(mailroom).all()
    now = int(time.time() * 1000)
    seen = await observations.read(mailroom, known, now)
    found = [as_json(source, seen[name], held.get(name), now) for name, source in sorted(known.items())]
    for one in found:
        one["echoes_of"] = list_written(book, one["source"]) if book is not None else []
    return JSONResponse({"sources": found})


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
        "unread": seen.unread,
        "secrets": [
            {"name": name, "last_verified": _moment(seen.verified.get(name))} for name in source.verify.secret_names
        ],
        "hold": holds.describe(hold) if hold is not None else None,
    }


def _moment(ms: int | None) -> str | None:
    return None if ms is None else from_epoch(ms)


ROUTES = (Route("/sources", list_sources),)
