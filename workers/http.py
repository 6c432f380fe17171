"""Requests to the outside world: one pool of connections per process, one outcome per request.

Takes a method, an address, headers and a body; returns an Answer, or raises Failed saying whether the request left us.
Never follows a redirect, keeps a cookie, repeats a request that creates or reaches a private address that was not
allowed; never names an address, a header or a body in an error, a log line or a repr.
"""

import asyncio
import ipaddress
import json as jsonlib
import os
import re
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from pydantic_core import to_json
from yarl import URL

from mailroom import tracing
from workers import limit_headers
from workers.outcome import Failed, Failure

#: Bytes of an answer that are read: a contact has one or two kB, an error page some dozens; more is a mistake.
ANSWER_CAP = 256 * 1024
#: Seconds to connect, TLS included: who does not answer a handshake in five will not do it in thirty.
CONNECT_TIMEOUT = 5.0
#: Seconds that an idle connection is kept. Common servers (Node, uvicorn) close theirs after 5 s; a create sent on one
#: that is just being closed would end as ambiguous.
KEEP_ALIVE = 4.0

USER_AGENT = "relais"

#: Servers whose headers are kept ready. A book has some; a rule that writes addresses may have any number.
MOST_ORIGINS = 1_000
#: Methods that may be sent once more when the connection was closed before an answer came (RFC 9110, 9.2.2).
SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
#: Methods whose requests say that they have no body.
BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})

_ADDRESS = re.compile(r"(?i:(https?://[^/?#\s]+))([!-\"$-~]*)(?:#.*)?")
#: What a segment of a path has to encode.
_SIGN = re.compile(r"[^A-Za-z0-9_.~-]")
_NO_TEXT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

#: Addresses of special use beside those that Python knows: rows of the IANA registries that are not globally reachable,
#: the former site-local ones, the relays of 6to4, and what Azure answers its own machines at.
SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "::/96",
            "100::/64",
            "100:0:0:1::/64",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    )
)
#: Addresses that carry an IPv4 address inside: NAT64 and its local form.
NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class RoomPace(Protocol):
    """The rate limit of a destination, shared by all workers. The first request of a delivery was counted by `take`."""

    async def wait(self) -> None:
        """Return when one more request may be sent; raise Failed when it must not be sent any more."""


#: Learns from what an answer's headers say of limits.
Hear = Callable[["HttpAnswer"], Awaitable[None]]


class HiddenHeaders(dict[str, str]):
    """Headers whose repr shows no value: they hold keys."""

    def __repr__(self) -> str:
        return f"<{len(self)} hidden headers>"

    __str__ = __repr__


@dataclass(slots=True)
class HttpAnswer:
    """What came back. The body is a vendor's and may hold personal data: it has no place in a repr."""

    status: int
    #: By name; capitals and small letters are the same.
    headers: Mapping[str, str] = field(repr=False)
    #: Without parameters, lower case: `application/json`; empty if the vendor named none.
    content_type: str
    body: bytes = field(repr=False)
    #: True: the body was longer than ANSWER_CAP and the rest is missing.
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status says success. The body may say otherwise: see `destinations.classify`."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text, whatever bytes are in it."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body parsed, or None where it is no JSON: error pages are often HTML, and types lie."""
        try:
            return jsonlib.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def wait(self, now: datetime | None = None) -> float:
        """Return the seconds that `Retry-After` asks for, else the reset of a limit that is used up; 0 without both."""
        if said := limit_headers.read_retry_after(self.headers.get("retry-after", ""), now or datetime.now(UTC)):
            return said
        limits = limit_headers.read(self.headers, now)
        return limit_headers.find_rest(limits, refused=self.status == HTTPStatus.TOO_MANY_REQUESTS)


def build_url(
    base: str, template: str, /, query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None, **values: object
) -> str:
    """Return base and template as one address, each `{name}` in the template replaced by its value, percent-encoded.

    A value is one path segment: what could climb out of it (``..``) or vanish (an empty text) is refused.
    """

    pieces = _texts_and_names(template)
    path = "".join([_segment(each, str(values[each])) if at % 2 else each for at, each in enumerate(pieces)])
    found = base.rstrip("/") + "/" + path.lstrip("/") if path else base.rstrip("/")
    if query:
        found += ("&" if "?" in found else "?") + urlencode(query, quote_via=quote, safe="")
    return found


@lru_cache(maxsize=256)
def _texts_and_names(template: str) -> tuple[str, ...]:
    """Return the texts of a template and the names between them, in turn."""
    return tuple(re.split(r"\{(\w+)\}", template))


def _segment(name: str, value: str) -> str:
    if value in ("", ".", ".."):
        raise Failed("permanent", "bad_address", hint=f"the value of {name} cannot stand in an address")
    return _SIGN.sub(_encode_sign, value) if value.isascii() else quote(value, safe="")


def _encode_sign(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def is_private(host: str) -> bool:
    """Tell whether an IP address is one that only our own network can reach, also when it is wrapped in IPv6."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True  # No address we know the meaning of.
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in net for net in NAT64):
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        if inner is not None:
            ip = inner
    if any(ip in net for net in SPECIAL):
        return True
    return not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified


class PrivateAddress(OSError):
    """A name led to an address of our own network."""


class OutsideSandbox(ValueError):
    """In a sandbox a request would go to another server."""


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address that may be connected to. Names and literal addresses both pass here, last."""
    family, kind, protocol, _, sockaddr = info
    if is_private(str(sockaddr[0])):
        raise PrivateAddress("private address")
    return socket.socket(family, kind, protocol)


@dataclass(slots=True, eq=False)
class _Origin:
    """A server: the connections to use for it, and the headers of every request to it."""

    connector: aiohttp.TCPConnector
    #: Tells the connector host, port and TLS, and holds the headers that never change. It is never sent itself.
    template: aiohttp.ClientRequest
    #: Whether it has answered us: then its name was resolved once.
    answered: bool = False
    #: Connections that wait for the next request, and since when; the newest is last.
    idle: deque[tuple[float, Connection]] = field(default_factory=deque)
    expiry: asyncio.TimerHandle | None = None
    #: Whether connections may wait; what is under way when it is forgotten is closed when it ends.
    kept: bool = True

    async def connect(self, timeout: aiohttp.ClientTimeout) -> Connection:
        """Return a connection that is fit for a request: one that waits, or a new one. Raises aiohttp's errors."""
        oldest = time.monotonic() - KEEP_ALIVE
        while self.idle:
            since, connection = self.idle.pop()
            protocol = connection.protocol
            # Something may lie there that nobody asked for, such as a 408 before an idle connection is closed.
            if since >= oldest and protocol is not None and protocol.is_connected() and not protocol.should_close:
                return connection
            connection.close()
        return await self.connector.connect(self.template, [], timeout)

    def keep(self, connection: Connection) -> None:
        """Let a connection wait for the next request, if it is fit for one."""
        protocol = connection.protocol
        if protocol is None or protocol.should_close or not self.kept:
            connection.close()
            return
        self.idle.append((time.monotonic(), connection))
        if self.expiry is None:
            self.expiry = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._expire)

    def _expire(self) -> None:
        self.expiry = None
        now = time.monotonic()
        while self.idle and now - self.idle[0][0] >= KEEP_ALIVE:
            self.idle.popleft()[1].close()
        if self.idle:
            left = KEEP_ALIVE - (now - self.idle[0][0])
            self.expiry = asyncio.get_running_loop().call_later(left, self._expire)

    def close(self) -> None:
        """Close what waits, and let nothing wait any more."""
        self.kept = False
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        while self.idle:
            self.idle.pop()[1].close()


class _Connectors:
    """The two connection pools of a process: for public addresses only, and for destinations with `allow_private`.

    Two, so that an idle connection to a private address is never reused for a destination that may not go there.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._open: dict[bool, aiohttp.TCPConnector] = {}
        self._origins: dict[tuple[bool, str], _Origin] = {}
        #: In a sandbox the one server that is ever asked. Read here, where all requests pass: whatever a kind, a rule
        #: or a new caller does, no vendor is reached.
        self._only = os.environ.get("RELAIS_SANDBOX", "").rstrip("/")

    async def to(self, origin: str, allow_private: bool) -> _Origin:
        """Return what is kept for a server, its address being `https://host:port`.

        Raises aiohttp.InvalidURL, OutsideSandbox.
        """
        if (found := self._origins.get((allow_private, origin))) is not None:
            return found
        if self._only and origin != self._only:
            raise OutsideSandbox
        if allow_private not in self._open:
            connector = aiohttp.TCPConnector(
                limit=0,  # Rooms have their own concurrency; a second limit would only hide it.
                socket_factory=None if allow_private else _public_socket,
            )
            self._open[allow_private] = connector
            await self._stack.enter_async_context(connector)
        try:
            template = aiohttp.ClientRequest(
                "GET",
                URL(origin),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                loop=asyncio.get_running_loop(),
            )
        except ValueError as exc:
            raise aiohttp.InvalidURL(origin) from exc
        if len(self._origins) >= MOST_ORIGINS:
            self._forget()
        return self._origins.setdefault((allow_private, origin), _Origin(self._open[allow_private], template))

    async def close(self) -> None:
        self._open.clear()
        self._forget()
        await self._stack.aclose()

    def _forget(self) -> None:
        for origin in self._origins.values():
            origin.close()
        self._origins.clear()


class _Sending:
    """One request on its way: written in one piece to a connection of aiohttp's, read by aiohttp's parser.

    That is a third of what aiohttp's own session costs, which prepares for cookies, redirects, proxies, uploads and
    tracing that no destination uses. Names that aiohttp does not document are used here only.
    """

    __slots__ = ("_cap", "_message", "_method", "_origin", "sent")

    def __init__(self, origin: _Origin, method: str, message: bytes, cap: int) -> None:
        self._origin = origin
        self._method = method
        self._message = message
        self._cap = cap
        #: True once a part of the request may have been sent; the exception alone does not tell.
        self.sent = False

    async def answer(self, timeout: aiohttp.ClientTimeout, *, again: bool) -> HttpAnswer:
        """Send it and return what came back. `again`: once more if the connection was just being closed."""
        async with asyncio.timeout(timeout.total):
            try:
                return await self._once(timeout)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
                if not again or isinstance(exc, aiohttp.ClientConnectorError):
                    raise
            return await self._once(timeout)

    async def _once(self, timeout: aiohttp.ClientTimeout) -> HttpAnswer:
        connection = await self._origin.connect(timeout)
        try:
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(skip_payload=self._method == "HEAD", read_until_eof=True)
            self.sent = True
            transport.write(self._message)
            head, content = await protocol.read()
            while 100 <= head.code < 200 and head.code != 101:
                head, content = await protocol.read()
            answer = await _read(head, content, self._cap)
        except BaseException:
            if (left := connection.transport) is not None and left.get_write_buffer_size():
                left.abort()  # to close it would wait for a server that does not read
            connection.close()
            raise
        if answer.cut:
            connection.close()
        else:
            self._origin.keep(connection)
        return answer


class Http:
    """The HTTP client of a process. Entered once; `bind` gives each destination its own time-out, reach and pace."""

    def __init__(self) -> None:
        self._connectors = _Connectors()
        self._timeout = _make_timeout(10.0)
        self._allow_private = False
        self._pace: RoomPace | None = None
        self._hear: Hear | None = None
        self._cap = ANSWER_CAP

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connectors.close()

    @property
    def timeout(self) -> float:
        """Seconds for one request, as the book says; for what does not speak HTTP."""
        return self._timeout.total or 0.0

    @property
    def allow_private(self) -> bool:
        """Whether it may go to an address of our own network."""
        return self._allow_private

    def bind(
        self,
        *,
        timeout: float,
        allow_private: bool = False,
        pace: RoomPace | None = None,
        hear: Hear | None = None,
        cap: int = ANSWER_CAP,
    ) -> "Http":
        """Return a client on the same connections with the settings of one destination. Only the first is closed.

        `hear`: gets each answer. `cap`: bytes of an answer that are read.
        """
        other = Http.__new__(Http)
        other._connectors = self._connectors
        other._timeout = _make_timeout(timeout)
        other._allow_private = allow_private
        other._pace = pace
        other._hear = hear
        other._cap = cap
        return other

    def aside(self) -> "Http":
        """Return the same client for requests to another server, whose limits are not the destination's."""
        return self.bind(timeout=self._timeout.total or 0.0, allow_private=self._allow_private, cap=self._cap)

    def exchange(self) -> "HttpExchange":
        """Return what sends and counts the requests of one delivery."""
        return HttpExchange(self)


class HttpExchange:
    """The requests of one delivery: all but the first wait for the pace of the destination."""

    def __init__(self, http: Http) -> None:
        self._http = http
        #: Requests sent so far.
        self.sent = 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
        accept: str = "application/json",
        creates: bool = False,
    ) -> HttpAnswer:
        """Send one request and return its answer, whatever its status.

        The body is `json`, or `form`, a body of fields, or `content`, which is sent byte for byte.

        `creates`: what was sent and never answered may have created something, so it is ambiguous, else transient.
        Raises Failed.
        """
        if self.sent and self._http._pace is not None:
            await self._http._pace.wait()
        self.sent += 1
        sending = way = None
        try:
            origin, target = _split(url)
            way = await self._http._connectors.to(origin, self._http._allow_private)
            body = content if json is None else to_json(json)
            if form is not None:
                body, media_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
            said = {"Accept": accept, **({"Content-Type": media_type} if body is not None else {}), **(headers or {})}
            sending = _Sending(way, method, _build_message(way, method, target, said, body), self._http._cap)
            answer = await sending.answer(self._http._timeout, again=method in SAFE_TO_REPEAT and not creates)
            way.answered = True
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, ValueError) as exc:
            known = way is not None and way.answered
            failed = _explain(exc, sent=sending is not None and sending.sent, creates=creates, known=known)
        else:
            if self._http._hear is not None:
                await self._http._hear(answer)
            return answer
        # Raised outside the handler: the exceptions of aiohttp name the address, and the address names the person.
        raise failed


def _make_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Return the time-outs of a request. Connecting ends a little earlier, so that it can be told apart."""
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_TIMEOUT, 0.9 * seconds))


def _split(url: str) -> tuple[str, str]:
    """Return scheme and authority of an address, and its target. Raises aiohttp.InvalidURL."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise aiohttp.InvalidURL(url)
    origin, target = found.groups()
    return origin, target if target.startswith("/") else "/" + target


class _BadHeader(ValueError):
    """A header would be more than one."""


def _build_message(way: _Origin, method: str, target: str, said: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as it goes over the wire. Raises ValueError for a header that would be more than one."""
    length = "" if body is None and method not in BODY_EXPECTED else f"Content-Length: {len(body or b'')}\r\n"
    if tracing.on is not None and (traceparent := tracing.current.get()):
        length += f"{tracing.HEADER}: {traceparent}\r\n"
    head = f"{method} {target} HTTP/1.1\r\n{_write_headers(way, tuple(said.items()))}{length}\r\n"
    return head.encode() + (body or b"")


@lru_cache(maxsize=256)
def _write_headers(way: _Origin, said: tuple[tuple[str, str], ...]) -> str:
    """Return the headers of requests as they go over the wire. Cached: mostly they are those of the request before."""
    headers = CIMultiDict(way.template.headers)
    headers.update(said)
    headers.popall("Content-Length", None)
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if any(_NO_TEXT.search(line[:-2]) for line in lines):
        raise _BadHeader("a header holds a control character")
    return "".join(lines)


async def _read(head: RawResponseMessage, content: aiohttp.StreamReader, most: int) -> HttpAnswer:
    body: bytes | bytearray
    if content.is_eof():  # it came with its head, as mostly
        body = content.read_nowait()
    else:
        body = bytearray()
        async for chunk in content.iter_any():
            body += chunk
            if len(body) > most:
                break
    cut = len(body) > most
    return HttpAnswer(
        status=head.code,
        headers=head.headers,
        content_type=head.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        body=bytes(body[:most]),
        cut=cut,
    )


def _explain(exc: Exception, *, sent: bool, creates: bool, known: bool = False) -> Failed:
    """Return the failure of a request that got no answer: not sent, or sent and unknown.

    `known`: the server has answered this process before.
    """
    code, hint = _name_failure(exc, known=known)
    if code in ("bad_address", "outside_sandbox"):
        return Failed("permanent", code, hint=hint)
    if not sent or isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        if code == "timeout":
            code, hint = _name_failure(aiohttp.ConnectionTimeoutError())
        return Failed("transient", code, hint=hint)
    failure: Failure = "ambiguous" if creates else "transient"
    return Failed(failure, code, hint=hint)


def _name_failure(exc: Exception, *, known: bool = False) -> tuple[str, str]:
    cause = getattr(exc, "os_error", None)
    match exc:
        case OutsideSandbox():
            return "outside_sandbox", "this is a sandbox, and the destination lies outside of it; nothing was sent"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return "bad_address", "the address of the destination is no http(s) address"
        case aiohttp.ClientConnectorDNSError() if known or getattr(cause, "errno", None) == socket.EAI_AGAIN:
            return "dns_failed", "the name of the destination could not be resolved now"
        case aiohttp.ClientConnectorDNSError():
            return "unknown_host", "the name of the destination could not be resolved, and never was"
        case _BadHeader():
            return "bad_header", "a header of the request holds a line end or another control character"
        case aiohttp.ClientConnectorCertificateError():
            return "bad_certificate", "the certificate of the destination is not to be trusted"
        case aiohttp.ClientConnectorSSLError():
            return "tls_failed", "no secure connection to the destination could be made"
        case aiohttp.ClientConnectorError() if isinstance(cause, PrivateAddress):
            return (
                "private_address",
                "the destination leads to an address inside our own network; if that is meant, say allow_private: true",
            )
        case aiohttp.ClientConnectorError() if isinstance(cause, ConnectionRefusedError):
            return "refused", "nobody listens at the address of the destination"
        case aiohttp.ClientConnectorError():
            return "unreachable", "the destination could not be reached"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout", "the destination did not take the connection in time"
        case TimeoutError():
            return "timeout", "the destination did not answer in time"
        case aiohttp.ServerDisconnectedError() | ConnectionError() | aiohttp.ClientOSError():
            return "reset", "the destination broke the connection off"
        case aiohttp.ClientPayloadError():
            return "cut_off", "the answer of the destination broke off"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return "bad_answer", "the answer of the destination was no HTTP"
        case _:
            return "broken", f"the request failed ({exc.__class__.__name__})"
