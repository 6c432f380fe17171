"""Calls of the mailroom's functions in the store: connections, the library, replicas, what an error means.

Comes in: REDIS_URL, the name of a function and its arguments. Goes out: the store's answer. Never retries by itself: an
answer that was lost means "unknown" (StoreUnavailable), and every function is safe to repeat.
"""

import asyncio
import base64
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Sequence
from importlib import resources
from typing import Any, Self, cast

import redis.asyncio
import redis.exceptions

from mailroom import address, errors
from mailroom.connection import StoreConnection
from mailroom.errors import StoreDamaged, StoreUnavailable
from mailroom.hashing import Hasher
from mailroom.keys import CALL_TIMEOUT, FORMER_SCHEMAS, ID_PAGE, PREFIX, REPLICA_PATIENCE, SCHEMA

#: What must be on the replicas, too, before anybody acts on it: what is acknowledged; leases, lest another drain sends
#: without a doubt what is on the wire; what became of items, lest one is sent again after its successor; by which names
#: an object is known, lest it is made twice.
DURABLE = frozenset(
    {
        "put",
        "quarantine",
        "take",
        "settle",
        "meet",
        "learn",
        "skip",
        "revive",
        "again",
        "drop",
        "undrop",
        "cancel",
        "replay",
        "take_in",
        "clear",
        "hold_source",
        "discard",
        "forget",
    }
)

#: What is called all the time has a connection of its own each: when the store dies, a call that cannot be sent any
#: more would take the answers with it that wait to be read on the same connection.
LINES = frozenset({"put", "take", "settle"})

#: The functions of the library.
REGISTERED = re.compile(r"^register\('(\w+)'", re.MULTILINE)

log = logging.getLogger("relais.mailroom")


def client(url: str, *, timeout: float | None = CALL_TIMEOUT) -> redis.asyncio.Redis:
    """Return a client as the mailroom wants it: no retries, short explicit time-outs. Seconds; None waits for ever."""
    return address.parse(url).client(timeout)


def library_text() -> str:
    """Return the mailroom's functions: the files of `mailroom/lua`, joined in the order of their names."""
    folder = resources.files("mailroom.lua")
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".lua")), key=lambda each: each.name)
    return "\n".join(each.read_text(encoding="utf-8") for each in files)


def _library(text: str = "") -> tuple[str, str]:
    text = text or library_text()
    # The name carries the text: two versions live side by side during a rolling upgrade.
    name = "relais_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name, text.replace("@LIBRARY@", name)


class MailroomClient:
    """The connections to one store, and calls of its functions. Make it with `open`, or use `async with`."""

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
        self._names = {name: f"{self._library}_{name}" for name in REGISTERED.findall(self._text)}
        #: Whether events may have been put under the ids of schema 1 that could come again.
        self.former_ids = False
        self._given_key = bool(hash_key)
        #: Receipts of persons who were forgotten that this process has carried out.
        self._receipts: set[str] = set()
        #: Rules that did not fire, by the name that lines of the ledger have for them (see `fates`).
        self._missed: dict[str, dict[str, Any]] = {}
        self._stored_key = b""
        #: The connection of each function that is called all the time, once there is one.
        self._lines: dict[str, StoreConnection] = {}
        self._opening = asyncio.Lock()
        #: How many connections could not be made, and why the last one could not.
        self._failed = 0
        self._why: redis.exceptions.RedisError | None = None
        self._hasher = Hasher(hash_key) if hash_key else None

    @classmethod
    def connect(cls, url: str, *, hash_key: bytes = b"", timeout: float = CALL_TIMEOUT, replicas: int = 0) -> Self:
        """Return a mailroom that is not prepared yet: `prepare` needs the store, this does not."""
        return cls(client(url, timeout=timeout), hash_key=hash_key, replicas=replicas)

    @classmethod
    async def open(cls, url: str, *, hash_key: bytes = b"", timeout: float = CALL_TIMEOUT, replicas: int = 0) -> Self:
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
            found = cast(bytes, await self.store.get(schema) or b"").decode("utf-8", "replace")
            if found not in (SCHEMA, *FORMER_SCHEMAS):
                raise StoreDamaged(
                    f"the store's schema is version {found!r}, this program writes {SCHEMA}: "
                    "run the version that wrote it, or give Relais an empty store"
                )
            self.former_ids = found == "1" or await self._has_former_ids()
            if not self._given_key:
                # Offered again each time: when the store was emptied, its processes still agree on who is who.
                name = self.key("hash_key")
                fresh = self._stored_key or base64.urlsafe_b64encode(secrets.token_bytes(32))
                await self.store.set(name, fresh, nx=True)
                self._stored_key = cast(bytes, await self.store.get(name))
                self._hasher = Hasher(self._stored_key)
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc

    async def _has_former_ids(self) -> bool:
        today = int(time.time() * 1000) // ID_PAGE
        pages = [self.key(f"seen:{today + ahead}") for ahead in (-2, -1, 0, 1)]
        return bool(await self.store.exists(*pages))

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await line.close()
        await self.store.aclose()

    async def __aenter__(self) -> Self:
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
        return await _with_cancellation(self.store.execute_command(*words))  # type: ignore[no-untyped-call]

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
                raise type(self._why)(*self._why.args) from self._why.__cause__
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
            answer, touched = await send_together(connection, words, touch)
            waits = [await send_together(connection, *self._waits())]
            if "unknown comm" in str(waits[0][0]) and self._wait == "WAITAOF":
                log.warning("store.no_waitaof: it is too old to tell of its replicas' disks, so their memory counts")
                self._wait = "WAIT"
                waits.append(await send_together(connection, *self._waits()))
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
        """Call a function of `mailroom/lua`. Raises StoreUnavailable."""
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
                raise errors.explained(exc) from exc
            except redis.exceptions.ResponseError as exc:
                if attempt == 1 and any(word in str(exc) for word in ("Function not found", "EMPTIED")):
                    # A flushed, replaced or failed-over store needs no restart of ours.
                    await self.prepare()
                    continue
                raise errors.explained(exc) from exc
            except redis.exceptions.RedisError as exc:
                raise errors.explained(exc) from exc
        raise AssertionError("unreachable")

    async def now(self) -> int:
        """Return the time of the store's clock, ms since 1970. Raises StoreUnavailable."""
        seconds, micros = await self.read(self.store.time())
        return int(seconds) * 1000 + int(micros) // 1000

    async def read(self, awaitable: Any) -> Any:
        """Await a command of the store. Raises StoreUnavailable."""
        try:
            return await _with_cancellation(awaitable)
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc


async def _with_cancellation(awaitable: Awaitable[Any]) -> Any:
    """Await something of redis-py's, and end if the task was cancelled meanwhile.

    `asyncio.wait_for` of Python 3.11, with which redis-py sends, loses a cancellation that comes in the moment in which
    it is done; a loop that calls the store again and again would never end.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    answer = await awaitable
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer


async def send_together(connection: Any, *commands: Sequence[Any]) -> list[Any]:
    """Send commands over one connection in one trip; return the answers, refusals as exceptions."""
    answers: list[Any] = []
    await connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except redis.exceptions.ResponseError as exc:
            answers.append(exc)
    return answers
