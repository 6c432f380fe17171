"""What people do about dead letters, held boxes and paused rooms: one method per verb, and what they look at first.

Comes in: a mailroom, and what a person chose. Goes out: how each ended, in one word. Never decides by itself, and shows
no value of anybody: payloads stay where they are.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from mailroom import ledger, reroute
from mailroom.functions import Mailroom
from mailroom.keys import INBOX
from mailroom.ledger import NOBODY, Decision
from mailroom.records import DeadLetterInfo, RefusedDetails

#: Dead letters that are read in one go.
PAGE = 500
#: Bytes of an event's record in which source, type and the time of its reception stand.
HEAD = 4096
#: Items of a held box that are shown.
SHOWN = 20

#: How a retry ended. done: it waits to be sent. gone: it is no dead letter any more. never_made: its rule could not
#: be carried out, so there is nothing to send as it was. overtaken: something newer was sent to its object. erased: the
#: payload is no more. follows_another: it came of `next:`, which an event alone does not bring about. busy: ask again.
Retried = Literal["done", "gone", "never_made", "overtaken", "erased", "follows_another", "busy"]


#: How a cancellation ended. under_way: a drain has it, it may have been sent, or a person is asked about it.
Cancelled = Literal["done", "gone", "under_way"]

#: How a replay ended. unsettled: something of the event still waits or is dead. aside: it lies in quarantine, or where
#: no rule wanted it, and is taken in from there.
Replayed = Literal["done", "erased", "unsettled", "aside", "overtaken"]

#: Where things lie: in the names of the store's keys.
Shelf = Literal["quarantine", "unmatched", "refused"]
#: The place of a dead letter that came of `next:`.
FOLLOWS = "next"
#: Asks for what has none: a dead letter of no rule.
NONE = "-"


@dataclass(frozen=True)
class Selection:
    """What is meant of what is dead, held or aside; what is empty leaves nothing out, `NONE` asks for what has none."""

    destination: str = ""
    action: str = ""
    rule: str = ""
    code: str = ""
    source: str = ""
    type: str = ""
    event: str = ""
    #: Died or held at this time or later, ms.
    since: int = 0
    ids: frozenset[str] = frozenset()

    def fits(self, one: "DeadLetterView | HeldBox | AsideView") -> bool:
        """Say whether it is meant."""
        wanted = (
            (self.destination, one.destination),
            (self.action, one.action),
            (self.rule, one.rule),
            (self.code, one.code),
            (self.source, one.source),
            (self.type, one.type),
            (self.event, one.event),
        )
        # An event's id means all of its dead letters.
        if one.at < self.since or (self.ids and self.ids.isdisjoint((one.id, one.event))):
            return False
        return all(not want or ("" if want == NONE else want) == has for want, has in wanted)


@dataclass(frozen=True)
class DeadLetterView:
    """A dead letter: an item that nobody will try again by itself."""

    id: str
    #: When it died, ms.
    at: int
    #: `in` where the event itself could not be routed.
    destination: str
    action: str
    rule: str
    code: str
    why: str
    status: int
    event: str
    source: str
    type: str
    #: The event's reception, and its place in its batch: retries go in this order.
    received: str
    position: int
    info: dict[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class HeldBox:
    """A box that waits for a person."""

    destination: str
    box: str
    #: When it was held, ms.
    at: int
    code: str
    why: str
    #: The first item: what the person decides about.
    item: str
    event: str
    action: str
    rule: str
    source: str
    type: str
    #: How many wait in it, the first included, and the first of them.
    waiting: int
    items: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What people call it."""
        return f"{self.destination}/{self.box}"


@dataclass(frozen=True)
class AsideView:
    """Something that lies aside."""

    id: str
    shelf: Shelf
    #: When it was laid there (unmatched: when it was received), ms.
    at: int
    source: str
    type: str
    #: One word or the path of a field, and a sentence.
    code: str
    why: str
    received: str
    position: int
    details: RefusedDetails = field(default_factory=RefusedDetails)
    #: What a Selection may ask for, and what nothing here has.
    destination: str = ""
    action: str = ""
    rule: str = ""

    @property
    def event(self) -> str:
        """Return what a Selection calls an event."""
        return self.id


class Operator:
    """The verbs of people at one mailroom."""

    def __init__(self, mailroom: Mailroom, decision: Decision = NOBODY) -> None:
        """`decision`: who acts, and why; each verb writes it down."""
        self.mailroom = mailroom
        self.decision = decision
        self.key = mailroom.key
        self.store: Any = mailroom.store

    # -- dead letters

    async def dead(self, chosen: Selection, *, dropped: bool = False) -> list[DeadLetterView]:
        """Return dead letters in the order in which they are to be retried: as their events were received.

        `dropped`: those that were given up and can be had back; `at` is when that was.
        """
        found = [letter async for letter in self._letters("dropped" if dropped else "dead") if chosen.fits(letter)]
        return sorted(found, key=lambda letter: (letter.received, letter.position, letter.id))

    async def letter(self, item: str, *, dropped: bool = False) -> DeadLetterView | None:
        """Return one dead letter; `dropped`: one that was given up and can be had back."""
        at = await self.mailroom.read(self.store.zscore(self.key("dropped" if dropped else "dead"), item))
        return None if at is None else (await self._described([(item, int(at))]))[0]

    async def whys(self, items: Sequence[str]) -> list[str]:
        """Return why dead letters died, a sentence each; empty where it is none any more."""
        infos = await self.mailroom.read(self.store.hmget(self.key("deadinfo"), items)) if items else []
        return [json.loads(info or b"{}").get("why", "") for info in infos]

    async def _letters(self, place: str) -> AsyncIterator[DeadLetterView]:
        cursor = 0
        while True:
            cursor, page = await self.mailroom.read(self.store.zscan(self.key(place), cursor, count=PAGE))
            for letter in await self._described([(item.decode(), int(at)) for item, at in page]):
                yield letter
            if cursor == 0:
                return

    async def _described(self, page: Sequence[tuple[str, int]]) -> list[DeadLetterView]:
        pipe = self.store.pipeline(transaction=False)
        for item, _ in page:
            pipe.hget(self.key("deadinfo"), item)
            pipe.getrange(self.key(f"e:{event_of(item)}"), 0, HEAD)
        answers = await self.mailroom.read(pipe.execute()) if page else []
        out = []
        for n, (item, at) in enumerate(page):
            info = json.loads(answers[2 * n] or b"{}")
            head = read_head(answers[2 * n + 1])
            out.append(
                DeadLetterView(
                    item,
                    at,
                    info.get("room", ""),
                    info.get("action", ""),
                    info.get("rule", ""),
                    info.get("code", ""),
                    info.get("why", ""),
                    info.get("status", 0),
                    event_of(item),
                    head.get("source", ""),
                    head.get("type", ""),
                    head.get("at", ""),
                    head.get("pos", 0),
                    info,
                )
            )
        return out

    async def retry(self, item: str, *, even_if_older: bool = False, dry: bool = False) -> Retried:
        """Send a dead letter once more as it was, after what waits for its object. `dry`: say only how it would end."""
        line = ledger.revived(item, self.decision)
        return await self._verb("revive", item, 1 if even_if_older else 0, "default", today(), line, *_dry(dry))

    async def retry_today(self, item: str, *, even_if_older: bool = False, dry: bool = False) -> Retried:
        """Let the rules of today decide once more about what had failed, and about nothing else of the event.

        `dry`: only say what would happen.
        """
        event = event_of(item)
        record = await self.mailroom.record(event)
        if record is None:
            return "erased" if await self.letter(item) else "gone"
        what = await self.failed_place(item)
        if what is None:
            return "gone"
        if what == FOLLOWS:
            return "follows_another"
        await self.mailroom.prepare()  # The hash key, where the store keeps it.
        box = self.mailroom.hash(read_head(record).get("key") or event)
        line = ledger.again(item, self.decision)
        return await self._verb(
            "again", item, 1 if even_if_older else 0, "default", today(), line, box, what, *_dry(dry)
        )

    async def failed_place(self, item: str) -> str | None:
        """Return the place of a rule that had failed; empty: the event itself, None: it is no dead letter any more."""
        if item == event_of(item):
            return ""
        kept = await self.mailroom.read(self.store.get(self.key(f"d:{item}")))
        if kept is None:
            return None
        delivery = json.loads(kept)
        follows = len(delivery["path"]) > 1 or delivery["action"] == "next"
        return FOLLOWS if follows else reroute.written(delivery["rule"], delivery["path"])

    async def drop(self, item: str, *, undoable: bool = False) -> bool:
        """Give a dead letter up. False: it is none any more. `undoable`: for ten minutes it can be had back."""
        line = ledger.dropped(item, self.decision)
        return bool(await self.mailroom.call("drop", item, today(), line, *(["undoable"] if undoable else ())))

    async def undrop(self, item: str) -> bool:
        """Take back that a dead letter was given up. False: it was not, or that is longer ago than ten minutes."""
        return bool(await self.mailroom.call("undrop", item, today(), ledger.undropped(item, self.decision)))

    async def _verb(self, name: str, *args: Any) -> Retried:
        return cast(Retried, (await self.mailroom.call(name, *args)).decode())

    # -- what waits, and what has ended well

    async def cancel(self, room: str, item: str, *, dry: bool = False) -> Cancelled:
        """Give up a delivery that waits, unsent; `dry`: only say how that would end."""
        record = await self.mailroom.read(self.store.get(self.key(f"d:{item}")))
        if record is None:
            return "gone"
        box = json.loads(record).get("box", "")
        line = ledger.dropped(item, self.decision)
        args = (room, box, item, "default", today(), line, "dry" if dry else "")
        return cast(Cancelled, (await self.mailroom.call("cancel", *args)).decode())

    async def replay(
        self, event: str, rules: Sequence[str], *, even_if_older: bool = False, dry: bool = False
    ) -> Replayed:
        """Route an event once more whose payload is kept although it has ended. `rules`: all of the book in force."""
        record = await self.mailroom.record(event)
        if record is None:
            return "erased"
        await self.mailroom.prepare()  # The hash key, where the store keeps it.
        box = self.mailroom.hash(read_head(record).get("key") or event)
        places = [reroute.written(rule, ()) for rule in rules]
        older, line = 1 if even_if_older else 0, ledger.again(event, self.decision)
        answer = await self.mailroom.call(
            "replay", event, older, "default", today(), line, box, "dry" if dry else "", *places
        )
        return cast(Replayed, answer.decode())

    # -- held boxes

    async def held(self, chosen: Selection) -> list[HeldBox]:
        """Return the held boxes, the oldest first."""
        rooms = await self.mailroom.read(self.store.smembers(self.key("rooms")))
        found: list[HeldBox] = []
        for room in sorted(name.decode() for name in rooms):
            whys = await self.mailroom.held(room)
            found += [held for held in await self._boxes(room, whys) if chosen.fits(held)]
        return sorted(found, key=lambda held: (held.at, held.destination, held.box))

    async def box(self, room: str, box: str) -> HeldBox | None:
        """Return one held box with its first items."""
        why = await self.mailroom.read(self.store.hget(self.key(f"held:{room}"), box))
        return None if why is None else (await self._boxes(room, {box: json.loads(why)}))[0]

    async def _boxes(self, room: str, whys: dict[str, dict[str, Any]]) -> list[HeldBox]:
        pipe = self.store.pipeline(transaction=False)
        for box in whys:
            pipe.lrange(self.key(f"b:{room}:{box}"), 1, SHOWN)
            pipe.llen(self.key(f"b:{room}:{box}"))
        answers = await self.mailroom.read(pipe.execute()) if whys else []
        # Marks among them are deliveries with another home, which wait for these.
        items = [[item.decode() for item in page if not item.startswith(b"=")] for page in answers[::2]]
        pipe = self.store.pipeline(transaction=False)
        for page in items:
            first = page[0] if page else ""
            pipe.get(self.key(f"d:{first}"))
            pipe.getrange(self.key(f"e:{event_of(first)}"), 0, HEAD)
        records = await self.mailroom.read(pipe.execute()) if whys else []
        out = []
        for n, (box, why) in enumerate(whys.items()):
            # Poison was held by the mailroom itself, which knows no more than the box.
            delivery = json.loads(records[2 * n] or b"{}")
            head = read_head(records[2 * n + 1])
            first = items[n][0] if items[n] else ""
            out.append(
                HeldBox(
                    room,
                    box,
                    why.get("at", 0),
                    why.get("code", ""),
                    why.get("why", ""),
                    first,
                    event_of(first),
                    delivery.get("action", ""),
                    delivery.get("rule", ""),
                    head.get("source", ""),
                    head.get("type", ""),
                    max(0, answers[2 * n + 1] - 1),
                    tuple(items[n]),
                )
            )
        return out

    async def release(self, room: str, box: str, *, not_sent: bool = False) -> bool:
        """Let a held box go on. `not_sent`: the person has looked, and the first item did not arrive."""
        held = await self.box(room, box)
        if held is None:
            return False
        flag, line = 1 if not_sent else 0, ledger.released(held.item, self.decision)
        return bool(await self.mailroom.call("unhold", room, box, "default", flag, today(), line))

    async def skip(self, room: str, box: str, item: str, *, drop: bool = False) -> bool:
        """Let a held box go on without its first item, which becomes a dead letter, or is dropped.

        `item`: the one that the person saw; where another is the first meanwhile, nothing happens.
        """
        held = await self.box(room, box)
        if held is None or held.item != item:
            return False
        info = DeadLetterInfo(
            room,
            held.event,
            held.code,
            held.why,
            box=box,
            delivery=item,
            action=held.action,
            rule=held.rule,
            at=held.at,
        )
        line = ledger.skipped(item, self.decision, code=held.code, then="dropped" if drop else "dead")
        about = "" if drop else info.encode()
        return bool(await self.mailroom.call("skip", room, box, item, about, "default", today(), line))

    # -- rooms

    async def pause(self, room: str, why: str, until: int = 0) -> bool:
        """Stop sending to a destination until a person resumes it, or until then (ms). False: it was paused before."""
        return await self.mailroom.pause(room, why, self.decision.by, until)

    async def resume(self, room: str) -> bool:
        """Let a paused destination go on, whoever paused it. False: it was not paused."""
        return await self.mailroom.resume(room)

    async def knows(self, room: str) -> bool:
        """Say whether there is a room of this name: something waited in it, or the book has set its limits."""
        known = await self.mailroom.read(self.store.sismember(self.key("rooms"), room))
        return (
            room == INBOX or bool(known) or bool(await self.mailroom.read(self.store.exists(self.key(f"room:{room}"))))
        )


def _dry(dry: bool) -> list[str]:
    return ["dry"] if dry else []


def event_of(item: str) -> str:
    """Return the event of an item."""
    return item.partition(".")[0]


def read_head(record: bytes | None) -> dict[str, Any]:
    """Return the head of a record, as far as a part of it tells."""
    line = (record or b"").split(b"\n", 1)[0]
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def today() -> str:
    """Return the day of now: the page of the ledger for what has none of its own."""
    return datetime.now(UTC).date().isoformat()
