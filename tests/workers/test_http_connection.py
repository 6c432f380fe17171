import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import uvloop

from tests.conftest import wait_until, wait_until_async
from tests.workers.wire import CLOSE, DRIP, FLOOD, HANG, RESET, NameService, RawServer, reply
from workers import http_connection
from workers.http import ANSWER_CAP, Http, HttpAnswer
from workers.http_connection import HttpConnection, HttpOrigin
from workers.outcome import Failed

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

OK = reply(200, '{"id": 1}')
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE_CHUNKED = CHUNKED + b'4;a=b\r\n{ "i\r\n9 \r\nd" :    1\r\n1\r\n}\r\n0\r\nX-Id: 2\r\n\r\n'
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run something in a loop of each of the two kinds: transports of uvloop are others than those of asyncio."""

    def go(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return go


async def ask(
    url: str, times: int = 1, *, method: str = "POST", timeout: float = 2.0, creates: bool = True, **more: Any
) -> list[HttpAnswer | tuple[str, str]]:
    """Send requests one after the other; return what came back, or class and code of the failure."""
    got: list[HttpAnswer | tuple[str, str]] = []
    async with Http() as way_out:
        bound = way_out.bind(timeout=timeout, allow_private=True)
        for _ in range(times):
            try:
                got.append(await bound.exchange().request(method, url, creates=creates, **{"json": {}, **more}))
            except Failed as failed:
                got.append((failed.failure, failed.code))
    return got


async def statuses(url: str, times: int, **more: Any) -> list[Any]:
    """Return the statuses of the answers to so many requests."""
    return [each.status if isinstance(each, HttpAnswer) else each for each in await ask(url, times, **more)]


def found_origin(way_out: Http) -> HttpOrigin:
    """Return the one server that was asked."""
    (origin,) = way_out._origins._found.values()
    return origin


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def closing(serve: Serve) -> Serve:
    """Return a server's side of a connection that closes it at its end, and bears that the other side does."""

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError):
            await serve(reader, writer)

    return whole


async def after_a_while(fact: bool) -> bool:
    """Return the fact, after the loop had a turn to read what has arrived."""
    await asyncio.sleep(0.01)
    return fact


# Answers that are whole.


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        WHOLE_CHUNKED,
        reply(200, gzip.compress(b'{"id"') + gzip.compress(b": 1}"), Content_Encoding="gzip"),
        reply(200, zlib.compress(b'{"id": 1}'), Content_Encoding="deflate"),
        reply(200, zlib.compress(b'{"id": 1}', wbits=-15), Content_Encoding="Deflate"),
        # Apache offers another protocol with any answer.
        reply(200, '{"id": 1}', Upgrade="h2,h2c", Connection="Upgrade, Keep-Alive"),
        CHUNKED[:-2] + b'Connection: upgrade\r\nUpgrade: h2c\r\n\r\n9\r\n{"id": 1}\r\n0\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + OK,
        # Slips of old servers.
        b'HTTP/1.1 200 OK\nContent-Length: 9\n\n{"id": 1}',
        b'HTTP/1.1 200\r\nX-Odd: \x01\xe9\r\nContent-Length: 9\r\n\r\n{"id": 1}',
        b'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n{"id": 1}',
        OK + b"\r\n",
    ],
)
@pytest.mark.parametrize("drip", [b"", DRIP])
def test_whole_answers(run: Run[Any], answer: bytes, drip: bytes) -> None:
    """However an answer is written, and in whatever pieces it comes, it is read whole, and its connection stays."""
    with RawServer(drip + answer) as server:
        answers = run(ask(server.url, 3))
        assert [(each.status, each.json(), each.cut) for each in answers] == [(200, {"id": 1}, False)] * 3
    assert server.connections == 1


@pytest.mark.parametrize("status", [204, 304])
def test_answer_without_body(run: Run[Any], status: int) -> None:
    """No content and not modified end with their head, whatever length they name."""
    with RawServer(b"HTTP/1.1 %d Test\r\nContent-Length: 10\r\n\r\n" % status) as server:
        answers = run(ask(server.url, 2))
    assert [(each.status, each.body) for each in answers] == [(status, b"")] * 2
    assert server.connections == 1


def test_answer_to_head(run: Run[Any]) -> None:
    """The answer to HEAD ends with its head; as nobody knows what comes after it, its connection is closed."""
    with RawServer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"Content-Length: 10\r\n\r\n") as server:
        answers = run(ask(server.url, 2, method="HEAD", json=None))
    assert [(each.status, each.body) for each in answers] == [(200, b"")] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, "{}", Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"\r\n{}" + CLOSE,
        HEAD + b"Transfer-Encoding: identity\r\n\r\n{}" + CLOSE,
        reply(200, "{}", Upgrade="h2", Connection="Upgrade, close"),
    ],
)
def test_connection_for_one_answer(run: Run[Any], answer: bytes) -> None:
    """A server that answers once on each connection gets one for each request, and no request is lost."""
    with RawServer(answer) as server:
        answers = run(ask(server.url, 5))
        assert [(each.status, each.body) for each in answers] == [(200, b"{}")] * 5
    assert server.connections == len(server.requests) == 5


def test_repeated_header(run: Run[Any]) -> None:
    """Of a header that comes twice both values count; what comes after the body is no header."""
    lines = b"X-Limit: 1\r\nx-limit: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 99\r\n\r\n"
    with RawServer(HEAD + lines) as server:
        (answer,) = run(ask(server.url))
    assert answer.headers == {"x-limit": "1, 2", "transfer-encoding": "chunked"}


def test_another_protocol(run: Run[Any]) -> None:
    """A server that goes over to a protocol that nobody asked for has no second request."""
    switch = b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\n"
    with RawServer(switch, reply(201)) as server:
        assert run(statuses(server.url, 2)) == [101, 201]
    assert server.connections == 2


class EchoProtocol(asyncio.Protocol):
    """A server that takes its time and answers with the path that it was asked for."""

    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        EchoProtocol.connections += 1
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = reply(200, data.split()[1], "text/plain")
        asyncio.get_running_loop().call_later(0.01, self._transport.write, answer)


def test_many_at_once(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many requests at once each has a connection and its own answer, and the connections are used again."""
    monkeypatch.setattr(EchoProtocol, "connections", 0)

    async def main() -> int:
        server = await asyncio.get_running_loop().create_server(EchoProtocol, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Http() as way_out:
            bound = way_out.bind(timeout=10, allow_private=True)

            async def one(number: int) -> None:
                for path in (f"/{number}/{n}" for n in range(10)):
                    assert (await bound.exchange().request("GET", base + path)).text == path

            await asyncio.gather(*map(one, range(60)))
            return len(found_origin(way_out).idle)

    assert run(main()) == EchoProtocol.connections == 60


# Answers that end too early, late or never.


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (RESET, "reset"),
        (CLOSE, "reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Le" + CLOSE, "reset"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CLOSE, "reset"),
        (HEAD + b"Content-Length: 10\r\n\r\nfive!" + CLOSE, "cut_off"),
        (CHUNKED + b"5\r\nfi" + CLOSE, "cut_off"),
        (CHUNKED + b"5\r\nfive!\r\n" + CLOSE, "cut_off"),
        (HANG, "timeout"),
        (b"HTTP/1.1 200 OK\r\n", "timeout"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "timeout"),
        (HEAD + b"Content-Length: 10\r\n\r\nfive!", "timeout"),
        (CHUNKED + b"5\r\nfive!\r\n", "timeout"),
    ],
)
def test_answer_that_is_not_whole(run: Run[Any], answer: bytes, code: str) -> None:
    """A request whose answer did not come whole may have done something, and its connection is not used again."""
    with RawServer(answer, reply(201)) as server:
        assert run(statuses(server.url, 2, timeout=0.4)) == [("ambiguous", code), 201]
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        # Two that read these differently can be made to see different answers.
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        reply(200, "no gzip", Content_Encoding="gzip"),
        reply(200, b"\xff\xff\xff", Content_Encoding="deflate"),
    ],
)
@pytest.mark.parametrize("drip", [b"", DRIP])
def test_answer_that_is_none(run: Run[Any], answer: bytes, drip: bytes) -> None:
    """What is no HTTP, or could be read in two ways, is no answer, and its connection is not used again."""
    with RawServer(drip + answer, reply(201)) as server:
        assert run(statuses(server.url, 2)) == [("ambiguous", "bad_answer"), 201]
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + FLOOD + b"X-A: b\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + FLOOD + b"b",
        b"HTTP/1.1 200 " + FLOOD + b"OK",
        FLOOD + b"HTTP/1.1 100 Continue\r\n\r\n",
        FLOOD + b"\r\n",
        CHUNKED + b"2;" + FLOOD + b"a",
        CHUNKED + b"0\r\n" + FLOOD + b"X-A: b\r\n",
        CHUNKED + b"0\r\nX-A: " + FLOOD + b"b",
    ],
)
def test_endless_answer(run: Run[Any], answer: bytes) -> None:
    """What never becomes a body is not read for ever, however fast it comes."""
    flood = answer.partition(FLOOD)[2]
    with RawServer(answer.removesuffix(flood) + flood * (65536 // len(flood))) as server:
        assert run(statuses(server.url, 1, timeout=20.0)) == [("ambiguous", "bad_answer")]


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"\r\n" + FLOOD + b"x" * 65536,
        CHUNKED + FLOOD + b"1000\r\n" + b"x" * 4096 + b"\r\n",
        HEAD + b"Content-Length: 99999999999\r\n\r\n" + FLOOD + b"x" * 65536,
        reply(200, b"x" * (ANSWER_CAP + 1)),
        reply(200, gzip.compress(b"x" * 50_000_000), Content_Encoding="gzip"),
    ],
)
def test_long_answer(run: Run[Any], answer: bytes) -> None:
    """Of a body that is longer than anybody needs, or never ends, the first part is kept."""
    with RawServer(answer) as server:
        (got,) = run(ask(server.url, timeout=20.0))
    assert (got.status, got.body, got.cut) == (200, b"x" * ANSWER_CAP, True)


def test_chunks_of_one_byte(run: Run[Any]) -> None:
    """A body in the smallest of chunks is read whole."""
    with RawServer(CHUNKED + b"1\r\nx\r\n" * ANSWER_CAP + b"0\r\n\r\n") as server:
        (got,) = run(ask(server.url, timeout=20.0))
    assert (got.body, got.cut) == (b"x" * ANSWER_CAP, False)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-A: ", HEAD + b"Content-Length: 1000\r\n\r\n"])
def test_trickling_answer(run: Run[Any], start: bytes) -> None:
    """An answer that never stops trickling has the time of the whole request, however often a byte comes."""

    def trickle(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(start)
            try:
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.02)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        trickling = threading.Thread(target=trickle, args=(server,))
        trickling.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert run(statuses(url, 1, timeout=0.4)) == [("ambiguous", "timeout")]
        trickling.join()


def test_time_of_a_later_request(run: Run[Any]) -> None:
    """Each request on a connection has its own time, whether the one before had more or less."""

    async def main(url: str) -> list[Any]:
        got: list[Any] = []
        async with Http() as way_out:
            for timeout in (5.0, 0.4, 5.0, 0.3):
                try:
                    asked = way_out.bind(timeout=timeout, allow_private=True).exchange()
                    got.append((await asked.request("POST", url, json={})).status)
                except Failed as failed:
                    got.append(failed.code)
        return got

    with RawServer(OK, OK, OK, HANG) as server:
        started = time.monotonic()
        assert run(main(server.url)) == [200, 200, 200, "timeout"]
        assert time.monotonic() - started < 4
    assert server.connections == 1


def test_slow_answer_in_time(run: Run[Any]) -> None:
    """A timer that was set for an earlier request does not end a later one."""

    async def main() -> list[Any]:
        @closing
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for pause in (0.0, 0.3, 0.3):
                await reader.readuntil(b"\r\n\r\n{}")
                await asyncio.sleep(pause)
                writer.write(OK)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await statuses(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", 3, timeout=0.5)

    assert run(main()) == [200, 200, 200]


# Connections that are used again, or not.


@pytest.mark.parametrize(
    "answer",
    [
        OK + reply(500, "smuggled"),
        OK + b"HTTP/1.1 5",
        OK + b"garbage",
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
        reply(200, "{}", Connection="close") + b"garbage",
        reply(200, "{}", Upgrade="h2", Connection="Upgrade") + OK,
    ],
)
def test_more_than_an_answer(run: Run[Any], answer: bytes) -> None:
    """What comes after an answer is no answer to the next request, which has a connection of its own."""
    with RawServer(answer, reply(201)) as server:
        (first, second) = run(statuses(server.url, 2))
    assert (first // 100, second) == (2, 201)
    assert server.connections == 2


@pytest.mark.parametrize("unasked", [reply(408, Connection="close"), reply(200, "{}"), b"H", b"\x00"])
def test_unasked_answer(run: Run[Any], unasked: bytes) -> None:
    """What a server says on an idle connection, unasked, is not the answer to the next request."""

    async def main(server: RawServer) -> int:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            assert (await bound.exchange().request("GET", server.url)).status == 200
            server.say(unasked)
            ((_, connection),) = found_origin(way_out).idle
            await wait_until_async(lambda: after_a_while(not connection.fit), "it has arrived")
            return (await bound.exchange().request("POST", server.url, json={}, creates=True)).status

    with RawServer(OK, reply(201)) as server:
        assert run(main(server)) == 201
    assert (server.connections, len(server.requests)) == (2, 2)


def test_dead_connection_is_not_an_unknown(run: Run[Any]) -> None:
    """A connection that the other side closed while it was idle is not used for a create."""

    async def main(server: RawServer) -> int:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            await bound.exchange().request("GET", server.url)
            await wait_until_async(lambda: after_a_while(server.ended == 1), "the server has closed the connection")
            return (await bound.exchange().request("POST", server.url, json={}, creates=True)).status

    with RawServer(OK + CLOSE, OK) as server:
        assert run(main(server)) == 200
    assert server.connections == 2


def test_connection_that_was_closed_just_now(run: Run[Any]) -> None:
    """A create is not sent where the loop has not heard yet that the other side closed the connection."""

    async def main(server: RawServer) -> int:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            await bound.exchange().request("GET", server.url)
            wait_until(lambda: server.ended == 1, "the server has closed the connection")  # the loop stands still
            return (await bound.exchange().request("POST", server.url, json={}, creates=True)).status

    with RawServer(OK + CLOSE, OK) as server:
        assert run(main(server)) == 200
    assert (server.connections, len(server.requests)) == (2, 2)


def test_server_that_stops_speaking(run: Run[Any]) -> None:
    """A server that closes its side and goes on to read is not waited for."""

    async def main() -> list[Any]:
        @closing
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write_eof()
            await reader.read()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await statuses(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", 2, timeout=20.0)

    assert run(main()) == [("ambiguous", "reset")] * 2


@pytest.mark.parametrize(("method", "creates", "sent"), [("PUT", False, 2), ("PUT", True, 1), ("POST", False, 1)])
def test_repeated_where_it_is_safe(run: Run[Any], method: str, creates: bool, sent: int) -> None:
    """A connection that breaks before an answer: what is safe to repeat is sent once more, a create or a POST never."""
    with RawServer(CLOSE, OK) as server:
        (got,) = run(statuses(server.url, 1, method=method, creates=creates))
    assert (got == 200, len(server.requests)) == (sent == 2, sent)


def test_repeated_once_only(run: Run[Any]) -> None:
    """A server that always breaks off is asked twice, not for ever; one that answers in part is asked once."""
    with RawServer(CLOSE) as server:
        assert run(statuses(server.url, 1, method="GET", json=None, creates=False)) == [("transient", "reset")]
    assert len(server.requests) == 2
    with RawServer(HEAD + b"Content-Length: 10\r\n\r\nfive!" + CLOSE) as server:
        assert run(statuses(server.url, 1, method="GET", json=None, creates=False)) == [("transient", "cut_off")]
    assert len(server.requests) == 1


def test_early_answer(run: Run[Any]) -> None:
    """An answer that comes before all of the request was sent is one; what is left of the request is not sent."""

    async def main() -> tuple[list[Any], int]:
        rest = 0

        @closing
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal rest
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(413))
            if b"Content-Length: 2\r\n" not in head:
                await asyncio.sleep(0.2)
                while part := await reader.read(2**20):
                    rest += len(part)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            got = await statuses(url, 1, json={"text": "x" * 30_000_000})
            await asyncio.sleep(0.3)
            return got + await statuses(url, 1), rest

    got, rest = run(main())
    assert got == [413, 413]
    assert rest < 30_000_000


def test_slow_reader(run: Run[Any]) -> None:
    """A server that does not read what we send ends in time, and may have got it."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel takes the connection, and nobody reads
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert run(statuses(url, 1, json={"text": "x" * 20_000_000}, timeout=0.4)) == [("ambiguous", "timeout")]


def test_request_that_is_given_up(run: Run[Any]) -> None:
    """The connection of a request that nobody waits for any more is closed, and its answer is not the next one's."""

    async def main(server: RawServer) -> int:
        async with Http() as way_out:
            bound = way_out.bind(timeout=5, allow_private=True)
            asked = asyncio.create_task(bound.exchange().request("POST", server.url, json={}))
            await wait_until_async(lambda: after_a_while(len(server.requests) == 1), "it has arrived")
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return (await bound.exchange().request("POST", server.url, json={})).status

    with RawServer(HANG, reply(201)) as server:
        assert run(main(server)) == 201
    assert server.connections == 2


def test_idle_connections_end_before_servers_end_them(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Common servers close an idle connection after five seconds; ours is closed before, lest a create meets that."""
    assert http_connection.KEEP_ALIVE == 4.0
    monkeypatch.setattr(http_connection, "KEEP_ALIVE", 0.05)

    async def main(server: RawServer) -> None:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            for _ in range(2):
                await bound.exchange().request("GET", server.url)
                await wait_until_async(lambda: after_a_while(server.ended == len(server.requests)), "it is closed")
                assert not found_origin(way_out).idle

    with RawServer(OK) as server:
        run(main(server))
    assert (server.connections, len(server.requests)) == (2, 2)


def test_what_waited_too_long(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is not used once its time is over, also where nobody came to close it."""

    async def main(url: str) -> None:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            for _ in range(2):
                await bound.exchange().request("GET", url)
            monkeypatch.setattr(http_connection, "KEEP_ALIVE", -1.0)
            await bound.exchange().request("GET", url)

    with RawServer(OK) as server:
        run(main(server.url))
    assert (server.connections, len(server.requests)) == (2, 3)


def test_a_forgotten_server_keeps_no_connection(run: Run[Any]) -> None:
    """What is under way to a server that is forgotten meanwhile is answered, and its connection closed."""

    async def main(url: str) -> tuple[int, int]:
        async with Http() as way_out:
            bound = way_out.bind(timeout=2, allow_private=True)
            asked = asyncio.create_task(bound.exchange().request("GET", url))
            await asyncio.sleep(0)
            origin = found_origin(way_out)
            way_out._origins.forget()
            return (await asked).status, len(origin.idle)

    with RawServer(OK) as server:
        assert run(main(server.url)) == (200, 0)


# Connecting.


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameService:
    return NameService(monkeypatch)


def test_name_is_asked_for_once(names: NameService) -> None:
    """Many connections at once ask for the name once, and one that is given up takes no answer from the others."""
    names.addresses = ["127.0.0.1"]

    async def main(url: str) -> list[Any]:
        async with Http() as way_out:
            bound = way_out.bind(timeout=5, allow_private=True)
            names.answers.clear()
            asked = [asyncio.create_task(bound.exchange().request("GET", url)) for _ in range(10)]
            await asyncio.sleep(0.05)
            asked[0].cancel()
            await asyncio.sleep(0)
            names.answers.set()
            return await asyncio.gather(*asked, return_exceptions=True)

    with RawServer(OK) as server:
        first, *others = asyncio.run(main(f"http://crm.example.org:{server.url.rpartition(':')[2]}/"))
    assert isinstance(first, asyncio.CancelledError)
    assert [each.status for each in others] == [200] * 9
    assert names.asked == 1


def test_name_that_is_resolved_later(names: NameService) -> None:
    """That a name could not be resolved is not remembered."""

    async def main(url: str) -> list[Any]:
        async with Http() as way_out:
            bound = way_out.bind(timeout=5, allow_private=True)
            with pytest.raises(Failed, match="dns_failed"):
                await bound.exchange().request("GET", url)
            names.addresses = ["127.0.0.1"]
            return [(await bound.exchange().request("GET", url)).status]

    with RawServer(OK) as server:
        assert asyncio.run(main(f"http://crm.example.org:{server.url.rpartition(':')[2]}/")) == [200]


def test_several_addresses(names: NameService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one address of a name does not answer another one does, and new connections take turns."""
    monkeypatch.setattr(http_connection, "KEEP_ALIVE", -1.0)

    async def main() -> list[str]:
        heard = []

        @closing
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            heard.append(writer.get_extra_info("sockname")[0])
            writer.write(OK)

        server = await asyncio.start_server(serve, ["127.0.0.2", "127.0.0.3"], 0)
        ports = {sock.getsockname()[0]: sock.getsockname()[1] for sock in server.sockets}
        names.addresses = ["127.0.0.4", "127.0.0.2"]
        async with server:
            assert await statuses(f"http://crm.example.org:{ports['127.0.0.2']}/", 2) == [200, 200]
        return heard

    assert asyncio.run(main()) == ["127.0.0.2"] * 2


def test_time_to_connect(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not take a connection soon is not waited for, however long the answer may take."""
    assert http_connection.CONNECT_TIMEOUT == 5.0
    monkeypatch.setattr(http_connection, "CONNECT_TIMEOUT", 0.2)
    with RawServer(HANG) as server:
        started = time.monotonic()
        url = server.url.replace("http://", "https://")  # it says nothing to our handshake
        assert run(statuses(url, 1, timeout=20.0)) == [("transient", "connect_timeout")]
    assert time.monotonic() - started < 10
    assert server.requests == []


# TLS.

CERTIFICATE = ("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """Makes servers with certificates. The one of `trust` is trusted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def make(self, names: str, days: int = 1) -> ssl.SSLContext:
        """Return what a server needs that has a certificate for some names."""
        key, request, certificate, about = (self._folder / name for name in ("key", "request", "crt", "about"))
        about.write_text(f"subjectAltName={names}\n")
        subject = ("-subj", "/CN=example.org", "-keyout", key, "-out", request)
        subprocess.run([*CERTIFICATE, *subject], capture_output=True, check=True)
        signing = ("openssl", "x509", "-req", "-in", request, "-signkey", key, "-days", str(days), "-extfile", about)
        subprocess.run([*signing, "-out", certificate], capture_output=True, check=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def trust(self) -> None:
        """Let the latest certificate be trusted, as an operator does."""
        self._monkeypatch.setenv("SSL_CERT_FILE", str(self._folder / "crt"))


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificates]:
    http_connection._tls.cache_clear()
    yield Certificates(tmp_path, monkeypatch)
    http_connection._tls.cache_clear()


def test_encrypted(run: Run[Any], certificates: Certificates) -> None:
    """A server whose certificate is to be trusted is asked, and its connection used again, also where pieces come."""
    tls = certificates.make("DNS:localhost,IP:127.0.0.1")
    certificates.trust()
    long = reply(200, b"x" * (4 * ANSWER_CAP))
    with RawServer(OK, DRIP + WHOLE_CHUNKED, OK, long, HEAD + b"\r\n{}" + CLOSE, tls=tls) as server:
        answers = run(ask(server.url, 5, timeout=10.0))
        assert [each.json() for each in answers] == [*[{"id": 1}] * 3, None, {}]
        assert [each.cut for each in answers] == [False, False, False, True, False]
    assert server.connections == 2


@pytest.mark.parametrize("answer", [RESET, CLOSE, HEAD + b"Content-Length: 10\r\n\r\nfive!" + CLOSE, HANG])
def test_encrypted_and_broken(run: Run[Any], certificates: Certificates, answer: bytes) -> None:
    """An encrypted answer that is not whole is the same as any other."""
    tls = certificates.make("IP:127.0.0.1")
    certificates.trust()
    with RawServer(answer, reply(201), tls=tls) as server:
        (failed, after) = run(statuses(server.url, 2, timeout=1.0))
    assert failed[0] == "ambiguous"
    assert failed[1] in ("reset", "cut_off", "timeout")
    assert after == 201


@pytest.mark.parametrize(
    ("names", "days", "trusted"),
    [("IP:127.0.0.1,DNS:localhost", 1, False), ("DNS:localhost", 1, True), ("IP:127.0.0.1", -1, True)],
)
def test_bad_certificate(run: Run[Any], certificates: Certificates, names: str, days: int, trusted: bool) -> None:
    """A server gets no request whose certificate nobody signed, or has another name in it, or has expired."""
    tls = certificates.make(names, days)
    if trusted:
        certificates.trust()
    with RawServer(OK, tls=tls) as server:
        assert run(statuses(server.url, 1)) == [("transient", "bad_certificate")]
        name = server.url.replace("127.0.0.1", "localhost")
        assert run(statuses(name, 1)) == [200 if names == "DNS:localhost" else ("transient", "bad_certificate")]
    assert len(server.requests) == (names == "DNS:localhost")


def test_no_tls_at_all(run: Run[Any]) -> None:
    """A server that speaks plainly where it should not gets no request."""
    with RawServer(OK, greeting=b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        assert run(statuses(server.url.replace("http://", "https://"), 1)) == [("transient", "tls_failed")]
    assert server.requests == []


def test_connection_that_is_closed_twice(run: Run[Any]) -> None:
    """To close a connection again does no harm."""

    async def main(url: str) -> HttpConnection:
        async with Http() as way_out:
            await way_out.bind(timeout=2, allow_private=True).exchange().request("GET", url)
            ((_, connection),) = found_origin(way_out).idle
            connection.close()
            connection.close()
            await asyncio.sleep(0.01)
            connection.close()
        return connection

    with RawServer(OK) as server:
        assert not run(main(server.url)).fit
