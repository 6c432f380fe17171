"""An HTTP server that misbehaves byte by byte, and a name service.

Comes in: what to do with each request. Goes out: a loopback port, and every request as it arrived. Never understands
HTTP further than it must to know where a request ends.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

#: The connection ends by RST after the request was read.
RESET = b"RESET"
#: The connection ends politely; what stands before it is sent first.
CLOSE = b"CLOSE"
#: Nothing happens any more until the test ends.
HANG = b"HANG"
#: What follows it is sent byte by byte.
DRIP = b"DRIP"
#: What follows it is sent again and again, until the other side has had enough.
FLOOD = b"FLOOD"


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire."""

    method: str
    #: Path and query, not decoded.
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


def reply(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> bytes:
    """Return the bytes of a well-formed answer."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Test", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer:
    """Plays a script: one entry per request, the last one for all that follow.

    `greeting` is said to whoever connects; with `tls` the connections are encrypted.
    """

    def __init__(self, *script: bytes, greeting: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self._greeting = greeting
        self._tls = tls
        self.requests: list[Request] = []
        #: How many connections were made, and how many of them ended.
        self.connections = 0
        self.ended = 0
        self._over = threading.Event()
        self._latest: socket.socket | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> "RawServer":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def say(self, unasked: bytes) -> None:
        """Say something on the latest connection."""
        assert self._latest is not None
        self._latest.sendall(unasked)

    def _start(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._latest = connection
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            if self._tls is None:
                self._play(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                    self._play(encrypted)
        self.ended += 1

    def _play(self, connection: socket.socket) -> None:
        connection.sendall(self._greeting)
        for request in _requests(connection):
            self.requests.append(request)
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if step == HANG:
                self._over.wait(10)
                return
            if step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            before, flooding, flood = step.removesuffix(CLOSE).partition(FLOOD)
            at_once, _, drip = before.partition(DRIP)
            connection.sendall(at_once)
            for each in drip:
                connection.sendall(bytes([each]))
            while flooding and not self._over.is_set():
                connection.sendall(flood)
            if step.endswith(CLOSE):
                return


def _requests(connection: socket.socket) -> Iterator[Request]:
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return
            data += chunk
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(data) < length:
            chunk = connection.recv(65536)
            if not chunk:
                return
            data += chunk
        body, data = data[:length], data[length:]
        yield Request(method, target, headers, body)


class NameService:
    """Answers for one name what the test says, and counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, *asked: Any, **more: Any) -> Any:
        if host != "crm.example.org":
            return self._real(host, *asked, **more)
        self.asked += 1
        self.answers.wait(10)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "not now")
        return [found for address in self.addresses for found in self._real(address, *asked, **more)]
