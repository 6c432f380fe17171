"""A load generator and a sink on raw sockets, each faster than what is measured with it (row `harness` shows it).

Comes in: ready requests as bytes. Goes out: how many were answered, how fast, with which statuses. Speaks just enough
HTTP/1.1 for our own answers: a Content-Length or no body, connections kept alive.
"""

import asyncio
import json
import re
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from bench.measure import quantile


@dataclass
class TimedRequest:
    """One request and its answer, by the wall clock."""

    number: int
    due: float
    answered: float
    body: bytes


@dataclass
class LoadResult:
    """The result of a load."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    #: Seconds from the first byte sent (or the moment it was due) to the last received, one per request.
    latencies: list[float] = field(default_factory=list)
    #: All of them, where they were asked for.
    exchanges: list[TimedRequest] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests that got an answer."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def quantile(self, q: float) -> float:
        """Return a quantile of the latencies, in seconds."""
        return quantile(self.latencies, q)


class _Course:
    """The requests of one load: each free connection takes the next one, with a rate when it is due."""

    def __init__(self, requests: Sequence[bytes], connections: int, rate: float, keep: bool) -> None:
        self.result = LoadResult()
        self.finished = asyncio.Event()
        self.keep = keep
        self._requests = requests
        self._rate = rate
        self._next = 0
        self._left = connections
        self._free: deque[_Caller] = deque()
        self._started = 0.0

    def start(self, callers: Sequence["_Caller"]) -> None:
        self._started = time.time()
        self._free.extend(caller for caller in callers if not caller.closing)
        self._go()

    def free(self, caller: "_Caller") -> None:
        """Give a free connection the next request."""
        self._free.append(caller)
        if not self._rate or self._next == len(self._requests) or self._due() <= time.time():
            self._go(again=False)

    def lost(self, caller: "_Caller") -> None:
        """Handle a broken connection."""
        with suppress(ValueError):
            self._free.remove(caller)
        self.result.statuses[0] += 1
        self._closed()

    def _due(self) -> float:
        return self._started + self._next / self._rate

    def _go(self, *, again: bool = True) -> None:
        while self._free:
            if self._next == len(self._requests):
                self._free.popleft().close()
                self._closed()
                continue
            now = time.time()
            due = self._due() if self._rate else now
            if due > now:
                break
            self._free.popleft().send(self._next, self._requests[self._next], due)
            self._next += 1
        if self._rate and again and self._next < len(self._requests):
            asyncio.get_running_loop().call_later(max(0.001, self._due() - time.time()), self._go)

    def _closed(self) -> None:
        self._left -= 1
        if not self._left:
            self.finished.set()


class _Caller(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, course: _Course) -> None:
        self._course = course
        self._buffer = b""
        self._number = 0
        self._due = 0.0
        self.closing = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, number: int, request: bytes, due: float) -> None:
        self._number, self._due = number, due
        self.transport.write(request)

    def close(self) -> None:
        self.closing = True
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        length = _length(buffer[:end].lower()) if end >= 0 else 0
        if end < 0 or len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        now = time.time()
        result = self._course.result
        result.statuses[int(buffer[9:12])] += 1
        result.latencies.append(now - self._due)
        if self._course.keep:
            result.exchanges.append(TimedRequest(self._number, self._due, now, buffer[end + 4 :]))
        self._course.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.closing = True
            self._course.lost(self)


def _length(head: bytes) -> int:
    """Return the length of the body that a head in lower case announces."""
    at = head.find(b"content-length:")
    if at < 0:
        return 0
    stop = head.find(b"\r\n", at)
    return int(head[at + 15 : stop if stop > 0 else len(head)])


async def load(
    ports: Sequence[int], requests: Sequence[bytes], *, connections: int, rate: float = 0.0, keep: bool = False
) -> LoadResult:
    """Send all requests over so many connections, shared out over the ports.

    Each connection waits for its answer before its next request. With a `rate` requests leave when they are due, and
    their latency counts from then, also where no connection was free. `keep`: every exchange is in the result.
    """
    course = _Course(requests, connections, rate, keep)
    loop = asyncio.get_running_loop()
    callers = []
    for n in range(connections):
        _, caller = await loop.create_connection(lambda: _Caller(course), "127.0.0.1", ports[n % len(ports)])
        callers.append(caller)
    started = time.perf_counter()
    course.start(callers)
    await course.finished.wait()
    course.result.seconds = time.perf_counter() - started
    return course.result


def request(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Visitor(asyncio.Protocol):
    """One connection to the sink, server side."""

    def __init__(self, sink: "Sink") -> None:
        self._sink = sink
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
            length = _length(head)
            if len(self._buffer) < end + 4 + length:
                return
            path, body = head.split(b" ", 2)[1], self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._sink.bytes += end + 4 + length
            self._receive(path, body)

    def _receive(self, path: bytes, body: bytes) -> None:
        if path.startswith(b"/_"):
            text = self._sink.about(path.decode()).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            return
        answer = self._sink.arrive(path, body)
        if self._sink.delay:
            asyncio.get_running_loop().call_later(self._sink.delay, self._reply, answer)
        else:
            self._reply(answer)

    def _reply(self, answer: bytes) -> None:
        self._sink.leave()
        if not self._transport.is_closing():
            self._transport.write(answer)


class Sink:
    """A destination that is never the bottleneck: 200 and `{"id":"1"}`, optionally after a delay.

    It counts deliveries and records for each the person (`person17@…` in path or body), arrival and answer; and how
    many came after a later one of the same person (a contact's number is its last name, `Muster 17`).
    """

    OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"id":"1"}'
    PERSON = re.compile(rb"person(\d+)(?:@|%40)")
    NUMBER = re.compile(rb"Muster (\d+)")

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.reset()

    def reset(self) -> None:
        """Reset the counters."""
        self.count = self.open = self.most_open = self.bytes = self.swapped = 0
        self.first = self.last = 0.0
        #: Of each delivery in the order of arrival: number of the person (-1: none), when it came.
        self.arrivals: list[tuple[int, float]] = []
        #: Person -> the highest number that came.
        self._highest: dict[int, int] = {}

    def about(self, path: str) -> str:
        """Answer a control request of the bench: `/_count`, `/_arrivals`, or `/_reset`."""
        if path == "/_reset":
            self.reset()
        if path == "/_arrivals":
            return json.dumps(self.arrivals)
        return json.dumps(
            {
                "count": self.count,
                "open": self.most_open,
                "first": self.first,
                "last": self.last,
                "bytes": self.bytes,
                "swapped": self.swapped,
            }
        )

    def arrive(self, path: bytes, body: bytes) -> bytes:
        """Record a delivery; return the answer."""
        now = time.time()
        self.first = self.first or now
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        found, number = self.PERSON.search(path) or self.PERSON.search(body), self.NUMBER.search(body)
        person = int(found[1]) if found else -1
        self.arrivals.append((person, now))
        if number:
            highest = self._highest.get(person, -1)
            self.swapped += int(number[1]) < highest
            self._highest[person] = max(highest, int(number[1]))
        return self.OK

    def leave(self) -> None:
        """Record that an answer is sent."""
        self.open -= 1
        self.count += 1
        self.last = time.time()

    async def serve(self, host: str, port: int) -> None:
        """Serve for ever."""
        server = await asyncio.get_running_loop().create_server(lambda: _Visitor(self), host, port, backlog=4096)
        async with server:
            await server.serve_forever()
