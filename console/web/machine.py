"""The page Machine: what an acknowledged event survives, processes, spool, people and tokens, the audit.

Comes in: GET requests. Goes out: what was checked with its mend, who may what, who did what. Never shows a token, nor
what opens a door.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Audit, Role, Tokens, Users
from console.api.audit import read_question
from console.api.notebook import Unclear
from console.api.request import get_actor, get_mailroom
from console.web import page, snapshots, todo, words
from console.web.act_catalogue import ACTS
from mailroom import migration

#: Lines of the audit on one page.
LINES = 100


async def show_machine(request: Request) -> Response:
    """Answer how the processes and the store are."""
    admin = get_actor(request).role.may(Role.ADMIN)
    mailroom = get_mailroom(request)

    async def look() -> list[dict[str, Any]]:
        said = await migration.speaks(mailroom)
        return [
            {"drain": drain, "pool": pool, "beats": beats, "schema": said.get(drain, "").partition(" ")[0]}
            for drain, (pool, beats) in sorted((await mailroom.beats()).items())
        ]

    async def who() -> dict[str, Any]:
        return {"users": await Users(mailroom).all(), "tokens": await Tokens(mailroom).all()}

    return await page.render(
        request,
        "machine.html",
        checks=await todo.find_checks(request),
        drains=await snapshots.ask(request, "drains", look),
        who=await snapshots.ask(request, "who", who) if admin else None,
        told=request.app.state.follower.progress,
    )


@page.needs(Role.ADMIN)
async def show_audit(request: Request) -> Response:
    """Answer who did, searched and saw what, newest first."""
    asked = read_question(request)
    if asked is None:
        raise Unclear("bad_cursor", "cursor is what the page before said, since and until are times in ms")
    audit: Audit = request.app.state.audit
    lines, before = await audit.read(**asked, limit=LINES)
    by, verb = asked["by"], asked["verb"]
    return await page.render(
        request,
        "machine.audit.html",
        lines=lines,
        by=by,
        verb=verb,
        deeds={**words.DEEDS} | {name: act.button for name, act in ACTS.items()},
        older={"by": by, "verb": verb, "cursor": before} if before else None,
    )


ROUTES = (
    Route("/machine", show_machine),
    Route("/machine/audit", show_audit),
)
