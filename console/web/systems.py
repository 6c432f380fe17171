"""The pages Systems: every source and destination, and one page for each with its health, its limits, its history.

Comes in: GET requests. Goes out: state, rates, latency, quota, silence, drift, secrets in use. Never shows a secret: it
is called by its reference.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import notebook, sources
from console.api.request import get_mailroom
from console.web import acts, charts, now, page, piles, snapshots, todo
from mailroom import shapes

DAY = 86_400


async def list_systems(request: Request) -> Response:
    """Answer all sources and destinations."""
    day, lately = await notebook.find_stats(request, DAY), await notebook.find_stats(request, now.RATE)
    dead = await piles.find_causes(request, "dead")
    return await page.render(
        request,
        "systems.html",
        sources=[
            {
                **one,
                "rate": now.rate(lately["sources"].get(one["source"], [])),
                "day": sum(day["sources"].get(one["source"], [])),
            }
            for one in await todo.find_sources(request)
        ],
        rooms=[describe(room, day, lately) for room in await todo.find_rooms(request)],
        dead={
            room: sum(cause.count for cause in dead if cause.cause["destination"] == room)
            for room in {cause.cause["destination"] for cause in dead}
        },
    )


def describe(room: dict[str, Any], day: dict[str, Any], lately: dict[str, Any]) -> dict[str, Any]:
    """Return a destination with what went to it: rate, share of failures, durations."""
    name = room["name"]
    of_day = day["destinations"].get(name, {})
    tried = {word: sum(counts) for word, counts in of_day.get("attempts", {}).items()}
    total, failed = sum(tried.values()), sum(tried.values()) - tried.get("done", 0)
    done = lately["destinations"].get(name, {}).get("attempts", {}).get("done", [])
    return {
        **room,
        "state": todo.state_of(room),
        "rate": now.rate(done),
        "tried": tried,
        "total": total,
        "failed_share": round(100 * failed / total, 1) if total else 0,
        "ms": of_day.get("ms", {}),
        "from_receipt_ms": of_day.get("from_receipt_ms", {}),
    }


async def show_destination(request: Request) -> Response:
    """Answer one destination."""
    name = request.path_params["name"]
    room = next((room for room in await todo.find_rooms(request) if room["name"] == name), None)
    if room is None:
        raise HTTPException(404)
    day, lately = await notebook.find_stats(request, DAY), await notebook.find_stats(request, now.RATE)
    attempts = day["destinations"].get(name, {}).get("attempts", {})
    causes = [cause for pile in ("dead", "boxes") for cause in await piles.find_causes(request, pile)]
    book = await snapshots.find_book(request)
    return await page.render(
        request,
        "systems.destination.html",
        room=describe(room, day, lately),
        undo=await acts.describe_undo(request, {"id": name}),
        causes=[cause for cause in causes if cause.cause["destination"] == name],
        bars=charts.draw_bars(day["steps"], now.add_up(attempts.values())),
        kind=book.destinations[name].kind if book and name in book.destinations else "",
    )


async def show_source(request: Request) -> Response:
    """Answer one source."""
    name = request.path_params["name"]
    source = next((one for one in await todo.find_sources(request) if one["source"] == name), None)
    if source is None:
        raise HTTPException(404)

    async def look() -> dict[str, Any]:
        return sources.describe_shape(name, await shapes.read(get_mailroom(request), name))

    day, lately = await notebook.find_stats(request, DAY), await notebook.find_stats(request, now.RATE)
    counts = day["sources"].get(name, [])
    return await page.render(
        request,
        "systems.source.html",
        source=source,
        undo=await acts.describe_undo(request, {"id": name}),
        shape=await snapshots.ask(request, f"shape {name}", look),
        bars=charts.draw_bars(day["steps"], counts),
        day=sum(counts),
        rate=now.rate(lately["sources"].get(name, [])),
        spans={"3600": 3600, "86400": DAY},
    )


ROUTES = (
    Route("/systems", list_systems),
    Route("/systems/source/{name}", show_source),
    Route("/systems/destination/{name}", show_destination),
)
