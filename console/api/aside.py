"""The routes under `/quarantine`, `/unmatched` and `/refused`: what lies aside; and how jobs take it in late.

Comes in: GET to look, POST to see a payload. Goes out: JSON. Never shows a value of a person but to whoever asks for
the payload, after the ledger has it, and never takes in what the book in force cannot read.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import causes
from console.api.request import (
    DecisionBody,
    Json,
    get_mailroom,
    get_operator,
    read_selection,
    refuse,
    takes,
    write_audit,
)
from mailroom import ledger
from mailroom.aside import AsideShelf, KeptPayload, TakenIn, kept_payload, look
from mailroom.operator import AsideView, Operator, Shelf
from mailroom.sentences import spell_out
from receiver import sources
from receiver.errors import RequestRefused
from receiver.payload import read_kept, read_refused
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook


class LookRequest(DecisionBody):
    """Whose payload is to be seen."""

    id: str


def _shelf(request: Request) -> Shelf:
    name: Shelf = request.url.path.split("/")[1]  # type: ignore[assignment]  # the routes say which there are
    return name


def _aside(request: Request) -> AsideShelf:
    return AsideShelf(get_operator(request), _shelf(request))


async def list_aside(request: Request) -> Response:
    """Answer what lies there grouped by cause; with `items=true` each of them, in the order of taking in."""
    selection = read_selection(request)
    if selection is None:
        return refuse("bad_since", "since is a time in ms")
    found = await _aside(request).find(selection)
    answer: Json = {"total": len(found), "groups": causes.group(found)}
    if request.query_params.get("items") == "true":
        answer["items"] = [as_json(one) for one in found]
    return JSONResponse(answer)


async def show_aside(request: Request) -> Response:
    """Answer one of them, with its story."""
    found = await _aside(request).one(request.path_params["id"])
    if found is None:
        return refuse("unknown_item", f"nothing of this id lies in {_shelf(request)}", 404)
    fate = await get_mailroom(request).fate(found.id)
    return JSONResponse({**as_json(found), "story": fate.as_json() if fate is not None else None})


def as_json(one: AsideView) -> Json:
    """Return it as JSON."""
    fields = asdict(one)
    for name in ("destination", "action", "rule", "details"):
        del fields[name]
    details = asdict(one.details) if one.shelf == "refused" else {}
    return {**spell_out(fields), **details, "at": from_epoch(one.at)}


@takes(LookRequest)
async def show_payload(request: Request, asked: LookRequest) -> Response:
    """Answer what was kept, after the ledger says who wanted to see it and why."""
    if not asked.reason.strip():
        return refuse("no_reason", "say why the payload is to be seen: reason")
    operator = get_operator(request, asked.reason)
    shelf = request.url.path.split("/")[1]
    if shelf == "events":
        kept = await kept_payload(operator.mailroom, asked.id)
    else:
        kept = await _aside(request).payload(asked.id)
    if kept is None:
        return refuse("erased", "no payload of this id is kept (any more)", 404)
    await write_audit(request, "look", f"{shelf}: {asked.id}", asked.reason)
    await look(operator, asked.id)
    text = kept.body.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    return JSONResponse({"id": asked.id, "head": kept.head, "body": body})


class LateIntake:
    """Reads what lies aside by the book in force, and takes in what fits."""

    def __init__(self, operator: Operator, aside: AsideShelf, book: Rulebook) -> None:
        self._operator = operator
        self._aside = aside
        self._book = book

    async def take(self, id: str, *, even_if_older: bool, unverified: bool, dry: bool = False) -> TakenIn:
        """Take one in, or say why not. `dry`: only say how that would end. Raises StoreUnavailable."""
        found = await self._aside.one(id)
        kept = await self._aside.payload(id) if found is not None else None
        if found is None or kept is None:
            return "gone"
        if self._aside.shelf == "refused":
            if not found.details.verified and not unverified:
                return "unverified"
            if found.details.size > len(kept.body):
                return "cut"
        try:
            events, comes_as = self._read(found, kept)
        except (RequestRefused, ValueError, KeyError):
            return "unfit"
        if self._aside.shelf == "unmatched" and not self._is_wanted(events[0]):
            return "unwanted"
        line = ledger.taken_in(id, self._operator.decision, shelf=self._aside.shelf)
        mailroom = self._operator.mailroom
        await mailroom.prepare()  # The hash key, where the store keeps it.
        answer: TakenIn = await mailroom.take_in(  # type: ignore[assignment]  # one of its words
            self._aside.shelf, id, events, line, comes_as=comes_as, even_if_older=even_if_older, dry=dry
        )
        return answer

    async def read(self, id: str) -> Sequence[Event]:
        """Return the events that one would be taken in as. Raises what says that the book cannot read it."""
        found, kept = await self._aside.one(id), await self._aside.payload(id)
        read = self._read(found, kept)[0] if found is not None and kept is not None else ()
        return [_complete(event) for event in read]

    def _read(self, found: AsideView, kept: KeptPayload) -> tuple[Sequence[Event], str]:
        source = self._book.sources[found.source]
        if self._aside.shelf == "refused":
            events = read_refused(source, kept.head, kept.body, found.details.name or None, found.received)
            if not events:
                raise ValueError("nothing of it is an event")
            return events, ""
        event, comes_as = read_kept(source, found.id, kept.head, kept.body)
        return [event], comes_as if self._aside.shelf == "quarantine" else ""

    def _is_wanted(self, event: Event) -> bool:
        return bool(self._book.match(_complete(event)).fired)


def _complete(event: Event) -> Event:
    return replace(event, data=sources.read(event.kind, event.type, event.body))


def _routes(shelf: Shelf) -> tuple[Route, ...]:
    return (
        Route(f"/{shelf}", list_aside),
        Route(f"/{shelf}/look", show_payload, methods=["POST"]),
        Route(f"/{shelf}/{{id}}", show_aside),
    )


ROUTES = (
    *_routes("quarantine"),
    *_routes("unmatched"),
    *_routes("refused"),
    Route("/events/look", show_payload, methods=["POST"]),
)
