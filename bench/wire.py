"""A load generator and a sink on raw sockets, each faster than what is measured with it (row `harness` shows it).

Comes in: ready requests as bytes. Goes out: how many were answered, how fast, with which statuses. Speaks just enough
HTTP/1.1 for our own answers: a Content-Length or no body, connections kept alive.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Result:
    """What a load brought."""

    answered: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    #: Seconds from the first byte sent to the last received, one per request.
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def quantile(self, q: float) -> float:
        """Return a quantile of the latencies, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


class _Caller(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last is complete."""

    def __init__(self, take: Callable[[], bytes | None], result: Result, done: Callable[[], None]) -> None:
        self._take = take
        self._result = result
        self._done = done
        self._buffer = b""
        self._sent = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = self._take()
        if request is None:
            self.transport.close()
            self._done()
            return
        self._sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        length = 0
        at = buffer[:end].lower().find(b"content-length:")
        if at >= 0:
            length = int(buffer[at + 15 : buffer.find(b"\r\n", at) if buffer.find(b"\r\n", at) > 0 else end])
        if len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self._result.answered += 1
        self._result.statuses[int(buffer[9:12])] += 1
        self._result.latencies.append(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._result.statuses[0] += 1
            self._done()


async def load(host: str, port: int, requests: Sequence[bytes], *, connections: int) -> Result:
    """Send all requests over so many connections, each waiting for its answer before the next."""
    result = Result()
    queue = iter(requests)
    finished = asyncio.Event()
    left = connections

    def take() -> bytes | None:
        return next(queue, None)

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            finished.set()

    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Caller(take, result, done), host, port)
    await finished.wait()
    result.seconds = time.perf_counter() - started
    return result


def request(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Sink(asyncio.Protocol):
    """Answers every request with 200 and `{"id": "1"}`, after a delay if told so; counts and remembers when."""

    ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"id":"1"}'

    def __init__(self, server: "Sink") -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            length = 0
            at = head.find(b"content-length:")
            if at >= 0:
                stop = head.find(b"\r\n", at)
                length = int(head[at + 15 : stop if stop > 0 else end])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            path = head.split(b" ", 2)[1]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(path, body)

    def _answer(self, path: bytes, body: bytes) -> None:
        server = self._server
        if path == b"/_count":
            text = json.dumps(
                {"count": server.count, "open": server.most_open, "first": server.first, "last": server.last}
            ).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            return
        if path == b"/_reset":
            server.reset()
            self._transport.write(self.ANSWER)
            return
        now = time.time()
        server.first = server.first or now
        server.open += 1
        server.most_open = max(server.most_open, server.open)
        if server.delay:
            asyncio.get_running_loop().call_later(server.delay, self._reply)
        else:
            self._reply()

    def _reply(self) -> None:
        server = self._server
        server.open -= 1
        server.count += 1
        server.last = time.time()
        if not self._transport.is_closing():
            self._transport.write(self.ANSWER)


class Sink:
    """A destination that is never the bottleneck."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.count = 0
        self.open = 0
        self.most_open = 0
        self.first = 0.0
        self.last = 0.0

    async def serve(self, host: str, port: int) -> None:
        """Serve for ever."""
        server = await asyncio.get_running_loop().create_server(lambda: _Sink(self), host, port, backlog=4096)
        async with server:
            await server.serve_forever()
