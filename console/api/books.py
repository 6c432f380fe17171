"""The routes under `/books` and `/book`: the files of a book that is or was in force, approvals, what its rules did.

Comes in: a version, or `current`; the version that a person approves. Goes out: files, or what was counted, as JSON.
Never reads the folder of the book: what lies there may not be in force yet.
"""

import asyncio
import time
from collections.abc import Mapping

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import (
    DecisionBody,
    Json,
    get_mailroom,
    read_number,
    refuse,
    refuse_without_book,
    takes,
    write_audit,
)
from mailroom import Mailroom, rule_counts
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.compilation import Checked
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook
from rules.tools import coverage
from rules.tools.coverage import RuleCoverage


class BookInForce:
    """The book of the workers, compiled when it is asked for and kept until there is another."""

    def __init__(self, mailroom: Mailroom, catalogue: Catalogue) -> None:
        self._mailroom = mailroom
        self._catalogue = catalogue
        self._book: Rulebook | None = None

    async def check(self, files: Mapping[str, str]) -> Checked:
        """Return another book, compiled by the same catalogue."""
        return await asyncio.to_thread(loader.check_texts, files, self._catalogue)

    async def get(self) -> Rulebook | None:
        """Return it, None where there is none that this program can read. Raises StoreUnavailable."""
        version = await self._mailroom.book_version()
        if self._book is None or self._book.version != version:
            files = await self._mailroom.kept_book(version)
            checked = await self.check(files) if files else None
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


async def list_books(request: Request) -> Response:
    """Answer the books that were in force, the newest first, and when each was taken last."""
    return JSONResponse({"books": await find_books(get_mailroom(request))})


async def find_books(mailroom: Mailroom) -> list[Json]:
    """Return the books that were in force, the newest first."""
    current = await mailroom.book_version()
    return [
        {"version": version, "since": from_epoch(at), "current": version == current}
        for version, at in await mailroom.past_books()
    ]


@takes(ApprovalRequest)
async def approve_book(request: Request, decision: ApprovalRequest) -> Response:
    """Let receivers and workers take a book, once they see files of exactly this version."""
    mailroom = get_mailroom(request)
    await write_audit(request, "approve", decision.version, decision.reason)
    await mailroom.approve_book(decision.version)
    return JSONResponse({"approved": decision.version, "current": await mailroom.book_version() or None})


async def show_coverage(request: Request) -> Response:
    """Answer for each rule in force how often it fired since a time (ms; a week ago), and which never do."""
    since = read_number(request.query_params.get("since"), time.time() * 1000 - 7 * rule_counts.DAY)
    if since is None:
        return refuse("bad_since", "since is a time in ms")
    book = await request.app.state.book_in_force.get()
    if book is None:
        return refuse_without_book()
    return JSONResponse(await find_coverage(request, book, int(since)))


async def find_coverage(request: Request, book: Rulebook, since: int) -> Json:
    """Return what each rule of a book did since a time (ms)."""
    counts = await rule_counts.read(get_mailroom(request), since)
    return {
        "book": book.version,
        "since": rule_counts.begin_of_day(since),
        "counted_since": rule_counts.begin_of_day(counts.first) if counts.first else None,
        "rules": [_describe_coverage(each) for each in coverage.cover(book, counts)],
    }


def _describe_coverage(found: RuleCoverage) -> Json:
    rule = found.rule
    return {
        "rule": rule.name,
        "file": rule.file,
        "line": rule.line,
        "state": found.state,
        "fired": found.fired.since,
        "observed": found.observed.since,
        "unreached": found.unreached.since,
        "fired_in_31_days": found.fired.kept,
        "last": from_epoch(found.last) if found.last else None,
    }


ROUTES = (
    Route("/book/coverage", show_coverage),
    Route("/books", list_books),
    Route("/books/approve", approve_book, methods=["POST"]),
    Route("/books/{version}", show_book),
)
