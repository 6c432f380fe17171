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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

from pydantic_core import from_json, to_json

from mailroom import tracing
from workers import limit_headers
from workers.http_connection import HttpFailed, HttpOrigin, PrivateAddress
from workers.outcome import Failed, Failure

#: Bytes of an answer that are read: a contact has one or two kB, an error page some dozens; more is a mistake.
ANSWER_CAP = 256 * 1024
#: What every request says of us.
OURS = {"User-Agent": "relais", "Accept-Encoding": "identity"}

#: Servers whose headers are kept ready. A book has some; a rule that writes addresses may have any number.
MOST_ORIGINS = 1_000
#: Methods that may be sent once more when the connection was closed before an answer came (RFC 9110, 9.2.2).
SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
#: Methods whose requests say that they have no body.
BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})

#: What became of a request without an answer.
HINTS: Mapping[str, str] = {
    "outside_sandbox": "this is a sandbox, and the destination lies outside of it; nothing was sent",
    "bad_address": "the address of the destination is no http(s) address",
    "bad_header": "a header of the request holds a line end or another control character",
    "dns_failed": "the name of the destination could not be resolved now",
    "unknown_host": "the name of the destination could not be resolved, and never was",
    "bad_certificate": "the certificate of the destination is not to be trusted",
    "tls_failed": "no secure connection to the destination could be made",
    "private_address": "the destination leads to an address inside our own network; if that is meant, say "
    "allow_private: true",
    "refused": "nobody listens at the address of the destination",
    "unreachable": "the destination could not be reached",
    "connect_timeout": "the destination did not take the connection in time",
    "timeout": "the destination did not answer in time",
    "reset": "the destination broke the connection off",
    "cut_off": "the answer of the destination broke off",
    "bad_answer": "the answer of the destination was no HTTP",
}

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
    #: By name, in small letters.
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
        with suppress(ValueError):
            return from_json(self.body)  # a tenth of the time of json, which bears more: UTF-16, half a character
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


class _BadAddress(ValueError):
    """An address is no http(s) address."""


class OutsideSandbox(ValueError):
    """In a sandbox a request would go to another server."""


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address that may be connected to. Names and literal addresses both pass here, last."""
    family, kind, protocol, _, sockaddr = info
    if is_private(str(sockaddr[0])):
        raise PrivateAddress("private address")
    return socket.socket(family, kind, protocol)


class _Origins:
    """The servers of a process that were asked, each with its connections.

    Of one server there are two: for destinations with `allow_private`, and for public addresses only; so that an idle
    connection to a private address is never reused for a destination that may not go there.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[bool, str], HttpOrigin] = {}
        #: In a sandbox the one server that is ever asked. Read here, where all requests pass: whatever a kind, a rule
        #: or a new caller does, no vendor is reached.
        self._only = os.environ.get("RELAIS_SANDBOX", "").rstrip("/")

    def get(self, origin: str, allow_private: bool) -> HttpOrigin:
        """Return what is kept for a server, its address being `https://host:port`.

        Raises _BadAddress, OutsideSandbox.
        """
        if (found := self._found.get((allow_private, origin))) is not None:
            return found
        if self._only and origin != self._only:
            raise OutsideSandbox
        try:
            new = HttpOrigin(origin, None if allow_private else _public_socket)
        except ValueError as exc:
            raise _BadAddress from exc
        if len(self._found) >= MOST_ORIGINS:
            self.forget()
        self._found[allow_private, origin] = new
        return new

    def forget(self) -> None:
        """Close what waits, and begin anew."""
        for origin in self._found.values():
            origin.close()
        self._found.clear()


class Http:
    """The HTTP client of a process. Entered once; `bind` gives each destination its own time-out, reach and pace."""

    def __init__(self) -> None:
        self._origins = _Origins()
        self._timeout = 10.0
        self._allow_private = False
        self._pace: RoomPace | None = None
        self._hear: Hear | None = None
        self._cap = ANSWER_CAP

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._origins.forget()
        await asyncio.sleep(0)  # the transports have their last turn

    @property
    def timeout(self) -> float:
        """Seconds for one request, as the book says; for what does not speak HTTP."""
        return self._timeout

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
        other._origins = self._origins
        other._timeout = timeout
        other._allow_private = allow_private
        other._pace = pace
        other._hear = hear
        other._cap = cap
        return other

    def aside(self) -> "Http":
        """Return the same client for requests to another server, whose limits are not the destination's."""
        return self.bind(timeout=self._timeout, allow_private=self._allow_private, cap=self._cap)

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
        http = self._http
        try:
            address, target = _split(url)
            origin = http._origins.get(address, http._allow_private)
            body = content if json is None else to_json(json)
            if form is not None:
                body, media_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
            said = {"Accept": accept, **({"Content-Type": media_type} if body is not None else {}), **(headers or {})}
            connection = await origin.send(
                _build_message(origin, method, target, said, body),
                head_only=method == "HEAD",
                most=http._cap,
                timeout=http._timeout,
                again=method in SAFE_TO_REPEAT and not creates,
            )
            answer = HttpAnswer(
                connection.status,
                connection.headers,
                connection.headers.get("content-type", "").partition(";")[0].strip().lower(),
                connection.body,
                connection.cut,
            )
        except (HttpFailed, OSError, ValueError) as exc:
            failed = _explain(exc, creates=creates)
        else:
            if http._hear is not None:
                await http._hear(answer)
            return answer
        # Raised outside the handler: some exceptions name the address, and the address names the person.
        raise failed


def _split(url: str) -> tuple[str, str]:
    """Return scheme and authority of an address, and its target. Raises _BadAddress."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise _BadAddress
    origin, target = found.groups()
    return origin, target if target.startswith("/") else "/" + target


class _BadHeader(ValueError):
    """A header would be more than one."""


def _build_message(origin: HttpOrigin, method: str, target: str, said: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request as it goes over the wire. Raises ValueError for a header that would be more than one."""
    length = "" if body is None and method not in BODY_EXPECTED else f"Content-Length: {len(body or b'')}\r\n"
    if tracing.on is not None and (traceparent := tracing.current.get()):
        length += f"{tracing.HEADER}: {traceparent}\r\n"
    head = f"{method} {target} HTTP/1.1\r\n{_write_headers(origin, tuple(said.items()))}{length}\r\n"
    return head.encode() + (body or b"")


@lru_cache(maxsize=256)
def _write_headers(origin: HttpOrigin, said: tuple[tuple[str, str], ...]) -> str:
    """Return the headers of requests as they go over the wire. Cached: mostly they are those of the request before."""
    headers = {name.lower(): (name, value) for name, value in (*origin.headers.items(), *OURS.items(), *said)}
    headers.pop("content-length", None)
    lines = [f"{name}: {value}\r\n" for name, value in headers.values()]
    if any(_NO_TEXT.search(line[:-2]) for line in lines):
        raise _BadHeader("a header holds a control character")
    return "".join(lines)


def _explain(exc: Exception, *, creates: bool) -> Failed:
    """Return the failure of a request that got no answer: not sent, or sent and unknown."""
    match exc:
        case OutsideSandbox():
            return _fail("permanent", "outside_sandbox")
        case _BadAddress():
            return _fail("permanent", "bad_address")
        case _BadHeader():
            return _fail("transient", "bad_header")
        case HttpFailed(sent=False):
            return _fail("transient", exc.code)
        case HttpFailed():
            return _fail("ambiguous" if creates else "transient", exc.code)
        case _:
            return Failed("transient", "broken", hint=f"the request failed ({exc.__class__.__name__})")


def _fail(failure: Failure, code: str) -> Failed:
    return Failed(failure, code, hint=HINTS[code])
