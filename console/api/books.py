"""The routes under `/books`: the files of a rule book that is or was in force, and approving one that waits.

Comes in: a version, or `current`; the version that a person approves. Goes out: the files as JSON. Never reads the
folder of the book: what lies there may not be in force yet.
"""

import asyncio

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, get_mailroom, log_decision, refuse, takes
from mailroom import Mailroom
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.rulebook import Rulebook


class BookInForce:
    """The book of the workers, compiled when it is asked for and kept until there is another."""

    def __init__(self, mailroom: Mailroom, catalogue: Catalogue) -> None:
        self._mailroom = mailroom
        self._catalogue = catalogue
        self._book: Rulebook | None = None

    async def get(self) -> Rulebook | None:
        """Return it, None where there is none that this program can read. Raises StoreUnavailable."""
        version = await self._mailroom.book_version()
        if self._book is None or self._book.version != version:
            files = await self._mailroom.kept_book(version)
            checked = await asyncio.to_thread(loader.check_texts, files, self._catalogue) if files else None
            self._book = checked.book if checked is not None else None
        return self._book


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
