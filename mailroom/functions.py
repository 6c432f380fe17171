"""The mailroom as Python sees it: one method per function of `mailroom/lua`, typed records in and out.

Comes in: Events, what a drain asks for and what became of it. Goes out: receipts, leases, what was settled. Never
guesses: each method is safe to repeat, and one that raises StoreUnavailable may or may not have done its work.
"""

import json
import math
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from urllib.parse import quote, unquote

import redis.exceptions

from mailroom import errors, ledger, objects, observations
from mailroom.hashing import former_event_id
from mailroom.keys import BODY_WINDOW, DEAD_KEEPS, ID_MAP, ID_PAGE, QUARANTINE_KEEPS, REPORTS_KEEP
from mailroom.observations import SourceNotes
from mailroom.queries import MailroomQueries
from mailroom.records import (
    Lease,
    Pace,
    Receipt,
    RefusedDetails,
    RoomChange,
    RoomRequest,
    Settled,
    Settlement,
    Spent,
    Taken,
    as_json,
)
from rules.event import URGENT_TYPES, Event
from rules.quota import Quota


class Mailroom(MailroomQueries):
    """The mailroom of one store. Make it with `open`, close it with `close`, or use `async with`."""

    # -- what the receiver uses

    async def put(
        self, events: Sequence[Event], *, pool: str = "default", body_window: int = BODY_WINDOW
    ) -> list[Receipt]:
        """Keep events; when this returns they are on disk as the store's settings promise.

        Safe to repeat with the same events.
        Raises StoreFull (nothing stored, try the spool), StoreUnavailable (fate unknown).
        `body_window`: ms from now within which an equal body repeats these; less for what was received a while ago,
        0 for what was received long ago: then they repeat nothing, either.
        """
        answers = await self.call("put", *self._put_arguments(events, pool, body_window))
        return [_receipt(event, said) for event, said in zip(events, answers, strict=True)]

    def _put_arguments(self, events: Sequence[Event], pool: str, body_window: int) -> list[Any]:
        with_former = self.former_ids
        args: list[Any] = [ID_PAGE, body_window, pool, 7 if with_former else 6]
        hashed = self._hashed
        for event in events:
            kind = origin = f"{event.source}|{event.type}"
            key = event.order_key or event.id
            if event.same_as:
                kind = f"={kind}"
                digest = f"{event.same_for} {hashed.body(origin, event.same_as.encode())}"
            else:
                digest = "" if event.sender_id or body_window <= 0 else hashed.body(origin, event.body)
            also = [hashed(name) for name in dict.fromkeys(event.names) if name != key] if event.names else ()
            # The order key stands there in clear, and each hash once.
            who = [hashed(each) for each in event.identities if each != key and each not in event.names]
            told: tuple[str, ...] = ()
            if event.unread:
                kind = f"*{kind}"
            if event.tells:
                told, kind = objects.write_words(event, hashed), f"?{kind}"
            if event.type in URGENT_TYPES:
                kind = f"!{kind}"
            record = event.encode(who, also, told)[1:]
            args += (event.id, hashed(key), " ".join(also), digest, kind, record)
            if with_former:
                args.append(self._former_id(event))
        return args

    async def take_in(
        self,
        shelf: str,
        id: str,
        events: Sequence[Event],
        line: str,
        *,
        comes_as: str = "",
        even_if_older: bool = False,
        dry: bool = False,
    ) -> str:
        """Put what lay aside into the inbox, all events of it or none. Safe to repeat.

        `comes_as`: the id by which the vendor's repetition would come, where that may be another. `dry`: only say how
        that would end, as far as the store can tell. Returns done, gone, overtaken or known.
        """
        day = events[0].received_at[:10]
        given = self._put_arguments(events, "default", 0)
        answer = await self.call(
            "take_in", shelf, id, f"{int(even_if_older)}{'dry' if dry else ''}", day, line, comes_as, *given
        )
        return str(answer.decode())

    def _former_id(self, event: Event) -> str:
        """Return the id that schema 1 gave an event, as long as somebody may have kept it under that one."""
        if not self.former_ids or not event.sender_id:
            return ""
        return former_event_id(event.source, event.sender_id, event.position)

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep authentic events that their model refuses, each with the reason (a field's path, never its value)."""
        args: list[Any] = [QUARANTINE_KEEPS, ID_PAGE]
        for event, why in events:
            line = ledger.quarantined(source=event.source, type=event.type, received=event.received_at, why=why)
            hashes = tuple(self.hash(identity) for identity in event.identities)
            also = tuple(self.hash(name) for name in event.names)
            args += (
                event.id,
                event.received_at[:10],
                line,
                f"quarantined|{event.source}",
                event.encode(hashes, also),
                self._former_id(event),
            )
        known = await self.call("quarantine", *args)
        return [_receipt(event, said) for (event, _), said in zip(events, known, strict=True)]

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        """Keep a refused request for inspection: 1,000 at the most, 3 days at the longest. Headers without secrets."""
        try:
            pipe = self.store.pipeline(transaction=False)
            oldest = int((datetime.now(UTC) - timedelta(days=3)).timestamp() * 1000)
            pipe.xtrim(self.key("refused"), minid=oldest, approximate=True)
            pipe.xadd(
                self.key("refused"),
                {
                    "reason": reason,
                    "source": source,
                    "headers": as_json(headers),
                    "body": body,
                    "name": more.name,
                    "size": more.size,
                    "verified": int(more.verified),
                },
                maxlen=1000,
                approximate=True,
            )
            pipe.hincrby(self.key("counts"), f"refused|{reason}", 1)
            await pipe.execute()
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return those of these events that wait here, or that the ledger knows: also those whose ids are forgotten."""
        if not event_ids:
            return set()
        today = datetime.now(UTC).date()
        pipe = self.store.pipeline(transaction=False)
        pipe.mget([self.key(f"e:{event_id}") for event_id in event_ids])
        for ahead in range(-31, 2):
            pipe.hmget(self.key(f"ledger:{(today + timedelta(days=ahead)).isoformat()}"), list(event_ids))
        pages = await self.read(pipe.execute())
        return {each for page in pages for each, found in zip(event_ids, page, strict=True) if found is not None}

    async def met(self, events: Sequence[Event]) -> set[str]:
        """Return the ids of those events that came before: by their ids, or by what they tell of their objects."""
        found: set[str] = set()
        for at in range(0, len(events), 100):
            some = events[at : at + 100]
            found |= await self.known([event.id for event in some])
            telling = [event for event in some if event.tells and event.id not in found]
            if telling:
                words = [as_json(objects.write_words(event, self._hashed)) for event in telling]
                old = await self.call("old_news", *words)
                found |= {event.id for event, is_old in zip(telling, old, strict=True) if is_old}
        return found | objects.find_repeated(event for event in events if event.id not in found)

    async def new_receipts(self, known: Collection[str]) -> dict[str, bytes]:
        """Return the receipts of persons who were forgotten by id, but for those known. Raises StoreUnavailable."""
        key = self.key("forgotten")
        fresh = [name for name in await self.read(cast(Any, self.store.hkeys(key))) if name.decode() not in known]
        found = await self.read(cast(Any, self.store.hmget(key, fresh))) if fresh else []
        return {name.decode(): text for name, text in zip(fresh, found, strict=True) if text is not None}

    async def report_forgotten(self, receipt: str, process: str, rows: int) -> None:
        """Say that a receiver has carried out a receipt: so many rows went from its spool. Raises StoreUnavailable."""
        pipe, key = self.store.pipeline(transaction=False), self.key(f"forgot:{receipt}")
        pipe.hset(key, process, str(rows))
        pipe.expire(key, REPORTS_KEEP)
        await self.read(pipe.execute())

    async def forget_spooled(self, process: str) -> None:
        """Say that this receiver has no spool: there is nothing to erase in it. Raises StoreUnavailable."""
        for receipt in await self.new_receipts(self._receipts):
            await self.report_forgotten(receipt, process, 0)
            self._receipts.add(receipt)

    async def memory_used(self) -> float:
        """Return the used part of the memory that the store may use, 0 where nothing limits it."""
        found = await self.read(self.store.info("memory"))
        most = int(found.get("maxmemory", 0))
        return int(found.get("used_memory", 0)) / most if most else 0.0

    # -- what a drain uses

    async def take(self, drain: str, request: str, wants: Sequence[RoomRequest], *, suspects: int = 0) -> Taken:
        """Lease boxes. The same request gives the same leases again. With `suspects`, only boxes whose drain died.

        Poison takes nobody with it: after one death a box is taken with at most `suspects` of its like,
        after two alone.
        """
        args: list[Any] = [drain, request, suspects]
        for want in wants:
            args += (want.room, want.boxes, want.per_box)
        out = await self.call("take", *args)
        now, at, waiting = out[0], out[1], out[2]
        return Taken(_read_leases(out[3:], request), max(0, at - now) if at else None, waiting)

    async def settle(
        self,
        drain: str,
        token: str,
        settlements: Sequence[Settlement],
        *,
        pool: str = "default",
        go_on: bool = False,
    ) -> Settled:
        """Write what became of items and what follows from them, each in one step. Safe to repeat.

        `go_on`: the drain takes what is next in its boxes of destinations, where nobody waits there who comes first.
        """
        args: list[Any] = [drain, token, pool, int(go_on)]
        for s in settlements:
            args += (s.lease.room, s.lease.box, s.lease.token, s.item, s.verdict, _argument(s), s.attempt, s.doubt)
            args += (1 if s.last else 0, s.event, s.retain, s.day, s.line, s.counter, _said(s), len(s.new))
            for d in s.new:
                args += (d.room, d.place, d.id, d.record, f"{1 if d.lease else 0}{'!' if d.urgent else d.source}")
                args += (d.once_key, d.once_ms, d.coalesce_key, d.delay, d.dead.encode() if d.dead is not None else "")
        statuses, leased, once, more, told, following = await self.call("settle", *args)
        changes = [RoomChange(*(word.decode() for word in one)) for one in told]
        return Settled(
            statuses,
            {x.decode() for x in leased},
            {x.decode() for x in once},
            bool(more),
            changes,
            _read_leases(following[1:], token),
        )

    async def newest(self, names: Sequence[str], types: Sequence[str]) -> dict[str, str]:
        """Return when the newest event of each type happened that was routed under one of these names (hashed).

        Types of which none was in the last 31 days are left out. Raises StoreUnavailable.
        """
        answer = await self.call("newest", len(types), *types, *names)
        return {type: at.decode() for type, at in zip(types, answer, strict=True) if at}

    async def meet(
        self,
        room: str,
        box: str,
        token: str,
        item: str,
        names: Sequence[str],
        kind: str,
        id: str,
        seconds: int = ID_MAP,
    ) -> Literal["go", "wait", "stale"]:
        """A delivery under way found by which names (hashed) its object is known, and has not written to it.

        wait: others have it under another name, and the lease was given back: nothing is to be settled.
        stale: the lease is ours no longer.
        """
        answer = await self.call("meet", room, box, token, item, seconds, quote(id), self._object(kind, id), *names)
        return cast(Literal["go", "wait", "stale"], answer.decode())

    async def learn(self, room: str, names: Sequence[str], kind: str, id: str, *, gone: Sequence[str] = ()) -> None:
        """Remember by which names (hashed) an object is found at a destination, and by which no longer (a rename)."""
        await self.call("learn", room, ID_MAP, quote(id), self._object(kind, id), *names, "", *gone)

    async def forget_names(self, room: str, names: Sequence[str]) -> int:
        """Remember nothing of the objects that have one of these names (hashed). Returns how many entries went."""
        return int(await self.call("forget_names", room, *names))

    async def object_ids(self, room: str, names: Sequence[str]) -> list[tuple[str, int] | None]:
        """Return per name (hashed) the id of its object, and how many seconds ago it was last seen with that name."""
        pipe = self.store.pipeline(transaction=False)
        for name in names:
            pipe.get(self.key(f"m:{room}:{name}"))
            pipe.ttl(self.key(f"m:{room}:{name}"))
        answers = await self.read(pipe.execute())
        return [
            None if value is None else (unquote(value.decode().split(" ", 1)[0]), max(0, ID_MAP - left))
            for value, left in zip(answers[::2], answers[1::2], strict=True)
        ]

    def _object(self, kind: str, id: str) -> str:
        return self.hash(f"id|{kind}|{id}")

    async def beat(
        self,
        drain: str,
        pool: str = "default",
        *,
        register: bool = False,
        said: str = "",
        learned: Sequence[tuple[str, int, int | None]] = (),
    ) -> bool:
        """Say that a drain lives. False: it was declared dead meanwhile and must drop everything.

        `said`: when it registers, the schema that it speaks and where its process lives. `learned`, later, of keys with
        a quota: room, leases that no request was sent for, and how many requests are left as the vendor says (None: it
        did not). A repetition would count the former twice: after a lost answer they are better forgotten.
        """
        words: list[Any] = [said] if said else []
        for room, unsent, left in learned:
            words += (room, unsent, "" if left is None else left)
        return bool(await self.call("beat", drain, pool, 1 if register else 0, *words))

    async def leave(self, drain: str, pool: str = "default") -> None:
        """A drain ends by itself and holds nothing that it knows of."""
        await self.call("leave", drain, pool)

    async def strays(self, drain: str, leases: Sequence[Lease], *, failed_over: bool = False) -> int:
        """Give back what the store thinks this drain holds and the drain does not know of (a lost answer).

        `failed_over`: what the drain settled may be back in the new store, so what is given back is doubtful.
        """
        known = (f"{x.room} {x.box} {x.token}" for x in leases)
        return int(await self.call("strays", drain, 1 if failed_over else 0, *known))

    async def replication_id(self) -> str:
        """Return what the store's history is called: another one after a restart or a failover."""
        info = await self.read(self.store.info("replication"))
        return str(info.get("master_replid", ""))

    async def rest(self, room: str, seconds: float) -> bool:
        """A destination asks to be left alone for so long: nothing is sent to it. False: until then it was already."""
        return bool(await self.call("rest", room, math.ceil(seconds * 1000)))

    async def pace(self, room: str, requests: int = 1, *, usual: bool = False) -> Pace:
        """Account for more requests to a destination than its leases paid for; 0: only look.

        `usual`: what its quota keeps for urgent actions is left for them.
        """
        wait, rest, used_up = await self.call("pace", room, requests, int(usual))
        return Pace(int(wait) / 1000, int(rest) / 1000, bool(used_up))

    async def pause(self, room: str, why: str = "", who: str = "", until: int = 0) -> bool:
        """A person stops leasing from a room, until a person resumes or until then (ms). False: it was so before."""
        return bool(await self.call("pause", room, why, who, until))

    async def resume(self, room: str, pool: str = "default") -> bool:
        """A person lets a room go on, whoever paused it or let it rest. False: nobody had."""
        return bool(await self.call("resume", room, pool))

    async def probe(self, room: str, pool: str = "default") -> bool:
        """Look at a room that its breaker or a refused key paused now: something is new. False: there is no need."""
        return bool(await self.call("probe", room, pool))

    async def configure(
        self,
        room: str,
        *,
        pool: str = "default",
        concurrency: int = 0,
        every: float = 0.0,
        burst: int = 1,
        breaker: int = 0,
        lag: int = 0,
        metered: bool = True,
    ) -> None:
        """Set a room's limits: boxes leased at once (0: any), ms per item (0: any), items that may go at once.

        `breaker`: boxes that fail one after the other before the room is paused and probed; 0: it never is. `lag`: ms
        until a search there shows what was just made; what a drain may have sent when it died waits for so long.
        `metered`: what `set_quota` said of it counts on; False: its key has neither rate nor quota any more.
        """
        fields: dict[Any, Any] = {"pool": pool, "every": every, "burst": burst, "breaker": breaker, "lag": lag}
        try:
            await self.store.hset(self.key(f"room:{room}"), mapping=fields)
            if concurrency:
                await self.store.hset(self.key(f"room:{room}"), "concurrency", str(concurrency))
            else:
                await self.store.hdel(self.key(f"room:{room}"), "concurrency")
            if not metered:
                await self.store.hdel(self.key(f"room:{room}"), "quota")
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc

    async def share_out(self, shares: Mapping[str, int]) -> None:
        """Say how many times the usual turn each source gets in every room; who is not named gets the usual one."""
        key = self.key("shares")
        pipe = self.store.pipeline(transaction=True)
        pipe.delete(key)
        if more := {source: share for source, share in shares.items() if share > 1}:
            pipe.hset(key, mapping=cast(Any, more))
        await self.read(pipe.execute())

    async def unusable(self, room: str, why: str) -> None:
        """Note for people why a room cannot be served; empty: it can. A note only: who can serve it does."""
        try:
            if why:
                await self.store.hset(self.key(f"room:{room}"), "unusable", why)
                await self.store.sadd(self.key("rooms"), room)
            else:
                await self.store.hdel(self.key(f"room:{room}"), "unusable")
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc

    async def remember_death_in_order(self, event_id: str, destination: str) -> None:
        """An action of an `in_order` rule died: those behind it at its destination go down with it, for a day."""
        await self.remember(self.key(f"order:{event_id}:{destination}"), "1", 86_400)

    async def died_in_order(self, event_id: str, destination: str) -> bool:
        """Say whether an earlier action of an `in_order` rule died."""
        return await self.recall(self.key(f"order:{event_id}:{destination}")) is not None

    async def count(self, counter: str) -> None:
        """Raise a counter that no other call raises. Raises StoreUnavailable."""
        await self.read(cast(Any, self.store.hincrby(self.key("counts"), counter, 1)))

    async def recall(self, key: str) -> str | None:
        """Return what a destination remembered under a key (`m:…`), None if nothing."""
        value = await self.read(self.store.get(key))
        return None if value is None else value.decode()

    async def remember(self, key: str, value: str, seconds: int) -> None:
        """Let a destination remember a value; an empty one forgets."""
        await self.read(self.store.set(key, value, ex=seconds) if value else self.store.delete(key))

    async def first(self, what: str, seconds: int) -> bool:
        """Tell whether this is the first time in so many seconds that somebody asks about `what`."""
        return bool(await self.read(self.store.set(self.key(f"m:once:{self.hash(what)}"), "1", nx=True, ex=seconds)))

    async def forget_first(self, what: str) -> None:
        """Let the next time somebody asks about `what` be the first again."""
        await self.remember(self.key(f"m:once:{self.hash(what)}"), "", 0)

    async def hear(self, pool: str, seconds: float) -> bool:
        """Wait for the bell of a pool, at most so many seconds, on a connection of its own. True: it rang."""
        return await self.read(self.store.blpop([self.key(f"bell:{pool}")], timeout=seconds)) is not None

    # -- what the sweep uses

    async def say_process(self, name: str, pool: str, workers: int, turn: int, *, said: str = "") -> None:
        """Say that a `relais work` or `relais receive` lives (the latter with NO_POOL and no workers).

        `turn`: another number each time, else it counts as dead in the end. `said`: its schema and its place, to be
        said at least once. Raises StoreUnavailable.
        """
        pipe = self.store.pipeline(transaction=False)
        pipe.hset(self.key("parents"), name, f"{pool} {workers} {turn}")
        if said:
            pipe.hset(self.key("speaks"), name, said)
        await self.read(pipe.execute())

    async def note_sources(self, notes: SourceNotes) -> None:
        """Write down what a receiver saw of sources. Raises StoreUnavailable."""
        await observations.write(self, notes)

    async def processes(self) -> dict[str, tuple[str, int, int]]:
        """Return process -> (pool, workers, counter). Raises StoreUnavailable."""
        found = await self.read(self.store.hgetall(self.key("parents")))
        split = {name.decode(): value.decode().split() for name, value in found.items()}
        return {name: (pool, int(workers), int(turn)) for name, (pool, workers, turn) in split.items()}

    async def forget_process(self, name: str) -> None:
        """A process of `say_process` is gone. Raises StoreUnavailable."""
        pipe = self.store.pipeline(transaction=False)
        pipe.hdel(self.key("parents"), name)
        pipe.hdel(self.key("speaks"), name)
        await self.read(pipe.execute())

    async def hold_sweep(self, pool: str, name: str, seconds: int) -> bool:
        """Take the sweep of a pool over all hosts for so many seconds, or keep it. Raises StoreUnavailable."""
        return await self.hold(f"sweeper:{pool}", name, seconds)

    async def hold(self, what: str, name: str, seconds: int) -> bool:
        """Take a lock for so many seconds, or keep it; `name`: who holds it. Raises StoreUnavailable."""
        lock = self.key(what)
        holder = await self.read(self.store.set(lock, name, nx=True, ex=seconds, get=True))
        if holder is None:
            return True
        if holder != name.encode():
            return False
        await self.read(self.store.expire(lock, seconds))
        return True

    async def release_sweep(self, pool: str, name: str) -> None:
        """Let another process sweep. Raises StoreUnavailable."""
        await self.release(f"sweeper:{pool}", name)

    async def release(self, what: str, name: str) -> None:
        """Give a lock up, if it is still ours. Raises StoreUnavailable."""
        lock = self.key(what)
        if await self.read(self.store.get(lock)) == name.encode():
            await self.read(self.store.delete(lock))

    # -- what keys of vendors may still be used for

    async def spend(
        self,
        credential: str,
        quota: Quota,
        *,
        name: str = "",
        count: int = 1,
        keep: int | None = None,
        spread: bool = False,
    ) -> Spent:
        """Spend requests of a key's quota, or none of them. All processes that use the key share it.

        Spent before they are sent, so that what is lost counts. `name`: of the key's reference. `keep`: how many must
        be left, the quota's reserve where nobody says. `spread`: no more than the share of the day that has passed, and
        an hour's ahead. Where destinations use the key, too, their page counts. Raises StoreUnavailable.
        """
        left = quota.reserve if keep is None else keep
        id, now = self.hash(f"quota:{credential}"), int(time.time() * 1000)
        while True:
            pages = quota.pages(now)
            said = await self.call(
                "spend_quota", id, name, *pages, quota.number, quota.reserve, left, count, int(spread)
            )
            match said[0]:
                case b"page":  # our clock and the store's are of different days
                    now = int(said[1])
                case b"go":
                    return Spent(True, int(said[1]), quota.number, pages[1])
                case _:
                    return Spent(False, int(said[1]), quota.number, pages[1], int(said[2]) / 1000)

    async def set_quota(
        self,
        credential: str,
        name: str,
        rooms: Sequence[str],
        *,
        every: float = 0.0,
        burst: int = 1,
        quota: Quota | None = None,
    ) -> None:
        """Set what rooms with one key may send together: ms per request (0: any), requests at once, and its quota.

        To be said again before the next page ends: where nobody has said which page it is, nothing is sent. `name`: of
        the key's reference, for people. Raises StoreUnavailable.
        """
        id, now = self.hash(f"quota:{credential}"), int(time.time() * 1000)
        number, reserve = (quota.number, quota.reserve) if quota is not None else (0, 0)
        while True:
            pages = quota.pages(now) if quota is not None else (0, 0, 0)
            said = await self.call("set_quota", id, name, every, burst, number, reserve, *pages, *rooms)
            if said[0] == b"go":
                return
            now = int(said[1])

    async def exchange_replication_id(self, replication_id: str) -> str:
        """Write down what the store's history is called; return what stood there, '' at first."""
        before = await self.read(self.store.getset(self.key("replid"), replication_id))
        return "" if before is None else str(before.decode())

    async def beats(self) -> dict[str, tuple[str, int]]:
        """Return drain -> (pool, counter)."""
        found = await self.read(self.store.hgetall(self.key("beats")))
        out = {}
        for drain, value in found.items():
            pool, counter = value.decode().rsplit(" ", 1)
            out[drain.decode()] = (pool, int(counter))
        return out

    async def bury(self, drains: Sequence[str], *, counted: bool = True) -> tuple[int, int]:
        """Declare drains dead. Returns how many boxes were freed, how many are held as poison.

        `counted`: False where something else died (the store), so that no box comes under suspicion for it.
        """
        freed, poison = await self.call("bury", 1 if counted else 0, *drains)
        return freed, poison

    async def untold(self) -> list[tuple[str, str]]:
        """Return (room, code) of boxes that were held and that nobody was told of. Raises StoreUnavailable."""
        found = await self.read(cast(Any, self.store.lrange(self.key("untold"), 0, -1)))
        return [cast(tuple[str, str], tuple(entry.decode().split(" ", 1))) for entry in found]

    async def told(self, room: str, code: str) -> None:
        """Somebody was told of all boxes of a room that were held for this. Raises StoreUnavailable."""
        await self.read(cast(Any, self.store.lrem(self.key("untold"), 0, f"{room} {code}")))

    async def keep_alert(self, text: str) -> None:
        """Keep an alert until somebody is there to read it: the first hundred. Raises StoreUnavailable."""
        pipe = self.store.pipeline(transaction=True)
        pipe.rpush(self.key("held_alerts"), text)
        pipe.ltrim(self.key("held_alerts"), 0, 99)
        await self.read(pipe.execute())

    async def take_alerts(self) -> list[str]:
        """Return the alerts that were kept; they are kept no more. Raises StoreUnavailable."""
        pipe = self.store.pipeline(transaction=True)
        pipe.lrange(self.key("held_alerts"), 0, -1)
        pipe.delete(self.key("held_alerts"))
        found, _ = await self.read(pipe.execute())
        return [text.decode() for text in found]

    async def doubt(self) -> int:
        """Mark all that is leased as doubtful; its drains keep it. Returns how many boxes."""
        return int(await self.call("doubt"))

    async def expire(self, age: int = DEAD_KEEPS) -> int:
        """Give up dead letters older than `age` ms. Returns how many."""
        return int(await self.call("expire", age, QUARANTINE_KEEPS))

    async def keep_book(self, version: str, files: Mapping[str, str]) -> None:
        """Keep the files of a book under its version, and say that it is in force."""
        pipe = self.store.pipeline(transaction=False)
        pipe.hsetnx(self.key("books"), version, as_json(files))
        pipe.set(self.key("book"), version)
        pipe.zadd(self.key("book_times"), {version: int(time.time() * 1000)})
        await self.read(pipe.execute())

    async def book_version(self) -> str:
        """Return the version of the book in force, '' before the first. Raises StoreUnavailable."""
        version = await self.read(self.store.get(self.key("book")))
        return "" if version is None else str(version.decode())

    async def approve_book(self, version: str) -> None:
        """Remember that a person approved a book. Raises StoreUnavailable."""
        await self.read(self.store.set(self.key("approved"), version))

    async def approved_book(self) -> str:
        """Return the version of the book that a person approved last, '' for none. Raises StoreUnavailable."""
        version = await self.read(self.store.get(self.key("approved")))
        return "" if version is None else str(version.decode())

    async def past_books(self) -> list[tuple[str, int]]:
        """Return the books that were in force and when each was taken last, ms; the newest first.

        Raises StoreUnavailable.
        """
        found = await self.read(self.store.zrevrange(self.key("book_times"), 0, -1, withscores=True))
        return [(version.decode(), int(at)) for version, at in found]

    async def kept_book(self, version: str = "") -> dict[str, str] | None:
        """Return the files of a book that was in force once; without a version, of the one in force."""
        version = version or await self.book_version()
        if not version:
            return None
        found = await self.read(self.store.hget(self.key("books"), version))
        return None if found is None else cast("dict[str, str]", json.loads(found))


def _receipt(event: Event, said: bytes) -> Receipt:
    """Return what `put` or `quarantine` said of an event."""
    if not said:
        return Receipt(event.id, False)
    text = said.decode()
    return Receipt(text[1:], False) if text[:1] == "+" else Receipt(text or event.id, bool(text))


def _read_leases(words: Sequence[Any], token: str) -> list[Lease]:
    """Return the leases of an answer: room, box, attempt, doubt, deaths, n, then n times id and record."""
    leases = []
    i = 0
    while i < len(words):
        room, box, attempt, doubt, deaths, n = words[i : i + 6]
        i += 6
        items = [(words[k].decode(), words[k + 1]) for k in range(i, i + 2 * n, 2)]
        i += 2 * n
        leases.append(Lease(room.decode(), box.decode(), token, int(attempt), int(doubt), int(deaths), items))
    return leases


def _said(settlement: Settlement) -> str:
    """Return what `settle` takes as what an attempt says."""
    if settlement.says and settlement.alone_ms:
        return f"{settlement.says} {settlement.alone_ms}"
    return settlement.says


def _argument(settlement: Settlement) -> str:
    """Return what `settle` takes as its one argument: the details of dead and hold, wait's time, done's note."""
    if settlement.info is not None:
        return settlement.info.encode()
    if settlement.note or settlement.happened:
        return f"{settlement.note}|{settlement.happened}" if settlement.happened else settlement.note
    if settlement.record:
        return f"{settlement.wait_ms} {settlement.record.decode()}"
    return str(settlement.wait_ms) if settlement.wait_ms else ""
