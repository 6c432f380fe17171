"""The acts that pages offer: what each does, in words, and the verb of the job or the function that does it.

Comes in: who decided what about one thing (`ActCall`). Goes out: the catalogue `ACTS`, and whether something changed.
Never asks, counts or renders: `console.web.acts` does.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from console.access import Role
from console.jobs.orders import JobHow
from console.web.language import N_
from console.web.piles import PileItem
from mailroom import cases
from mailroom.cases import CaseState, FailureCause
from mailroom.holds import SourceHolds
from mailroom.operator import Operator


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
