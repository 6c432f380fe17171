"""The routes under `/rooms`: what waits for each destination, whether it is paused and why, and pausing it.

Comes in: GET to look, POST to pause or resume; the state of a room. Goes out: JSON, and why nothing is sent, as a
sentence. Never shows a value of a person.
"""

import asyncio
import json
from dataclasses import asdict, dataclass

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import quotas
from console.api.request import (
    LONGEST_REASON,
    DecisionBody,
    Json,
    get_mailroom,
    get_operator,
    refuse,
    takes,
    write_audit,
)
from mailroom import INBOX, RoomState
from mailroom.sentences import say
from rules.compiler import loader
from rules.event_types.base import from_epoch
from workers.outcome import MISTAKES


@dataclass(frozen=True)
class RoomPause:
    """Why nothing is sent to a destination, since when, and until when."""

    code: str
    why: str
    since: str
    #: person, breaker (it is down), key (it refuses ours, or the book says what cannot work)
    by: str
    #: The person.
    who: str
    #: When one delivery is tried next; None: a person's pause is not probed.
    next_probe: str | None
    #: When a person's pause ends by itself; None: when a person resumes the destination.
    until: str | None = None

    @property
    def says(self) -> str:
        """Say it in a sentence."""
        if self.by == "person":
            until = say("until", at=self.until) if self.until else ""
            why = f": {self.why}" if self.why else ""
            return say("paused", who=self.who or say("a_person"), since=self.since, until=until, why=why)
        probe = say("next_probe", at=self.next_probe) if self.next_probe else ""
        if self.by == "breaker":
            return say("down", code=self.code, since=self.since, probe=probe)
        what = MISTAKES.get(self.code, say("refuses_key"))
        return say("mistaken", what=what, code=self.code, since=self.since, probe=probe)


def read_pause(room: RoomState) -> RoomPause | None:
    """Return why and since when a room is paused, None where it is not."""
    if not room.paused:
        return None
    found = json.loads(room.paused)
    probe = from_epoch(room.probe_at) if room.probe_at else None
    return RoomPause(
        found.get("code", ""),
        found.get("why", ""),
        from_epoch(found.get("at", 0)),
        found.get("by", "key"),
        found.get("who", ""),
        probe,
        from_epoch(found["until"]) if "until" in found else None,
    )


def explain(room: RoomState) -> str:
    """Return why nothing of a room is sent; empty where its items only wait for their turn."""
    name = say("the_inbox") if room.name == INBOX else room.name
    if room.unusable:
        return say("room_unusable", room=name, why=room.unusable)
    pause = read_pause(room)
    if pause:
        return say("room_paused", room=name, why=pause.says)
    if room.rests_until:
        return say("room_rests", room=name, until=from_epoch(room.rests_until))
    why = quotas.explain(room.quota) if room.quota is not None else ""
    return say("room_waits", room=name, why=why) if why else ""


class PauseRequest(DecisionBody):
    """Why a destination is paused, and until when. `why` is how programs before `reason` said so."""

    #: ms; 0: until somebody resumes it.
    until: int = Field(0, ge=0, lt=10**14)
    why: str = Field("", max_length=LONGEST_REASON)


class ResumeRequest(DecisionBody):
    """An empty object."""


async def list_rooms(request: Request) -> Response:
    """Answer the inbox and every destination's room: what waits there, and whether it is paused."""
    return JSONResponse({"rooms": [as_json(room) for room in await get_mailroom(request).rooms()]})


def as_json(room: RoomState) -> Json:
    """Return a room as JSON."""
    fields = asdict(room)
    pause = read_pause(room)
    del fields["probe_at"]
    held_for = fields.pop("held_for")
    overdue = fields.pop("overdue")
    fields["unusable"] = fields["unusable"] or None
    fields |= {"overdue_seconds": overdue / 1000, "held_seconds": held_for / 1000}
    fields["paused"] = asdict(pause) if pause is not None else None
    fields["quota"] = quotas.as_json(room.quota) if room.quota is not None else None
    fields["rests_until"] = from_epoch(room.rests_until) if room.rests_until else None
    return fields


@takes(PauseRequest)
async def pause_room(request: Request, decision: PauseRequest) -> Response:
    """Stop sending to a destination."""
    name = request.path_params["name"]
    operator = get_operator(request, decision.reason or decision.why)
    if not (await operator.knows(name) or await _is_in_book(request, name)):
        return refuse("unknown_room", "no destination of this name", 404)
    await write_audit(request, "pause", name, operator.decision.why)
    return JSONResponse({"changed": await operator.pause(name, operator.decision.why, decision.until)})


async def _is_in_book(request: Request, name: str) -> bool:
    """Say whether the book on disk has this destination: before the first worker the store knows of none."""
    ready = request.app.state.readiness
    checked = await asyncio.to_thread(loader.check, ready.book, ready.catalogue)
    return checked.book is not None and name in checked.book.destinations


@takes(ResumeRequest)
async def resume_room(request: Request, decision: ResumeRequest) -> Response:
    """Let a paused destination go on."""
    name = request.path_params["name"]
    operator = get_operator(request, decision.reason)
    if not await operator.knows(name):
        return refuse("unknown_room", "no destination of this name", 404)
    await write_audit(request, "resume", name, decision.reason)
    return JSONResponse({"changed": await operator.resume(name)})


ROUTES = (
    Route("/rooms", list_rooms),
    Route("/rooms/{name}/pause", pause_room, methods=["POST"]),
    Route("/rooms/{name}/resume", resume_room, methods=["POST"]),
)
