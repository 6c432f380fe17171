"""The routes `/audit` and `/audit.csv`: who did, searched and saw what, and why.

Comes in: GET requests. Goes out: lines of 400 days, newest first, as pages or as CSV. Never shows a value of a person:
a search stands there by its keyed hash.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.access import Audit, AuditLine
from console.access.audit import CURSOR
from console.api import spreadsheet
from console.api.request import Json, read_number, refuse
from console.api.spreadsheet import RowPages
from rules.event_types.base import from_epoch

#: Lines of a page: when nothing is said, and at most.
PAGE, LARGEST_PAGE = 100, 1000
COLUMNS = ("at", "by", "role", "verb", "what", "count", "reason")


def describe(line: AuditLine) -> Json:
    """Return a line as JSON."""
    return {name: getattr(line, name) for name in COLUMNS} | {"at": from_epoch(line.at)}


def read_question(request: Request) -> dict[str, Any] | None:
    """Return what is asked for, None where it cannot be read."""
    query = request.query_params
    found: dict[str, Any] = {name: query.get(name, "") for name in ("by", "verb", "cursor")}
    times = {name: read_number(query.get(name), 0) for name in ("since", "until")}
    if any(at is None for at in times.values()) or not (not found["cursor"] or CURSOR.fullmatch(found["cursor"])):
        return None
    return {**found, **{name: int(at or 0) for name, at in times.items()}}


async def list_audit(request: Request) -> Response:
    """Answer lines, newest first; `by`, `verb`, `since` and `until` (ms) choose."""
    asked = read_question(request)
    limit = read_number(request.query_params.get("limit"), PAGE)
    if asked is None or limit is None or not 1 <= limit <= LARGEST_PAGE:
        return refuse("bad_request", f"since and until are times in ms, limit is at most {LARGEST_PAGE}")
    audit: Audit = request.app.state.audit
    lines, cursor = await audit.read(**asked, limit=int(limit))
    return JSONResponse({"audit": [describe(line) for line in lines], "next": cursor or None})


async def export_audit(request: Request) -> Response:
    """Answer all lines that are meant as CSV, newest first."""
    asked = read_question(request)
    if asked is None:
        return refuse("bad_request", "since and until are times in ms")
    return spreadsheet.answer("audit", COLUMNS, list_rows(request.app.state.audit, asked))


async def list_rows(audit: Audit, asked: dict[str, Any]) -> RowPages:
    """Yield lines of the audit as rows, page by page."""
    more = True
    while more:
        lines, cursor = await audit.read(**asked, limit=LARGEST_PAGE)
        yield [tuple(describe(line).values()) for line in lines]
        asked, more = {**asked, "cursor": cursor}, bool(cursor)


ROUTES = (Route("/audit", list_audit), Route("/audit.csv", export_audit))
