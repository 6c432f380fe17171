"""What a verb means at each place: which items are chosen, what is done with one, what would become of one.

Comes in: an order. Goes out: items as text, and a word for each. Never decides how many or how fast.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from console.api import causes
from console.api.aside import LateIntake
from console.jobs.forecast import Forecast, Forecaster
from console.jobs.orders import JobOrder
from console.notebook import EventFilter, Follower, Notebook, search
from mailroom import Mailroom
from mailroom.aside import AsideShelf
from mailroom.holds import SourceHolds
from mailroom.ledger import NOBODY, Decision
from mailroom.operator import Operator, Shelf
from rules.rulebook import Rulebook

#: Events or waiting deliveries of one job.
MOST_ITEMS = 100_000

Act = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class JobItems:
    """What an order is about now."""

    items: Sequence[str]
    #: By cause, where there are causes.
    groups: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    #: Held events that were not chosen and stand before chosen ones of the same person: these wait for them.
    ahead: int = 0


@dataclass(frozen=True)
class JobTrial:
    """What would become of items: a word for each, and what the rules of today would send where they decide."""

    words: Sequence[tuple[str, str]]
    today: Forecast | None = None


class JobDesk:
    """The verbs of one console."""

    def __init__(
        self,
        mailroom: Mailroom,
        book: Callable[[], Awaitable[Rulebook | None]],
        notebook: Notebook,
        follower: Follower,
    ) -> None:
        """`book`: returns the one in force."""
        self._mailroom = mailroom
        self._book = book
        self._notebook = notebook
        self._follower = follower

    async def find(self, order: JobOrder) -> JobItems:
        """Return what an order means, in the order in which it is to be done. Raises StoreUnavailable."""
        operator, selection = Operator(self._mailroom), order.filter.select()
        match order.where:
            case "dead":
                letters = await operator.dead(selection, dropped=order.verb == "undrop")
                return JobItems([letter.id for letter in letters], causes.group(letters))
            case "boxes":
                held = await operator.held(selection)
                # Only with the first item that there is now: another one nobody has decided about.
                return JobItems([json.dumps([box.destination, box.box, box.item]) for box in held], causes.group(held))
            case "held":
                return await self._find_held(order)
            case "events" | "deliveries" as place:
                return JobItems(await self._ask_notebook(order, waiting=place == "deliveries"))
            case shelf:
                found = await AsideShelf(operator, shelf).find(selection)
                return JobItems([one.id for one in found], causes.group(found))

    async def _find_held(self, order: JobOrder) -> JobItems:
        its = order.filter
        holds, older = SourceHolds(self._mailroom), order.how.with_older
        found, ahead = await holds.choose(its.source, its.type, its.before, its.named, with_older=older)
        return JobItems([one.id for one in found], causes.group_held(its.source, found), ahead)

    async def _ask_notebook(self, order: JobOrder, *, waiting: bool) -> Sequence[str]:
        await self._follower.catch_up()
        its = order.filter
        names = ("destination", "action", "rule", "code", "source", "type", "since")
        chosen = EventFilter(**{name: getattr(its, name) for name in names})
        look = search.list_waiting if waiting else search.list_ended
        return await asyncio.to_thread(look, self._notebook, chosen, its.named, MOST_ITEMS)

    async def prepare(self, order: JobOrder, decision: Decision = NOBODY, *, dry: bool = False) -> Act | None:
        """Return what does one item and says how that ended; None: no book in force, and it cannot be done without.

        `dry`: it only says how that would end.
        """
        operator = Operator(self._mailroom, decision)
        match order.where:
            case "dead":
                return _act_on_letters(operator, order, dry=dry)
            case "held":
                return _act_on_held(SourceHolds(self._mailroom, decision), order, dry=dry)
            case "boxes":
                return _act_on_boxes(operator, order, dry=dry)
            case "deliveries":
                return _cancel(operator, dry=dry)
            case "events":
                book = await self._book()
                return None if book is None else _replay(operator, order, book, dry=dry)
            case shelf:
                return await self._act_aside(operator, order, shelf, dry=dry)

    async def try_out(self, order: JobOrder, items: Sequence[str]) -> JobTrial | None:
        """Return what would become of items; None: no book is in force, and it cannot be done without."""
        act = await self.prepare(order, dry=True)
        if act is None:
            return None
        words = [(item, await act(item)) for item in items]
        book = await self._book() if order.by_today else None
        if book is None:
            return JobTrial(words)
        done = [item for item, word in words if word == "done"]
        return JobTrial(words, await Forecaster(self._mailroom, book).forecast(order, done))

    async def _act_aside(self, operator: Operator, order: JobOrder, shelf: Shelf, *, dry: bool) -> Act | None:
        aside = AsideShelf(operator, shelf)
        if order.verb == "drop":

            async def clear(item: str) -> str:
                there = await aside.one(item) is not None if dry else await aside.clear(item)
                return "done" if there else "gone"

            return clear
        book = await self._book()
        if book is None:
            return None
        door, how = LateIntake(operator, aside, book), order.how

        async def take_in(item: str) -> str:
            return await door.take(item, even_if_older=how.even_if_older, unverified=how.unverified, dry=dry)

        return take_in


def name_item(place: str, text: str) -> str:
    """Return an item of a job as people call it."""
    if place in ("boxes", "deliveries"):
        destination, name, *_ = json.loads(text)
        return f"{destination}/{name}"
    return text


def _act_on_letters(operator: Operator, order: JobOrder, *, dry: bool) -> Act:
    async def retry(item: str) -> str:
        act = operator.retry_today if order.how.today else operator.retry
        return await act(item, even_if_older=order.how.even_if_older, dry=dry)

    async def drop(item: str) -> str:
        undoable = not order.how.at_once
        there = await operator.letter(item) is not None if dry else await operator.drop(item, undoable=undoable)
        return "done" if there else "gone"

    async def undrop(item: str) -> str:
        there = await operator.letter(item, dropped=True) is not None if dry else await operator.undrop(item)
        return "done" if there else "gone"

    return {"drop": drop, "undrop": undrop}.get(order.verb, retry)


def _act_on_held(holds: SourceHolds, order: JobOrder, *, dry: bool) -> Act:
    async def act(item: str) -> str:
        if dry:
            return "done"
        return await (holds.discard(item) if order.verb == "discard" else holds.let_go(item))

    return act


def _act_on_boxes(operator: Operator, order: JobOrder, *, dry: bool) -> Act:
    async def act(text: str) -> str:
        destination, box, item = json.loads(text)
        now = await operator.box(destination, box)
        if now is None or now.item != item:
            return "gone"
        if dry:
            return "done"
        if order.verb == "release":
            done = await operator.release(destination, box, not_sent=order.how.not_sent)
        else:
            done = await operator.skip(destination, box, item, drop=order.how.drop)
        return "done" if done else "gone"

    return act


def _cancel(operator: Operator, *, dry: bool) -> Act:
    async def cancel(text: str) -> str:
        destination, item = json.loads(text)
        return await operator.cancel(destination, item, dry=dry)

    return cancel


def _replay(operator: Operator, order: JobOrder, book: Rulebook, *, dry: bool) -> Act:
    rules = [rule.name for rule in book.rules]

    async def replay(item: str) -> str:
        return cast(str, await operator.replay(item, rules, even_if_older=order.how.even_if_older, dry=dry))

    return replay
