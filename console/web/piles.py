"""What lies somewhere until a person decides: dead letters, held boxes, what is in quarantine, unmatched or refused.

Comes in: the name of a pile, and what is chosen of it. Goes out: its items, and their causes with how many there are.
The number on a page, in a list and in an act come from here. Never decides anything.
"""

import hashlib
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from console.api import notebook
from console.api.request import get_mailroom
from console.notebook import search
from console.notebook.file import wall_clock
from console.web import snapshots
from console.web.language import N_
from mailroom.aside import AsideShelf
from mailroom.operator import NONE, AsideView, HeldBox, Operator, Selection
from rules.event_types.base import from_epoch

#: Pile -> what it is called.
PILES: Mapping[str, str] = {
    "dead": N_("Dead letters"),
    "boxes": N_("Held boxes"),
    "quarantine": N_("Events in quarantine"),
    "refused": N_("Refused requests"),
    "unmatched": N_("Kept events that no rule wanted"),
}
#: What each of them is, and what waits for whom.
ABOUT: Mapping[str, str] = {
    "dead": N_("Deliveries that failed for good. Each keeps what was to be sent; nobody tries again by itself."),
    "boxes": N_("All later deliveries of the same object wait behind the first one, until a person decides."),
    "quarantine": N_("Events that could not be read. They are kept as they came, for 30 days."),
    "refused": N_("Requests that were not taken: their senders were told so."),
    "unmatched": N_(
        "Events that no rule wanted, kept for 24 hours, or for as long as their source says (`retain_unmatched`)."
    ),
}
#: What a cause is made of.
CAUSE: Mapping[str, tuple[str, ...]] = {
    "dead": ("destination", "code", "rule"),
    "boxes": ("destination", "code", "rule"),
    "quarantine": ("source", "code", "type"),
    "refused": ("source", "code"),
    "unmatched": ("source", "code", "type"),
}

#: What a page, and `relais jobs start`, can choose by.
CHOOSABLE = ("id", "event", "source", "type", "destination", "action", "rule", "code")
#: What is known of each item, whatever pile it lies in.
COMMON = ("id", "source", "type", "code", "why")


@dataclass(frozen=True)
class PileItem:
    """One thing that lies there."""

    #: What people call it, and the command line takes.
    id: str
    #: When it came there, and when its event came in.
    at: str
    received: str = ""
    event: str = ""
    source: str = ""
    type: str = ""
    destination: str = ""
    action: str = ""
    rule: str = ""
    code: str = ""
    why: str = ""
    #: Of a box: the delivery at its head, and how many wait in it.
    head: str = ""
    waiting: int = 0


@dataclass(frozen=True)
class PileCause:
    """Items that lie there for the same reason."""

    pile: str
    #: destination, code, rule; or source, code, type.
    cause: Mapping[str, str]
    count: int
    oldest: str | None
    newest: str | None
    why: str

    @property
    def query(self) -> dict[str, str]:
        """Return what chooses exactly these."""
        return {name: text or NONE for name, text in self.cause.items()}


def read_chosen(request: Request) -> dict[str, str]:
    """Return what a query chooses."""
    return {name: text for name in CHOOSABLE if (text := request.query_params.get(name, ""))}


async def find_first(request: Request, pile: str, chosen: Mapping[str, str], most: int) -> tuple[list[PileItem], int]:
    """Return the first of what `find_items` returns, and how many that are. Raises StoreUnavailable."""
    if pile == "dead" and chosen.keys() <= set(CHOOSABLE):
        rows, total = await notebook.ask(request, lambda its: search.first_dead(its, chosen, wall_clock(), most))
        return [_dead(row) for row in rows], total
    items = await find_items(request, pile, chosen)
    return items[:most], len(items)


async def find_items(request: Request, pile: str, chosen: Mapping[str, str]) -> list[PileItem]:
    """Return what lies there and is meant, in the order in which it is decided about. Raises StoreUnavailable."""
    if not chosen.keys() <= set(CHOOSABLE):
        raise HTTPException(404)
    if pile == "dead":
        rows = await notebook.ask(request, lambda its: search.list_dead(its, chosen, wall_clock()))
        return [_dead(row) for row in rows]
    found = await snapshots.ask(request, f"pile {pile}", lambda: _read_pile(request, pile))
    return [item for item in found if _fits(item, chosen)]


async def find_causes(request: Request, pile: str) -> list[PileCause]:
    """Return why things lie there, the most frequent first."""
    if pile == "dead":
        rows = await notebook.ask(request, lambda its: search.group_dead(its, {}, wall_clock()))
        return [
            PileCause(pile, {name: row[name] for name in CAUSE[pile]}, row["count"], row["oldest"], row["newest"],
                      row["why"])
            for row in rows
        ]  # fmt: skip
    by_cause: dict[tuple[str, ...], list[PileItem]] = defaultdict(list)
    for item in await find_items(request, pile, {}):
        by_cause[tuple(getattr(item, name) for name in CAUSE[pile])].append(item)
    return [
        PileCause(pile, dict(zip(CAUSE[pile], cause, strict=True)), len(items), min(one.at for one in items),
                  max(one.at for one in items), items[-1].why)
        for cause, items in sorted(by_cause.items(), key=lambda each: (-len(each[1]), each[0]))
    ]  # fmt: skip


def fingerprint(items: Sequence[PileItem]) -> str:
    """Return a text that is another one as soon as anything else lies there."""
    told = "\n".join(f"{item.id} {item.head}" for item in items)
    return f"{len(items)}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


#: Pile -> the commands that show it.
GROUPS: Mapping[str, str] = {"unmatched": "events", "book": "rules"}


def write_command(pile: str, verb: str, chosen: Mapping[str, str]) -> str:
    """Return the command that does the same, to what is chosen by its id, or by anything else."""
    named = [shlex.quote(chosen["id"])] if "id" in chosen else []
    words = [f"--{name} {shlex.quote(text)}" for name, text in chosen.items() if name != "id"]
    if named or pile not in PILES:
        return " ".join(["relais", GROUPS.get(pile, pile), verb, *named])
    if verb == "list":
        lists = {"unmatched": "relais events list --state unmatched"}
        return " ".join([lists.get(pile, f"relais {pile} list"), *words])
    return " ".join(["relais jobs start", verb, "--place", pile, *words])


def _fits(item: PileItem, chosen: Mapping[str, str]) -> bool:
    asked = ((getattr(item, name), text) for name, text in chosen.items() if text)
    return all(has == ("" if text == NONE else text) for has, text in asked)


async def _read_pile(request: Request, pile: str) -> list[PileItem]:
    operator = Operator(get_mailroom(request))
    if pile == "boxes":
        return [_box(held) for held in await operator.held(Selection())]
    shelf: Any = pile
    return [_aside(one) for one in await AsideShelf(operator, shelf).find(Selection())]


def _dead(row: Mapping[str, Any]) -> PileItem:
    names = (*COMMON, "destination", "action", "rule", "event")
    return PileItem(**{name: row[name] for name in names}, at=from_epoch(row["ended"] or row["at"]))


def _box(held: HeldBox) -> PileItem:
    names = (*COMMON, "destination", "action", "rule", "event", "waiting")
    return PileItem(**{name: getattr(held, name) for name in names}, at=from_epoch(held.at), head=held.item)


def _aside(one: AsideView) -> PileItem:
    event = "" if one.shelf == "refused" else one.id
    common = {name: getattr(one, name) for name in COMMON}
    return PileItem(**common, at=from_epoch(one.at), received=one.received, event=event)
