"""What the routes of the console share: reading a query, reading the body of a decision, refusing.

Comes in: a Starlette request. Goes out: numbers, a Selection, a validated body, or a refusal with its stable code.
Asks the store
only for books.
"""

import asyncio
import functools
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.access import Actor, Audit
from console.api import auth
from console.api.auth import keep_printable
from mailroom import Mailroom
from mailroom.ledger import Decision
from mailroom.operator import Operator, Selection
from rules.compiler import loader
from rules.rulebook import Rulebook
from rules.source.node import words_of

#: Bytes of a request body, where a route says nothing else.
LARGEST_BODY = 262_144

#: Items of an act that the audit names; it counts the others.
MOST_NAMED = 3

#: A number as a query writes it.
NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")

#: Parameters of a query that select dead letters and held boxes.
FILTERS = ("destination", "action", "rule", "code", "source", "type", "event")

#: Books whose descriptions are kept in memory; a page of events is about one or two of them.
MOST_BOOKS = 8

Json = dict[str, Any]

log = logging.getLogger("relais.console")


#: Characters of a reason.
LONGEST_REASON = 500


class DecisionBody(BaseModel):
    """The JSON body of a POST: unknown fields and converted types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    #: Why, for whoever reads the story of what was decided about.
    reason: Annotated[str, AfterValidator(keep_printable)] = Field("", max_length=LONGEST_REASON)


Body = TypeVar("Body", bound=DecisionBody)


def refuse(code: str, hint: str, status: int = 400) -> Response:
    """Return a refusal with its stable code."""
    return JSONResponse({"error": code, "hint": hint}, status)


def refuse_without_book() -> Response:
    """Return the refusal of what needs the book in force, where there is none."""
    return refuse("no_book", "no book that this program can read is in force; do the workers run?", 409)


def refuse_source(book: Rulebook | None) -> Response:
    """Return the refusal of a source that the book in force does not have."""
    if book is None:
        return refuse_without_book()
    return refuse("unknown_source", "the book in force has no source of this name", 404)


def get_mailroom(request: Request) -> Mailroom:
    """Return the mailroom that the application opened at its start."""
    mailroom: Mailroom = request.app.state.mailroom
    return mailroom


def get_operator(request: Request, reason: str = "") -> Operator:
    """Return the mailroom's functions for people: retry, drop, release, skip, pause, resume."""
    return Operator(get_mailroom(request), Decision(read_who(request), keep_printable(reason)))


def get_actor(request: Request) -> Actor:
    """Return who asks, as the doorkeeper has found out."""
    actor: Actor = request.state.actor
    return actor


def read_who(request: Request) -> str:
    """Return what who asks is called in ledger, audit and log."""
    return get_actor(request).name


async def write_audit(request: Request, verb: str, what: str, reason: str = "", count: int = 1) -> None:
    """Write down what somebody is about to do, search or see. Raises StoreUnavailable, and it is not done then.

    The log does not hear why: a reason may name people.
    """
    log.info("by_hand verb=%s what=%s by=%s", verb, what, read_who(request))
    audit: Audit = request.app.state.audit
    await audit.write(get_actor(request), verb, what, keep_printable(reason), count)


def name_some(items: Sequence[str]) -> str:
    """Return the first of some items by name, and how many more there are."""
    more = f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
    return ", ".join(items[:MOST_NAMED]) + more


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
    # Not all that Python takes for one: `1_0`, `nan`, digits of other writings.
    return float(text) if NUMBER.fullmatch(text) else None


def read_selection(request: Request) -> Selection | None:
    """Return what a query selects; None where `since` is not a time in ms."""
    query = request.query_params
    ids = frozenset(name for name in query.get("ids", "").split(",") if name)
    since = read_ms(request, "since")
    if since is None:
        return None
    return Selection(**{name: query.get(name, "") for name in FILTERS}, since=since, ids=ids)


def read_ms(request: Request, name: str) -> int | None:
    """Return a time of a query in ms, 0 where nothing is said; None where it is no time in ms."""
    text = request.query_params.get(name, "0")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def takes(
    model: type[Body],
    largest: int = LARGEST_BODY,
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
                if len(body) > largest:
                    return refuse("too_large", f"at most {largest} bytes in one request", 413)
            try:
                decision = model.model_validate_json(body)
            except ValidationError as exc:
                first = exc.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"]) or "the body"
                return refuse("bad_request", f"{where}: {words_of(dict(first))}")
            return await handle(request, decision)

        return endpoint

    return wrap
