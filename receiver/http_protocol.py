"""HTTP connections: uvicorn's protocol with bounds against strangers, and a short way for a request that is complete.

Comes in: bytes of anybody. Goes out: requests. uvicorn's own protocol has no bound for the size of a head, no deadline
for it, and no limit of requests sent ahead of their answers; this one has. A request whose body arrives in the same
read as its head is handed over as a whole and answered in one write, without a task, an ASGI message or a timer; all
others go through uvicorn's ASGI cycle. Never lets one connection keep more than a head's worth of memory or stay open
without a reason, and never more connections than there are file descriptors for. It relies on internals of uvicorn:
`RELAIS_PLAIN_HTTP=1` does without this module.
"""

import asyncio
import functools
from typing import Any, Protocol, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from receiver import connection_limits, errors
from receiver.connection_limits import MOST_HEAD
from receiver.request import Answer, Headers, has_type

#: Seconds from the first to the last byte of a head, or from an answer to the end of a body that it did not wait for.
HEAD_SECONDS = 10.0
#: Seconds that a connection without a request stays open when the server stops: a request may be on its way.
LAST_WORD = 0.5
#: Requests of one connection sent ahead of their answers.
MOST_AHEAD = 32


class Application(Protocol):
    """An ASGI application that also takes requests as a whole."""

    def takes_whole(self, scope: Scope) -> bool:
        """Say whether `take_whole` is for such a request."""
        ...

    def take_whole(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """See to it that the request is answered, now or later, once. Never raises."""
        ...


class Whole:
    """A request whose body may arrive with its head. It stands where uvicorn keeps its RequestResponseCycle."""

    __slots__ = ("body", "disconnected", "keep_alive", "response_complete", "scope")
    #: What uvicorn reads of a cycle: no more of the body will come, and no task waits for a message.
    more_body = False
    message_event = asyncio.Event()

    def __init__(self, scope: Scope, *, keep_alive: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        #: The parts of its body, as the parser gives them.
        self.body: list[bytes] = []
        self.response_complete = self.disconnected = False


#: The type of an answer that names no other.
JSON_LINE = b"content-type: application/json\r\n"
#: By status: the default headers of the server, and the first lines of an answer made of them.
_beginnings: dict[int, tuple[Headers, bytes]] = {}


def _beginning(status: int, every: Headers) -> bytes:
    known = _beginnings.get(status)
    if known is None or known[0] is not every:  # uvicorn makes them anew when the date changes
        lines = b"".join([b"%b: %b\r\n" % each for each in every])
        known = _beginnings[status] = (every, STATUS_LINE[status] + lines + JSON_LINE)
    return known[1]


#: Paths that came, by their URL: a platform posts to few. One with parameters, which may be secrets, is not kept.
_paths: dict[bytes, tuple[str, bytes]] = {}
#: Paths that are kept, and bytes of the longest.
MOST_PATHS, LONGEST_PATH = 1_000, 200


def _split_url(url: bytes) -> tuple[str, bytes] | None:
    """Return path and query of a URL; None: the path has to be decoded."""
    parsed = httptools.parse_url(url)
    if b"%" in parsed.path:
        return None
    found = (parsed.path.decode("ascii"), parsed.query or b"")
    if not found[1] and len(url) <= LONGEST_PATH and len(_paths) < MOST_PATHS:
        _paths[url] = found
    return found


class TooManyAhead(Exception):
    """A connection sends too many requests ahead of their answers; raised in the parser, it ends with a 400."""


class Tunnel(Exception):
    """A CONNECT request, but this is no proxy; raised in the parser, it ends with a 400."""


class Connection(HttpToolsProtocol):
    """One connection."""

    #: Bytes of this request that are not its body.
    _beside = 0
    #: Whether a request is being read.
    _reading = False
    #: Number of requests in the current read buffer.
    _requests_in_buffer = 0
    #: Whether this request asks for another protocol (`Upgrade`). A server may ignore that, so it is parsed anew
    #: without.
    _upgrade_requested = False
    #: True while we wait for the client to send; a deadline runs.
    _waiting_for_client = True
    _deadline: asyncio.TimerHandle | None = None
    #: Whether the server stops: the connection ends behind the current request.
    _last = False
    #: When its last answer was written; None: a request is under way.
    _idle_since: float | None = None
    #: A request whose head is in the current read buffer; None once its body is complete or the buffer has been parsed.
    _begun: Whole | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application: Application | None = cast(Application, self.app) if hasattr(self.app, "take_whole") else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, or refuse it if too many are open."""
        super().connection_made(transport)
        if len(self.connections) > connection_limits.most_connections():
            self._refuse(errors.NotKept("busy", "more connections are open than can be; try again"))
        else:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers of a connection that is gone."""
        self._cancel_deadline()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse some bytes, then check the bounds."""
        self._idle_since = None
        self._requests_in_buffer = 1 if self._reading else 0
        self._parse(data)
        if self._begun is not None:
            begun, self._begun = self._begun, None
            if not self.transport.is_closing():
                self._go_on(begun)
        self._beside += len(data)
        if self._beside > MOST_HEAD and self._requests_in_buffer > 1:
            # The bytes belong to several requests: count only what is kept of the last one.
            self._beside = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._beside > MOST_HEAD:
            self._refuse(errors.HeadTooLarge("head_too_large", f"a request may have {MOST_HEAD} bytes beside a body"))
        elif not self._waiting_for_client:
            if self._deadline is not None:
                self._cancel_deadline()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has ended its side: answer its complete requests, then close."""
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
                again = self._restart_without_upgrade()
            except httptools.HttpParserError:
                return self._stop_parsing()

    def _stop_parsing(self) -> None:
        """The bytes are no request: answer the requests before them, then close."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self.send_400_response("Invalid HTTP request received.")
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _restart_without_upgrade(self) -> bytes:
        """Begin a new parser; return the head of this request without the header Upgrade, to be fed to it."""
        self._upgrade_requested = False
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
        self._requests_in_buffer += 1
        self._waiting_for_client = True
        self._beside = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Begin a request: as a whole if its body may be in the read buffer, too, else in uvicorn's way."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Tunnel
            self._upgrade_requested = True
            return
        self._waiting_for_client = False
        self._begun = self._whole()
        if self._begun is None:
            self._begin_asgi_cycle()

    def _whole(self) -> Whole | None:
        """Return the request, if it may be taken as a whole; None: uvicorn's way."""
        if self._application is None or self.flow.write_paused or self.expect_100_continue:
            return None  # these wait for a `100 Continue`, or until earlier answers have been read
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        found = _paths.get(self.url) or _split_url(self.url)
        if found is None:
            return None
        scope = {
            "type": "http",
            "method": self.parser.get_method().decode("ascii"),
            "path": found[0],
            "query_string": found[1],
            "headers": self.headers,
            "client": self.client,
        }
        if not self._application.takes_whole(scope):
            return None
        stays = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return Whole(scope, keep_alive=stays and not self._last)

    def _begin_asgi_cycle(self) -> None:
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
        """Go over to uvicorn's way with a request of which only a part of the body has come."""
        self._begin_asgi_cycle()
        for part in begun.body:
            super().on_body(part)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        # Subtracted twice: it is no head, and the framing of its chunks may cost as much again.
        self._beside -= 2 * len(body)
        if self._begun is not None:
            self._begun.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; one that came as a whole is handed to the application."""
        if self._upgrade_requested:
            return
        self._waiting_for_client = self._reading = False
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
        beginning = _beginning(status, self.server_state.default_headers)
        lines = [beginning.removesuffix(JSON_LINE) if has_type(headers) else beginning]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        closes = bool(headers) and (b"connection", b"close") in headers
        if not whole.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        lines += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.transport.write(b"".join(lines))
        if closes or not whole.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on after an answer: with the next request that waits, else with the timer of an idle connection.

        A rest of the body that is still to come has to come before the deadline.
        """
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
            self._waiting_for_client = True

    def _unset_keepalive_if_required(self) -> None:
        """Mark the connection as busy. The timer keeps running and looks at the mark: cheaper than one per request."""
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
        """The server stops: answer the requests that have come, and those that are on their way already."""
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self._cancel_deadline()
            self._unset_keepalive_if_required()
            self.loop.call_later(LAST_WORD, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(errors.TooSlow("too_slow", "the head did not arrive in time"))

    def _refuse(self, why: errors.RequestRefused) -> None:
        """Close the connection, with an answer unless one is being written."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            answer = why.answer
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (why.status, why.code.encode(), len(answer), answer)
            )
        self.transport.close()
