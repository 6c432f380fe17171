"""What people decide on pages: each act with its effect, the form that shows it first, and the carrying out.

Comes in: an act and a choice, by GET to see what it means, by POST to do it. Goes out: a page with the count, or the
progress of the act. Never does what was not shown: where anything else lies there by then, it is shown anew.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api.aside import LateIntake
from console.api.auth import keep_printable
from console.api.request import LONGEST_REASON, get_actor, get_mailroom, write_audit
from console.web import page, piles
from console.web.language import N_
from console.web.page import Form
from console.web.piles import PileItem
from console.web.work import ActWork, Works
from mailroom.aside import AsideShelf
from mailroom.holds import SourceHolds
from mailroom.ledger import Decision
from mailroom.operator import Operator, Shelf

#: Above so many things their number must be typed.
FEW = 20
#: Seconds that the answer to a form waits for a short act.
SHORT = 1.5
#: Items that the page of an act names.
SHOWN = 10
INTENT = re.compile(r"[A-Za-z0-9_-]{16,64}")
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
    form: Form
    state: Any


Run = Callable[[ActCall, PileItem], Awaitable[str]]


@dataclass(frozen=True)
class PageAct:
    """Something that people can decide."""

    name: str
    #: The pile that it is about; `rooms`, `sources`, `book`: it is about one thing with a name.
    pile: str
    button: str
    #: What it does, and whether that can be undone.
    effect: str
    #: The command that does the same, before its filters.
    verb: str
    run: Run
    role: Role = Role.OPERATOR
    options: str = ""
    #: Whether an end is asked for.
    ends: bool = False


def _word(done: bool, otherwise: str = "gone") -> str:
    return "done" if done else otherwise


async def _retry(call: ActCall, item: PileItem) -> str:
    return await call.operator.retry(item.id)


async def _retry_today(call: ActCall, item: PileItem) -> str:
    return await call.operator.retry_today(item.id)


async def _drop(call: ActCall, item: PileItem) -> str:
    return _word(await call.operator.drop(item.id))


async def _head_is(call: ActCall, item: PileItem) -> bool:
    now = await call.operator.box(*_box_of(item))
    return now is not None and now.item == item.head


def _box_of(item: PileItem) -> tuple[str, str]:
    return item.destination, item.id.removeprefix(f"{item.destination}/")


async def _release(call: ActCall, item: PileItem) -> str:
    return _word(await _head_is(call, item) and await call.operator.release(*_box_of(item)))


async def _release_not_sent(call: ActCall, item: PileItem) -> str:
    return _word(await _head_is(call, item) and await call.operator.release(*_box_of(item), not_sent=True))


async def _skip(call: ActCall, item: PileItem) -> str:
    return _word(await call.operator.skip(*_box_of(item), item.head))


def _take_in(shelf: Shelf) -> Run:
    async def run(call: ActCall, item: PileItem) -> str:
        book = await call.state.book_in_force.get()
        if book is None:
            return "unfit"
        door = LateIntake(call.operator, AsideShelf(call.operator, shelf), book)
        return await door.take(item.id, even_if_older=False, unverified=False)

    return run


def _clear(shelf: Shelf) -> Run:
    async def run(call: ActCall, item: PileItem) -> str:
        return _word(await AsideShelf(call.operator, shelf).clear(item.id))

    return run


async def _pause(call: ActCall, item: PileItem) -> str:
    return _word(await call.operator.pause(item.id, call.operator.decision.why))


async def _resume(call: ActCall, item: PileItem) -> str:
    return _word(await call.operator.resume(item.id))


async def _hold(call: ActCall, item: PileItem) -> str:
    seconds = int(call.form.get("ends", "0"))
    until = int((time.time() + seconds) * 1000) if seconds else 0
    return _word(await SourceHolds(call.operator.mailroom, call.operator.decision).hold(item.id, until))


async def _let_go(call: ActCall, item: PileItem) -> str:
    return _word(await SourceHolds(call.operator.mailroom, call.operator.decision).release(item.id))


async def _approve(call: ActCall, item: PileItem) -> str:
    await call.operator.mailroom.approve_book(item.id)
    return "done"


_TAKE_IN = N_("Each is read by the book in force and routed now. What it cannot read stays where it is.")
_CLEAR = N_("They are given up, and what was kept of them is erased. This cannot be undone.")

ACTS: Mapping[str, PageAct] = {
    act.name: act
    for act in (
        PageAct(
            "dead.retry",
            "dead",
            N_("Retry as sent"),
            N_("Each is sent once more as it was. One whose object got something newer meanwhile is left alone."),
            "retry",
            _retry,
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
            _retry_today,
            options="--today",
        ),
        PageAct(
            "dead.drop",
            "dead",
            N_("Drop"),
            N_("They are given up for good and never sent. This cannot be undone."),
            "drop",
            _drop,
        ),
        PageAct(
            "boxes.release",
            "boxes",
            N_("Release"),
            N_("Each goes on with its first delivery; what may have arrived is searched for where that can be done."),
            "release",
            _release,
        ),
        PageAct(
            "boxes.not_sent",
            "boxes",
            N_("Release: it did not arrive"),
            N_("You have looked at the other system: the first delivery did not arrive, so it is sent again."),
            "release",
            _release_not_sent,
            options="--not-sent",
        ),
        PageAct(
            "boxes.skip",
            "boxes",
            N_("Skip the first"),
            N_("Each goes on without its first delivery, which becomes a dead letter and can be retried from there."),
            "skip",
            _skip,
        ),
        PageAct("quarantine.retry", "quarantine", N_("Take in"), _TAKE_IN, "retry", _take_in("quarantine")),
        PageAct("quarantine.drop", "quarantine", N_("Drop"), _CLEAR, "drop", _clear("quarantine")),
        PageAct("refused.retry", "refused", N_("Take in"), _TAKE_IN, "retry", _take_in("refused")),
        PageAct("refused.drop", "refused", N_("Drop"), _CLEAR, "drop", _clear("refused")),
        PageAct("unmatched.retry", "unmatched", N_("Route anew"), _TAKE_IN, "reroute", _take_in("unmatched")),
        PageAct("unmatched.drop", "unmatched", N_("Drop"), _CLEAR, "drop", _clear("unmatched")),
        PageAct(
            "rooms.pause",
            "rooms",
            N_("Pause"),
            N_("Nothing is sent to it any more; what comes for it is kept and waits in its order. Resume undoes it."),
            "pause",
            _pause,
        ),
        PageAct(
            "rooms.resume", "rooms", N_("Resume"), N_("What waits for it is sent, in its order."), "resume", _resume
        ),
        PageAct(
            "sources.hold",
            "sources",
            N_("Hold"),
            N_(
                "What it sends is taken and kept, and not routed. What stands behind a held event of "
                "the same person waits, too. Release undoes it."
            ),
            "hold",
            _hold,
            ends=True,
        ),
        PageAct(
            "sources.release",
            "sources",
            N_("Release"),
            N_("All that waits of it is routed, in its order."),
            "release",
            _let_go,
        ),
        PageAct(
            "book.approve",
            "book",
            N_("Approve: put in force"),
            N_("Receivers and workers take exactly these files within three seconds, whatever rules are lost by it."),
            "approve",
            _approve,
            Role.RULES,
        ),
    )
}


async def show_act(request: Request) -> Response:
    """Answer what an act would do, before anybody does it."""
    act = _find_act(request)
    if not get_actor(request).role.may(act.role):
        return await refuse_role(request, act.role)
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
        type_it=len(items) > FEW,
        intent=intent,
        wrong=wrong,
        form=form or {},
        ends=ENDS,
        command=write_command(act, chosen),
        pile_name=piles.PILES.get(act.pile, ""),
    )


def write_command(act: PageAct, chosen: Mapping[str, str]) -> str:
    """Return the command that does the same."""
    group = {"unmatched": "events", "book": "rules"}.get(act.pile, act.pile)
    said = piles.write_command(group, act.verb, chosen)
    return f"{said} {act.options}" if act.options else said


async def carry_out(request: Request) -> Response:
    """Do what was shown."""
    act = _find_act(request)
    if not get_actor(request).role.may(act.role):
        return await refuse_role(request, act.role)
    form = await page.read_form(request)
    works: Works = request.app.state.works
    intent = form.get("intent", "")
    if works.find(intent) is not None:
        return page.go(request, "jobs", intent)  # The same form once more: a double click.
    chosen = {name.removeprefix("only."): text for name, text in form.items() if name.startswith("only.")}
    request.app.state.snapshots.expire()
    items = await _find_items(request, act, chosen)
    wrong = _judge(form, items)
    if wrong:
        return await _render_form(request, act, chosen, wrong, form)
    if works.find(intent) is not None:
        return page.go(request, "jobs", intent)
    await _begin(request, act, form, items, chosen)
    return page.go(request, "jobs", intent)


def _judge(form: Form, items: list[PileItem]) -> str:
    """Return why a form is not carried out; empty: it is."""
    if not INTENT.fullmatch(form.get("intent", "")):
        return N_("The form is not complete. Here it is once more.")
    if form.get("seen") != piles.fingerprint(items):
        return N_("Something has changed since you looked: here is how it is now. Nothing was done.")
    if not items:
        return N_("Nothing of this kind is there (any more).")
    if not form.get("reason", "").strip():
        return N_("Please say why: whoever reads the story later wants to know.")
    if len(items) > FEW and form.get("typed", "").strip() != str(len(items)):
        return N_("Please type the number of things that this is about. Nothing was done.")
    if form.get("ends", "0") not in ENDS:
        return N_("Please choose when it ends.")
    return ""


async def _begin(request: Request, act: PageAct, form: Form, items: list[PileItem], chosen: Mapping[str, str]) -> None:
    actor, reason = get_actor(request), keep_printable(form["reason"])[:LONGEST_REASON].strip()
    rate = form.get("rate", "")
    work = ActWork(form["intent"], act.name, actor.name, reason, items, float(rate) if rate.isdigit() else 0.0)
    call = ActCall(Operator(get_mailroom(request), Decision(actor.name, reason)), form, request.app.state)
    said = " ".join(f"{name}={text}" for name, text in chosen.items()) or act.pile
    await write_audit(request, act.name, said, reason, len(items))
    task = request.app.state.works.begin(work, lambda item: act.run(call, item))
    await asyncio.wait([task], timeout=SHORT)
    request.app.state.snapshots.expire()


async def show_job(request: Request) -> Response:
    """Answer how far an act is."""
    work = request.app.state.works.find(request.path_params["intent"])
    if work is None:
        raise HTTPException(404)
    if work.state == "done":
        request.app.state.snapshots.expire()
    return await page.render(request, "job.html", job=work, act=ACTS[work.act], says=SAYS)


async def list_jobs(request: Request) -> Response:
    """Answer the acts of this console, newest first."""
    return await page.render(request, "jobs.html", jobs=request.app.state.works.list(), acts=ACTS)


async def stop_job(request: Request) -> Response:
    """Stop an act: what it has not reached is left as it is."""
    if not get_actor(request).role.may(Role.OPERATOR):
        return await refuse_role(request, Role.OPERATOR)
    await page.read_form(request)
    work = request.app.state.works.find(request.path_params["intent"])
    if work is None:
        raise HTTPException(404)
    if work.state == "running":
        work.state = "stopped"
        await write_audit(request, "stop", work.intent, "", work.total - work.done)
    return page.go(request, "jobs", work.intent)


async def refuse_role(request: Request, role: Role) -> Response:
    """Answer that somebody may not do this."""
    return await page.render(request, "refused.html", 403, code="role", needs=role.word)


def _find_act(request: Request) -> PageAct:
    act = ACTS.get(request.path_params["act"])
    if act is None:
        raise HTTPException(404)
    return act


async def _find_items(request: Request, act: PageAct, chosen: Mapping[str, str]) -> list[PileItem]:
    if act.pile in piles.PILES:
        return await piles.find_items(request, act.pile, chosen)
    name = chosen.get("id", "")
    known = await _is_known(request, act.pile, name)
    return [PileItem(name, "", "", "", "", "", "", "", "", datetime.now().astimezone().isoformat())] if known else []


async def _is_known(request: Request, pile: str, name: str) -> bool:
    if pile == "book":
        return re.fullmatch(r"[0-9a-f]{12}", name) is not None
    book = await request.app.state.book_in_force.get()
    if pile == "sources":
        return book is not None and name in book.sources
    return await Operator(get_mailroom(request)).knows(name) or (book is not None and name in book.destinations)


#: How an item ended, by the word of the mailroom.
SAYS: Mapping[str, str] = {
    "done": N_("done"),
    "gone": N_("left alone: somebody else was quicker, or it was so already"),
    "never_made": N_("left alone: there is nothing to send as it was; mend the rule and retry by today's rules"),
    "overtaken": N_("left alone: something newer was sent to the same object, or waits for it"),
    "erased": N_("left alone: the payload is erased"),
    "follows_another": N_("left alone: it came of `next:`, so it can only be retried as it was sent"),
    "known": N_("left alone: it came in meanwhile"),
    "unfit": N_("left alone: the book in force cannot read it, either"),
    "unwanted": N_("left alone: no rule of the book in force wants it"),
    "unverified": N_("left alone: its sender was never verified"),
    "cut": N_("left alone: only the beginning of its body was kept"),
    "busy": N_("left alone: its event was being routed all the time"),
    "stopped": N_("left alone: the act was stopped"),
}

ROUTES = (
    Route("/act/{act}", show_act),
    Route("/act/{act}", carry_out, methods=["POST"]),
    Route("/jobs", list_jobs),
    Route("/jobs/{intent}", show_job),
    Route("/jobs/{intent}/stop", stop_job, methods=["POST"]),
)
