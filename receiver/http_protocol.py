"""The wire: what a connection may cost before it has become a request, and the short way for one that is complete.

Comes in: bytes of anybody. Goes out: requests, through uvicorn's own protocol, which knows no bound for a head, no
deadline for it, and no end of requests sent ahead of their answers. A request whose body has come with its head is
handed over as a whole and answered in one write, without a task, an ASGI message or a timer; all others take uvicorn's
way. Never lets one connection keep more than a head's worth of memory or stay open without a reason, and never more
connections than there are file descriptors for.
"""

import asyncio
import functools
import resource
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from receiver import errors

Headers = Sequence[tuple[bytes, bytes]]
#: Takes status, further headers and body of an answer, JSON.
Answer = Callable[[int, Headers, bytes], None]

#: Bytes of a request that are not its body: head, trailers, and what chunks cost beyond as much as they carry.
MOST_HEAD = 32_768
#: Seconds from the first to the last byte of a head, or until the rest of a body has come that nobody waits for.
HEAD_SECONDS = 10.0
#: Seconds that a connection without a request stays open when the server stops: one may be under way.
LAST_WORD = 0.5
#: Requests of one connection sent ahead of their answers.
MOST_AHEAD = 32
#: File descriptors that are wanted, and those left for the store, the spool and the book.
DESCRIPTORS, SPARE = 65_536, 128


class Application(Protocol):
    """An ASGI application that also takes requests as a whole."""

    def takes_whole(self, scope: Scope) -> bool:
        """Say whether `take_whole` is for such a request."""
        ...

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """See to it that the request is answered, now or later, once. Never raises."""
        ...


class Whole:
    """A request that may come as a whole, in the place of uvicorn's cycle."""

    __slots__ = ("body", "disconnected", "keep_alive", "response_complete", "scope")
    #: What uvicorn asks of a cycle: there is no more to come, and nobody waits for it.
    more_body = False
    message_event = asyncio.Event()

    def __init__(self, scope: Scope, *, keep_alive: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        #: The parts of its body.
        self.body: list[bytes] = []
        self.response_complete = self.disconnected = False


#: The first lines of answers by their status, and the headers of every answer that they were made of.
_beginnings: dict[int, tuple[Headers, bytes]] = {}


def _beginning(status: int, every: Headers) -> bytes:
    known = _beginnings.get(status)
    if known is None or known[0] is not every:  # uvicorn makes them anew when the date changes
        lines = b"".join([b"%b: %b\r\n" % each for each in every])
        known = _beginnings[status] = (every, STATUS_LINE[status] + lines + b"content-type: application/json\r\n")
    return known[1]


class TooManyAhead(Exception):
    """A connection sends more requests ahead than anybody needs; the parser ends it with a 400."""


class Tunnel(Exception):
    """Somebody takes us for a proxy; the parser ends it with a 400."""


def raise_limit() -> None:
    """Allow this process as many connections as its user may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    most_connections.cache_clear()


@functools.cache
def most_connections() -> int:
    """Return how many connections may be open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) - SPARE


class Connection(HttpToolsProtocol):
    """One connection."""

    #: Bytes of this request beside its body.
    _beside = 0
    #: Whether a request is being read, and of how many requests the bytes at hand hold something.
    _reading = False
    _here = 0
    #: Whether this request asks for another protocol. Nobody has to give it one, so it begins anew without that wish.
    _wishes = False
    #: Whether it is the other side's turn, and nothing but its own haste makes it hurry.
    _owes = True
    _deadline: asyncio.TimerHandle | None = None
    #: Whether the server stops: what comes now is the last request.
    _last = False
    #: When its last answer was written; None: a request is under way.
    _idle_since: float | None = None
    #: The request that began with the bytes that are being parsed, until it is complete or they end.
    _begun: Whole | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application: Application | None = cast(Application, self.app) if hasattr(self.app, "take_whole") else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Greet a connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(errors.NotKept("busy", "more connections are open than can be; try again"))
        else:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._in_time()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take some bytes."""
        self._idle_since = None
        self._here = 1 if self._reading else 0
        self._parse(data)
        if self._begun is not None:
            begun, self._begun = self._begun, None
            if not self.transport.is_closing():
                self._go_on(begun)
        self._beside += len(data)
        if self._beside > MOST_HEAD and self._here > 1:
            # Most of it belongs to others.
            self._beside = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._beside > MOST_HEAD:
            self._refuse(errors.HeadTooLarge("head_too_large", f"a request may have {MOST_HEAD} bytes beside a body"))
        elif not self._owes:
            if self._deadline is not None:
                self._in_time()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more will come; what has come is answered first."""
        if self.cycle is None or self.cycle.response_complete or self._reading:
            return False
        self.cycle.keep_alive = False
        return True

    def _parse(self, data: bytes) -> None:
        left, again = memoryview(data), b""
        while True:
            try:
                if again:
                    self.parser.feed_data(again)
                return self.parser.feed_data(left)
            except httptools.HttpParserUpgrade as exc:
                left = left[exc.args[0] :]
                again = self._without_wish()
            except httptools.HttpParserError:
                return self._no_request()

    def _no_request(self) -> None:
        """What came is no request; those before it are answered, and nothing else is."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self.send_400_response("Invalid HTTP request received.")
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _without_wish(self) -> bytes:
        """Return the head of this request without the wish, for a parser that does not know of it yet."""
        self._wishes = False
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % each for each in self.headers if each[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join((*lines, b"\r\n"))

    def on_message_begin(self) -> None:
        """Begin a request."""
        if len(self.pipeline) >= MOST_AHEAD:
            raise TooManyAhead
        self._reading = True
        self._here += 1
        self._owes = True
        self._beside = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Hand the request over, or wait a moment for its body."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Tunnel
            self._wishes = True
            return
        self._owes = False
        self._begun = self._whole()
        if self._begun is None:
            self._as_uvicorn_does()

    def _whole(self) -> Whole | None:
        """Return the request, if it is one that is answered at once when its body is there."""
        if self._application is None or self.flow.write_paused or self.expect_100_continue:
            return None  # who waits for a `100 Continue`, or does not read the answers to earlier requests, has time
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        url = httptools.parse_url(self.url)
        if b"%" in url.path:
            return None
        scope = {
            "type": "http",
            "method": self.parser.get_method().decode("ascii"),
            "path": url.path.decode("ascii"),
            "query_string": url.query or b"",
            "headers": self.headers,
            "client": self.client,
        }
        if not self._application.takes_whole(scope):
            return None
        stays = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return Whole(scope, keep_alive=stays and not self._last)

    def _as_uvicorn_does(self) -> None:
        """Begin a request with a task and ASGI messages."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def _go_on(self, begun: Whole) -> None:
        """Begin a request of whose body a part has come."""
        self._as_uvicorn_does()
        for part in begun.body:
            super().on_body(part)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        # Once as what it is, once as what its chunks may cost.
        self._beside -= 2 * len(body)
        if self._begun is not None:
            self._begun.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._wishes:
            return
        self._owes = self._reading = False
        if self._begun is None:
            super().on_message_complete()
            return
        whole, self._begun = self._begun, None
        self.cycle = whole  # type: ignore[assignment]
        body = whole.body[0] if len(whole.body) == 1 else b"".join(whole.body)
        self._application.take_whole(whole.scope, body, functools.partial(self._write, whole))  # type: ignore[union-attr]

    def _write(self, whole: Whole, status: int, headers: Headers, body: bytes) -> None:
        """Answer a request that was taken as a whole."""
        whole.response_complete = True
        if self.transport.is_closing():
            return
        lines = [_beginning(status, self.server_state.default_headers)]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if not whole.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.transport.write(b"".join(lines))
        if not whole.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """The answer is written; what is left of the request has to end soon."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_since = self.loop.time()
                if self.timeout_keep_alive_task is None:
                    self.timeout_keep_alive_task = self.loop.call_later(
                        self.timeout_keep_alive, self.timeout_keep_alive_handler
                    )
        if self.cycle is not None and self.cycle.more_body and not self.pipeline:
            self._owes = True

    def _unset_keepalive_if_required(self) -> None:
        """It is not idle. One timer looks now and then; one made and undone for each request would cost more."""
        self._idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for so long."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """The server stops: answer what is under way, and what may be on its way already."""
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self._in_time()
            self._unset_keepalive_if_required()
            self.loop.call_later(LAST_WORD, self._nothing_more)

    def _nothing_more(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(errors.TooSlow("too_slow", "the head did not arrive in time"))

    def _refuse(self, why: errors.RequestRefused) -> None:
        """Say why, where nobody is answering, and end the connection."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            answer = why.answer
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (why.status, why.code.encode(), len(answer), answer)
            )
        self.transport.close()
