"""What each route of the console demands of whoever asks: a role, and the right to see payloads where it shows one.

Comes in: a route. Goes out: the same route behind its guard. A route that stands not here cannot be served.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api.request import get_actor, refuse


@dataclass(frozen=True)
class RouteNeeds:
    """What somebody must have to use a route."""

    role: Role
    payloads: bool = False


SEE, ACT, RULE, ADMINISTER = (RouteNeeds(role) for role in Role)
LOOK = RouteNeeds(Role.OPERATOR, payloads=True)

#: Path of each route, behind its method where there are two -> what it demands; None: nothing, whoever asks.
NEEDED: Mapping[str, RouteNeeds | None] = {
    "/healthz": None,
    "/readyz": SEE,
    "/readyz/taking": SEE,
    "/metrics": SEE,
    "/stats": SEE,
    "/quotas": SEE,
    "/events": SEE,
    "/events.csv": SEE,
    "/events/{id}": SEE,
    "/events/look": LOOK,
    "/people/find": ACT,
    "/people/{who}": ACT,
    "/people/forget": ADMINISTER,
    "/forgotten": ADMINISTER,
    "/dead": SEE,
    "/dead/{id}": SEE,
    "/boxes": SEE,
    "/boxes/{destination}/{box}": SEE,
    **{
        f"/{shelf}{rest}": needed
        for shelf in ("quarantine", "unmatched", "refused")
        for rest, needed in {"": SEE, "/{id}": SEE, "/look": LOOK}.items()
    },
    "/rooms": SEE,
    "/rooms/{name}/pause": ACT,
    "/rooms/{name}/resume": ACT,
    "/sources": SEE,
    "/sources/drift": SEE,
    "/sources/{name}/accept": ACT,
    "/sources/{name}/held": SEE,
    "/sources/{name}/hold": ACT,
    "/sources/{name}/release": ACT,
    "/pulls": SEE,
    "/pulls/{name}/fill": ACT,
    "/pulls/{name}/stop": ACT,
    "/book/coverage": SEE,
    "/book/shadow": SEE,
    "/book/shadow/begin": RULE,
    "/book/shadow/end": RULE,
    "/books": SEE,
    "/books/approve": RULE,
    "/books/{version}": SEE,
    "/cases": SEE,
    **{f"/cases/{verb}": ACT for verb in ("know", "mute", "unmute", "solve")},
    "/alerts/test": ACT,
    "/jobs": SEE,
    "POST /jobs": ACT,
    "/jobs/{id}": SEE,
    "/jobs/{id}/pause": ACT,
    "/jobs/{id}/resume": ACT,
    "/jobs/{id}/stop": ACT,
    "/jobs/{id}/undo": ACT,
    "/users": ADMINISTER,
    "/users/add": ADMINISTER,
    "/users/remove": ADMINISTER,
    "/users/reset": ADMINISTER,
    "/users/link": ADMINISTER,
    "/tokens": ADMINISTER,
    "/tokens/add": ADMINISTER,
    "/tokens/remove": ADMINISTER,
    "/audit": ADMINISTER,
    "/audit.csv": ADMINISTER,
}


def guard(route: Route) -> Route:
    """Return a route that answers 403 to whoever has not what it demands."""
    needed = NEEDED[name(route)]
    if needed is None:
        return route

    async def endpoint(request: Request) -> Response:
        return check(request, needed) or await route.endpoint(request)

    return Route(route.path, endpoint, methods=list(route.methods or ()))


def name(route: Route) -> str:
    """Return what a route is called in the table."""
    written = f"POST {route.path}"
    return written if "POST" in (route.methods or ()) and written in NEEDED else route.path


def check(request: Request, needed: RouteNeeds) -> Response | None:
    """Return the refusal, None where whoever asks has what is needed."""
    actor = get_actor(request)
    if not actor.role.may(needed.role):
        says = f"this needs the role {needed.role.word}, and {actor.name} is {actor.role.word}"
        return refuse("not_allowed", f"{says}; an admin gives another one: relais users, relais tokens", 403)
    if needed.payloads and not actor.payloads:
        says = f"{actor.name} may not see payloads; that is a right apart"
        return refuse("no_payloads", f"{says}: relais users add NAME --payloads", 403)
    return None
