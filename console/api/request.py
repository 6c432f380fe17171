"""What the routes of the console share: reading a query, reading the body of a decision, refusing.

Comes in: a Starlette request. Goes out: numbers, a Selection, a validated body, or a refusal with its stable code.
Asks the store
only for books.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.api import auth
from mailroom import Mailroom
from mailroom.operator import Operator, Selection
from rules.compiler import loader

#: Items in one request: they cost some milliseconds of the store's time.
MOST_ITEMS = 500
#: Bytes of a request body; 500 ids take a tenth of it.
LARGEST_BODY = 262_144

#: Parameters of a query that select dead letters and held boxes.
FILTERS = ("destination", "action", "rule", "code", "source", "event")

#: Books whose descriptions are kept in memory; a page of events is about one or two of them.
MOST_BOOKS = 8

Json = dict[str, Any]


class DecisionBody(BaseModel):
    """The JSON body of a POST: unknown fields and converted types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


Body = TypeVar("Body", bound=DecisionBody)


def refuse(code: str, hint: str, status: int = 400) -> Response:
    """Return a refusal with its stable code."""
    return JSONResponse({"error": code, "hint": hint}, status)


def get_mailroom(request: Request) -> Mailroom:
    """Return the mailroom that the application opened at its start."""
    mailroom: Mailroom = request.app.state.mailroom
    return mailroom


def get_operator(request: Request) -> Operator:
    """Return the mailroom's functions for people: retry, drop, release, skip, pause, resume."""
    return Operator(get_mailroom(request))


async def describe_rules(request: Request, version: str = "") -> Mapping[str, str]:
    """Return the descriptions of rules by name, as the book of this version has them; else that in force."""
    mailroom = get_mailroom(request)
    version = version or await mailroom.book_version()
    known: dict[str, Mapping[str, str]] = request.app.state.descriptions
    if version not in known:
        files = await mailroom.kept_book(version) if version else None
        while len(known) >= MOST_BOOKS:
            del known[next(iter(known))]
        known[version] = await asyncio.to_thread(loader.describe_rules, files or {})
    return known[version]


def read_number(text: str | None, default: float) -> float | None:
    """Return a number from a query, the default where it is missing, None where it is not a number."""
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        return None


def read_selection(request: Request) -> Selection | None:
    """Return what a query selects; None where `since` is not a time in ms."""
    query = request.query_params
    try:
        ids = frozenset(name for name in query.get("ids", "").split(",") if name)
        return Selection(**{name: query.get(name, "") for name in FILTERS}, since=int(query.get("since", "0")), ids=ids)
    except ValueError:
        return None


def takes(
    model: type[Body],
) -> Callable[[Callable[[Request, Body], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
    """Turn a handler of a validated body into a route's endpoint that refuses web pages and any other body."""

    def wrap(handle: Callable[[Request, Body], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(handle)
        async def endpoint(request: Request) -> Response:
            if auth.may_be_web_page(request):
                return refuse("not_by_hand", f"send {auth.BY_HAND}: 1, and not from a web page", 403)
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return refuse("not_json", "send Content-Type: application/json", 415)
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    return refuse("too_large", f"at most {MOST_ITEMS} items in one request", 413)
            try:
                decision = model.model_validate_json(body)
            except ValidationError as exc:
                first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"]) or "the body"
                return refuse("bad_request", f"{where}: {first['msg']}")
            return await handle(request, decision)

        return endpoint

    return wrap
