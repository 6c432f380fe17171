"""The routes under `/boxes`: boxes that are held for a person, and what people decide about them.

Comes in: GET to look, POST to release or skip. Goes out: JSON, one word for each box. Never shows a value of a person,
and never touches a box whose first item is not the one that the person saw.
"""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import causes
from console.api.request import (
    MOST_ITEMS,
    DecisionBody,
    Json,
    describe_rules,
    get_mailroom,
    get_operator,
    read_selection,
    refuse,
    takes,
    tell_items,
    write_audit,
)
from mailroom.operator import HeldBox
from rules.event_types.base import from_epoch


class BoxItem(DecisionBody):
    """A held box, and the item that the person saw at its head."""

    destination: str
    box: str
    item: str


class ReleaseRequest(DecisionBody):
    """Which held boxes go on. `not_sent`: somebody has looked, and their first items did not arrive."""

    boxes: list[BoxItem] = Field(min_length=1, max_length=MOST_ITEMS)
    not_sent: bool = False


class SkipRequest(DecisionBody):
    """Which held boxes go on without their first item. `drop`: it does not become a dead letter, it is given up."""

    boxes: list[BoxItem] = Field(min_length=1, max_length=MOST_ITEMS)
    drop: bool = False


async def list_boxes(request: Request) -> Response:
    """Answer the held boxes, the oldest first."""
    selection = read_selection(request)
    if selection is None:
        return refuse("bad_since", "since is a time in ms")
    held = await get_operator(request).held(selection)
    return JSONResponse(
        {
            "total": len(held),
            "groups": causes.group(held, await describe_rules(request)),
            "boxes": [as_json(one) for one in held],
        }
    )


async def show_box(request: Request) -> Response:
    """Answer one held box, with the story of the event at its head."""
    held = await get_operator(request).box(request.path_params["destination"], request.path_params["box"])
    if held is None:
        return refuse("unknown_box", "no held box of this name", 404)
    fate = await get_mailroom(request).fate(held.event)
    before = await get_mailroom(request).ahead(held.destination, held.box, held.item)
    ahead = [item for item, _ in before]
    return JSONResponse({**as_json(held), "ahead": ahead, "story": fate.as_json() if fate is not None else None})


def as_json(held: HeldBox) -> Json:
    """Return a held box as JSON."""
    return {"id": held.id, **asdict(held), "at": from_epoch(held.at)}


@takes(ReleaseRequest)
async def release(request: Request, decision: ReleaseRequest) -> Response:
    """Let held boxes go on."""
    operator = get_operator(request, decision.reason)
    await write_audit(request, "release", _tell(decision.boxes), decision.reason, len(decision.boxes))
    results = []
    for one in decision.boxes:
        now = await operator.box(one.destination, one.box)
        done = now is not None and now.item == one.item
        done = done and await operator.release(one.destination, one.box, not_sent=decision.not_sent)
        results.append([f"{one.destination}/{one.box}", "done" if done else "gone"])
    return JSONResponse({"results": results})


@takes(SkipRequest)
async def skip(request: Request, decision: SkipRequest) -> Response:
    """Let held boxes go on without their first item."""
    operator = get_operator(request, decision.reason)
    await write_audit(request, "skip", _tell(decision.boxes), decision.reason, len(decision.boxes))
    results = []
    for one in decision.boxes:
        done = await operator.skip(one.destination, one.box, one.item, drop=decision.drop)
        results.append([f"{one.destination}/{one.box}", "done" if done else "gone"])
    return JSONResponse({"results": results})


def _tell(boxes: Sequence[BoxItem]) -> str:
    return tell_items("boxes", [f"{one.destination}/{one.box}" for one in boxes])


ROUTES = (
    Route("/boxes", list_boxes),
    Route("/boxes/release", release, methods=["POST"]),
    Route("/boxes/skip", skip, methods=["POST"]),
    Route("/boxes/{destination}/{box}", show_box),
)
