"""Forgets a person: finds what is kept of whom keyed hashes stand for, erases it, and leaves a receipt without values.

Comes in: a mailroom, keyed hashes, and what was typed where somebody has typed it. Goes out: how much of what was found
and erased, what is under way and has to settle first, and receipts. Erases only what was received until the moment that
a receipt names: what comes later is new. Never keeps or tells whom it is about.
"""

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mailroom import ledger
from mailroom.functions import Mailroom
from mailroom.keys import NO_POOL
from mailroom.ledger import NOBODY, Decision
from mailroom.operator import read_head, today
from mailroom.sentences import Sentence, say
from rules import addresses
from rules.event_types.base import from_epoch, to_epoch

#: Keys that are looked at in one go, payloads that are read at once, events that one call erases.
PAGE, RECORDS, EVENTS = 1_000, 20, 50
#: Seconds between two looks at what is under way.
AGAIN = 0.25
#: Seconds after which what a receiver had in its hands when it began is in the store, or in its spool.
IN_HANDS = 1.0
#: What may be counted, in the order in which people read it, and what they call it.
KINDS: Mapping[str, Sentence] = {
    "payloads": say("erased_payloads"),
    "waiting": say("erased_waiting"),
    "held": say("erased_held"),
    "dead": say("erased_dead"),
    "quarantined": say("erased_quarantined"),
    "refused": say("erased_refused"),
    "spooled": say("erased_spooled"),
    "marks": say("erased_marks"),
    "id_map": say("erased_id_map"),
    "links": say("erased_links"),
}
#: What became of the files of the store, by the word of a receipt.
REWRITTEN: Mapping[str, Sentence] = {
    "done": say("files_done"),
    "asked": say("files_asked"),
    "off": say("files_off"),
    "refused": say("files_refused"),
    "none": say("files_none"),
}
#: What became of the person at a destination, by the word of a receipt.
ENDED: Mapping[str, Sentence] = {
    "deleted": say("deleted_there"),
    "not_there": say("not_there"),
    "no_secret": say("not_deleted_secret"),
}
DAY = 86_400_000

_WHO = re.compile(rb'"who":\["([^\]]*)"\]')
_RECEIVED = re.compile(rb'"received": ?"([^"]*)"')


@dataclass(frozen=True)
class Person:
    """Who is to be forgotten."""

    #: Of the identities by which the person is known.
    hashes: frozenset[str]
    #: What was typed: bodies that nobody could read are searched for it, too.
    text: str = field(default="", repr=False)


class PersonSearch:
    """Tells whether something is about a person, or mentions them."""

    def __init__(self, hashed: Callable[[str], str], person: Person) -> None:
        self._hashed = hashed
        self._person = person
        text = person.text.strip()
        found = rf"(?<![\w.+-]){re.escape(text)}(?!\w)" if len(text) >= 6 else ""
        self._pattern = re.compile(found, re.IGNORECASE) if found else None

    def is_among(self, identities: Iterable[str]) -> bool:
        """Say whether one of these identities, in clear, is the person's."""
        return any(self._hashed(each) in self._person.hashes for each in identities)

    def is_about(self, head: Mapping[str, Any]) -> bool:
        """Say whether an event is about the person, by the head of its record."""
        known = {*head.get("also", ()), *head.get("who", ())}
        if key := head.get("key"):
            known.add(self._hashed(key))
        if sender := head.get("sender"):
            known.add(self._hashed(f"sender:{sender}"))
        return not self._person.hashes.isdisjoint(known)

    def is_mentioned(self, body: bytes) -> bool:
        """Say whether a body mentions the person, however it is written."""
        text = body.decode(errors="replace")
        if self._pattern is not None and self._pattern.search(text):
            return True
        return self.is_among(addresses.find_mentioned(text))


@dataclass
class _Event:
    """An event that is to be erased, and where things of it stand."""

    box: str
    day: str
    #: Days whose page of the ledger names whom it is about. The store may show anything twice.
    days: dict[str, None] = field(default_factory=dict)
    #: Room, home and id of its deliveries.
    deliveries: dict[tuple[str, str, str], None] = field(default_factory=dict)


@dataclass
class Traces:
    """What was found of a person in the store."""

    events: dict[str, _Event] = field(default_factory=dict)
    #: Events that are about others, as far as anybody knows, and mention the person.
    mentions: set[str] = field(default_factory=set)
    refused: list[bytes] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    #: The same that are fields of hashes.
    fields: list[tuple[str, bytes]] = field(default_factory=list)
    #: Destinations whose id map knows the person, once for each name.
    rooms: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ForgetReceipt:
    """The proof: that somebody was forgotten, when, by whom, and how much went. It says not who."""

    id: str
    #: What was received until then is gone; RFC 3339.
    at: str
    by: str
    why: str
    #: Until when backups may hold what is gone here. So long it knows the hashes, to forget once more after a restore.
    until: str
    hashes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    #: Items that a worker had in its hands at the end: when they have settled, forget once more.
    under_way: int = 0
    #: Receivers that had not said yet that their spool is clean. They do it before they hand anything over.
    silent: int = 0
    #: Of the store's file: done, asked, off, refused, none.
    rewrite: str = ""
    #: Destination where the person was to be deleted, too -> deleted, not_there, or why not.
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    def aged(self, now: str) -> "ForgetReceipt":
        """Return what is kept of it at a time: beyond the life of backups it knows no hashes."""
        return self if now < self.until else replace(self, hashes=())


def read_receipt(text: str | bytes) -> ForgetReceipt:
    """Return the receipt that `encode` wrote. Raises ValueError, TypeError, KeyError."""
    told = json.loads(text)
    return ForgetReceipt(
        str(told["id"]),
        str(told["at"]),
        str(told["by"]),
        str(told["why"]),
        str(told["until"]),
        tuple(told["hashes"]),
        dict(told["counts"]),
        int(told["under_way"]),
        int(told["silent"]),
        str(told["rewrite"]),
        dict(told.get("elsewhere", {})),
    )


def say_end(word: str) -> Sentence:
    """Say what became of the person at a destination; `word` as the receipt has it, a code of failures among them."""
    return ENDED.get(word) or say("not_deleted", code=word)


def new_id() -> str:
    """Return an id for a receipt."""
    return secrets.token_hex(6)


class Forgetting:
    """Forgets persons at one mailroom."""

    def __init__(self, mailroom: Mailroom, decision: Decision = NOBODY) -> None:
        """`decision`: who lets somebody be forgotten, and why, without a value of theirs."""
        self._mailroom = mailroom
        self._decision = decision
        self._store: Any = mailroom.store
        self._key = mailroom.key("forgotten")

    # -- what is there

    async def find(self, person: Person, until: str = "9999", *, mentions: bool = False) -> Traces:
        """Return what is kept of a person and was received until a time. Reads all that waits and all of the ledger.

        `mentions`: what is about others and mentions the person counts as well.
        """
        await self._mailroom.prepare()
        search, found, pages = PersonSearch(self._mailroom.hash, person), Traces(), []
        async for names in self._scan():
            await self._look_at_records(names, search, until, found)
            pages += [name.decode() for name in names if name.startswith(b"ledger:")]
        for page in sorted(pages):
            async for event, lines in self._page(page):
                if any(each.encode() in lines for each in person.hashes):
                    self._look_at_lines(event.decode(), page.partition(":")[2], lines, person, until, found)
        await self._look_at_refused(search, until, found)
        found.mentions -= found.events.keys()
        for id in found.mentions if mentions else ():
            self._add(found, id, read_head(await self._mailroom.record(id)))
        async for names in self._scan():
            await self._look_at_deliveries(names, found)
            await self._look_at_marks(names, person, found)
        return found

    async def _scan(self) -> AsyncIterator[list[bytes]]:
        cursor, prefix = 0, self._mailroom.key("")
        while True:
            cursor, names = await self._read(self._store.scan(cursor, match=f"{prefix}*", count=PAGE))
            yield [name[len(prefix) :] for name in names]
            if cursor == 0:
                return

    async def _page(self, name: str, match: str | None = None) -> AsyncIterator[tuple[bytes, bytes]]:
        cursor = 0
        while True:
            asked = self._store.hscan(self._mailroom.key(name), cursor, match=match, count=PAGE)
            cursor, fields = await self._read(asked)
            for each in fields.items():
                yield each
            if cursor == 0:
                return

    async def _values(self, names: Sequence[bytes]) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what stands under keys, of those that are still there."""
        for first in range(0, len(names), RECORDS):
            some = names[first : first + RECORDS]
            keys = [self._mailroom.key(name.decode()) for name in some]
            for name, value in zip(some, await self._read(self._store.mget(keys)), strict=True):
                if value is not None:
                    yield name.decode(), value

    async def _look_at_records(self, names: list[bytes], search: PersonSearch, until: str, found: Traces) -> None:
        records = [name for name in names if name.startswith(b"e:")]
        aside: set[str] = set()
        if records:
            ids = [name[2:].decode() for name in records]
            scores = await self._read(self._store.zmscore(self._mailroom.key("quarantine"), ids))
            aside = {id for id, score in zip(ids, scores, strict=True) if score is not None}
        async for name, record in self._values(records):
            id, head = name[2:], read_head(record)
            if head.get("at", "") > until:
                continue
            mentioned = not search.is_about(head) and search.is_mentioned(record.partition(b"\n")[2])
            if mentioned and id not in aside and head:
                found.mentions.add(id)
            elif mentioned or search.is_about(head):
                self._add(found, id, head)
        async for name, record in self._values([name for name in names if name.startswith(b"d:")]):
            if search.is_mentioned(record):
                found.mentions.add(name[2:].partition(".")[0])

    def _add(self, found: Traces, id: str, head: Mapping[str, Any]) -> None:
        found.events[id] = _Event(self._mailroom.hash(head.get("key") or id), str(head.get("at", today()))[:10])

    def _look_at_lines(self, id: str, day: str, lines: bytes, person: Person, until: str, found: Traces) -> None:
        who = {each for told in _WHO.findall(lines) for each in told.decode().split('","')}
        received = _RECEIVED.search(lines)
        if person.hashes.isdisjoint(who) or (received and received[1].decode() > until):
            return
        event = found.events.setdefault(
            id, _Event(self._mailroom.hash(id), received[1].decode()[:10] if received else day)
        )
        event.days[day] = None

    async def _look_at_refused(self, search: PersonSearch, until: str, found: Traces) -> None:
        last, before = b"-", str(to_epoch(until)) if until != "9999" else "+"
        while page := await self._read(
            self._store.xrange(self._mailroom.key("refused"), min=last, max=before, count=RECORDS)
        ):
            for id, said in page:
                if any(search.is_mentioned(said.get(name, b"")) for name in (b"body", b"headers", b"name")):
                    found.refused.append(id)
            last = b"(" + page[-1][0]

    async def _look_at_deliveries(self, names: list[bytes], found: Traces) -> None:
        records = [name for name in names if name.startswith(b"d:") and _event(name[2:]) in found.events]
        async for name, record in self._values(records):
            told = json.loads(record)
            found.events[_event(name[2:])].deliveries[told.get("to", ""), told.get("box", ""), name[2:]] = None

    async def _look_at_marks(self, names: list[bytes], person: Person, found: Traces) -> None:
        for name in names:
            kind, _, rest = name.decode().partition(":")
            place, _, its = rest.rpartition(":")
            if kind == "m" and its in person.hashes:
                found.rooms.append(place)
            elif kind == "echo" and its in person.hashes:
                found.marks.append(name)
            elif kind == "newest":
                for each in person.hashes:
                    found.fields += [(name.decode(), field) async for field, _ in self._page(name.decode(), f"{each}*")]
        of_events = [name for name in names if name.startswith((b"once:", b"co:", b"echoed:"))]
        async for key, value in self._values(of_events):
            if _event(value.partition(b" ")[0]) in found.events:
                found.marks.append(key.encode())

    # -- erasing

    async def erase(self, person: Person, found: Traces, *, really: bool = True) -> Counter[str]:
        """Erase what was found, or only count it; `under_way` is what drains hold, and stays. Safe to repeat."""
        counts: Counter[str] = Counter()
        events = list(found.events.items())
        for first in range(0, len(events), EVENTS):
            some = events[first : first + EVENTS]
            args: list[Any] = [1 if really else 0]
            for id, event in some:
                args += (id, event.box, event.day, ledger.forgotten(id, self._decision))
                args += (len(event.days), *event.days, len(event.deliveries))
                for delivery in event.deliveries:
                    args += delivery
            said = await self._mailroom.call("forget", *args)
            for n, (_, event) in enumerate(some):
                busy, payload, waiting, held, dead, aside = said[6 * n : 6 * n + 6]
                counts.update(under_way=busy, waiting=waiting, held=held, dead=dead)
                if not busy:
                    counts.update(payloads=payload, quarantined=aside, links=1 if event.days else 0)
        counts["id_map"] = len(found.rooms)
        for room in sorted(set(found.rooms)) if really else ():
            await self._mailroom.forget_names(room, sorted(person.hashes))
        counts["refused"] = len(found.refused)
        counts["marks"] = len(found.marks) + len(found.fields)
        if really:
            await self._erase_marks(found)
        return counts

    async def _erase_marks(self, found: Traces) -> None:
        pipe = self._store.pipeline(transaction=False)
        if found.refused:
            pipe.xdel(self._mailroom.key("refused"), *found.refused)
        for name in found.marks:
            pipe.delete(self._mailroom.key(name.decode()))
        for page, its in found.fields:
            pipe.hdel(self._mailroom.key(page), its)
        await self._read(pipe.execute())

    async def forget(
        self, person: Person, keep_days: int, *, within: float, mentions: bool = False, receipt_id: str = ""
    ) -> ForgetReceipt:
        """Forget a person; return the receipt, which stands in the store. Raises StoreUnavailable; then call it again.

        `keep_days`: how long backups live. `within`: seconds that what is under way may take to settle. `mentions`:
        erase also what is about others and mentions the person.
        """
        await self._mailroom.prepare()
        now = await self._mailroom.now()
        receipt = ForgetReceipt(
            receipt_id or new_id(),
            from_epoch(now),
            self._decision.by,
            self._decision.why,
            from_epoch(now + keep_days * DAY),
            tuple(sorted(person.hashes)),
        )
        await self.keep(receipt)  # First: receivers act on it, and whoever is interrupted can go on.
        return await self.carry_out(receipt, person, within=within, mentions=mentions)

    async def carry_out(
        self, receipt: ForgetReceipt, person: Person, *, within: float = 0.0, mentions: bool = False
    ) -> ForgetReceipt:
        """Erase what was received until the moment of a receipt; return it with what went. Safe to repeat."""
        loop = asyncio.get_running_loop()
        began, counts, busy, done = loop.time(), Counter[str](), 1, False
        while not done:
            # Once more when what receivers had in their hands or in their spools has come in.
            now = loop.time()
            passed, silent = now - began, await self._list_silent(receipt)
            done = passed >= within or (not busy and not silent and passed >= IN_HANDS)
            found = await self.find(person, receipt.at, mentions=mentions)
            went = await self.erase(person, found)
            busy = went.pop("under_way", 0)
            counts += went
            if not done:
                await asyncio.sleep(min(max(AGAIN, loop.time() - now), within))
        counts["spooled"] = sum((await self.reports(receipt)).values())
        told = {kind: counts[kind] for kind in KINDS}
        kept = replace(receipt, counts=told, under_way=busy, silent=len(silent))
        await self.keep(kept)
        return kept

    async def _list_silent(self, receipt: ForgetReceipt) -> list[str]:
        """Return the receivers that live and have not said that their spool is clean."""
        living = [name for name, (pool, _, _) in (await self._mailroom.processes()).items() if pool == NO_POOL]
        said = await self.reports(receipt)
        return [name for name in living if name not in said]

    # -- receipts

    async def keep(self, receipt: ForgetReceipt) -> None:
        """Write a receipt into the store, in place of one of the same id."""
        await self._read(self._store.hset(self._key, receipt.id, receipt.encode()))

    async def receipts(self) -> list[ForgetReceipt]:
        """Return the receipts, the newest first. Those that are older than backups lose their hashes here."""
        now, found = from_epoch(await self._mailroom.now()), []
        fields = await self._read(self._store.hgetall(self._key))
        for receipt in map(read_receipt, fields.values()):
            aged = receipt.aged(now)
            if aged != receipt:
                await self.keep(aged)
            found.append(aged)
        return sorted(found, key=lambda each: each.at, reverse=True)

    async def reports(self, receipt: ForgetReceipt) -> dict[str, int]:
        """Return process -> rows that went from its spool, of those receivers that have looked."""
        found = await self._read(self._store.hgetall(self._mailroom.key(f"forgot:{receipt.id}")))
        return {name.decode(): int(rows) for name, rows in found.items()}

    async def _read(self, asked: Any) -> Any:
        return await self._mailroom.read(asked)


def _event(item: str | bytes) -> str:
    return (item.decode() if isinstance(item, bytes) else item).partition(".")[0]
