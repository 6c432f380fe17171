"""What people decide on pages: each act with its effect, the form that shows it first, and the carrying out.

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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.access.tokens import hash_secret
from console.api.auth import keep_printable
from console.api.jobs import get_board
from console.api.request import LONGEST_REASON, get_actor, get_mailroom, write_audit
from console.bulk import TYPED
from console.jobs import JobDesk, JobOrder
from console.jobs.orders import JobFilter, JobHow, JobPlace, JobVerb
from console.web import page, piles, rules, snapshots, words
from console.web.language import N_
from console.web.page import Form
from console.web.piles import PileItem
from mailroom import cases
from mailroom.cases import CaseState, FailureCase, FailureCause
from mailroom.holds import SourceHolds
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


@dataclass(frozen=True)
class ActCall:
    """Who decided what, for one act."""

    operator: Operator
    #: The one thing that it is about.
    item: PileItem
    #: When it ends by itself, ms; 0: a person ends it.
    until: int = 0


#: Decides about one thing; False: it was so already, or it is gone.
Run = Callable[[ActCall], Awaitable[bool]]


@dataclass(frozen=True)
class PageAct:
    """Something that people can decide."""

    name: str
    #: The pile that it is about; `rooms`, `sources`, `cases`, `book`: it is about one thing.
    pile: str
    button: str
    #: What it does.
    effect: str
    #: The verb of the job that does it to all that was shown, and of the command that does the same.
    verb: str
    #: What is done to the one thing that it is about; None: a job does it to each of a pile.
    run: Run | None = None
    how: JobHow = field(default_factory=JobHow)
    role: Role = Role.OPERATOR
    options: str = ""
    #: Whether an end is asked for.
    ends: bool = False
    #: How it is undone; empty: it cannot be, and its button says so.
    undo: str = ""
    #: The act that takes it back at once, by a button beside what was done.
    inverse: str = ""


async def _pause(call: ActCall) -> bool:
    await call.operator.pause(call.item.id, call.operator.decision.why, call.until)
    return True  # Where it was paused already it is paused so long now.


async def _resume(call: ActCall) -> bool:
    return await call.operator.resume(call.item.id)


async def _hold(call: ActCall) -> bool:
    await SourceHolds(call.operator.mailroom, call.operator.decision).hold(call.item.id, call.until)
    return True  # Where it was held already it is held so long now.


async def _let_go(call: ActCall) -> bool:
    return await SourceHolds(call.operator.mailroom, call.operator.decision).release(call.item.id)


async def _approve(call: ActCall) -> bool:
    await call.operator.mailroom.approve_book(call.item.id)
    return True


def _say_of_case(state: CaseState) -> Run:
    async def say(call: ActCall) -> bool:
        cause = FailureCause(call.item.destination, call.item.code, call.item.rule)
        now = int(time.time() * 1000)
        return await cases.change(call.operator.mailroom, cause, state, call.operator.decision, now, call.until)

    return say


_TAKE_IN = N_("Each is read by the book in force and routed now. What it cannot read stays where it is.")
_CLEAR = N_("They are given up, and what was kept of them is erased.")
_REMARK = N_("It is a remark: another one can take its place.")

ACTS: Mapping[str, PageAct] = {
    act.name: act
    for act in (
        PageAct(
            "dead.retry",
            "dead",
            N_("Retry as sent"),
            N_("Each is sent once more as it was. One whose object got something newer meanwhile is left alone."),
            "retry",
        ),
        PageAct(
            "dead.today",
            "dead",
            N_("Retry by today's rules"),
            N_(
                "The rules in force decide anew about what had failed, and about nothing else of the "
                "events. One whose object got something newer meanwhile is left alone."
            ),
            "retry",
            how=JobHow(today=True),
            options="--today",
        ),
        PageAct(
            "dead.drop",
            "dead",
            N_("Drop"),
            N_("They are given up and never sent."),
            "drop",
            undo=N_("For ten minutes a button on the next page has them back."),
        ),
        PageAct(
            "boxes.release",
            "boxes",
            N_("Release"),
            N_("Each goes on with its first delivery; what may have arrived is searched for where that can be done."),
            "release",
        ),
        PageAct(
            "boxes.not_sent",
            "boxes",
            N_("Release: it did not arrive"),
            N_("You have looked at the other system: the first delivery did not arrive, so it is sent again."),
            "release",
            how=JobHow(not_sent=True),
            options="--not-sent",
        ),
        PageAct(
            "boxes.skip",
            "boxes",
            N_("Skip the first"),
            N_("Each goes on without its first delivery, which becomes a dead letter and can be retried from there."),
            "skip",
        ),
        PageAct("quarantine.retry", "quarantine", N_("Take in"), _TAKE_IN, "retry"),
        PageAct("quarantine.drop", "quarantine", N_("Drop"), _CLEAR, "drop"),
        PageAct("refused.retry", "refused", N_("Take in"), _TAKE_IN, "retry"),
        PageAct("refused.drop", "refused", N_("Drop"), _CLEAR, "drop"),
        PageAct("unmatched.retry", "unmatched", N_("Route anew"), _TAKE_IN, "reroute"),
        PageAct("unmatched.drop", "unmatched", N_("Drop"), _CLEAR, "drop"),
        PageAct(
            "rooms.pause",
            "rooms",
            N_("Pause"),
            N_("Nothing is sent to it any more; what comes for it is kept and waits in its order."),
            "pause",
            _pause,
            ends=True,
            undo=N_("Resume undoes it."),
            inverse="rooms.resume",
        ),
        PageAct(
            "rooms.resume",
            "rooms",
            N_("Resume"),
            N_("What waits for it is sent, in its order."),
            "resume",
            _resume,
            undo=N_("It can be paused again; what was sent by then stays sent."),
        ),
        PageAct(
            "sources.hold",
            "sources",
            N_("Hold"),
            N_(
                "What it sends is taken and kept, and not routed. What stands behind a held event of "
                "the same person waits, too."
            ),
            "hold",
            _hold,
            ends=True,
            undo=N_("Release undoes it."),
            inverse="sources.release",
        ),
        PageAct(
            "sources.release",
            "sources",
            N_("Release"),
            N_("All that waits of it is routed, in its order."),
            "release",
            _let_go,
            undo=N_("It can be held again; what was routed by then stays routed."),
        ),
        PageAct(
            "cases.know",
            "cases",
            N_("Known: I look after it"),
            N_("Everybody sees who looks after it, and why."),
            "know",
            _say_of_case("known"),
            undo=_REMARK,
        ),
        PageAct(
            "cases.mute",
            "cases",
            N_("Mute"),
            N_("The page Now leaves it out until it ends. A failure after that brings it back, with an alert."),
            "mute",
            _say_of_case("muted"),
            ends=True,
            undo=N_("Unmute undoes it."),
            inverse="cases.unmute",
        ),
        PageAct(
            "cases.unmute",
            "cases",
            N_("Unmute"),
            N_("It is on the page Now again."),
            "unmute",
            _say_of_case("known"),
            undo=_REMARK,
        ),
        PageAct(
            "cases.solve",
            "cases",
            N_("Solved"),
            N_("One more failure of this cause raises the alert that it came back. What is dead stays dead."),
            "solve",
            _say_of_case("solved"),
            undo=_REMARK,
        ),
        PageAct(
            "book.approve",
            "book",
            N_("Approve: put in force"),
            N_("Receivers and workers take exactly these files within three seconds, whatever rules are lost by it."),
            "approve",
            _approve,
            role=Role.RULES,
            undo=N_("The books before can be put in force again from the history; what was sent by then stays sent."),
        ),
    )
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
    return [PileItem(name, "", "", "", "", "", "", "", "", datetime.now().astimezone().isoformat())] if known else []


async def find_cases(request: Request) -> Sequence[FailureCase]:
    """Return what people said of causes of failures."""
    return await snapshots.ask(request, "cases", lambda: cases.read(get_mailroom(request)))


def _of_case(case: FailureCase) -> PileItem:
    at = datetime.now().astimezone().isoformat()
    name = " · ".join(part for part in case.cause if part)
    # `head` makes the form out of date as soon as somebody else has said something.
    return PileItem(name, "", "", "", case.cause.destination, "", case.cause.rule, case.cause.code, "", at,
                    head=f"{case.state} {case.since}")  # fmt: skip


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
