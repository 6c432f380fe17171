"""The mailroom as Python sees it: one method per function of `mailroom.lua`, typed records in and out.

Comes in: Events, what a drain asks for and what became of it. Goes out: receipts, leases, fates. Its client never
retries by itself: an answer that was lost means "unknown" (Unavailable), and every function is safe to repeat.
"""

import asyncio
import base64
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, NamedTuple, cast

import redis.asyncio
import redis.exceptions
from pydantic_core import to_json
from redis.asyncio.sentinel import MasterNotFoundError

from mailroom import address, ledger
from mailroom.connection import StoreConnection
from mailroom.hashing import Hasher
from rules.event import Event

#: The room of events that wait to be routed.
INBOX = "in"
#: One partition; the hash tag keeps its keys on one node of a cluster.
PREFIX = "relais:{p0}:"
#: Version of the key schema. N and N+1 run side by side; a store of another version is refused.
SCHEMA = "1"
#: How long a sender's message id is remembered, in ms: a platform that retries for a day is still recognised.
DEDUPE_WINDOW = 86_400_000
#: Without a sender's id a body counts as sent twice only this long, in ms (design section 4).
BODY_WINDOW = 60_000
#: How long a quarantined event is kept, in ms.
QUARANTINE_KEEPS = 30 * 86_400_000
#: Seconds for one call. A synced write takes milliseconds; what takes longer is better treated as unknown.
CALL_TIMEOUT = 5.0
#: Milliseconds that replicas have to keep what was written: a replica that syncs each write takes one or two, one that
#: syncs once a second up to a thousand. Well within the time for one call.
REPLICA_PATIENCE = 2_500


#: What must be on the replicas, too, before anybody acts on it: what is acknowledged; leases, lest another drain sends
#: without a doubt what is on the wire; what became of items, lest one is sent again after its successor.
DURABLE = frozenset({"put", "quarantine", "take", "settle", "skip", "revive", "again", "drop"})

#: What is called all the time has a connection of its own each: when the store dies, a call that cannot be sent any
#: more would take the answers with it that wait to be read on the same connection.
LINES = frozenset({"put", "take", "settle"})

log = logging.getLogger("relais.mailroom")


class StoreUnavailable(Exception):
    """The store is away or its answer was lost; what was asked for may or may not have happened."""


class StoreFull(StoreUnavailable):
    """The store has no memory left for new events; what waits can still be worked on."""


class StoreDamaged(Exception):
    """The store holds something that is not ours or of another version."""


class Receipt(NamedTuple):
    """The answer to `put`, one per event."""

    #: The id under which the event is kept: its own, or that of the one it repeats.
    id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """What a drain asks a room for: so many boxes, so many items of each."""

    room: str
    boxes: int
    per_box: int = 1


@dataclass(slots=True)
class Lease:
    """A box that is ours for now, and its first items."""

    room: str
    box: str
    token: str
    #: Attempts that the first item has used.
    attempt: int
    #: How many items at the head may have been sent before by somebody who got no answer.
    doubt: int
    #: How many drains died with it since it last moved on.
    deaths: int
    items: list[tuple[str, bytes]]


@dataclass(slots=True)
class Taken:
    """The answer to `take`."""

    leases: list[Lease]
    #: Milliseconds until something becomes takeable by itself; None: only a bell or a settle can tell.
    wait: int | None
    #: Boxes whose drain died and which are taken in small groups (see `take`).
    suspects: int


@dataclass(slots=True)
class NewDelivery:
    """A delivery that comes into being when the item it follows from is settled."""

    id: str
    room: str
    box: str
    record: bytes
    #: True: lease it to this drain in the same step if its box was idle and its room has room.
    lease: bool = False
    once_key: str = ""
    once_ms: int = 0
    coalesce_key: str = ""
    #: Milliseconds that its box waits if it was idle.
    delay: int = 0
    #: JSON: born as a dead letter, because its rule could not be carried out.
    dead: str = ""


@dataclass(slots=True)
class Settlement:
    """What became of one item of a lease."""

    lease: Lease
    item: str
    #: done | dead | wait | hold | back
    verdict: str
    event: str
    #: Day of the event's reception (its ledger page), `2026-11-21`.
    day: str
    #: One line of JSON for the ledger, without values; empty: nothing to note.
    line: str = ""
    #: Counter to raise, empty: none.
    counter: str = ""
    #: dead and hold: JSON for people; wait: ms from now.
    argument: str = ""
    attempt: int = 0
    doubt: int = 0
    #: What the attempt tells of its destination: there | away:<code> | refused:<code>; empty: nothing.
    says: str = ""
    #: True when the drain is through with the box.
    last: bool = True
    retain: int = 0
    new: Sequence[NewDelivery] = ()


@dataclass(frozen=True, slots=True)
class RoomChange:
    """A room was paused, or goes on."""

    #: breaker: several boxes in a row found nobody there; key: it refuses ours; there: it answers again.
    what: str
    room: str
    #: How the attempt failed.
    code: str


@dataclass(slots=True)
class Settled:
    """The answer to `settle`."""

    #: Per settlement: 1 applied, 0 the lease was no longer ours, 2 the item was gone, 3 no attempt was counted, because
    #: its destination is known to be away or to refuse us.
    statuses: list[int]
    #: New deliveries that are leased to the drain already.
    leased: set[str]
    #: New deliveries that `only_once` did not let come into being.
    once: set[str]
    #: True when something became takeable.
    more: bool
    news: list[RoomChange]


@dataclass(frozen=True)
class RoomState:
    """A room at a glance."""

    name: str
    ready: int
    leased: int
    waiting: int
    held: int
    suspect: int
    #: JSON: `code` and `at`, `by` (person, breaker or key), `why`. Empty: it is not.
    paused: str
    #: Milliseconds since the oldest due time, for waiting boxes; 0 where nothing is due.
    overdue: int = 0
    #: Milliseconds since the first of the held boxes was held; 0 where none is.
    held_for: int = 0
    #: Why workers cannot serve it at all: a secret is missing, its options cannot work. Empty: they can.
    unusable: str = ""
    #: When a paused room is looked at next, ms of the store's clock; 0: not by itself.
    probe_at: int = 0


@dataclass(frozen=True)
class DeadLetter:
    """An item that nobody will try again by itself."""

    id: str
    at: int
    info: Mapping[str, Any] = field(default_factory=dict)


def client(url: str, *, timeout: float | None = CALL_TIMEOUT) -> redis.asyncio.Redis:
    """Return a client as the mailroom wants it: no retries, short explicit time-outs. Seconds; None waits for ever."""
    return address.parse(url).client(timeout)


def _library(text: str = "") -> tuple[str, str]:
    text = text or resources.files("mailroom").joinpath("lua", "mailroom.lua").read_text(encoding="utf-8")
    # The name carries the text: two versions live side by side during a rolling upgrade.
    name = "relais_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name, text.replace("@LIBRARY@", name)


class Mailroom:
    """The mailroom of one store. Make it with `open`, close it with `close`, or use `async with`."""

    def __init__(
        self,
        store: redis.asyncio.Redis,
        *,
        hash_key: bytes = b"",
        prefix: str = PREFIX,
        text: str = "",
        replicas: int = 0,
    ) -> None:
        #: The client; retries must be off.
        self.store = store
        self.prefix = prefix
        #: How many replicas must have what is put, leased and settled before it counts.
        self.replicas = replicas
        #: How we wait for them: on their disks, or in their memory where the store is too old to tell.
        self._wait = "WAITAOF"
        # `text`: other Lua than this version's, as a rolling upgrade brings it.
        self._library, self._text = _library(text)
        self._names = {
            name: f"{self._library}_{name}"
            for name in (
                *("put", "quarantine", "take", "settle", "beat", "leave", "bury", "strays", "touch", "doubt"),
                *("unhold", "skip", "revive", "again", "drop", "pace", "pause", "resume", "probe", "expire", "story"),
            )
        }
        self._given_key = bool(hash_key)
        self._stored_key = b""
        #: The connection of each function that is called all the time, once there is one.
        self._lines: dict[str, StoreConnection] = {}
        self._opening = asyncio.Lock()
        #: How many connections could not be made, and why the last one could not.
        self._failed = 0
        self._why: redis.exceptions.RedisError | None = None
        self._hasher = Hasher(hash_key) if hash_key else None

    @classmethod
    def connect(
        cls, url: str, *, hash_key: bytes = b"", timeout: float = CALL_TIMEOUT, replicas: int = 0
    ) -> "Mailroom":
        """Return a mailroom that is not prepared yet: `prepare` needs the store, this does not."""
        return cls(client(url, timeout=timeout), hash_key=hash_key, replicas=replicas)

    @classmethod
    async def open(
        cls, url: str, *, hash_key: bytes = b"", timeout: float = CALL_TIMEOUT, replicas: int = 0
    ) -> "Mailroom":
        """Connect, load the functions, agree on schema and hash key. Raises StoreUnavailable, StoreDamaged."""
        room = cls.connect(url, hash_key=hash_key, timeout=timeout, replicas=replicas)
        try:
            await room.prepare()
        except BaseException:
            await room.close()
            raise
        return room

    async def prepare(self) -> None:
        """Load the functions, agree on schema and hash key; harmless when done before.

        Raises StoreUnavailable, StoreDamaged.
        """
        try:
            await self._load()
            schema = self.key("schema")
            await self.store.set(schema, SCHEMA, nx=True)
            found = await self.store.get(schema)
            if found != SCHEMA.encode():
                raise StoreDamaged(
                    f"the store's schema is version {found!r}, this program writes {SCHEMA}: "
                    "run the version that wrote it, or give Relais an empty store"
                )
            if not self._given_key:
                # Offered again each time: when the store was emptied, its processes still agree on who is who.
                name = self.key("hash_key")
                fresh = self._stored_key or base64.urlsafe_b64encode(secrets.token_bytes(32))
                await self.store.set(name, fresh, nx=True)
                self._stored_key = cast(bytes, await self.store.get(name))
                self._hasher = Hasher(self._stored_key)
        except redis.exceptions.RedisError as exc:
            raise _unavailable(exc) from exc

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await line.close()
        await self.store.aclose()

    async def __aenter__(self) -> "Mailroom":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def key(self, name: str) -> str:
        """Return the full name of a key."""
        return self.prefix + name

    def hash(self, identity: str) -> str:
        """Return the keyed hash of an identity in clear (`email:eva@example.org`)."""
        return self._hashed(identity)

    @property
    def _hashed(self) -> Hasher:
        if self._hasher is None:
            raise StoreUnavailable("the mailroom was never prepared")
        return self._hasher

    async def _command(self, *words: Any) -> Any:
        return await self.store.execute_command(*words)  # type: ignore[no-untyped-call]

    async def _over_line(self, name: str, *words: Any) -> Any:
        """Return the answer of the store to a call of this function. Raises redis' errors."""
        line = self._lines.get(name)
        if line is None or line.ended:
            line = await self._opened(name)
        try:
            return await line.call(*words)
        except asyncio.CancelledError:
            # Who gave up may have done so because this connection leads nowhere.
            self._retire(name, line)
            raise

    async def _opened(self, name: str) -> StoreConnection:
        """Return a connection of this function. Raises redis' errors."""
        failed = self._failed
        async with self._opening:
            line = self._lines.get(name)
            if line is not None and not line.ended:
                return line
            if self._why is not None and self._failed > failed:
                # Somebody has tried while we waited: were each to try by himself, the last would wait for all.
                raise type(self._why)(*self._why.args)
            try:
                line = self._lines[name] = await StoreConnection.open(self.store.connection_pool)
            except redis.exceptions.RedisError as exc:
                self._failed += 1
                self._why = exc
                raise
            return line

    def _retire(self, name: str, line: StoreConnection | None) -> None:
        if line is not None:
            line.retire()
            if self._lines.get(name) is line:
                del self._lines[name]

    async def _durably(self, *words: Any) -> Any:
        """Return the answer when enough replicas have what it rests on. Raises StoreUnavailable, redis' errors."""
        # The write behind it moves the connection's place in the stream: a repetition that finds all done changes
        # nothing, and nothing would be waited for.
        touch = ("FCALL", self._names["touch"], 1, self.prefix)
        pool = self.store.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # Asked for in a second trip: a replica that reads both at once tells of its disk before it has synced.
            answer, touched = await _ask(connection, words, touch)
            waits = [await _ask(connection, *self._waits())]
            if "unknown comm" in str(waits[0][0]) and self._wait == "WAITAOF":
                log.warning("store.no_waitaof: it is too old to tell of its replicas' disks, so their memory counts")
                self._wait = "WAIT"
                waits.append(await _ask(connection, *self._waits()))
        finally:
            await pool.release(connection)
        for each in (answer, touched, kept := waits[-1][-1]):
            if isinstance(each, Exception):
                raise each
        reached = kept[1] if self._wait == "WAITAOF" else kept
        if reached < self.replicas:
            raise StoreUnavailable(
                f"{reached} of {self.replicas} replicas had it {'on disk' if self._wait == 'WAITAOF' else 'in memory'} "
                f"within {REPLICA_PATIENCE / 1000:g} s (RELAIS_REPLICAS): are they there, with `appendonly yes`?"
            )
        return answer

    def _waits(self) -> list[tuple[str | int, ...]]:
        """Return the commands that wait for the replicas; the last answer counts, it is at once where the first was."""
        if self._wait == "WAIT":
            return [("WAIT", self.replicas, REPLICA_PATIENCE)]
        # A busy replica may read the question with what it is about, after all; then only the next question helps.
        return [("WAITAOF", 0, self.replicas, ms) for ms in (20, 100, REPLICA_PATIENCE)]

    async def _load(self) -> None:
        try:
            await self._command("FUNCTION", "LOAD", self._text)
        except redis.exceptions.ResponseError as exc:
            if "already exists" not in str(exc):
                raise

    async def call(self, name: str, *args: Any) -> Any:
        """Call a function of `mailroom.lua`. Raises StoreUnavailable."""
        words = ("FCALL", self._names[name], 1, self.prefix, *args)
        for attempt in (1, 2):
            try:
                if self.replicas and name in DURABLE:
                    return await self._durably(*words)
                if name in LINES:
                    return await self._over_line(name, *words)
                return await self._command(*words)
            except redis.exceptions.ReadOnlyError as exc:
                # It was the primary when we connected. The next connection may find the one that is.
                self._retire(name, self._lines.get(name))
                await self.store.connection_pool.disconnect(inuse_connections=False)
                raise _unavailable(exc) from exc
            except redis.exceptions.ResponseError as exc:
                if attempt == 1 and any(word in str(exc) for word in ("Function not found", "EMPTIED")):
                    # A flushed, replaced or failed-over store needs no restart of ours.
                    await self.prepare()
                    continue
                raise _unavailable(exc) from exc
            except redis.exceptions.RedisError as exc:
                raise _unavailable(exc) from exc
        raise AssertionError("unreachable")

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
        args: list[Any] = [DEDUPE_WINDOW, body_window, pool]
        for event in events:
            hashed = self._hashed
            origin = f"{event.source}|{event.type}"
            key = event.order_key or event.id
            box = hashed(key)
            digest = "" if event.sender_id or body_window <= 0 else hashed.body(origin, event.body)
            hashes = tuple([box if identity == key else hashed(identity) for identity in event.identities])
            args += (event.id, box, digest, origin, event.encode(hashes))
        known = await self.call("put", *args)
        return [
            Receipt(event.id if not old else old.decode(), bool(old)) for event, old in zip(events, known, strict=True)
        ]

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep authentic events that their model refuses, each with the reason (a field's path, never its value)."""
        args: list[Any] = [QUARANTINE_KEEPS, DEDUPE_WINDOW]
        for event, why in events:
            line = {
                "t": "quarantined",
                "at": event.received_at,
                "source": event.source,
                "type": event.type,
                "received": event.received_at,
                "why": why,
            }
            hashes = tuple(self.hash(identity) for identity in event.identities)
            args += (
                event.id,
                event.received_at[:10],
                as_json(line),
                f"quarantined|{event.source}",
                event.encode(hashes),
            )
        known = await self.call("quarantine", *args)
        return [
            Receipt(event.id if not old else old.decode(), bool(old))
            for (event, _), old in zip(events, known, strict=True)
        ]

    async def refused(self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a refused request for inspection: 1,000 at the most, 3 days at the longest. Headers without secrets."""
        try:
            pipe = self.store.pipeline(transaction=False)
            oldest = int((datetime.now(UTC) - timedelta(days=3)).timestamp() * 1000)
            pipe.xtrim(self.key("refused"), minid=oldest, approximate=True)
            pipe.xadd(
                self.key("refused"),
                {"reason": reason, "source": source, "headers": as_json(headers), "body": body},
                maxlen=1000,
                approximate=True,
            )
            pipe.hincrby(self.key("counts"), f"refused|{reason}", 1)
            await pipe.execute()
        except redis.exceptions.RedisError as exc:
            raise _unavailable(exc) from exc

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
        leases = []
        i = 3
        while i < len(out):
            n = out[i + 5]
            end = i + 6 + 2 * n
            items = [(out[k].decode(), out[k + 1]) for k in range(i + 6, end, 2)]
            leases.append(
                Lease(
                    out[i].decode(),
                    out[i + 1].decode(),
                    request,
                    int(out[i + 2]),
                    int(out[i + 3]),
                    int(out[i + 4]),
                    items,
                )
            )
            i = end
        return Taken(leases, max(0, at - now) if at else None, waiting)

    async def settle(
        self, drain: str, token: str, settlements: Sequence[Settlement], *, pool: str = "default"
    ) -> Settled:
        """Write what became of items and what follows from them, each in one step. Safe to repeat."""
        args: list[Any] = [drain, token, pool]
        for s in settlements:
            args += (s.lease.room, s.lease.box, s.lease.token, s.item, s.verdict, s.argument, s.attempt, s.doubt)
            args += (1 if s.last else 0, s.event, s.retain, s.day, s.line, s.counter, s.says, len(s.new))
            for d in s.new:
                args += (d.room, d.box, d.id, d.record, 1 if d.lease else 0)
                args += (d.once_key, d.once_ms, d.coalesce_key, d.delay, d.dead)
        statuses, leased, once, more, told = await self.call("settle", *args)
        news = [RoomChange(*(word.decode() for word in one)) for one in told]
        return Settled(statuses, {x.decode() for x in leased}, {x.decode() for x in once}, bool(more), news)

    async def beat(self, drain: str, pool: str = "default", *, register: bool = False) -> bool:
        """Say that a drain lives. False: it was declared dead meanwhile and must drop everything."""
        return bool(await self.call("beat", drain, pool, 1 if register else 0))

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

    async def pace(self, room: str) -> float:
        """Account for one more request to a rate-limited destination. Returns seconds to wait before sending it."""
        return int(await self.call("pace", room)) / 1000

    async def pause(self, room: str, why: str = "") -> bool:
        """A person stops leasing from a room until a person resumes. False: a person had done so before."""
        return bool(await self.call("pause", room, why))

    async def resume(self, room: str, pool: str = "default") -> bool:
        """A person lets a room go on, whoever paused it. False: it was not paused."""
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
    ) -> None:
        """Set a room's limits: boxes leased at once (0: any), ms per item (0: any), items that may go at once.

        `breaker`: boxes that fail one after the other before the room is paused and probed; 0: it never is.
        """
        fields: dict[Any, Any] = {"pool": pool, "every": every, "burst": burst, "breaker": breaker}
        try:
            await self.store.hset(self.key(f"room:{room}"), mapping=fields)
            if concurrency:
                await self.store.hset(self.key(f"room:{room}"), "concurrency", str(concurrency))
            else:
                await self.store.hdel(self.key(f"room:{room}"), "concurrency")
        except redis.exceptions.RedisError as exc:
            raise _unavailable(exc) from exc

    async def unusable(self, room: str, why: str) -> None:
        """Note for people why a room cannot be served; empty: it can. A note only: who can serve it does."""
        try:
            if why:
                await self.store.hset(self.key(f"room:{room}"), "unusable", why)
                await self.store.sadd(self.key("rooms"), room)
            else:
                await self.store.hdel(self.key(f"room:{room}"), "unusable")
        except redis.exceptions.RedisError as exc:
            raise _unavailable(exc) from exc

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

    async def doubt(self) -> int:
        """Mark all that is leased as doubtful; its drains keep it. Returns how many boxes."""
        return int(await self.call("doubt"))

    async def expire(self, age: int = 30 * 86_400_000) -> int:
        """Give up dead letters older than `age` ms. Returns how many."""
        return int(await self.call("expire", age))

    async def unhold(self, room: str, box: str, pool: str = "default") -> bool:
        """Let a held box go on."""
        return bool(await self.call("unhold", room, box, pool))

    async def keep_book(self, version: str, files: Mapping[str, str]) -> None:
        """Keep the files of a book under its version, and say that it is in force."""
        pipe = self.store.pipeline(transaction=False)
        pipe.hsetnx(self.key("books"), version, as_json(files))
        pipe.set(self.key("book"), version)
        await self.read(pipe.execute())

    async def kept_book(self, version: str = "") -> dict[str, str] | None:
        """Return the files of a book that was in force once; without a version, of the one in force."""
        if not version:
            current = await self.read(self.store.get(self.key("book")))
            if current is None:
                return None
            version = current.decode()
        found = await self.read(self.store.hget(self.key("books"), version))
        return None if found is None else cast("dict[str, str]", json.loads(found))

    # -- what people ask

    async def read(self, awaitable: Any) -> Any:
        """Await a command of the store. Raises StoreUnavailable."""
        try:
            return await awaitable
        except redis.exceptions.RedisError as exc:
            raise _unavailable(exc) from exc

    async def record(self, event_id: str) -> bytes | None:
        """Return an event's record while its payload is still there."""
        return cast("bytes | None", await self.read(self.store.get(self.key(f"e:{event_id}"))))

    async def fate(self, event_id: str) -> ledger.Fate | None:
        """Return what became of an event; None if nobody here ever heard of it (or its 31 days are over)."""
        return (await self.fates([event_id]))[0]

    async def fates(self, event_ids: Sequence[str]) -> list[ledger.Fate | None]:
        """Return what became of several events, in one round trip."""
        today = datetime.now(UTC).date()
        # Oldest first: lines of a story stand on the page of the day it was received, or later.
        days = [(today + timedelta(days=ahead)).isoformat() for ahead in range(-31, 2)]
        answers = await self.call("story", len(days), *days, *event_ids)
        out: list[ledger.Fate | None] = []
        for n, event_id in enumerate(event_ids):
            record, lines = answers[2 * n], answers[2 * n + 1]
            if not lines and record is None:
                out.append(None)
                continue
            story = ledger.tell(event_id, lines.decode().splitlines())
            if not story.source and record is not None:
                head = json.loads(record.split(b"\n", 1)[0])
                story.source, story.type, story.received_at = head["source"], head["type"], head["at"]
            out.append(story)
        return out

    async def recent(self, count: int = 50, before: str = "") -> tuple[list[ledger.Fate], str]:
        """Return the newest events put, newest first, and the cursor for the page before them ('' at the end)."""
        ids: list[str] = []
        cursor = before
        while len(ids) < count:
            page = await self.read(
                self.store.xrevrange(self.key("log"), max=f"({cursor}" if cursor else "+", count=200)
            )
            if not page:
                cursor = ""
                break
            for entry, fields in page:
                cursor = entry.decode()
                names = fields.get(b"put") or b""
                ids += reversed(names.decode().split())
                if len(ids) >= count:
                    break
        found = await self.fates(list(dict.fromkeys(ids)))
        return [story for story in found if story is not None], cursor

    async def tail(self) -> AsyncIterator[tuple[str, str]]:
        """Yield ("put" | "ended", event id) as it happens, from now on."""
        cursor = "$"
        while True:
            # A blocking read shorter than the client's time-out.
            answer = await self.read(self.store.xread({self.key("log"): cursor}, count=500, block=2000))
            streams = answer.items() if isinstance(answer, dict) else (answer or ())
            for _, entries in streams:
                for entry, fields in entries[0] if isinstance(answer, dict) else entries:
                    cursor = entry.decode()
                    for what, names in fields.items():
                        for name in names.decode().split():
                            yield what.decode(), name

    async def rooms(self) -> list[RoomState]:
        """Return every room's state, the inbox first."""
        names = sorted((x.decode() for x in await self.read(self.store.smembers(self.key("rooms")))), key=_inbox_first)
        pipe = self.store.pipeline(transaction=False)
        now = await self.read(self.store.time())
        for name in names:
            pipe.llen(self.key(f"ready:{name}"))
            pipe.hlen(self.key(f"leased:{name}"))
            pipe.zcard(self.key(f"waiting:{name}"))
            pipe.hlen(self.key(f"held:{name}"))
            pipe.llen(self.key(f"suspect:{name}"))
            pipe.hmget(self.key(f"room:{name}"), "paused", "unusable", "probe_at")
            pipe.zrange(self.key(f"waiting:{name}"), 0, 0, withscores=True)
            pipe.hvals(self.key(f"held:{name}"))
            pipe.zcard(self.key(f"retry:{name}"))
            pipe.zrange(self.key(f"retry:{name}"), 0, 0, withscores=True)
            pipe.zcard(self.key(f"woken:{name}"))
        answers = await self.read(pipe.execute())
        out = []
        for n, name in enumerate(names):
            ready, leased, waiting, held, suspect, said, first, whys, retry, again, woken = answers[
                n * 11 : n * 11 + 11
            ]
            ms = int(now[0] * 1000 + now[1] // 1000)
            overdue = max((max(0, ms - int(at)) for _, at in (*first, *again)), default=0)
            held_for = max((max(0, ms - json.loads(why).get("at", ms)) for why in whys), default=0)
            paused, unusable, probe_at = ((text or b"").decode() for text in said)
            out.append(
                RoomState(
                    name,
                    ready,
                    leased,
                    waiting + retry + woken,
                    held,
                    suspect,
                    paused,
                    overdue,
                    held_for,
                    unusable,
                    int(probe_at or 0),
                )
            )
        return out

    async def counts(self) -> dict[str, int]:
        """Return the counters: name with its labels, joined by `|` -> how often."""
        found = await self.read(self.store.hgetall(self.key("counts")))
        return {name.decode(): int(n) for name, n in found.items()}

    async def dead(self, count: int = 100, offset: int = 0) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        found = await self.read(self.store.zrevrange(self.key("dead"), offset, offset + count - 1, withscores=True))
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
        now = await self.read(self.store.time())
        return max(0, int(now[0] * 1000 + now[1] // 1000 - first[0][1])) if first else 0

    async def quarantined(self) -> int:
        """Return how many events are in quarantine."""
        return int(await self.read(self.store.zcard(self.key("quarantine"))))

    async def held(self, room: str) -> dict[str, dict[str, Any]]:
        """Return the held boxes of a room with the reason."""
        found = await self.read(self.store.hgetall(self.key(f"held:{room}")))
        return {box.decode(): json.loads(why) for box, why in found.items()}


async def _ask(connection: Any, *commands: Sequence[Any]) -> list[Any]:
    """Send commands over one connection in one trip; return the answers, refusals as exceptions."""
    answers: list[Any] = []
    await connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except redis.exceptions.ResponseError as exc:
            answers.append(exc)
    return answers


def _inbox_first(name: str) -> tuple[bool, str]:
    return (name != INBOX, name)


def as_json(value: object) -> str:
    """Return JSON as it stands in the store: compact, and readable by people."""
    return to_json(value).decode()


def _unavailable(exc: Exception) -> StoreUnavailable:
    text = str(exc)
    if isinstance(exc, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull("the store is full: raise its maxmemory, or let the workers catch up")
    if isinstance(exc, redis.exceptions.AuthenticationError):
        return StoreUnavailable("the store refuses our password: check REDIS_URL")
    if isinstance(exc, redis.exceptions.AskError | redis.exceptions.ClusterDownError):
        return StoreUnavailable("REDIS_URL names a node of a cluster: give Relais a single primary, or its Sentinels")
    if isinstance(exc, redis.exceptions.ResponseError):
        return StoreUnavailable(f"the store refused: {text[:200]}")
    if isinstance(exc, MasterNotFoundError):
        return StoreUnavailable("no Sentinel of REDIS_URL can name a primary that is up")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StoreUnavailable("the store's certificate is not trusted: name its CA with ssl_ca_certs in REDIS_URL")
    return StoreUnavailable(f"the store did not answer: {exc.__class__.__name__}")
