"""What people decide on pages: the form that shows an act and its effect first, and the carrying out.

Comes in: an act and a choice, by GET to see what it means, by POST to do it. Goes out: a page with the count, then that
of the job or of the one thing. Never does what was not shown: where anything else lies there by then, it is shown anew.
"""

import asyncio
import json
import re
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access.tokens import hash_secret
from console.api.auth import keep_printable
from console.api.jobs import get_board
from console.api.request import LONGEST_REASON, get_actor, get_mailroom, write_audit
from console.bulk import TYPED
from console.jobs import JobDesk, JobOrder
from console.jobs.orders import JobFilter, JobPlace, JobVerb
from console.web import page, piles, rules, snapshots, words
from console.web.act_catalogue import ACTS, ActCall, PageAct
from console.web.language import N_
from console.web.page import Form
from console.web.piles import PileItem
from mailroom import cases
from mailroom.cases import FailureCase
from mailroom.ledger import Decision
from mailroom.operator import NONE, Operator

#: Seconds that the answer to a form waits for a short act.
SHORT = 1.5
#: Seconds within which the same form sent twice is one act, where it is no job.
ONCE = 600
#: Items that are tried before an act, of more the first ones.
TRIED = 200
#: Items that the page of an act names.
SHOWN = 10
INTENT = re.compile(r"[A-Za-z0-9_-]{16,64}")
#: Seconds that an end may lie ahead.
MOST_AHEAD = 366 * 86_400
#: A pause ends after these seconds, or when a person says so.
ENDS: Mapping[str, str] = {
    "3600": N_("in an hour"),
    "14400": N_("in four hours"),
    "86400": N_("tomorrow at this time"),
    "604800": N_("in a week"),
    "0": N_("only when a person ends it"),
}


async def show_act(request: Request) -> Response:
    """Answer what an act would do, before anybody does it."""
    act = _find_act(request)
    if not get_actor(request).role.may(act.role):
        return await page.refuse_role(request, act.role)
    return await _render_form(request, act, dict(request.query_params))


async def _render_form(
    request: Request, act: PageAct, chosen: Mapping[str, str], wrong: str = "", form: Mapping[str, str] | None = None
) -> Response:
    chosen = {name: text for name, text in chosen.items() if text}
    items = await _find_items(request, act, chosen)
    intent = secrets.token_urlsafe(16)
    return await page.render(
        request,
        "act.html",
        409 if wrong else 200,
        act=act,
        chosen=chosen,
        items=items[:SHOWN],
        total=len(items),
        seen=piles.fingerprint(items),
        type_it=len(items) > TYPED,
        intent=intent,
        wrong=wrong,
        form=form or {},
        ends=ENDS,
        command=write_command(act, chosen),
        pile_name=piles.PILES.get(act.pile, ""),
        trial=await _try_out(request, act, items) if act.run is None and items else None,
        outcomes=words.OUTCOMES,
        place=_place_of(act, chosen),
        disk=(await rules.read_disk(request, None))["version"] if act.pile == "book" else "",
    )


async def _try_out(request: Request, act: PageAct, items: list[PileItem]) -> dict[str, Any] | None:
    """Return what would become of the first items, by the words of the act, and what today's rules would send."""
    desk: JobDesk = request.app.state.desk
    order = JobOrder(verb=cast(JobVerb, act.verb), place=cast(JobPlace, act.pile), how=act.how, dry=True)
    tried = [_write_item(act.pile, item) for item in items[:TRIED]]
    trial = await desk.try_out(order, tried)
    if trial is None:
        return None
    counts = Counter(word for _, word in trial.words)
    return {"tried": len(tried), "words": counts, "today": trial.today}


def write_command(act: PageAct, chosen: Mapping[str, str]) -> str:
    """Return the command that does the same."""
    if act.pile == "cases":
        cause = [shlex.quote(chosen.get(name, "")) for name in piles.CAUSE["dead"] if chosen.get(name) != NONE]
        return " ".join(["relais", "cases", act.verb, *cause])
    return " ".join(filter(None, (piles.write_command(act.pile, act.verb, chosen), act.options)))


async def carry_out(request: Request) -> Response:
    """Do what was shown."""
    act = _find_act(request)
    if not get_actor(request).role.may(act.role):
        return await page.refuse_role(request, act.role)
    form = await page.read_form(request)
    known = await get_board(request).find_intent(form.get("intent", "")) if act.run is None else None
    if known is not None:
        return page.go(request, "jobs", known)  # The same form once more: a double click.
    chosen = {name.removeprefix("only."): text for name, text in form.items() if name.startswith("only.")}
    request.app.state.snapshots.expire()
    items = await _find_items(request, act, chosen)
    zone = page.read_look(request)[1]
    wrong = _judge(form, items, zone)
    if wrong:
        return await _render_form(request, act, chosen, wrong, form)
    if act.run is not None and not await _is_first(request, form["intent"]):
        return _go_to(request, act, chosen)  # A double click, here too.
    reason = keep_printable(form["reason"])[:LONGEST_REASON].strip()
    said = " ".join(f"{name}={text}" for name, text in chosen.items()) or act.pile
    await write_audit(request, act.name, said, reason, len(items))
    if act.run is None:
        id = await _order(request, act, form, items, chosen, reason)
        request.app.state.snapshots.expire()
        return page.go(request, "jobs", id)
    operator = Operator(get_mailroom(request), Decision(get_actor(request).name, reason))
    done = await act.run(ActCall(operator, items[0], read_end(form, zone) or 0))
    request.app.state.snapshots.expire()
    if not done:
        return await _render_form(request, act, chosen, words.OUTCOMES["gone"], form)
    return _go_to(request, act, chosen)


async def _is_first(request: Request, intent: str) -> bool:
    """Say whether a form comes for the first time."""
    return await get_mailroom(request).hold(f"intent:{hash_secret(intent)}", secrets.token_hex(8), ONCE)


def _place_of(act: PageAct, chosen: Mapping[str, str]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the page of what an act is about: its path and its query."""
    name = chosen.get("id", "")
    match act.pile:
        case "rooms":
            return ("systems", "destination", name), {}
        case "sources":
            return ("systems", "source", name), {}
        case "cases":
            return ("todo", "dead"), chosen
        case "book":
            return ("rules",), {}
    return ("todo", act.pile), chosen


def _go_to(request: Request, act: PageAct, chosen: Mapping[str, str]) -> Response:
    """Redirect to the page of the one thing that an act was about; there it can be undone at once."""
    path, query = _place_of(act, chosen)
    told = {"did": act.name, "at": int(time.time())} if act.inverse else {}
    return page.go(request, *path, **query, **told)


def _cause_of(item: PileItem) -> dict[str, str]:
    return {name: getattr(item, name) or NONE for name in piles.CAUSE["dead"]}


async def describe_undo(request: Request, chosen: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the form that takes back what was just done (`did` in the address), None where there is none."""
    did = ACTS.get(request.query_params.get("did", ""))
    back = ACTS.get(did.inverse) if did else None
    if did is None or back is None or not get_actor(request).role.may(back.role):
        return None
    at = request.query_params.get("at", "")
    items = await _find_items(request, back, chosen)
    # The same each time the page is made, and another one for each time that something is done.
    intent = hash_secret(" ".join(["undo", did.name, *chosen.values(), at]))[:40]
    return {"did": did, "act": back, "chosen": chosen, "seen": piles.fingerprint(items), "intent": intent}


def _judge(form: Form, items: list[PileItem], zone: ZoneInfo) -> str:
    """Return why a form is not carried out; empty: it is."""
    if not INTENT.fullmatch(form.get("intent", "")):
        return N_("The form is not complete. Here it is once more.")
    if form.get("seen") != piles.fingerprint(items):
        return N_("Something has changed since you looked: here is how it is now. Nothing was done.")
    if not items:
        return N_("Nothing of this kind is there (any more).")
    if not form.get("reason", "").strip():
        return N_("Please say why: whoever reads the story later wants to know.")
    if len(items) > TYPED and form.get("typed", "").strip() != str(len(items)):
        return N_("Please type the number of things that this is about. Nothing was done.")
    if read_end(form, zone) is None:
        return N_("Please choose when it ends: a time to come.")
    return ""


def read_end(form: Form, zone: ZoneInfo) -> int | None:
    """Return when something ends by itself, ms; 0: it does not; None: what was said is no time to come."""
    now = time.time()
    if text := form.get("until", "").strip():
        try:
            at = datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
        except (ValueError, OverflowError):
            return None
        return int(at * 1000) if now < at < now + MOST_AHEAD else None
    if form.get("ends", "0") not in ENDS:
        return None
    seconds = int(form.get("ends", "0"))
    return int((now + seconds) * 1000) if seconds else 0


async def _order(
    request: Request, act: PageAct, form: Form, items: list[PileItem], chosen: Mapping[str, str], reason: str
) -> str:
    """Begin a job that does an act to each of a pile, and return its id; a short one has ended by then."""
    rate = form.get("rate", "")
    named = JobFilter.model_fields.keys() - {"ids", "since"}
    told = {name: text for name, text in chosen.items() if name in named}
    order = JobOrder(
        verb=cast(JobVerb, act.verb),
        place=cast(JobPlace, act.pile),
        how=act.how,
        filter=JobFilter(**told, ids=[chosen["id"]] if "id" in chosen and act.pile != "boxes" else []),
        rate=float(rate) if rate.isdigit() else 0.0,
        reason=reason,
        expect=len(items),
        intent=form["intent"],
    )
    board = get_board(request)
    id = await board.begin(order, get_actor(request).name, [_write_item(act.pile, item) for item in items])
    request.app.state.runner.ring()
    for _ in range(int(SHORT / 0.05)):
        job = await board.read(id)
        if job is None or job.state != "running":
            break
        await asyncio.sleep(0.05)
    return id


def _write_item(pile: str, item: PileItem) -> str:
    """Return an item as the desk of the jobs takes it."""
    if pile != "boxes":
        return item.id
    return json.dumps([item.destination, item.id.removeprefix(f"{item.destination}/"), item.head])


def _find_act(request: Request) -> PageAct:
    act = ACTS.get(request.path_params["act"])
    if act is None:
        raise HTTPException(404)
    return act


async def _find_items(request: Request, act: PageAct, chosen: Mapping[str, str]) -> list[PileItem]:
    if act.pile in piles.PILES:
        return await piles.find_items(request, act.pile, chosen)
    if act.pile == "cases":
        return [_of_case(one) for one in await find_cases(request) if _cause_of(_of_case(one)) == dict(chosen)]
    name = chosen.get("id", "")
    known = await _is_known(request, act.pile, name)
    return [PileItem(name, datetime.now().astimezone().isoformat())] if known else []


async def find_cases(request: Request) -> Sequence[FailureCase]:
    """Return what people said of causes of failures."""
    return await snapshots.ask(request, "cases", lambda: cases.read(get_mailroom(request)))


def _of_case(case: FailureCase) -> PileItem:
    at = datetime.now().astimezone().isoformat()
    name = " · ".join(part for part in case.cause if part)
    # `head` makes the form out of date as soon as somebody else has said something.
    cause, head = case.cause, f"{case.state} {case.since}"
    return PileItem(name, at, destination=cause.destination, rule=cause.rule, code=cause.code, head=head)


async def _is_known(request: Request, pile: str, name: str) -> bool:
    if pile == "book":
        return re.fullmatch(r"[0-9a-f]{12}", name) is not None
    book = await request.app.state.book_in_force.get()
    if pile == "sources":
        return book is not None and name in book.sources
    return await Operator(get_mailroom(request)).knows(name) or (book is not None and name in book.destinations)


ROUTES = (
    Route("/act/{act}", show_act),
    Route("/act/{act}", carry_out, methods=["POST"]),
)
