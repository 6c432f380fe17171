"""What the rules of today would send for the items of a job, before anybody orders it.

Comes in: an order that the rules of today decide about, its items, and the book in force. Goes out: counts by action
and rule, with a few ids of events and no value. Never sends, looks up or changes anything: what needs a look-up is
counted as unknown.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from console.api.aside import LateIntake
from console.jobs.orders import JobOrder
from mailroom import Mailroom, reroute
from mailroom.aside import AsideShelf
from mailroom.operator import Operator, Shelf, event_of, read_head
from mailroom.reroute import Reroute
from receiver import sources
from rules import event as events
from rules.event import Event
from rules.rulebook import Matching, Rule, Rulebook
from workers.drain.plan import PlanContext, plan

#: Events that are planned, of more items the first ones: each costs some tenths of a millisecond.
MOST_PLANNED = 500
#: Events that are planned in one go, in a thread: so long nothing is said about them.
PAGE = 50
#: Events that are named for each line.
SAMPLES = 3

#: sent: it waits for its turn. dead: it cannot be made. left_out: the rule says so. unknown: it takes a look-up.
Outcome = Literal["sent", "dead", "left_out", "unknown"]


@dataclass
class ForecastLine:
    """What one rule would ask for of one action, by how that ends."""

    outcome: Outcome
    destination: str
    action: str
    rule: str
    #: Why it is not sent; never with a value.
    why: str = ""
    count: int = 0
    #: Ids of some of the events.
    samples: list[str] = field(default_factory=list)


@dataclass
class Forecast:
    """What would be sent, of how many events."""

    events: int = 0
    #: Events for which the rules of today ask for nothing at all.
    nothing: int = 0
    #: Events that cannot be read: their readers have changed.
    unreadable: int = 0
    lines: list[ForecastLine] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Planned:
    """An event that would be routed."""

    event: Event
    redo: Reroute | None
    newest: Mapping[str, str]


class Forecaster:
    """Plans by one book."""

    def __init__(self, mailroom: Mailroom, book: Rulebook) -> None:
        self._mailroom = mailroom
        self._operator = Operator(mailroom)
        self._book = book
        self._context = PlanContext(mailroom.hash, serves=lambda _: False, free=lambda: 0)

    async def forecast(self, order: JobOrder, items: Sequence[str]) -> Forecast:
        """Return what would be sent for the first of these items. Raises StoreUnavailable."""
        await self._mailroom.prepare()  # The hash key, where the store keeps it.
        found = Forecast()
        lines: dict[tuple[str, ...], ForecastLine] = {}
        page: list[_Planned] = []
        async for planned in self._read(order, items[:MOST_PLANNED], found):
            page.append(planned)
            if len(page) == PAGE:
                await asyncio.to_thread(self._plan, page, found, lines)
                page = []
        await asyncio.to_thread(self._plan, page, found, lines)
        found.lines = sorted(lines.values(), key=lambda one: (one.outcome != "sent", -one.count, one.destination))
        return found

    async def _read(self, order: JobOrder, items: Sequence[str], found: Forecast) -> AsyncIterator[_Planned]:
        match order.where:
            case "dead":
                places: dict[str, list[str]] = defaultdict(list)
                for item in items:
                    if (place := await self._operator.failed_place(item)) is not None:
                        places[event_of(item)].append(place)
                for event, failed in places.items():
                    # Where the event itself is dead all of it is done once more.
                    redo = None if "" in failed else reroute.collect(1, failed)
                    async for planned in self._read_record(event, redo, found):
                        yield planned
            case "events":
                redo = reroute.collect(1, [reroute.written(rule.name, ()) for rule in self._book.rules])
                for item in items:
                    async for planned in self._read_record(item, redo, found):
                        yield planned
            case "quarantine" | "unmatched" | "refused" as shelf:
                async for planned in self._read_aside(shelf, items, found):
                    yield planned

    async def _read_record(self, name: str, redo: Reroute | None, found: Forecast) -> AsyncIterator[_Planned]:
        record = await self._mailroom.record(name)
        if record is None:
            return
        try:
            event = events.decode(name, record, sources.read)
        except Exception:  # whatever an adapter says of a body that it does not understand any more
            found.unreadable += 1
            return
        yield _Planned(event, redo, await self._find_newest(event, read_head(record).get("also", ())))

    async def _read_aside(self, shelf: Shelf, items: Sequence[str], found: Forecast) -> AsyncIterator[_Planned]:
        door = LateIntake(self._operator, AsideShelf(self._operator, shelf), self._book)
        for item in items:
            try:
                read = await door.read(item)
            except Exception:  # as above
                found.unreadable += 1
                continue
            for event in read:
                yield _Planned(event, None, await self._find_newest(event, ()))

    async def _find_newest(self, event: Event, also: Iterable[str]) -> Mapping[str, str]:
        types = sorted(self._book.guards)
        if not types or not event.order_key:
            return {}
        return await self._mailroom.newest([self._mailroom.hash(event.order_key), *also], types)

    def _plan(self, page: Sequence[_Planned], found: Forecast, lines: dict[tuple[str, ...], ForecastLine]) -> None:
        for one in page:
            found.events += 1
            matching = self._book.match(one.event)
            if one.redo is not None:
                matching = one.redo.narrow(matching)
            asking = [rule for rule in matching.fired if rule.first_look_ups]
            before = sum(line.count for line in lines.values())
            self._add_plan(one, matching, asking, lines)
            for rule in asking:
                why = f"it looks up {', '.join(each.name for each in rule.first_look_ups)}"
                for step in rule.then:
                    _add(lines, one.event.id, "unknown", *step.written.partition(".")[::2], rule.name, why)
            found.nothing += before == sum(line.count for line in lines.values())

    def _add_plan(
        self, one: _Planned, matching: Matching, asking: Sequence[Rule], lines: dict[tuple[str, ...], ForecastLine]
    ) -> None:
        rest = matching.without(asking)
        made = plan(one.event, rest, {}, one.redo, self._book, self._context, one.newest)
        for id, destination, action, rule in made.made:
            info = made.failed.get(id)
            outcome: Outcome = "sent" if info is None else "dead"
            _add(lines, one.event.id, outcome, destination, action, rule, "" if info is None else info.why)
        for destination, action, rule, _, why in made.skipped:
            _add(lines, one.event.id, "left_out", destination, action, rule, why)


def _add(
    lines: dict[tuple[str, ...], ForecastLine],
    event: str,
    outcome: Outcome,
    destination: str,
    action: str,
    rule: str,
    why: str,
) -> None:
    its = (outcome, destination, action, rule, why)
    line = lines.setdefault(its, ForecastLine(*its))
    line.count += 1
    if len(line.samples) < SAMPLES:
        line.samples.append(event)
