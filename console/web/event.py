"""The page of one event: what became of it and why, what each rule said, each attempt, what people did, what is next.

Comes in: the id of an event. Goes out: its timeline. Shows a payload only to who has that right, after ledger and
audit have it.
"""

import json
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import events
from console.api.auth import keep_printable
from console.api.request import LONGEST_REASON, get_actor, get_mailroom, write_audit
from console.web import page, piles
from console.web.language import N_
from mailroom.aside import kept_payload, look
from mailroom.ledger import Decision
from mailroom.operator import Operator
from rules.compiler.compilation import Checked
from rules.rulebook import Rulebook

#: Books of the past that are kept compiled, to say where their rules stand.
MOST_BOOKS = 4


async def show_event(request: Request) -> Response:
    """Answer the story of an event."""
    fate = await get_mailroom(request).fate(request.path_params["id"])
    if fate is None:
        raise HTTPException(404)
    told = await events.describe_event(request, fate)
    return await _render(request, told)


async def _render(request: Request, told: dict[str, Any], status: int = 200, **more: Any) -> Response:
    dead = await piles.find_items(request, "dead", {"event": told["id"]})
    values = {"payload": None, "wrong": "", **more}
    return await page.render(
        request,
        "event.html",
        status,
        event=told,
        places=await find_places(request, told["book"]),
        missed=[rule for rule in told["rules"] if not rule["matched"]],
        fired=[rule for rule in told["rules"] if rule["matched"]],
        dead={item.id: item for item in dead},
        people=told.get("who", [])[:3],
        command=f"relais events show {told['id']}",
        **values,
    )


async def find_places(request: Request, version: str) -> Mapping[str, str]:
    """Return rule -> file:line in a book of this version."""
    known: dict[str, Mapping[str, str]] = request.app.state.rule_places
    if version and version not in known:
        book = await _find_book(request, version)
        while len(known) >= MOST_BOOKS:
            del known[next(iter(known))]
        known[version] = {rule.name: f"{rule.file}:{rule.line}" for rule in book.rules} if book else {}
    return known.get(version, {})


async def _find_book(request: Request, version: str) -> Rulebook | None:
    in_force = request.app.state.book_in_force
    found: Rulebook | None = await in_force.get()
    if found is not None and found.version == version:
        return found
    files = await get_mailroom(request).kept_book(version)
    checked: Checked | None = await in_force.check(files) if files else None
    return checked.book if checked is not None else None


async def show_payload(request: Request) -> Response:
    """Show a payload, after it is written down who wanted to see it and why."""
    id, actor = request.path_params["id"], get_actor(request)
    fate = await get_mailroom(request).fate(id)
    if fate is None:
        raise HTTPException(404)
    if not actor.payloads:
        return await page.render(request, "refused.html", 403, code="payloads", needs="")
    reason = keep_printable((await page.read_form(request)).get("reason", ""))[:LONGEST_REASON].strip()
    told = await events.describe_event(request, fate)
    if not reason:
        return await _render(request, told, 400, wrong=N_("Please say why you want to see it."))
    kept = await kept_payload(get_mailroom(request), id)
    if kept is None:
        return await _render(request, told, 410, wrong=N_("The payload is erased, as it is once an event is settled."))
    await write_audit(request, "look", id, reason)
    await look(Operator(get_mailroom(request), Decision(actor.name, reason)), id)
    return await _render(request, told, payload=write_payload(kept.body))


def write_payload(body: bytes) -> str:
    """Return a body as a person reads it."""
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text


ROUTES = (
    Route("/events/{id}", show_event),
    Route("/events/{id}/payload", show_payload, methods=["POST"]),
)
