"""The load generator and the sink, against each other."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from bench import load, wire
from bench.stage import free_port


@asynccontextmanager
async def serving(sink: wire.Sink) -> AsyncIterator[int]:
    """A sink that listens."""
    port = free_port()
    server = asyncio.create_task(sink.serve("127.0.0.1", port))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0)
    writer.close()
    yield port
    server.cancel()


def posts(count: int) -> list[bytes]:
    """Webhooks about a person each."""
    return [wire.request("/contacts", b'{"email": "person%d@example.org"}' % n) for n in range(count)]


def run(check: Callable[[], Awaitable[None]]) -> None:
    """Run a check in a loop of its own."""

    async def limited() -> None:
        await asyncio.wait_for(check(), 120)

    asyncio.run(limited())


@pytest.mark.parametrize("connections", [1, 7, 40])
def test_every_request_is_answered_once(connections: int) -> None:
    """As many requests arrive as were given, each once, over however many connections."""

    async def check() -> None:
        sink = wire.Sink()
        async with serving(sink) as port:
            got = await wire.load([port], posts(25), connections=connections)
        assert (got.answered, dict(got.statuses)) == (25, {200: 25})
        assert sorted(person for person, _ in sink.arrivals) == list(range(25))

    run(check)


def test_connections_are_shared_out_over_ports() -> None:
    """Two ports get a part of the load each."""

    async def check() -> None:
        first, second = wire.Sink(), wire.Sink()
        async with serving(first) as one, serving(second) as other:
            await wire.load([one, other], posts(40), connections=4)
        assert first.count + second.count == 40
        assert min(first.count, second.count) > 0

    run(check)


def test_a_rate_is_kept() -> None:
    """With a rate requests leave when they are due, not as fast as they are answered."""

    async def check() -> None:
        sink = wire.Sink()
        async with serving(sink) as port:
            got = await wire.load([port], posts(30), connections=8, rate=200, keep=True)
        dues = [each.due for each in sorted(got.exchanges, key=lambda each: each.number)]
        assert got.answered == 30
        assert got.seconds >= 29 / 200
        assert all(later - earlier == pytest.approx(1 / 200, abs=1e-5) for earlier, later in itertools.pairwise(dues))

    run(check)


def test_latency_counts_from_when_a_request_was_due() -> None:
    """What waits for a free connection is late: a slow server cannot slow down the clock that judges it."""

    async def check() -> None:
        async with serving(wire.Sink(delay=0.05)) as port:
            got = await wire.load([port], posts(10), connections=1, rate=1000)
        assert max(got.latencies) > 0.3

    run(check)


def test_a_connection_that_breaks_is_told() -> None:
    """A server that hangs up is status 0, and the load ends."""

    async def check() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            got = await wire.load([port], posts(3), connections=2)
        assert (got.answered, dict(got.statuses)) == (0, {0: 2})

    run(check)


def test_a_connection_that_breaks_while_it_waits() -> None:
    """With a rate, a free connection that the server closed gets no request any more."""

    async def check() -> None:
        errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: errors.append(about))

        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.1)
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            got = await wire.load([server.sockets[0].getsockname()[1]], posts(50), connections=9, rate=20)
            await asyncio.sleep(0.2)
        assert dict(got.statuses) == {0: 9}
        assert errors == []

    uvloop.run(asyncio.wait_for(check(), 120))


def test_the_sink_counts_what_is_under_way() -> None:
    """The sink knows how many deliveries were open at once."""

    async def check() -> None:
        sink = wire.Sink(delay=0.05)
        async with serving(sink) as port:
            await wire.load([port], posts(12), connections=12)
        assert sink.most_open == 12
        assert json.loads(sink.about("/_count"))["count"] == 12
        assert json.loads(sink.about("/_reset"))["count"] == 0

    run(check)


def test_the_sink_counts_what_comes_after_a_later_one() -> None:
    """Of one person, and once for each; what comes twice is not swapped, nor what is about others."""
    sink = wire.Sink()
    for person, number in ((1, 5), (1, 7), (2, 6), (1, 7), (1, 6), (2, 8)):
        sink.arrive(b"/person%d%%40example.org" % person, b'{"LASTNAME": "Muster %d"}' % number)
    assert json.loads(sink.about("/_count"))["swapped"] == 1
    assert json.loads(sink.about("/_reset"))["swapped"] == 0


def test_requests_travel_by_file(tmp_path: Path) -> None:
    """What one process writes the other reads."""
    load.write(tmp_path / "requests", [b"a", b"", b"bcd"])
    assert load.read(tmp_path / "requests") == [b"a", b"", b"bcd"]
