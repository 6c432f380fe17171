"""The page on which a person is forgotten: what would go, the form, the receipt.

Comes in: the keyed hash of a person, and by POST the address, if it is known. Goes out: counts, then the receipt. Never
shows the address again, and never erases what was not shown.
"""

import hashlib
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api import forget
from console.api.request import LONGEST_REASON
from console.errors import UserError
from console.web import page
from console.web.language import N_
from console.web.page import Form
from mailroom import forgetting
from mailroom.forgetting import ForgetReceipt, Person


@page.needs(Role.ADMIN)
async def show(request: Request) -> Response:
    """Answer what would be erased, and the form that does it."""
    return await _render(request)


@page.needs(Role.ADMIN)
async def carry_out(request: Request) -> Response:
    """Erase what was shown."""
    form, who = await page.read_form(request), request.path_params["who"]
    readings = await forget.read_whom(request, text) if (text := form.get("address", "").strip()) else {who: "hash"}
    found = await forget.tell(request, Person(frozenset({who})))
    at = {name: forget.read_email(text) for name in await forget.list_deleting(request) if f"at.{name}" in form}
    if wrong := _judge(form, who, readings, found["counts"], at):
        return await _render(request, wrong)
    person, reason = Person(frozenset(readings), text), form["reason"][:LONGEST_REASON]
    try:
        receipt = await forget.forget(request, person, reason, at=at)
    except UserError as exc:
        return await _render(request, exc.message)
    return await _render(request, receipt=receipt)


def _judge(form: Form, who: str, readings: Mapping[str, str], counts: Mapping[str, int], at: Mapping[str, str]) -> str:
    """Return why nothing is erased; empty: it is."""
    if form.get("seen") != _fingerprint(counts):
        return N_("Something has changed since you looked: here is how it is now. Nothing was done.")
    if who not in readings:
        return N_("That is not the address of this person. Nothing was done.")
    if "" in at.values():
        return N_("Destinations know people by e-mail: give the address. Nothing was done.")
    reason = form.get("reason", "").strip()
    if not reason:
        return N_("Please say why: whoever reads the story later wants to know.")
    if forget.names_person(form.get("address", "").strip() or who, reason):
        return N_("The reason is kept, and names somebody: give the number of a case instead.")
    return ""


def _fingerprint(counts: Mapping[str, int]) -> str:
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()[:16]


async def _render(request: Request, wrong: str = "", receipt: ForgetReceipt | None = None) -> Response:
    who = request.path_params["who"]
    told = await forget.tell(request, Person(frozenset({who}))) if receipt is None else {"counts": {}}
    return await page.render(
        request,
        "people.forget.html",
        409 if wrong else 200,
        who=who,
        told=told,
        seen=_fingerprint(told["counts"]),
        names=forgetting.KINDS,
        deleting=await forget.list_deleting(request) if receipt is None else {},
        end_of=forgetting.say_end,
        wrong=wrong,
        receipt=receipt,
        rewritten=forgetting.REWRITTEN.get(receipt.rewrite, "") if receipt else "",
        command=f"relais forget {who}",
    )


ROUTES = (
    Route("/people/{who}/forget", show),
    Route("/people/{who}/forget", carry_out, methods=["POST"]),
)
