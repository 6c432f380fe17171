"""What strangers can make the receiver keep: slow connections, large bodies, endless heads. Others go on."""

import contextlib
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver import connection_limits, http_protocol
from tests.conftest import PrivateValkey, wait_until
from tests.receiver.port import AT, Port
from tests.receiver.process import Process

HEAD = b"POST /in/at/contact_changed HTTP/1.1\r\nHost: x\r\nX-Relais-Token: new\r\nContent-Type: application/json\r\n"
CONTACT = json.dumps({"id": 12, "email": "eva@example.org"}).encode()
CHUNK = b"10000\r\n" + b"x" * 65_536 + b"\r\n"


@pytest.fixture
def process(tmp_path: Path, valkey: PrivateValkey) -> Iterator[Process]:
    """A running receiver process."""
    running = Process(tmp_path, valkey.url)
    yield running
    running.process.terminate()
    running.end()


def ask(number: int) -> float:
    """Send one event as everybody does; return the seconds until it was taken."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/in/at/contact_changed", CONTACT, AT)
        assert connection.getresponse().status == 202
    return time.monotonic() - began


def connect(number: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", number), timeout=15)


def flood(connection: socket.socket, first: bytes, again: bytes, most: int) -> tuple[bytes, int]:
    """Send until the other side has had enough; return what it says and how much was sent."""
    sent = 0
    with contextlib.suppress(OSError):
        connection.sendall(first)
        while sent < most:
            connection.sendall(again)
            sent += len(again)
    answer = b""
    with contextlib.suppress(OSError):
        while len(answer) < 100_000 and (part := connection.recv(65_536)):
            answer += part
    return answer, sent


def said(connection: socket.socket) -> bytes:
    """Return what the other side has said so far, without waiting for more."""
    connection.setblocking(False)
    try:
        return connection.recv(65_536)
    except OSError:
        return b""


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection; what it still said is read."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_slow_connections(process: Process) -> None:
    """Ten thousand connections that never finish a head cost little, hold nobody up, and are ended in time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    many = min(10_000, min(hard, 16_384) - 500)
    before = process.memory
    slow: list[socket.socket] = []
    try:
        for _ in range(many):
            slow.append(connect(process.number))
            slow[-1].sendall(HEAD)
        longest = max(ask(process.number) for _ in range(20))
        grown = process.memory - before
        print(f"{many} connections: {grown:.0f} MB, slowest answer {longest:.3f} s")
        assert grown < many * 0.016
        assert longest < 2
        wait_until(lambda: all(map(is_closed, slow[-3:])), "the slow ones are gone", http_protocol.HEAD_SECONDS + 15)
        assert ask(process.number) < 2
    finally:
        for each in slow:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_large_bodies(process: Process) -> None:
    """A hundred megabytes are refused, announced or not, and never kept."""
    ask(process.number)
    before = process.memory
    with connect(process.number) as connection:
        answer, sent = flood(connection, HEAD + b"Content-Length: 100000000\r\n\r\n", b"x" * 65_536, 100_000_000)
        assert b"too_large" in answer or sent < 100_000_000
    with connect(process.number) as connection:
        answer, sent = flood(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK, 100_000_000)
        assert sent < 40_000_000
    assert process.memory - before < 30
    ask(process.number)


def test_many_bodies_under_way(process: Process) -> None:
    """Bodies that stop shortly before their end are kept up to a bound, all together; beyond it senders are told."""
    ask(process.number)
    before = process.memory
    body = b"x" * 1_000_000
    slow = []
    try:
        for _ in range(400):
            each = connect(process.number)
            slow.append(each)
            with contextlib.suppress(OSError):
                each.sendall(HEAD + b"Content-Length: 1000100\r\n\r\n" + body)
        told: set[socket.socket] = set()

        def listen() -> int:
            told.update(each for each in slow if said(each).startswith(b"HTTP/1.1 503 "))
            return len(told)

        wait_until(lambda: listen() > 50, "some are told", 15)
        assert ask(process.number) < 2
        print(f"400 bodies of 1 MB: {process.memory - before:.0f} MB, {listen()} refused")
        assert process.memory - before < 256 + 120
    finally:
        for each in slow:
            each.close()
    wait_until(lambda: ask(process.number) < 1, "all is as before", 10)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (HEAD + b"X-Long: ", b"x" * 8_192),
        (HEAD, b"X-Many: x\r\n" * 800),
        (b"POST /in/", b"a" * 8_192),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;", b"e" * 8_192),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: ", b"t" * 8_192),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X-Trailer: x\r\n" * 600),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1_400),
        (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 250),
    ],
    ids=["one header", "headers", "URL", "chunk extension", "trailer", "trailers", "tiny chunks", "requests ahead"],
)
def test_floods(either: Port, first: bytes, again: bytes) -> None:
    """What never ends beside a body is ended soon, or no more of it is read; nobody else notices."""
    with either.connect() as connection:
        _, sent = flood(connection, first, again, 20_000_000)
    assert sent < 10_000_000
    assert either.post("/in/at/contact_changed", CONTACT).status == 202


def test_head_too_large(shared: Port) -> None:
    """A head that is too large is refused in our words."""
    answer = shared.send(HEAD + b"X-Long: " + b"x" * 40_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "head_too_large"


def test_slow_head(shared: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not arrive in time is refused, a second one on the same connection, too; a whole one is not."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    assert shared.send(HEAD).startswith(b"HTTP/1.1 408 ")
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(CONTACT) + CONTACT
    answer = shared.send(whole + HEAD)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"HTTP/1.1 408 " in answer


def test_body_nobody_waits_for(shared: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on sending after the answer is cut off in time."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    with shared.connect() as connection:
        connection.sendall(b"POST /in/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        began = time.monotonic()
        while not is_closed(connection):
            assert time.monotonic() - began < 5
            with contextlib.suppress(OSError):
                connection.send(b"x")


def test_slow_bodies(shared: Port) -> None:
    """Bodies that come byte by byte are refused when their time is over, and others are answered meanwhile."""
    slow = [shared.connect() for _ in range(200)]
    try:
        for each in slow:
            each.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        began = time.monotonic()
        waited = 0.0
        while not all(map(is_closed, slow)):
            assert time.monotonic() - began < 5
            for each in slow:
                with contextlib.suppress(OSError):
                    each.send(b" ")
            asked = time.monotonic()
            assert shared.post("/in/at/contact_changed", CONTACT).status == 202
            waited = max(waited, time.monotonic() - asked)
        assert waited < 1
    finally:
        for each in slow:
            each.close()


def test_too_many_connections(shared: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what there are connection_limits for, a connection is turned away with a word, and the others stay."""
    monkeypatch.setattr(connection_limits, "most_connections", lambda: 3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(shared.connect()).sendall(HEAD)
        wait_until(lambda: len(shared.server.server_state.connections) >= 3, "they are there")
        with shared.connect() as one_more:
            answer = one_more.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"busy"' in answer
