"""What people ask of the mailroom: events and what became of them, rooms, dead letters, counters.

Comes in: ids and names. Goes out: typed records. Never changes anything.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, cast

from mailroom import ledger
from mailroom.client import MailroomClient
from mailroom.keys import INBOX
from mailroom.quotas import FIELDS, QuotaState, read_quota
from mailroom.records import BoxFault, DeadLetter, ItemPlace, RoomState

#: What the letter of a box says.
STATES = {"r": "ready", "l": "under way", "w": "waiting", "h": "held", "b": "blocked"}

#: Texts of rules that did not fire that are kept in mind; a book has as many as it has ways to miss.
MOST_MISSED = 10_000

#: Boxes that one call examines.
EXAMINED = 1000


class MailroomQueries(MailroomClient):
    """What can be seen of the mailroom of one store."""

    async def record(self, event_id: str) -> bytes | None:
        """Return an event's record while its payload is still there."""
        return cast("bytes | None", await self.read(self.store.get(self.key(f"e:{event_id}"))))

    async def fate(self, event_id: str) -> ledger.Fate | None:
        """Return what became of an event; None if nobody here ever heard of it (or its 31 days are over)."""
        return (await self.fates([event_id]))[0]

    async def fates(self, event_ids: Sequence[str]) -> list[ledger.Fate | None]:
        """Return what became of several events, in one round trip; in two, where one names what was not read before."""
        today = datetime.now(UTC).date()
        # Oldest first: lines of a story stand on the page of the day it was received, or later.
        days = [(today + timedelta(days=ahead)).isoformat() for ahead in range(-31, 2)]
        answers = await self.call("story", len(days), *days, *event_ids)
        missed = await self._read_missed(answers[1::2])
        out: list[ledger.Fate | None] = []
        for n, event_id in enumerate(event_ids):
            record, lines = answers[2 * n], answers[2 * n + 1]
            if not lines and record is None:
                out.append(None)
                continue
            story = ledger.tell(event_id, lines.decode().splitlines(), missed)
            if not story.source and record is not None:
                head = json.loads(record.split(b"\n", 1)[0])
                story.source, story.type, story.received_at = head["source"], head["type"], head["at"]
                story.who = self.list_who(head)
            out.append(story)
        return out

    async def _read_missed(self, stories: Sequence[bytes | None]) -> Mapping[str, Mapping[str, Any]]:
        """Return what is kept apart of rules that did not fire, by the names that these stories have for it."""
        found = self._missed
        wanted = {name for lines in stories if lines for name in ledger.find_missed(lines.decode())}
        if not wanted <= found.keys():
            if len(found) >= MOST_MISSED:
                found = self._missed = {}  # Whoever reads with the former one meanwhile goes on with that.
            names = list(wanted - found.keys())
            texts = await self.read(self.store.mget([self.key(f"missed:{name}") for name in names]))
            found |= {name: json.loads(text) for name, text in zip(names, texts, strict=True) if text is not None}
        return found

    def list_who(self, head: Mapping[str, Any]) -> list[str]:
        """Return the keyed hashes by which an event is found, from the head of its record: persons, and sender's id."""
        told = [*head.get("also", ()), *head.get("who", ())]
        if self._hasher is None:  # nobody asked for the key of this store yet
            return told
        if key := head.get("key"):
            told.insert(0, self.hash(key))
        return [*told, self.hash_sender_id(sender)] if (sender := head.get("sender")) else told

    def hash_sender_id(self, sender_id: str) -> str:
        """Return the keyed hash by which events are found that bear a sender's id."""
        return self.hash(f"sender:{sender_id}")

    async def read_log(
        self, cursor: str, count: int = 200, block: int = 0
    ) -> list[tuple[str, list[tuple[str, list[str]]]]]:
        """Return the entries of the log after a cursor, oldest first: what was put, ended, changed.

        `block`: ms to wait for one, if there is none yet; 0: not at all. Raises StoreUnavailable.
        """
        streams = await self.read(self.store.xread({self.key("log"): cursor}, count=count, block=block or None))
        return [
            (entry.decode(), [(what.decode(), names.decode().split()) for what, names in fields.items()])
            for _, entries in (streams.items() if isinstance(streams, dict) else streams or ())
            for entry, fields in (entries[0] if isinstance(streams, dict) else entries)
        ]

    async def log_ends(self) -> tuple[str, str]:
        """Return the ids of the oldest and the newest entry of the log; 0-0 where it is empty."""
        pipe = self.store.pipeline(transaction=False)
        pipe.xrange(self.key("log"), count=1)
        pipe.xrevrange(self.key("log"), count=1)
        first, last = await self.read(pipe.execute())
        return (first[0][0].decode(), last[0][0].decode()) if first and last else ("0-0", "0-0")

    async def ledger_page(self, day: str) -> AsyncIterator[list[str]]:
        """Yield the ids of all events that a page of the ledger (`2026-11-21`) tells of; one may come twice."""
        cursor = 0
        while True:
            cursor, fields = await self.read(self.store.hscan(self.key(f"ledger:{day}"), cursor, count=200))
            yield [id.decode() for id in fields]
            if cursor == 0:
                break

    async def kept_events(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all events whose payload is kept; one may come twice."""
        cursor, prefix = 0, self.key("e:")
        while True:
            cursor, keys = await self.read(self.store.scan(cursor, match=f"{prefix}*", count=1000))
            yield [key.decode().removeprefix(prefix) for key in keys]
            if cursor == 0:
                break

    async def tail(self) -> AsyncIterator[tuple[str, str]]:
        """Yield ("put" | "ended" | "changed", event id) as it happens, from now on."""
        cursor = "$"
        while True:
            # A blocking read shorter than the client's time-out.
            for entry, fields in await self.read_log(cursor, 500, 2000):
                cursor = entry
                for what, names in fields:
                    for name in names:
                        yield what, name

    async def rooms(self) -> list[RoomState]:
        """Return every room's state, the inbox first."""
        names = sorted((x.decode() for x in await self.read(self.store.smembers(self.key("rooms")))), key=_inbox_first)
        pipe = self.store.pipeline(transaction=False)
        ms = await self.now()
        # What begins its turn while this asks is asked for once more, so that all is of one moment. What has no class
        # may have its turn there, or not yet.
        lines: dict[str, dict[bytes, None]] = {name: {b"": None, b"!": None} for name in names}
        known = False
        while not known:
            for name in names:
                pipe.lrange(self.key(f"turns:{name}"), 0, -1)
                for line in lines[name]:
                    pipe.llen(self.key(f"ready:{name}:{line.decode()}".rstrip(":")))
                pipe.hlen(self.key(f"leased:{name}"))
                pipe.zcard(self.key(f"waiting:{name}"))
                pipe.hlen(self.key(f"held:{name}"))
                pipe.llen(self.key(f"suspect:{name}"))
                pipe.hmget(self.key(f"room:{name}"), "paused", "unusable", "probe_at", "rests", "quota")
                pipe.zrange(self.key(f"waiting:{name}"), 0, 0, withscores=True)
                pipe.hvals(self.key(f"held:{name}"))
                pipe.zcard(self.key(f"retry:{name}"))
                pipe.zrange(self.key(f"retry:{name}"), 0, 0, withscores=True)
                pipe.zcard(self.key(f"woken:{name}"))
                pipe.zcard(self.key(f"parked:{name}"))
            found = iter(await self.read(pipe.execute()))
            known, answers = True, []
            for name in names:
                turns = next(found)
                answers.append((sum(next(found) for _ in lines[name]), *islice(found, 11)))
                known = known and lines[name].keys() >= set(turns)
                lines[name].update(dict.fromkeys(turns))
        blocked = await self.call("blocked", *names) if names else []
        keys = await self._quotas({said[4].decode() for _, _, _, _, _, said, *_ in answers if said[4]})
        out = []
        for n, name in enumerate(names):
            ready, leased, waiting, held, suspect, said, first, whys, retry, again, woken, parked = answers[n]
            overdue = max((max(0, ms - int(at)) for _, at in (*first, *again)), default=0)
            held_for = max((max(0, ms - json.loads(why).get("at", ms)) for why in whys), default=0)
            paused, unusable, probe_at, rests, key = ((text or b"").decode() for text in said)
            if paused and 0 < json.loads(paused).get("until", 0) <= ms:
                paused = ""  # It is lifted as soon as something is to be sent.
            quota, key_rests = keys.get(key, (None, 0))
            out.append(
                RoomState(
                    name,
                    ready,
                    leased,
                    waiting + retry + woken + parked,
                    held,
                    suspect,
                    paused,
                    overdue,
                    held_for,
                    unusable,
                    int(probe_at or 0),
                    max(int(rests) if int(rests or 0) > ms else 0, key_rests),
                    blocked[n],
                    quota if quota is not None and (quota.rooms or not quota.name) else None,
                )
            )
        return out

    async def quotas(self) -> list[QuotaState]:
        """Return what is left of every key that has a quota and is used. Raises StoreUnavailable."""
        ids = [id.decode() for id in await self.read(cast(Any, self.store.smembers(self.key("quotas"))))]
        found = await self._quotas(ids)
        rooms = sorted({room for state, _ in found.values() if state is not None for room in state.rooms})
        pipe = self.store.pipeline(transaction=False)
        for room in rooms:
            pipe.hget(self.key(f"room:{room}"), "quota")
        used_by = dict(zip(rooms, await self.read(pipe.execute()), strict=True))
        # A key that was replaced is known for a while.
        used = [
            state
            for id, (state, _) in found.items()
            if state is not None
            and (any(used_by[room] == id.encode() for room in state.rooms) or (not state.rooms and state.ends))
        ]
        return sorted(used, key=lambda state: state.name)

    async def _quotas(self, ids: Iterable[str]) -> dict[str, tuple[QuotaState | None, int]]:
        """Return of keys (hashed) the quota, and until when they are left alone."""
        ids = list(ids)
        if not ids:
            return {}
        now, *values = await self.call("tell_quotas", len(FIELDS), *FIELDS, *ids)
        return {id: read_quota(its, now) for id, its in zip(ids, values, strict=True)}

    async def box_faults(self, most: int = 20) -> list[BoxFault]:
        """Return boxes that are not what they must be (`examine` in mailroom/lua), at most so many. Mends nothing."""
        found: list[BoxFault] = []
        async for names in self._boxes():
            for first in range(0, len(names), EXAMINED):
                part = [word for name in names[first : first + EXAMINED] for word in name]
                said = [word.decode() for word in await self.call("examine", *part)]
                found += [BoxFault(*said[n : n + 3]) for n in range(0, len(said), 3)]
            if len(found) >= most:
                break
        return found[:most]

    async def _boxes(self) -> AsyncIterator[list[tuple[str, str]]]:
        """Yield room and box of all boxes, in pages; one that changes meanwhile may be left out, or come twice."""
        for room in [name.decode() for name in await self.read(self.store.smembers(self.key("rooms")))]:
            cursor = 0
            while True:
                key = self.key(f"one:{room}")
                cursor, fields = await self.read(self.store.hscan(key, cursor, count=1000))
                yield [(room, box.decode()) for box in fields]
                if cursor == 0:
                    break
        cursor = 0
        while True:
            cursor, page = await self.read(self.store.scan(cursor, match=self.key("b:*"), count=1000))
            pairs = [name.decode().removeprefix(self.key("b:")).split(":", 1) for name in page]
            yield [(room, box) for room, box in pairs]
            if cursor == 0:
                break

    async def place(self, room: str, item: str) -> ItemPlace | None:
        """Return where a delivery stands; None: it waits nowhere."""
        record = await self.read(self.store.get(self.key(f"d:{item}")))
        box: str = json.loads(record).get("box", "") if record is not None else ""
        one = await self.read(cast(Any, self.store.hget(self.key(f"one:{room}"), box))) if box else None
        head = one or (await self.read(self.store.lindex(self.key(f"b:{room}:{box}"), 0)) if box else None)
        if head is None:
            return None
        before = await self.ahead(room, box, item)
        state, _, _ = head.decode().partition("\n")
        letter, attempts, _, _, *more = state.split() if " " in state else (state[0], "0", "0", "0")
        state = STATES.get(letter, letter)
        if any(home == box for _, home in before):
            state, attempts, more = "blocked", "0", []
        due = int(more[0]) if state == "waiting" and more else 0
        return ItemPlace(state, int(attempts), due, tuple(each for each, _ in before))

    async def ahead(self, room: str, box: str, item: str, most: int = 20) -> list[tuple[str, str]]:
        """Return (delivery, its home) of those that stand before an item, in its home and its further boxes."""
        also = await self.read(cast(Any, self.store.hget(self.key(f"also:{room}"), item)))
        places = [(box, item), *((other, f"={item} {box}") for other in (also or b"").decode().split())]
        found: dict[tuple[str, str], None] = {}
        for name, element in places:
            key = self.key(f"b:{room}:{name}")
            place = await self.read(self.store.lpos(key, element))
            if place is not None and place > 1:
                for before in await self.read(cast(Any, self.store.lrange(key, max(1, place - most), place - 1))):
                    text = before.decode()
                    its, _, home = text[1:].partition(" ") if text.startswith("=") else (text, "", name)
                    found[its, home] = None
        return list(found)[:most]

    async def counts(self) -> dict[str, int]:
        """Return the counters: name with its labels, joined by `|` -> how often."""
        found = await self.read(self.store.hgetall(self.key("counts")))
        return {name.decode(): int(n) for name, n in found.items()}

    async def came(self) -> dict[str, int]:
        """Return source -> when the last webhook of it was taken, ms. Raises StoreUnavailable."""
        found = await self.read(self.store.hgetall(self.key("came")))
        return {name.decode(): int(value) for name, value in found.items()}

    async def dead(self, count: int = 100) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        found = await self.read(self.store.zrevrange(self.key("dead"), 0, count - 1, withscores=True))
        if not found:
            return []
        infos = await self.read(self.store.hmget(self.key("deadinfo"), [item for item, _ in found]))
        return [
            DeadLetter(item.decode(), int(at), json.loads(info) if info else {})
            for (item, at), info in zip(found, infos, strict=True)
        ]

    async def dead_count(self) -> int:
        """Return how many dead letters there are."""
        return int(await self.read(self.store.zcard(self.key("dead"))))

    async def dead_for(self) -> int:
        """Return how many ms the oldest dead letter has been one; 0 without any."""
        first = await self.read(self.store.zrange(self.key("dead"), 0, 0, withscores=True))
        return max(0, await self.now() - int(first[0][1])) if first else 0

    async def quarantined(self) -> int:
        """Return how many events are in quarantine."""
        return int(await self.read(self.store.zcard(self.key("quarantine"))))

    async def held(self, room: str) -> dict[str, dict[str, Any]]:
        """Return the held boxes of a room with the reason."""
        found = await self.read(self.store.hgetall(self.key(f"held:{room}")))
        return {box.decode(): json.loads(why) for box, why in found.items()}


def _inbox_first(name: str) -> tuple[bool, str]:
    return (name != INBOX, name)
