"""The routes under `/books`: the files of a rule book that is or was in force, and approving one that waits.

Comes in: a version, or `current`; the version that a person approves. Goes out: the files as JSON. Never reads the
folder of the book: what lies there may not be in force yet.
"""

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, get_mailroom, log_decision, refuse, takes


class ApprovalRequest(DecisionBody):
    """Which book may be put in force, whatever it loses."""

    version: str = Field(pattern=r"^[0-9a-f]{12}$")


async def show_book(request: Request) -> Response:
    """Answer the files of a book that was in force, by its version; `current` is the one that is."""
    version = request.path_params["version"]
    mailroom = get_mailroom(request)
    current = await mailroom.book_version() or None
    wanted = current if version == "current" else version
    files = await mailroom.kept_book(wanted) if wanted else None
    if files is None:
        return refuse("unknown_book", "no book of this version was ever in force", 404)
    return JSONResponse({"version": wanted, "current": current, "files": files})


@takes(ApprovalRequest)
async def approve_book(request: Request, decision: ApprovalRequest) -> Response:
    """Let receivers and workers take a book, once they see files of exactly this version."""
    mailroom = get_mailroom(request)
    log_decision(request, "approve", decision.version)
    await mailroom.approve_book(decision.version)
    return JSONResponse({"approved": decision.version, "current": await mailroom.book_version() or None})


ROUTES = (Route("/books/approve", approve_book, methods=["POST"]), Route("/books/{version}", show_book))
