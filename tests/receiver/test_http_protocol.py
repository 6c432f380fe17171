"""The short way of a request that is there as a whole, beside the long one: nobody can tell which was taken."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import time
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from receiver.http_protocol import Connection
from tests.conftest import PrivateValkey, wait_until
from tests.receiver.port import Port

HEAD = b"POST /in/at/contact_changed HTTP/1.1\r\nHost: x\r\nX-Relais-Token: %b\r\nContent-Type: application/json\r\n"


def request(n: int, token: bytes = b"new", *, more: bytes = b"", email: str = "eva@example.org") -> bytes:
    body = json.dumps({"id": n, "email": email}).encode()
    return (HEAD % token) + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Reader:
    """Reads answers off a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def answer(self) -> tuple[int, dict[bytes, bytes], Any]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name] = value
        return status, headers, json.loads(self._file.read(int(headers[b"content-length"])))

    def end(self) -> bytes:
        return self._file.read()


def test_ahead(shared: Port) -> None:
    """Requests sent ahead are answered in their order, refused ones among them, wherever the segments end."""
    tokens = [b"new", b"wrong", b"new", b"new", b"wrong", b"new"]
    sent = b"".join(request(n + 1, token) for n, token in enumerate(tokens))
    for cut in (len(sent), 100, 230, 300, 500, len(sent) - 1):
        with shared.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = Reader(connection)
            connection.sendall(sent[:cut])
            wait_until(lambda: bool(shared.server.server_state.connections), "it is there")
            connection.sendall(sent[cut:])
            answers = [reader.answer() for _ in tokens]
        assert [status for status, _, _ in answers] == [202 if token == b"new" else 401 for token in tokens]
        kept = [body["events"][0]["id"] for status, _, body in answers if status == 202]
        assert [shared.kept(each).data["id"] for each in kept] == [1, 3, 4, 6]


@pytest.mark.parametrize("parts", [1, 2])
def test_same_answer(shared: Port, parts: int) -> None:
    """The answer has the same head whether the body came with the head of the request or after it."""
    sent = request(7)
    at = sent.index(b"\r\n\r\n") + 4 if parts == 2 else len(sent)
    with shared.connect() as connection:
        connection.sendall(sent[:at])
        if parts == 2:
            wait_until(lambda: bool(shared.server.server_state.tasks), "the head has been read")
            connection.sendall(sent[at:])
        status, headers, _ = Reader(connection).answer()
    assert status == 202
    assert set(headers) == {b"date", b"content-type", b"content-length"}
    assert headers[b"content-type"] == b"application/json"


def test_last_of_a_connection(shared: Port) -> None:
    """Whoever asks for it gets the connection closed behind the answer, and what follows is not read."""
    with shared.connect() as connection:
        connection.sendall(request(8, more=b"Connection: close\r\n") + request(9))
        reader = Reader(connection)
        status, headers, _ = reader.answer()
        assert (status, headers[b"connection"]) == (202, b"close")
        assert reader.end() == b""


def test_head_only(shared: Port) -> None:
    """Who asks for the head of an answer gets no more."""
    sent = b"HEAD /in/at/contact_changed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = shared.send(sent)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_idle(shared: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing more is closed when its time is over; one that goes on stays much longer."""
    monkeypatch.setattr(shared.server.config, "timeout_keep_alive", 0.3)
    with shared.connect() as idle, shared.connect() as busy:
        idle.sendall(request(1))
        assert Reader(idle).answer()[0] == 202
        began = time.monotonic()
        reader = Reader(busy)
        while time.monotonic() < began + 1:
            busy.sendall(request(2))
            assert reader.answer()[0] == 202
        assert idle.recv(1) == b""
        assert reader.end() == b""
    assert time.monotonic() - began < 5


def test_invalid_and_valid(port: Port) -> None:
    """An item that goes to quarantine is answered on the short way, too, when it is kept."""
    body = json.dumps([{"id": 1, "email": "eva@example.org"}, {"email": "nobody"}])
    answer = port.post("/in/at/contact_changed", body)
    assert answer.status == 202
    assert [port.fate(each).state for each in answer.ids] == ["waiting", "quarantined"]


def test_answers_that_nobody_reads(shared: Port) -> None:
    """Whoever sends on and on without reading the answers is not read any longer, or turned away."""
    with shared.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        many = request(1, b"wrong") * 20
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                connection.sendall(many)
            pytest.fail("everything was taken")
    assert shared.post("/in/at/contact_changed", {"id": 5, "email": "eva@example.org"}).status == 202


@pytest.mark.parametrize("size", [3_000, 20_000])
def test_ahead_with_bodies(shared: Port, size: int) -> None:
    """Bodies of others in the same segment are not taken for the head of the last request."""
    with shared.connect() as connection:
        connection.sendall(b"".join(request(n, email=f"{'x' * size}@example.org") for n in range(12)))
        reader = Reader(connection)
        assert [reader.answer()[0] for _ in range(12)] == [202] * 12


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
@pytest.mark.parametrize("apart", [False, True])
def test_wish_for_another_protocol(shared: Port, protocol: bytes, apart: bool) -> None:
    """Whoever would like another protocol (Java's client does) is answered in this one, and its body is its body."""
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
    sent = [request(1, more=wish), request(2), request(3, b"wrong", more=wish), request(4, more=wish)]
    with shared.connect() as connection:
        reader = Reader(connection)
        if apart:
            answers = []
            for each in sent:
                at = each.index(b"\r\n\r\n") + 4
                connection.sendall(each[:at])
                wait_until(lambda: bool(shared.server.server_state.tasks), "the head has been read")
                connection.sendall(each[at:])
                answers.append(reader.answer())
        else:
            connection.sendall(b"".join(sent))
            answers = [reader.answer() for _ in sent]
    assert [status for status, _, _ in answers] == [202, 202, 401, 202]
    kept = [body["events"][0]["id"] for status, _, body in answers if status == 202]
    assert [shared.kept(each).data["id"] for each in kept] == [1, 2, 4]


def test_tunnel(shared: Port) -> None:
    """Nobody gets a tunnel."""
    answer = shared.send(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n" + request(1))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_nonsense_behind_a_request(shared: Port) -> None:
    """What is no request takes nobody's answer: those before it get theirs, and the connection ends."""
    for nonsense in (b"xxxxx", b"\x00\x01\r\n\r\n", b"POST /in/at HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        answer = shared.send(request(1) + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + request(2) + nonsense)
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"202", b"200", b"202"]


def test_says_no_more(shared: Port) -> None:
    """Whoever ends its side of the connection behind its requests still gets the answers."""
    for many in (1, 3):
        with shared.connect() as connection:
            connection.sendall(request(1) * many)
            connection.shutdown(socket.SHUT_WR)
            reader = Reader(connection)
            assert [reader.answer()[0] for _ in range(many)] == [202] * many
            assert reader.end() == b""


def test_not_idle(port: Port, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was sent ahead may take longer than an idle connection stays open."""
    monkeypatch.setattr(port.server.config, "timeout_keep_alive", 0.2)
    assert valkey.process is not None
    with port.connect() as connection:
        connection.sendall(request(1))
        assert Reader(connection).answer()[0] == 202
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + request(2))
            assert Reader(connection).answer()[0] == 200
            connection.settimeout(1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        connection.settimeout(10)
        assert Reader(connection).answer()[0] == 202


def test_stops_while_a_request_waits(port: Port, valkey: PrivateValkey) -> None:
    """A server that is told to stop answers the requests that wait for the store, and closes behind the last one."""
    assert valkey.process is not None
    with port.connect() as connection:
        connection.sendall(request(1))
        reader = Reader(connection)
        assert reader.answer()[0] == 202
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            connection.sendall(request(2) + request(3))
            connections: set[Any] = port.server.server_state.connections
            wait_until(lambda: any(each.pipeline for each in connections), "the requests are there")
            port.server.should_exit = True
            wait_until(lambda: not port.server.servers[0].is_serving(), "the server stops")
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        assert [reader.answer()[0] for _ in range(2)] == [202, 202]
        assert reader.end() == b""


class FakeTransport(asyncio.Transport):
    """A transport that remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 80) if name in ("peername", "sockname") else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Timers:
    """The timers of a loop that nobody waits for: delay and function of those that run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_later = loop.call_later
        self._set: list[tuple[float, str, asyncio.TimerHandle]] = []
        loop.call_later = self._noted  # type: ignore[assignment, method-assign]

    def _noted(self, delay: float, callback: Any, *args: Any, **more: Any) -> asyncio.TimerHandle:
        timer = self._call_later(delay, callback, *args, **more)
        self._set.append((delay, callback.__name__, timer))
        return timer

    @property
    def running(self) -> list[tuple[float, str]]:
        return [(delay, name) for delay, name, timer in self._set if not timer.cancelled()]


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """An application that never answers."""
    await asyncio.Event().wait()


def opened(app: Any = silent) -> tuple[Connection, FakeTransport, Timers]:
    """Return a new connection with nobody at the other end."""
    loop = asyncio.get_running_loop()
    timers = Timers(loop)
    config = uvicorn.Config(
        app, http=Connection, lifespan="off", access_log=False, proxy_headers=False, log_config=None
    )
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={}, _loop=loop)
    transport = FakeTransport()
    connection.connection_made(transport)
    return connection, transport, timers


def ended(connection: Connection) -> None:
    connection.connection_lost(None)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize(("size", "refused"), [(32_768, False), (32_769, True)])
@pytest.mark.parametrize("parts", [1, 3])
def test_largest_head(size: int, refused: bool, parts: int) -> None:
    """A head may have exactly 32 KiB, wherever its segments end."""

    async def run() -> None:
        connection, transport, _ = opened()
        head = (b"POST /in/at HTTP/1.1\r\nX-Long: ").ljust(size, b"x")
        step = size // parts + 1
        for at in range(0, size, step):
            connection.data_received(head[at : at + step])
        assert transport.closed == refused
        assert transport.written.startswith(b"HTTP/1.1 431 ") == refused
        ended(connection)

    asyncio.run(run())


def test_chunks_may_cost_as_much_as_they_carry() -> None:
    """Chunks of a few bytes each are taken as long as their framing is not larger than a head and what they carry."""

    async def run() -> None:
        connection, transport, _ = opened()
        head = b"POST /in/at HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.data_received(head)
        for _ in range(2_000):
            connection.data_received(b"10\r\n" + b"x" * 16 + b"\r\n")  # 6 bytes for 16: 10 less than they carry
        for _ in range((32_768 + 20_000 - len(head)) // 4):
            assert not transport.closed
            connection.data_received(b"1\r\nx\r\n")  # 5 bytes for 1: 4 more than it carries
        assert not transport.closed
        connection.data_received(b"1\r\nx\r\n")
        assert transport.closed
        ended(connection)

    asyncio.run(run())


def test_deadline_of_a_head() -> None:
    """A head has ten seconds from the connection's beginning; a body has no deadline here, and an answer ends it."""

    async def run() -> None:
        connection, _, timers = opened()
        assert timers.running == [(10.0, "_too_slow")]
        connection.data_received(b"POST /in/at HTTP/1.1\r\n")
        assert timers.running == [(10.0, "_too_slow")]
        connection.data_received(b"Content-Length: 5\r\n\r\n{")
        assert timers.running == []
        connection.data_received(b"    ")
        connection.data_received(b"POST /in/at HTTP/1.1\r\n")
        assert timers.running == [(10.0, "_too_slow")]
        ended(connection)
        assert timers.running == []

    asyncio.run(run())


def test_idle_and_stopped() -> None:
    """An idle connection has the server's time, and half a second for a request on its way when the server stops."""

    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("not the short way")

        def takes_whole(self, scope: Any) -> bool:
            return True

        def take_whole(self, scope: Any, body: bytes, answer: Any) -> None:
            answer(202, (), b"{}")

    async def run() -> None:
        connection, transport, timers = opened(Application())
        connection.data_received(request(1))
        assert transport.written.startswith(b"HTTP/1.1 202 ")
        assert timers.running == [(connection.config.timeout_keep_alive, "timeout_keep_alive_handler")]
        connection.data_received(request(2))
        assert len(timers.running) == 1
        connection.shutdown()
        assert timers.running[1:] == [(0.5, "_close_if_idle")]
        connection.data_received(request(3))
        assert (transport.written.count(b"HTTP/1.1 202 "), transport.written.count(b"connection: close")) == (3, 1)
        assert transport.closed
        ended(connection)

    asyncio.run(run())


@pytest.mark.parametrize(("ahead", "taken"), [(32, True), (33, False)])
def test_most_ahead(ahead: int, taken: bool) -> None:
    """So many requests may be sent ahead of an answer; whoever sends more gets the answers to these, and no more."""

    async def run() -> None:
        connection, _, _ = opened()
        connection.data_received(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (1 + ahead))
        assert len(connection.pipeline) == 32
        assert connection.cycle.keep_alive == taken
        ended(connection)

    asyncio.run(run())
