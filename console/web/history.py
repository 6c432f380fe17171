"""The pages of the books that were in force: a list, and of each what it says otherwise than the one in force.

Comes in: GET requests. Goes out: versions with their times, differences in words and line by line, the way back. Never
changes a file: a book counts when its files are on disk.
"""

import asyncio
import difflib
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.api import books
from console.api.request import get_mailroom
from console.web import page, rules, snapshots
from rules.tools import difference

#: Books on the page, and lines of a difference.
SHOWN, MOST_LINES = 100, 2_000


async def list_books(request: Request) -> Response:
    """Answer the books that were in force, the newest first."""
    found = await snapshots.ask(request, "books", lambda: books.find_books(get_mailroom(request)))
    return await page.render(request, "rules.history.html", books=found[:SHOWN], command="relais rules history")


async def show_book(request: Request) -> Response:
    """Answer what a book says otherwise than the one in force, and how to go back to it."""
    version = request.path_params["version"]
    files = await get_mailroom(request).kept_book(version)
    if files is None:
        raise HTTPException(404)
    book = await snapshots.find_book(request)
    now = dict(book.files) if book is not None else {}
    changes, lines = await asyncio.to_thread(compare, now, files)
    return await page.render(
        request,
        "rules.history.one.html",
        version=version,
        in_force=book.version if book is not None else "",
        disk=await snapshots.ask(request, "book on disk", lambda: rules.read_disk(request, book)),
        changes=changes,
        lines=lines[:MOST_LINES],
        files=files,
        command=f"relais rules diff current {version}",
    )


def compare(now: Mapping[str, str], then: Mapping[str, str]) -> tuple[tuple[difference.Change, ...], list[str]]:
    """Return what a book said otherwise, in words and line by line."""
    lines: list[str] = []
    for name in sorted({*now, *then}):
        old, new = (files.get(name, "").splitlines() for files in (now, then))
        lines += difflib.unified_diff(old, new, name, name, lineterm="")
    return difference.compare(now, then), lines


ROUTES = (
    Route("/rules/history", list_books),
    Route("/rules/history/{version}", show_book),
)
