"""A line to the store: one connection for calls of one kind, several under way at once, answered in their order.

Comes in: commands. Goes out: what the store says to each. redis-py connects (address, password, TLS, Sentinel) and from
then on the line reads and writes by itself, since redis-py's own way costs more than what it carries. Never sends
anything twice: a connection that breaks, or an answer that is late, fails all that wait for one, and ends the line.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as TooLate

#: What the reader says when an answer is not complete.
NOT_YET = object()

Waiting = tuple["asyncio.Future[Any]", float]


class StoreConnection(asyncio.Protocol):
    """One connection. Make it with `open`; once it has `ended`, make another."""

    def __init__(self, pool: redis.asyncio.ConnectionPool, connection: Any) -> None:
        self._pool = pool
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        #: Seconds for one answer; None: no limit.
        self._patience: float | None = connection.socket_timeout
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=NOT_YET
        )
        #: Who waits for an answer, and until when.
        self._waiting: deque[Waiting] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._retired = False
        self._giving_back: asyncio.Task[None] | None = None
        self._given_back: asyncio.Future[None] = self._loop.create_future()
        #: True when nothing can be sent any more.
        self.ended = False
        self._transport: asyncio.Transport = connection.transport
        #: What redis-py put there; it has to hear of the end.
        self._before = cast(asyncio.Protocol, self._transport.get_protocol())
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, pool: redis.asyncio.ConnectionPool) -> "StoreConnection":
        """Connect. Raises RedisError."""
        return cls(pool, await pool.get_connection())  # type: ignore[no-untyped-call]

    def call(self, *words: Any) -> "asyncio.Future[Any]":
        """Send a command. The future brings its answer, or the RedisError that it is, or why there is none."""
        if self.ended:
            raise ConnectionFailed("the connection has ended")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._transport.write(hiredis.pack_command(words))
        if self._patience is not None:
            until = self._loop.time() + self._patience
            self._waiting.append((answer, until))
            if self._watch is None:
                self._watch = self._loop.call_at(until, self._look)
        else:
            self._waiting.append((answer, 0.0))
        return answer

    def retire(self) -> None:
        """Take no more calls; end when all that were made are answered."""
        self._retired = True
        if not self._waiting:
            self.end("it is not needed any longer")

    def end(self, why: str) -> None:
        """End now; what waits for an answer gets none."""
        self._end(ConnectionFailed, why)

    async def close(self) -> None:
        """End now, and wait until it has."""
        self.end("it was closed")
        await self._given_back

    def _end(self, kind: type[RedisError], why: str) -> None:
        if self.ended:
            return
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(kind(why))

    def _look(self) -> None:
        """See whether an answer is late. One timer for all: hardly any call is still under way when it fires."""
        self._watch = None
        if not self._waiting:
            return
        _, until = self._waiting[0]
        if until <= self._loop.time():
            self._end(TooLate, "the answer did not come in time")
        else:
            self._watch = self._loop.call_at(until, self._look)

    def data_received(self, data: bytes) -> None:
        """Hand out answers."""
        try:
            self._reader.feed(data)
            while (said := self._reader.gets()) is not NOT_YET:
                if not isinstance(said, hiredis.PushNotification):
                    self._hand_out(said)
        except (InvalidResponse, IndexError) as exc:
            self.end(f"that is no answer: {exc.__class__.__name__}")
        if self._retired and not self._waiting:
            self.end("it is not needed any longer")

    def _hand_out(self, said: Any) -> None:
        answer, _ = self._waiting.popleft()
        if answer.done():  # nobody waits for it any more
            return
        if isinstance(said, RedisError):
            answer.set_exception(said)
        else:
            answer.set_result(said)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and give redis-py its connection back."""
        self.end("the store ended the connection")
        self._before.connection_lost(exc)
        self._giving_back = self._loop.create_task(self._give_back())

    async def _give_back(self) -> None:
        try:
            await self._connection.disconnect(nowait=True)
            await self._pool.release(self._connection)
        finally:
            self._given_back.set_result(None)
