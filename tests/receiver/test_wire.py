"""The short way of a request that is there as a whole, beside the long one: nobody can tell which was taken."""

import contextlib
import json
import socket
import time
from typing import Any

import pytest

from tests.conftest import wait_until
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
    body = json.dumps([{"id": 1, "email": "eva@example.org"}, {"id": 2, "email": "nobody"}])
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
