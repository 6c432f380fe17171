"""Every list of the pages as CSV: the same rows, chosen by the same query.

Comes in: the name of a list, a query. Goes out: CSV. Never a value of a person, and to nobody who may not see the page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api import audit, jobs, notebook, rooms, spreadsheet
from console.api.notebook import Unclear
from console.api.request import get_actor, get_mailroom
from console.api.spreadsheet import RowPages
from console.web import events, page, piles, todo
from rules.event_types.base import from_epoch

#: Jobs in a file.
MOST_JOBS = 1_000
OF_PILE = ("id", "event", "source", "type", "destination", "action", "rule", "code", "why", "at", "received", "waiting")
OF_MATTER = ("kind", "what", "code", "detail", "count", "since", "newest", "why", "said", "by", "until", "reason")
OF_CASE = ("destination", "code", "rule", "state", "since", "until", "by", "why", "first", "last", "count")
OF_JOB = ("id", "at", "ended", "by", "verb", "place", "filter", "count", "done", "state", "reason")
OF_SOURCE = ("source", "kind", "last_event", "usual_gap_seconds", "taken", "quarantined", "refused", "quiet", "held")
OF_ROOM = ("name", "state", "ready", "waiting", "blocked", "leased", "held", "since", "by", "until", "why")


@dataclass(frozen=True)
class ListExport:
    """A list."""

    columns: Sequence[str]
    rows: Callable[[Request], RowPages]
    role: Role = Role.VIEWER


async def _events(request: Request) -> RowPages:
    chosen = events.read_chosen(request)
    if chosen.who and not get_actor(request).role.may(Role.OPERATOR):
        raise HTTPException(404)
    await request.app.state.follower.catch_up()
    async for rows in notebook.list_rows(request.app.state.notebook, chosen):
        yield rows


def _of_pile(pile: str) -> ListExport:
    async def rows(request: Request) -> RowPages:
        found = await piles.find_items(request, pile, piles.read_chosen(request))
        yield [[getattr(item, name) for name in OF_PILE] for item in found]

    return ListExport(OF_PILE, rows)


async def _matters(request: Request) -> RowPages:
    kind = request.query_params.get("kind", "")
    found = []
    for one in await todo.find_matters(request):
        its = one.pause or one.said or {}
        of_person = (its.get("who") or its.get("by", ""), its.get("until"), its.get("why", ""))
        if kind in ("", one.kind):
            said = one.said["state"] if one.said else ""
            found.append([*(getattr(one, name) for name in OF_MATTER[:8]), said, *of_person])
    yield found


async def _cases(request: Request) -> RowPages:
    yield [[case[name] for name in OF_CASE] for case in await todo.describe_cases(request)]


async def _jobs(request: Request) -> RowPages:
    yield [
        (job.id, from_epoch(job.at), from_epoch(job.ended) if job.ended else "", job.by, job.order.verb,
         job.order.where, job.order.filter.tell(), job.count, job.done, job.state, job.order.reason)
        for job in await jobs.get_board(request).newest(MOST_JOBS)
    ]  # fmt: skip


async def _sources(request: Request) -> RowPages:
    yield [
        (*(one[name] for name in OF_SOURCE[:4]), one["today"]["taken"], one["today"]["quarantined"],
         sum(one["today"]["refused"].values()), one["quiet"], one["hold"] is not None)
        for one in await todo.find_sources(request)
    ]  # fmt: skip


async def _rooms(request: Request) -> RowPages:
    found = []
    for room in await get_mailroom(request).rooms():
        its, pause = rooms.as_json(room), rooms.read_pause(room)
        of_pause = (pause.since, pause.who or pause.by, pause.until, pause.why or pause.code) if pause else [""] * 4
        found.append([its["name"], todo.state_of(its), *(its[name] for name in OF_ROOM[2:7]), *of_pause])
    yield found


def _audit(request: Request) -> RowPages:
    asked = audit.read_question(request)
    if asked is None:
        raise Unclear("bad_time", "since and until are times in ms")
    return audit.list_rows(request.app.state.audit, asked)


EXPORTS: Mapping[str, ListExport] = {
    "events": ListExport(notebook.COLUMNS, _events),
    **{pile: _of_pile(pile) for pile in piles.PILES},
    "todo": ListExport(OF_MATTER, _matters),
    "cases": ListExport(OF_CASE, _cases),
    "jobs": ListExport(OF_JOB, _jobs),
    "sources": ListExport(OF_SOURCE, _sources),
    "destinations": ListExport(OF_ROOM, _rooms),
    "audit": ListExport(audit.COLUMNS, _audit, Role.ADMIN),
}


async def export(request: Request) -> Response:
    """Answer a list as CSV."""
    name = request.path_params["list"]
    chosen = EXPORTS.get(name)
    if chosen is None:
        raise HTTPException(404)
    if not get_actor(request).role.may(chosen.role):
        return await page.refuse_role(request, chosen.role)
    pages = chosen.rows(request)
    first = await anext(pages, None)  # What is refused is refused now, and not within the file.
    return spreadsheet.answer(name, chosen.columns, _again(first, pages))


async def _again(first: object, pages: RowPages) -> RowPages:
    if first is not None:
        yield first  # type: ignore[misc]
    async for rows in pages:
        yield rows


ROUTES = (Route("/csv/{list}", export),)
