"""The page of a person, who is known by a keyed hash alone; and the search that leads there.

Comes in: by POST an address, a number or an id, which is kept nowhere; a hash. Goes out: the hash in the address, the
events that are found by it. Each search stands in the audit, by its hash.
"""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api import notebook
from console.api.notebook import LONGEST_TEXT, PAGE
from console.api.request import get_actor, write_audit
from console.notebook import EventFilter, search
from console.web import page


async def find(request: Request, text: str) -> Response:
    """Answer what is found by a text: the page of a person, or how it was read."""
    if not get_actor(request).role.may(Role.OPERATOR):
        return await page.refuse_role(request, Role.OPERATOR)
    readings = await notebook.read_readings(request, text[:LONGEST_TEXT]) if text else {}
    counts = await notebook.ask(request, lambda its: {who: sum(search.states(its, who).values()) for who in readings})
    found = {who: read_as for who, read_as in readings.items() if counts[who]}
    if len(found) == 1:
        [(who, read_as)] = found.items()
        return page.go(request, "people", who, as_=read_as)
    return await page.render(request, "people.html", found=found, counts=counts, read_as=list(readings.values()))


@page.needs(Role.OPERATOR)
async def show_person(request: Request) -> Response:
    """Answer the events that are found by a hash."""
    who, cursor = request.path_params["who"], notebook.read_cursor(request)
    (events, before), states = await notebook.ask(
        request, lambda its: (search.page(its, EventFilter(who=who), PAGE, cursor), search.states(its, who))
    )
    if not states:
        raise HTTPException(404)
    await write_audit(request, "show_person", who)
    return await page.render(
        request,
        "people.one.html",
        who=who,
        read_as=request.query_params.get("as", ""),
        events=events,
        states=states,
        total=sum(states.values()),
        older={"cursor": before, "as_": request.query_params.get("as", "")} if before else None,
        command=f"relais people show {who}",
        told=notebook.tell_state(request),
    )


ROUTES = (Route("/people/{who}", show_person),)
