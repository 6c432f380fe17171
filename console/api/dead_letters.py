"""What people do through the console: look at what is stuck, and decide about it.

Comes in: GET to look; POST with JSON, a token where there is one, and a header that no web page can send on its own.
Goes out: JSON, one word for each item. Never shows a value of a person, and decides nothing that was not asked for.
"""

import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import standstill
from console.api.standstill import instant
from mailroom.operator import DeadLetterView, HeldBox, Operator, Selection

#: A browser sends a header of this name only where a page of another origin was allowed to, and we allow none.
BY_HAND = "X-Relais-By-Hand"
#: Items in one request: some ms of the store's time.
MOST_ITEMS = 500
#: Bytes of a request; 500 ids take a tenth of it.
LARGEST_BODY = 262_144

#: Words of a query that choose.
WORDS = ("destination", "action", "rule", "code", "source", "event")

Asked = TypeVar("Asked", bound=BaseModel)
Json = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Retry(_Body):
    """Which dead letters are to be retried, in this order, and how."""

    items: list[str] = Field(min_length=1, max_length=MOST_ITEMS)
    how: Literal["as_sent", "today"] = "as_sent"
    even_if_older: bool = False


class Drop(_Body):
    """Which dead letters are given up."""

    items: list[str] = Field(min_length=1, max_length=MOST_ITEMS)


class BoxItem(_Body):
    """A held box, and the item that the person saw at its head."""

    destination: str
    box: str
    item: str


class Release(_Body):
    """Which held boxes go on. `not_sent`: somebody has looked, and their first items did not arrive."""

    boxes: list[BoxItem] = Field(min_length=1, max_length=MOST_ITEMS)
    not_sent: bool = False


class Skip(_Body):
    """Which held boxes go on without their first item. `drop`: it does not become a dead letter, it is given up."""

    boxes: list[BoxItem] = Field(min_length=1, max_length=MOST_ITEMS)
    drop: bool = False


class PauseRequest(_Body):
    """Why a destination is paused, for whoever sees it."""

    why: str = Field("", max_length=500)


class Resume(_Body):
    """Nothing more to say."""


def by_hand(
    model: type[Asked],
) -> Callable[[Callable[[Request, Asked], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]:
    """Let only those through who are no web page, with a body that is understood."""

    def wrap(verb: Callable[[Request, Asked], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(verb)
        async def guarded(request: Request) -> Response:
            if BY_HAND not in request.headers or "origin" in request.headers:
                return refusal("not_by_hand", f"send {BY_HAND}: 1, and not from a web page", 403)
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return refusal("not_json", "send Content-Type: application/json", 415)
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    return refusal("too_large", f"at most {MOST_ITEMS} items in one request", 413)
            try:
                asked = model.model_validate_json(body)
            except ValidationError as exc:
                first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"]) or "the body"
                return refusal("bad_request", f"{where}: {first['msg']}")
            return await verb(request, asked)

        return guarded

    return wrap


def refusal(code: str, hint: str, status: int = 400) -> Response:
    """Return a refusal with its stable code."""
    return JSONResponse({"error": code, "hint": hint}, status)


def people(request: Request) -> Operator:
    """Return the verbs of the mailroom."""
    return Operator(request.app.state.mailroom)


def chosen(request: Request) -> Selection | None:
    """Return what a query chooses, None where it is not understood."""
    query = request.query_params
    try:
        ids = frozenset(name for name in query.get("ids", "").split(",") if name)
        return Selection(**{word: query.get(word, "") for word in WORDS}, since=int(query.get("since", "0")), ids=ids)
    except ValueError:
        return None


# -- dead letters


async def dead(request: Request) -> Response:
    """Answer the dead letters grouped by cause; with `items=true` each of them, as they are to be retried."""
    choice = chosen(request)
    if choice is None:
        return refusal("bad_since", "since is a time in ms")
    letters = await people(request).dead(choice)
    answer: Json = {"total": len(letters), "groups": groups(letters)}
    if request.query_params.get("items") == "true":
        answer["items"] = [letter_json(letter) for letter in letters]
    return JSONResponse(answer)


def groups(letters: Sequence[DeadLetterView | HeldBox]) -> list[Json]:
    """Return the causes, the most frequent first."""
    by_cause: dict[tuple[str, str, str], list[DeadLetterView | HeldBox]] = defaultdict(list)
    for letter in letters:
        by_cause[letter.destination, letter.code, letter.rule].append(letter)
    out = []
    for (destination, code, rule), those in sorted(by_cause.items(), key=lambda each: (-len(each[1]), each[0])):
        newest = max(those, key=lambda one: one.at)
        out.append(
            {
                "destination": destination,
                "code": code,
                "rule": rule,
                "count": len(those),
                "oldest": instant(min(one.at for one in those)),
                "newest": instant(newest.at),
                "sample": newest.id,
                "why": newest.why,
            }
        )
    return out


def letter_json(letter: DeadLetterView) -> Json:
    """Return a dead letter as JSON."""
    fields = asdict(letter)
    del fields["info"]
    return {**fields, "at": instant(letter.at)}


async def dead_letter(request: Request) -> Response:
    """Answer one dead letter, with the story of its event."""
    letter = await people(request).letter(request.path_params["id"])
    if letter is None:
        return refusal("unknown_letter", "no dead letter of this id; `relais events show` tells of its event", 404)
    fate = await request.app.state.mailroom.fate(letter.event)
    return JSONResponse({**letter_json(letter), "story": fate.as_json() if fate is not None else None})


@by_hand(Retry)
async def retry(request: Request, asked: Retry) -> Response:
    """Retry dead letters one after the other."""
    desk = people(request)
    verb = desk.retry if asked.how == "as_sent" else desk.retry_today
    return JSONResponse(
        {"results": [[item, await verb(item, even_if_older=asked.even_if_older)] for item in asked.items]}
    )


@by_hand(Drop)
async def drop(request: Request, asked: Drop) -> Response:
    """Give dead letters up."""
    desk = people(request)
    return JSONResponse({"results": [[item, "done" if await desk.drop(item) else "gone"] for item in asked.items]})


# -- held boxes


async def boxes(request: Request) -> Response:
    """Answer the held boxes, the oldest first."""
    choice = chosen(request)
    if choice is None:
        return refusal("bad_since", "since is a time in ms")
    held = await people(request).held(choice)
    return JSONResponse({"total": len(held), "groups": groups(held), "boxes": [held_json(one) for one in held]})


async def box(request: Request) -> Response:
    """Answer one held box, with the story of the event at its head."""
    held = await people(request).box(request.path_params["destination"], request.path_params["box"])
    if held is None:
        return refusal("unknown_box", "no held box of this name", 404)
    fate = await request.app.state.mailroom.fate(held.event)
    return JSONResponse({**held_json(held), "story": fate.as_json() if fate is not None else None})


def held_json(held: HeldBox) -> Json:
    """Return a held box as JSON."""
    return {"id": held.id, **asdict(held), "at": instant(held.at)}


@by_hand(Release)
async def release(request: Request, asked: Release) -> Response:
    """Let held boxes go on."""
    desk = people(request)
    results = []
    for one in asked.boxes:
        now = await desk.box(one.destination, one.box)
        done = now is not None and now.item == one.item
        done = done and await desk.release(one.destination, one.box, not_sent=asked.not_sent)
        results.append([f"{one.destination}/{one.box}", "done" if done else "gone"])
    return JSONResponse({"results": results})


@by_hand(Skip)
async def skip(request: Request, asked: Skip) -> Response:
    """Let held boxes go on without their first item."""
    desk = people(request)
    results = []
    for one in asked.boxes:
        done = await desk.skip(one.destination, one.box, one.item, drop=asked.drop)
        results.append([f"{one.destination}/{one.box}", "done" if done else "gone"])
    return JSONResponse({"results": results})


# -- rooms


async def rooms(request: Request) -> Response:
    """Answer the inbox and every destination's room: what waits there, and whether it is paused."""
    found = []
    for room in await request.app.state.mailroom.rooms():
        fields = asdict(room)
        paused = standstill.pause(room)
        del fields["probe_at"]
        held_for = fields.pop("held_for")
        overdue = fields.pop("overdue")
        fields["unusable"] = fields["unusable"] or None
        fields |= {"overdue_seconds": overdue / 1000, "held_seconds": held_for / 1000}
        fields["paused"] = asdict(paused) if paused is not None else None
        found.append(fields)
    return JSONResponse({"rooms": found})


@by_hand(PauseRequest)
async def pause(request: Request, asked: PauseRequest) -> Response:
    """Stop sending to a destination."""
    name = request.path_params["name"]
    desk = people(request)
    if not await desk.knows(name):
        return refusal("unknown_room", "no destination of this name", 404)
    return JSONResponse({"changed": await desk.pause(name, asked.why)})


@by_hand(Resume)
async def resume(request: Request, _: Resume) -> Response:
    """Let a paused destination go on."""
    name = request.path_params["name"]
    desk = people(request)
    if not await desk.knows(name):
        return refusal("unknown_room", "no destination of this name", 404)
    return JSONResponse({"changed": await desk.resume(name)})


ROUTES = (
    Route("/dead", dead),
    Route("/dead/retry", retry, methods=["POST"]),
    Route("/dead/drop", drop, methods=["POST"]),
    Route("/dead/{id}", dead_letter),
    Route("/boxes", boxes),
    Route("/boxes/release", release, methods=["POST"]),
    Route("/boxes/skip", skip, methods=["POST"]),
    Route("/boxes/{destination}/{box}", box),
    Route("/rooms", rooms),
    Route("/rooms/{name}/pause", pause, methods=["POST"]),
    Route("/rooms/{name}/resume", resume, methods=["POST"]),
)
