import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from console.client import ClientSettings, ConsoleClient
from console.errors import CANNOT_RUN, SAID_NO, UserError

Answer = tuple[int, bytes]


class SeenRequests:
    """What was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []


@contextmanager
def answering(answer: Answer, seen: SeenRequests | None = None) -> Iterator[str]:
    """A server that gives everybody the same answer; its address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if seen is not None:
                seen.requests.append((self.command, self.path, dict(self.headers), body))
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1])

        do_POST = do_GET  # noqa: N815 - the name of the standard library

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def client(url: str, token: str = "") -> ConsoleClient:
    return ConsoleClient(ClientSettings(console_url=url, console_token=token))


def test_get() -> None:
    """A question carries the token and says who asks, below whatever path the console is found at."""
    seen = SeenRequests()
    with answering((200, b'{"a": 1}'), seen) as url:
        assert client(f"{url}/relais/", "swordfish").get("/events?limit=1") == {"a": 1}
    [(method, path, headers, body)] = seen.requests
    assert (method, path, body) == ("GET", "/relais/events?limit=1", b"")
    assert headers["Authorization"] == "Bearer swordfish"
    assert headers["X-Relais-By-Hand"]  # who asks: some questions stand in the audit


def test_post(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision is JSON and says who makes it, which no web page can; without a token none is sent."""
    monkeypatch.setattr("getpass.getuser", lambda: "Jörg")
    seen = SeenRequests()
    with answering((200, b"[]"), seen) as url:
        assert client(url).post("/dead/drop", {"items": ["a"]}) == []
    [(method, path, headers, body)] = seen.requests
    assert (method, path, json.loads(body)) == ("POST", "/dead/drop", {"items": ["a"]})
    assert (headers["Content-Type"], headers["X-Relais-By-Hand"]) == ("application/json", "J%C3%B6rg")
    assert "Authorization" not in headers


def test_lines() -> None:
    """A stream is read line by line; empty lines, which keep it open, are left out."""
    with answering((200, b'\n{"n": 1}\n\n{"n": 2}\n')) as url:
        assert list(client(url).lines("/events?follow=true")) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("answer", "message", "mend", "status"),
    [
        ((401, b"{}"), "wants a token", "set RELAIS_CONSOLE_TOKEN", CANNOT_RUN),
        ((404, b'{"error": "unknown_event", "hint": "no such"}'), "unknown_event: no such", "", SAID_NO),
        ((503, b'{"error": "store_away"}'), "store_away: ", "", SAID_NO),
        ((404, b"<html>"), "is no console of Relais", "check RELAIS_CONSOLE_URL", CANNOT_RUN),
        ((404, b"[]"), "is no console of Relais", "check RELAIS_CONSOLE_URL", CANNOT_RUN),
        ((302, b""), "is no console of Relais", "check RELAIS_CONSOLE_URL", CANNOT_RUN),
        ((200, b"<html>"), "is no console of Relais", "check RELAIS_CONSOLE_URL", CANNOT_RUN),
    ],
)
def test_refused(answer: Answer, message: str, mend: str, status: int) -> None:
    """What the console refuses is said in its words; what is no console is said to be none. Alike for each way."""
    with answering(answer) as url:
        asked = client(url)
        for ask in (
            lambda: asked.get("/events"),
            lambda: asked.post("/dead/drop", {}),
            lambda: list(asked.lines("/events?follow=true")),
        ):
            with pytest.raises(UserError) as refused:
                ask()
            assert message in refused.value.message
            assert (refused.value.mend, refused.value.exit_code) == (mend, status)


def test_nobody() -> None:
    """Where nobody answers, it says how to start a console and how to name another."""
    with pytest.raises(UserError, match=r"no console answers at http://127\.0\.0\.1:9") as refused:
        client("http://127.0.0.1:9").get("/events")
    assert refused.value.mend == "start it: relais up\nor say where it is: RELAIS_CONSOLE_URL=http://HOST:PORT"
