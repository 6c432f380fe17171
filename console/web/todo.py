"""The page To do: everything that waits for a person, by its cause, and what lies in each pile.

Comes in: GET requests. Goes out: causes with counts, each a link to the list that has that number. Never decides
anything: `console.web.acts` does.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import cases, rooms, sources
from console.api.request import get_mailroom
from console.web import acts, page, piles, snapshots
from console.web.act_catalogue import ACTS
from console.web.language import N_
from mailroom.operator import NONE

#: Items of a pile on one page.
SHOWN = 100

#: Kind of matter -> how it is looked at, and what it is called.
KINDS: Mapping[str, tuple[str, str]] = {
    "dead": ("dead", N_("dead")),
    "boxes": ("held", N_("held")),
    "quarantine": ("quarantined", N_("in quarantine")),
    "refused": ("refused", N_("refused")),
    "unmatched": ("unmatched", N_("set aside")),
    "paused": ("paused", N_("paused")),
    "down": ("down", N_("down")),
    "unusable": ("unusable", N_("unusable")),
    "hold": ("paused", N_("source held")),
    "quiet": ("quiet", N_("quiet")),
    "spool": ("held", N_("set aside by the receiver")),
}
#: Kinds that can wait: they are on the page To do, and not among what waits for somebody on the first page.
CAN_WAIT = frozenset({"unmatched", "refused"})


@dataclass(frozen=True)
class Matter:
    """Something that waits for a person."""

    kind: str
    #: The system that it is about, its reason, and what else names the cause.
    what: str
    code: str
    detail: str
    count: int
    since: str | None
    newest: str | None
    why: str
    #: Where it is looked at: the path of a page, and its query.
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    #: By whom it is paused or held, until when.
    pause: Mapping[str, Any] | None = None
    #: What people said of a cause of failures: known, muted, solved, came_back; new: nothing yet.
    said: Mapping[str, Any] | None = None

    @property
    def muted(self) -> bool:
        """Whether somebody wants to hear nothing of it for now."""
        return self.said is not None and self.said["state"] == "muted"


async def find_matters(request: Request) -> list[Matter]:
    """Return everything that waits for a person, the kinds in the order of `KINDS`."""
    found: list[Matter] = []
    said = {case["cause"]: case for case in await describe_cases(request)}
    for pile in piles.PILES:
        for cause in await piles.find_causes(request, pile):
            found.append(_of_cause(cause, said.get(tuple(cause.cause.values())) if pile == "dead" else None))
    found += [matter for room in await find_rooms(request) if (matter := _of_room(room))]
    found += [matter for source in await find_sources(request) for matter in _of_source(source)]
    found += [_of_check(check) for check in await find_checks(request) if check["name"] == "aside"]
    order = list(KINDS)
    return sorted(found, key=lambda matter: (order.index(matter.kind), -matter.count))


async def find_rooms(request: Request) -> list[dict[str, Any]]:
    """Return every destination's state, the inbox first."""

    async def look() -> list[dict[str, Any]]:
        return [rooms.as_json(room) for room in await get_mailroom(request).rooms()]

    return await snapshots.ask(request, "rooms", look)


async def find_sources(request: Request) -> list[dict[str, Any]]:
    """Return every source's state."""
    return await snapshots.ask(request, "sources", lambda: sources.find_sources(request))


async def find_checks(request: Request) -> list[dict[str, Any]]:
    """Return what was checked of this Relais, what is amiss first."""

    async def look() -> list[dict[str, Any]]:
        checks: list[dict[str, Any]] = (await request.app.state.readiness.look()).as_json()["checks"]
        return checks

    return await snapshots.ask(request, "checks", look)


async def describe_cases(request: Request) -> list[dict[str, Any]]:
    """Return what people said of causes of failures."""
    now = int(time.time() * 1000)
    return [{**cases.describe(case, now), "cause": tuple(case.cause)} for case in await acts.find_cases(request)]


def _of_cause(cause: piles.PileCause, said: Mapping[str, Any] | None) -> Matter:
    names = piles.CAUSE[cause.pile]
    what, detail = cause.cause[names[0]], cause.cause[names[2]] if len(names) > 2 else ""
    path = ("todo", cause.pile)
    code = cause.cause["code"]
    times = (cause.oldest, cause.newest)
    return Matter(cause.pile, what, code, detail, cause.count, *times, cause.why, path, cause.query, said=said)


def state_of(room: Mapping[str, Any]) -> str:
    """Return in one word how a destination is."""
    if room["unusable"]:
        return "unusable"
    if room["paused"] is not None:
        return "down" if room["paused"]["by"] == "breaker" else "paused"
    return "resting" if room["rests_until"] else "up"


def _of_room(room: Mapping[str, Any]) -> Matter | None:
    state = state_of(room)
    if state in ("up", "resting"):
        return None
    pause = room["paused"] or {"code": "", "why": room["unusable"], "since": None}
    path = ("systems", "destination", room["name"])
    waiting = room["ready"] + room["waiting"]
    if state == "paused" and pause["by"] == "person":
        return Matter(state, room["name"], "", "", waiting, pause["since"], None, "", path, pause=pause)
    return Matter(state, room["name"], pause["code"], "", waiting, pause["since"], None, pause["why"], path)


def _of_source(source: Mapping[str, Any]) -> list[Matter]:
    found, name = [], source["source"]
    path = ("systems", "source", name)
    if hold := source["hold"]:
        found.append(Matter("hold", name, "", "", 1, hold["at"], None, "", path, pause=hold))
    if source["quiet"]:
        found.append(Matter("quiet", name, "", "", 1, source["last_event"], None, "", path))
    return found


def _of_check(check: Mapping[str, Any]) -> Matter:
    return Matter("spool", "spool", "", "", 1, None, None, check["says"], ("machine",))


async def show_todo(request: Request) -> Response:
    """Answer what waits for a person."""
    kind = request.query_params.get("kind", "")
    found = await find_matters(request)
    shown = [matter for matter in found if kind in ("", matter.kind)]
    counts = {name: sum(matter.kind == name for matter in found) for name in KINDS}
    return await page.render(request, "todo.html", matters=shown, kind=kind, kinds=KINDS, counts=counts)


async def show_pile(request: Request) -> Response:
    """Answer what lies in a pile, as far as it is chosen; with the acts on exactly these."""
    pile = request.path_params["pile"]
    if pile not in piles.PILES:
        raise HTTPException(404)
    chosen = piles.read_chosen(request)
    items, total = await piles.find_first(request, pile, chosen, SHOWN)
    of_pile = [act for act in ACTS.values() if act.pile == pile]
    return await page.render(
        request,
        "todo.pile.html",
        pile=pile,
        name=piles.PILES[pile],
        about=piles.ABOUT[pile],
        chosen=chosen,
        items=items,
        total=total,
        acts=of_pile,
        undo=await acts.describe_undo(request, {name: chosen.get(name, "") for name in piles.CAUSE["dead"]}),
        said=await _find_said(request, pile, chosen),
        remarks=[act for act in ACTS.values() if act.pile == "cases"],
        command=piles.write_command(pile, "list", chosen),
    )


async def _find_said(request: Request, pile: str, chosen: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return what people said of the one cause that was chosen, if it is one."""
    if pile != "dead" or set(chosen) != set(piles.CAUSE["dead"]):
        return None
    cause = tuple("" if chosen[name] == NONE else chosen[name] for name in piles.CAUSE["dead"])
    return next((case for case in await describe_cases(request) if case["cause"] == cause), None)


ROUTES = (
    Route("/todo", show_todo),
    Route("/todo/{pile}", show_pile),
)
