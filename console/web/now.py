"""The first page: whether all is well, what waits for a person, and what flows from where to where.

Comes in: GET requests. Goes out: a few sentences with links, rates by source and destination, a day as bars. Never
shows a number that is not a link to its list.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import notebook
from console.web import charts, page, todo

DAY = 86_400
#: Seconds of which a rate is told.
RATE = 600


async def show_now(request: Request) -> Response:
    """Answer how it is now."""
    checks = await todo.find_checks(request)
    matters = [
        matter for matter in await todo.find_matters(request) if matter.kind not in todo.CAN_WAIT and not matter.muted
    ]
    day, lately = await notebook.find_stats(request, DAY), await notebook.find_stats(request, RATE)
    came = add_up(day["sources"].values())
    return await page.render(
        request,
        "now.html",
        amiss=[check for check in checks if not check["ok"]],
        kept=next((check for check in checks if check["name"] == "kept"), None),
        matters=matters[:8],
        total=len(matters),
        kinds=todo.KINDS,
        sources=[{**one, "rate": rate(lately["sources"].get(one["source"], []))} for one in
                 await todo.find_sources(request)],
        rooms=[_describe(room, day, lately) for room in await todo.find_rooms(request)],
        bars=charts.draw_bars(day["steps"], came),
        came=sum(came),
        since=day["steps"][0] if day["steps"] else "",
    )  # fmt: skip


def add_up(series: Any) -> list[int]:
    """Return the sums of series of one length, step by step."""
    return [sum(step) for step in zip(*series, strict=True)]


def rate(counts: list[int]) -> float:
    """Return how many a minute."""
    return round(sum(counts) * 60 / RATE, 1)


def _describe(room: Mapping[str, Any], day: Mapping[str, Any], lately: Mapping[str, Any]) -> dict[str, Any]:
    """Return a destination with what went to it."""
    name = room["name"]
    tried: Mapping[str, list[int]] = lately["destinations"].get(name, {}).get("attempts", {})
    took = day["destinations"].get(name, {}).get("ms", {})
    return {**room, "state": todo.state_of(room), "rate": rate(tried.get("done", [])), "p95": took.get("p95")}


ROUTES = (Route("/", show_now),)
