"""The routes `/audit` and `/audit.csv`: who did, searched and saw what, and why.

Comes in: GET requests. Goes out: lines of 400 days, newest first, as pages or as CSV. Never shows a value of a person:
a search stands there by its keyed hash.
"""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from console.access import Audit, AuditLine
from console.access.audit import CURSOR
from console.api.notebook import disarm
from console.api.request import Json, read_number, refuse
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
    name = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(write_csv(request.app.state.audit, asked), media_type="text/csv", headers=name)


async def write_csv(audit: Audit, asked: dict[str, Any]) -> AsyncIterator[str]:
    """Yield the audit as CSV, page by page."""
    yield ",".join(COLUMNS) + "\r\n"
    more = True
    while more:
        lines, cursor = await audit.read(**asked, limit=LARGEST_PAGE)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([disarm(str(cell)) for cell in describe(line).values()] for line in lines)
        yield text.getvalue()
        asked, more = {**asked, "cursor": cursor}, bool(cursor)


ROUTES = (Route("/audit", list_audit), Route("/audit.csv", export_audit))
