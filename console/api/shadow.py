"""The routes under `/book/shadow`: the book that is only observed beside the one in force.

Comes in: the files of a book. Goes out: which book is observed, and what it would do otherwise. Never puts a book in
force, and shows no value of a person.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, Json, get_mailroom, read_who, refuse, takes, write_audit
from mailroom import Mailroom, shadow
from mailroom.shadow import ShadowState
from rules.compiler import loader
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook

#: Bytes of a book as JSON; one of 10,000 rules takes 3 MB.
LARGEST_BOOK = 8 * 1_048_576


class ShadowRequest(DecisionBody):
    """A book to observe: name of each file -> its text."""

    files: dict[str, str]


async def show_shadow(request: Request) -> Response:
    """Answer which book is observed, and what it would do otherwise than the one in force."""
    return JSONResponse(await describe_shadow(request))


@takes(ShadowRequest, LARGEST_BOOK)
async def begin_shadow(request: Request, decision: ShadowRequest) -> Response:
    """Observe a book from now on, in the place of another one; what was seen of it before is forgotten."""
    mailroom = get_mailroom(request)
    checked = await request.app.state.book_in_force.check(decision.files)
    if checked.book is None:
        first = str(checked.errors[0]) if checked.errors else "it is empty"
        return refuse("bad_book", f"{first}: relais rules check FOLDER says all that is wrong", 422)
    if checked.book.version == await mailroom.book_version():
        return refuse("in_force", "these files are the book in force", 409)
    await write_audit(request, "shadow", checked.book.version, decision.reason)
    await shadow.begin(mailroom, checked.book.version, decision.files, read_who(request))
    return JSONResponse(await describe_shadow(request))


@takes(DecisionBody)
async def end_shadow(request: Request, decision: DecisionBody) -> Response:
    """Observe no book any more; what was seen stays for 31 days, and is shown no more."""
    mailroom = get_mailroom(request)
    await write_audit(request, "end_shadow", await shadow.find_version(mailroom) or "none", decision.reason)
    ended = await shadow.end(mailroom)
    return JSONResponse({"ended": ended or None})


async def describe_shadow(request: Request) -> Json:
    """Return which book is observed, and what it would do otherwise."""
    mailroom = get_mailroom(request)
    state = await shadow.read(mailroom)
    in_force: Rulebook | None = await request.app.state.book_in_force.get()
    said: Json = {"version": state.version if state else None, "in_force": in_force.version if in_force else None}
    if state is None:
        return said
    files = await mailroom.kept_book(state.version)
    sources = (await asyncio.to_thread(loader.parse, files or {})).get("sources", {})
    return {
        **said,
        "since": from_epoch(state.at),
        "by": state.by,
        "events": {name: state.counts.get(name, 0) for name in ("same", "differs", "failed")},
        "unknown_sources": [name for name in sources if in_force is not None and name not in in_force.sources],
        "differences": _list_differences(state),
        "latest": await _list_events(mailroom, state),
    }


def _list_differences(state: ShadowState) -> list[Mapping[str, Any]]:
    found = []
    for name, count in state.counts.items():
        if "|" in name:
            change, action, rule = name.split("|", 2)
            last = from_epoch(state.last.get(name, 0))
            found.append({"rule": rule, "change": change, "action": action, "count": count, "last": last})
    return sorted(found, key=lambda each: (each["rule"], each["change"], each["action"]))


async def _list_events(mailroom: Mailroom, state: ShadowState) -> list[Json]:
    fates = [fate for fate in await mailroom.fates(list(dict.fromkeys(state.events))) if fate is not None]
    return [
        {"event": fate.id, "source": fate.source, "type": fate.type, "differs": fate.shadow["differs"]}
        for fate in fates
        if fate.shadow.get("book") == state.version
    ]


ROUTES = (
    Route("/book/shadow", show_shadow, methods=["GET"]),
    Route("/book/shadow/begin", begin_shadow, methods=["POST"]),
    Route("/book/shadow/end", end_shadow, methods=["POST"]),
)
