"""HTTP/1.1 to one server: its connections, each with one request under way, and answers that are bounded.

Comes in: a request as bytes, and how long all of it may take. Goes out: status, headers and body of its answer, or
HttpFailed with a code, which says whether a part of the request may have been sent. Never uses a connection again after
anything but a whole answer that let it open: no byte of one answer is read as another.
"""

import asyncio
import base64
import functools
import ipaddress
import select
import socket
import ssl
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import aiohappyeyeballs
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

#: Seconds to connect, TLS included: who does not answer a handshake in five will not do it in thirty.
CONNECT_TIMEOUT = 5.0
#: Seconds that an idle connection is kept. Common servers (Node, uvicorn) close theirs after 5 s; a create sent on one
#: that is just being closed would end as ambiguous.
KEEP_ALIVE = 4.0
#: Seconds that the addresses of a name are believed.
ADDRESSES_KEPT = 10.0
#: Seconds after which the next address of a name is tried, too (RFC 8305).
NEXT_ADDRESS = 0.25
#: Bytes of the heads of an answer, those of interim answers included; servers send one or two kB.
HEAD_CAP = 64 * 1024
#: Bytes that may come over the wire for one of the body: a chunk of one byte has five more.
CHUNKED_ROOM = 8

#: An address as `getaddrinfo` returns it -> a socket to connect; raises OSError where it may not be connected to.
MakeSocket = Callable[[Any], socket.socket]


class HttpFailed(Exception):
    """A request without an answer."""

    def __init__(self, code: str, *, sent: bool) -> None:
        super().__init__(code)
        #: One word: `refused`, `reset`, `timeout` …
        self.code = code
        #: False: no byte of the request was sent.
        self.sent = sent


class HttpConnection(asyncio.Protocol):
    """One connection. After `ask` the answer stands in it, until the next one is asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: Whether it can take a request.
        self.fit = True
        #: Why there is no answer; empty: there is one.
        self.failed = ""
        self.status = 0
        #: By name in small letters; of one that was repeated the values, with commas between them.
        self.headers: dict[str, str] = {}
        self.body = b""
        #: True: the body is longer, and the rest is missing.
        self.cut = False
        self._transport: asyncio.Transport
        self._parser = _make_parser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = 0.0
        self._most = self._received = self._size = 0
        self._raw: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._head_only = self._whole = self._offered = False

    def ask(self, message: bytes, *, head_only: bool, most: int, deadline: float) -> asyncio.Future[None]:
        """Send a request; return what is done once the answer is there, or `failed` says why there is none.

        `head_only`: the answer to HEAD has no body, whatever its head says. `most`: bytes of a body that are read.
        `deadline`: in the time of the loop. Who does not wait for the end has to close the connection.
        """
        self._head_only, self._most, self._deadline = head_only, most, deadline
        self._received = self._size = self.status = 0
        self._raw, self._parts = [], []
        self._whole = self._offered = self.cut = False
        self._waiter = self._loop.create_future()
        # A timer for each request would cost more than to read its answer: one that is early looks again.
        if self._timer is None or deadline < self._timer_at:
            self._set_timer(deadline)
        self._transport.write(message)
        return self._waiter

    def is_alive(self) -> bool:
        """Tell whether the server has not closed it, also where the loop has not heard of that yet."""
        if self._transport.is_closing():
            return False
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        """Close it, without waiting for a server that does not read."""
        self.fit = False
        self._transport.abort()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._end("timeout")

    def _end(self, failed: str = "") -> None:
        waiter, self._waiter = self._waiter, None
        self.failed = failed
        if failed or not self.fit or self._transport.get_write_buffer_size():
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read a part of an answer."""
        if self._waiter is None:  # Nobody asked: a 408 before an idle connection is closed, or worse.
            self.close()
            return
        self._received += len(data)
        self._feed(data)
        if self._whole:
            self._finish()
        elif self._received > HEAD_CAP + (CHUNKED_ROOM * self._most if self.status else 0):
            self._end("bad_answer")

    def eof_received(self) -> None:
        """Close it, as it will not be used again."""
        self.fit = False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, which may be one that ends with its connection."""
        self.fit = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._parser  # which holds this connection: nothing is left for the garbage collector
        if self._waiter is None:
            return
        if not self.status:
            self._end("reset")
        elif "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._end("cut_off")
        else:
            self._finish()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as exc:
            if self._offered and not self._whole:
                self._feed(self._head_without_offer() + data[exc.args[0] :])
            else:
                self.fit = False
        except HttpParserError:
            if self._whole:
                self.fit = False
            elif self._waiter is not None:
                self._end("bad_answer")

    def _head_without_offer(self) -> bytes:
        """Return the head of an answer that offers another protocol without the offer, and begin to read anew.

        Apache does that with any answer; httptools takes it for an answer without a body.
        """
        lines = [b"%s: %s\r\n" % pair for pair in self._raw if pair[0].lower() != b"upgrade"]
        head = b"HTTP/%s %d \r\n%s\r\n" % (self._parser.get_http_version().encode(), self.status, b"".join(lines))
        self._raw, self.status, self._offered = [], 0, False
        self._parser = _make_parser(self)
        return head

    def _finish(self) -> None:
        body = b"".join(self._parts)
        if self.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate") and body:
            # Nobody asked for it; some servers send it all the same.
            try:
                body = _unpack(body, self._most + 1)
            except zlib.error:
                self._end("bad_answer")
                return
        self.cut = self.cut or len(body) > self._most
        self.body = body[: self._most]
        self._end()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Note whether something comes after the answer."""
        if self._whole:
            self.fit = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body is none."""
        if not self.status:
            self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the head."""
        if self._whole:
            return
        headers: dict[str, str] = {}
        for raw, value in self._raw:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        self.headers = headers
        self.status = self._parser.get_status_code()
        if self.status < 100:
            raise ValueError("no status")
        self._offered = self.status != 101 and self._parser.should_upgrade()
        if self._head_only and self.status >= 200:
            self._whole, self.fit = True, False

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        if self._whole:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._most:
            self._whole, self.cut, self.fit = True, True, False

    def on_message_complete(self) -> None:
        """Note that the answer is whole; an interim one is none."""
        if self._whole or self._offered:
            return
        if self.status < 200 and self.status != 101:
            self._raw, self.status = [], 0
            return
        self._whole, self.fit = True, self._parser.should_keep_alive()


class HttpOrigin:
    """A server: the connections to it, and the headers that every request to it has."""

    def __init__(self, address: str, make_socket: MakeSocket | None) -> None:
        """Know a server by `https://host:port`. Raises ValueError where that is no address."""
        url = URL(address)
        if not url.raw_host or url.port is None:
            raise ValueError("an address without a host")
        if url.raw_host.rpartition(".")[2].isdecimal():
            ipaddress.IPv4Address(url.raw_host)  # 127.1 and 2130706433 would be one, too
        self._host, self._port, self._tls = url.raw_host, url.port, url.scheme == "https"
        self._make_socket = make_socket
        self.headers = {"Host": url.host_port_subcomponent or ""}
        if url.raw_user or url.raw_password:
            pair = f"{url.user or ''}:{url.password or ''}".encode("latin-1")
            self.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        #: Whether it has answered us: then its name was resolved once.
        self.answered = False
        #: Connections that wait for the next request, and since when; the newest is last.
        self.idle: deque[tuple[float, HttpConnection]] = deque()
        #: Whether connections may wait; what is under way when it is forgotten is closed when it ends.
        self._kept = True
        self._expiry: asyncio.TimerHandle | None = None
        self._addresses: asyncio.Future[list[Any]] | None = None
        self._addresses_until = 0.0

    async def send(self, message: bytes, *, head_only: bool, most: int, timeout: float, again: bool) -> HttpConnection:
        """Send a request; return the connection that has its answer, to be read before anything else happens.

        `timeout`: seconds for all of it. `again`: once more if the connection broke before the answer came.
        Raises HttpFailed.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            connection = self._take(careful=not again) or await self._connect(deadline)
            try:
                await connection.ask(message, head_only=head_only, most=most, deadline=deadline)
            except BaseException:
                connection.close()
                raise
            if not connection.failed:
                self.answered = True
                if connection.fit:
                    self._keep(connection)
                return connection
            if not again or connection.failed != "reset":
                raise HttpFailed(connection.failed, sent=True)
            again = False

    def _take(self, *, careful: bool) -> HttpConnection | None:
        """Return a connection that waits and is fit for a request. `careful`: for one that must not be sent twice."""
        oldest = asyncio.get_running_loop().time() - KEEP_ALIVE
        while self.idle:
            since, connection = self.idle.pop()
            if connection.fit and since >= oldest and (not careful or connection.is_alive()):
                return connection
            connection.close()
        return None

    def _keep(self, connection: HttpConnection) -> None:
        if not self._kept:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self.idle.append((loop.time(), connection))
        if self._expiry is None:
            self._expiry = loop.call_later(KEEP_ALIVE, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        loop = asyncio.get_running_loop()
        while self.idle and loop.time() - self.idle[0][0] >= KEEP_ALIVE:
            self.idle.popleft()[1].close()
        if self.idle:
            self._expiry = loop.call_at(self.idle[0][0] + KEEP_ALIVE, self._expire)

    def close(self) -> None:
        """Close what waits, and let nothing wait any more."""
        self._kept = False
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        while self.idle:
            self.idle.pop()[1].close()

    async def _connect(self, deadline: float) -> HttpConnection:
        """Return a new connection. Raises HttpFailed."""
        loop = asyncio.get_running_loop()
        name = self._host.rstrip(".") if self._tls else None
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolve()
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    sock = await aiohappyeyeballs.start_connection(
                        addresses, happy_eyeballs_delay=NEXT_ADDRESS, socket_factory=self._make_socket
                    )
                    _, connection = await loop.create_connection(
                        lambda: HttpConnection(loop), sock=sock, ssl=_tls() if self._tls else None, server_hostname=name
                    )
        except OSError as exc:
            code = _name_failure(exc, known=self.answered)
        else:
            return connection
        raise HttpFailed(code, sent=False)

    async def _resolve(self) -> list[Any]:
        """Return the addresses of the server, each time beginning with the next one. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._addresses is None or loop.time() >= self._addresses_until:
            asked = loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            self._addresses = asyncio.ensure_future(asked)
            self._addresses.add_done_callback(self._note_addresses)
            self._addresses_until = loop.time() + ADDRESSES_KEPT
        # One question for all that wait, which none of them ends.
        found = await asyncio.shield(self._addresses)
        addresses = found[:]
        found.append(found.pop(0))
        return addresses

    def _note_addresses(self, asked: "asyncio.Future[list[Any]]") -> None:
        if asked.cancelled() or asked.exception() is not None:
            self._addresses = None


class PrivateAddress(OSError):
    """A name led to an address of our own network."""


def _make_parser(connection: HttpConnection) -> HttpResponseParser:
    """Return a parser that bears the slips of old servers which cannot hide an answer in another."""
    parser = HttpResponseParser(connection)
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


@functools.cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


def _unpack(body: bytes, most: int) -> bytes:
    """Return so many bytes of a compressed body at the most. Raises zlib.error."""
    if body[0] & 15 == 8 or body[:2] == b"\x1f\x8b":
        unpacked = b""
        while body and len(unpacked) < most:
            member = zlib.decompressobj(zlib.MAX_WBITS | 32)
            unpacked += member.decompress(body, most - len(unpacked))
            body = member.unused_data
        return unpacked
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)  # deflate without the header of zlib


def _name_failure(exc: OSError, *, known: bool) -> str:
    """Return the code of a connection that could not be made. `known`: the server has answered before."""
    match exc:
        case socket.gaierror():
            return "dns_failed" if known or exc.errno == socket.EAI_AGAIN else "unknown_host"
        case TimeoutError():
            return "connect_timeout"
        case ssl.SSLCertVerificationError():
            return "bad_certificate"
        case ssl.SSLError():
            return "tls_failed"
        case PrivateAddress():
            return "private_address"
        case ConnectionRefusedError():
            return "refused"
        case _:
            return "unreachable"
