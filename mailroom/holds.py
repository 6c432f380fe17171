"""Sources that a person holds: what comes of them is taken and kept in its order, and not routed.

Comes in: a mailroom, and what a person decides. Goes out: which sources are held, what waits of one without a value of
anybody, and how each decision ended, in one word. Never lets an event pass another of its person.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from mailroom import ledger
from mailroom.functions import Mailroom
from mailroom.ledger import NOBODY, Decision
from mailroom.operator import HEAD, read_head, today

#: Boxes that are read in one go.
PAGE = 500

#: How a decision about an event ended. gone: it waits no more, or its source is not held. busy: it is being routed.
HoldDecided = Literal["done", "gone", "busy"]


@dataclass(frozen=True, slots=True)
class SourceHold:
    """That a source is held, since when and why."""

    source: str
    #: When it ends by itself, ms; 0: when a person releases it.
    until: int
    at: int
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event of a held source that waits."""

    id: str
    type: str
    received: str
    #: Its number among all events that the store took: they are routed in this order.
    number: int
    #: Held events that stand before it in a box of its person: it waits for these, whatever is decided about it.
    behind: tuple[str, ...]

    def fits(self, kind: str, before: int, ids: Collection[str]) -> bool:
        """Say whether it is meant: of a type, received before a time (ms), one of some. What is empty means all."""
        received = datetime.fromisoformat(self.received).timestamp() * 1000
        return (not kind or self.type == kind) and (not before or received < before) and (not ids or self.id in ids)


class SourceHolds:
    """What is held at one mailroom."""

    def __init__(self, mailroom: Mailroom, decision: Decision = NOBODY) -> None:
        """`decision`: who acts, and why; what is decided about an event says so in its story."""
        self._mailroom = mailroom
        self._decision = decision
        self._store: Any = mailroom.store

    async def all(self) -> dict[str, SourceHold]:
        """Return source -> its hold, of those that are held now. Raises StoreUnavailable."""
        text = await self._mailroom.read(self._store.hget(self._mailroom.key("room:in"), "holds"))
        if text is None:
            return {}
        now = await self._mailroom.now()
        found = {
            source: SourceHold(source, int(its["until"]), int(its["at"]), its["why"], its["by"])
            for source, its in json.loads(text).items()
        }
        return {source: hold for source, hold in found.items() if not hold.until or hold.until > now}

    async def hold(self, source: str, until: int = 0) -> bool:
        """Hold a source; `until` (ms): it ends by itself then. False: it was held before, and is held so long now."""
        said = self._decision
        return bool(await self._mailroom.call("hold_source", source, until, said.why, said.by))

    async def release(self, source: str) -> bool:
        """Let all that waits of a source be routed, in order. False: it was not held."""
        return bool(await self._mailroom.call("release_source", source, "default"))

    async def let_go(self, event: str) -> HoldDecided:
        """Let one event be routed, when it is first, though its source stays held."""
        return await self._decide("let_go", event, ledger.released(event, self._decision))

    async def discard(self, event: str) -> HoldDecided:
        """Give one event up, unrouted."""
        return await self._decide("discard", event, ledger.dropped(event, self._decision))

    async def _decide(self, verb: str, event: str, line: str) -> HoldDecided:
        record = await self._mailroom.record(event)
        if record is None:
            return "gone"
        await self._mailroom.prepare()  # The hash key, where the store keeps it.
        box = self._mailroom.hash(read_head(record).get("key") or event)
        answer = await self._mailroom.call(verb, event, box, "default", today(), line)
        return cast(HoldDecided, answer.decode())

    async def choose(
        self, source: str, kind: str = "", before: int = 0, ids: Collection[str] = (), *, with_older: bool = False
    ) -> tuple[list[HeldEvent], int]:
        """Return those events of a source that are meant, and how many stand before them and are not among them.

        `with_older`: what stands before them is meant, too. Raises StoreUnavailable.
        """
        waiting = await self.events(source)
        chosen = {one.id for one in waiting if one.fits(kind, before, ids)}
        while ahead := {other for one in waiting if one.id in chosen for other in one.behind} - chosen:
            if not with_older:
                break
            chosen |= ahead
        return [one for one in waiting if one.id in chosen], len(ahead)

    async def events(self, source: str) -> list[HeldEvent]:
        """Return the events of a source that wait in the inbox and were not let go, as they came.

        Looks through the whole inbox. Raises StoreUnavailable.
        """
        boxes = await self._boxes()
        ids = [element for elements in boxes.values() for element in elements if not element.startswith("=")]
        heads: dict[str, dict[str, Any]] = {}
        for first in range(0, len(ids), PAGE):
            page = ids[first : first + PAGE]
            pipe = self._store.pipeline(transaction=False)
            for event in page:
                pipe.getrange(self._mailroom.key(f"e:{event}"), 0, HEAD)
            heads |= dict(zip(page, map(read_head, await self._mailroom.read(pipe.execute())), strict=True))
        held = {event for event in ids if heads[event].get("source") == source and not heads[event].get("go")}
        behind: dict[str, dict[str, None]] = {event: {} for event in held}
        for elements in boxes.values():
            before: list[str] = []
            for event in (element.lstrip("=").split(" ")[0] for element in elements):
                if event in held:
                    behind[event] |= dict.fromkeys(before)
                    before.append(event)
        found = [
            HeldEvent(event, head["type"], head["at"], head.get("n", 0), tuple(behind[event]))
            for event, head in heads.items()
            if event in held
        ]
        return sorted(found, key=lambda each: each.number)

    async def _boxes(self) -> dict[str, list[str]]:
        """Return the elements of each box of the inbox."""
        found: dict[str, list[str]] = {}
        cursor = 0
        while True:
            cursor, fields = await self._mailroom.read(
                self._store.hscan(self._mailroom.key("one:in"), cursor, count=PAGE)
            )
            found |= {box.decode(): [value.decode().split("\n", 1)[1]] for box, value in fields.items()}
            if cursor == 0:
                break
        prefix = self._mailroom.key("b:in:")
        while True:
            cursor, names = await self._mailroom.read(self._store.scan(cursor, match=f"{prefix}*", count=PAGE))
            pipe = self._store.pipeline(transaction=False)
            for name in names:
                pipe.lrange(name, 1, -1)
            lists = await self._mailroom.read(pipe.execute()) if names else []
            for name, elements in zip(names, lists, strict=True):
                found[name.decode().removeprefix(prefix)] = [element.decode() for element in elements]
            if cursor == 0:
                return found
