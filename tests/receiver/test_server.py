import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom import Mailroom
from mailroom.client import client
from receiver import connection_limits, http_protocol, server
from receiver.rulebook import RulebookWatcher
from receiver.settings import ReceiverSettings, in_url
from rules.compiler import loader
from rules.errors import BookRefused
from tests.conftest import PrivateValkey, wait_until
from tests.receiver import book
from tests.receiver.port import AT, Port, kept_in
from tests.receiver.process import PROGRAM, Process


@pytest.fixture
def process(request: pytest.FixtureRequest, tmp_path: Path, valkey: PrivateValkey) -> Iterator[Process]:
    """A running receiver process; the parameter is RELAIS_PLAIN_HTTP."""
    running = Process(tmp_path, valkey.url, RELAIS_PLAIN_HTTP=getattr(request, "param", "0"))
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.end()


class KeptAliveSender(threading.Thread):
    """Posts over one kept-alive connection, again and again, until the receiver is gone."""

    def __init__(self, number: int, who: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.who = who
        self.acknowledged: list[str] = []
        self.other: list[int] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            for n in range(100_000):
                connection.request("POST", "/in/at/contact_changed", json.dumps({"id": self.who, "n": n}), AT)
                answer = connection.getresponse()
                told = answer.read()
                if answer.status == 202:
                    self.acknowledged.append(json.loads(told)["events"][0]["id"])
                else:
                    self.other.append(answer.status)


BOTH_WAYS = pytest.mark.parametrize("process", ["0", "1"], ids=["own", "plain"], indirect=True)


@BOTH_WAYS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_under_load(process: Process, valkey: PrivateValkey, how: signal.Signals) -> None:
    """Stopped or killed under load, everything that was acknowledged is kept; a stop ends with status 0."""
    senders = [KeptAliveSender(process.number, who) for who in range(1, 9)]
    for sender in senders:
        sender.start()
    wait_until(lambda: all(len(sender.acknowledged) > 10 for sender in senders), "everybody is sending", 20)
    process.process.send_signal(how)
    status = process.end()
    for sender in senders:
        sender.join(10)
    assert status == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    assert not [each for sender in senders for each in sender.other]
    acknowledged = [event_id for sender in senders for event_id in sender.acknowledged]
    assert kept_in(valkey.url, acknowledged) == len(acknowledged)


@BOTH_WAYS
def test_stop_finishes_what_was_accepted(process: Process, valkey: PrivateValkey) -> None:
    """A request under way when the stop comes is answered and kept, even if its body ends after it."""
    connection = http.client.HTTPConnection("127.0.0.1", process.number, timeout=10)
    body = b'{"id": 12, "email": "eva@example.org"}'
    connection.putrequest("POST", "/in/at/unsubscribed")
    for name, value in {**AT, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body[:5])
    probe = http.client.HTTPConnection("127.0.0.1", process.number, timeout=10)
    probe.request("GET", "/healthz")  # answered: so the receiver has seen the beginning, too
    assert probe.getresponse().status == 200
    probe.close()
    process.process.send_signal(signal.SIGTERM)
    wait_until(lambda: any("Waiting for" in line for line in process.said), "the receiver is stopping", 10)
    connection.send(body[5:])
    answer = connection.getresponse()
    assert answer.status == 202
    assert kept_in(valkey.url, [each["id"] for each in json.loads(answer.read())["events"]]) == 1
    connection.close()
    assert process.end() == 0


def test_plain_http(tmp_path: Path, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain way works where our own protocol cannot even be imported, and bounds a head all the same."""
    monkeypatch.setitem(sys.modules, "receiver.http_protocol", None)
    with pytest.raises(ImportError):
        server.protocol(ReceiverSettings())
    with Port(tmp_path, valkey.url, plain_http=True) as port:
        assert port.post("/in/at/unsubscribed", b'{"id": 12, "email": "eva@example.org"}').status == 202
        answer = port.send(b"POST /in/at/unsubscribed HTTP/1.1\r\nX-Long: " + b"x" * connection_limits.MOST_HEAD)
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("plain", [False, True])
def test_configuration(tmp_path: Path, plain: bool) -> None:
    """uvicorn runs without access log and without headers of proxies, with our times and bounds."""
    settings = ReceiverSettings(book=book.write(tmp_path), plain_http=plain, stop_seconds=7.5)
    config = server.server(settings, book.holder(tmp_path), Mailroom(client("redis://localhost"))).config
    assert (config.access_log, config.proxy_headers, config.server_header, config.ws) == (False, False, False, "none")
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown, config.backlog) == (150, 8, 2048)
    if plain:
        assert (config.http, config.h11_max_incomplete_event_size) == ("h11", 32 * 1024)
        assert config.limit_concurrency == connection_limits.most_connections()
    else:
        assert config.http is http_protocol.Connection
        assert config.limit_concurrency is None


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")])
def test_host_in_an_address(host: str, shown: str) -> None:
    """IPv6 stands in brackets where an address is printed."""
    assert in_url(host) == shown


def test_says_what_it_runs_with(process: Process) -> None:
    """The log says where the receiver listens, with which book and sources, and over which protocol."""
    (line,) = [line for line in process.said if "receiver.listening" in line]
    assert f"receiver.listening address=http://127.0.0.1:{process.number} book=" in line
    names = "at,calls,cmx,export,greeted,half,mailing,proof,sd_nord,sd_streng,shop,tel,typed,url"
    assert line.rstrip().endswith(f" sources={names} http=own")
    assert any(
        "secret.missing source=half answers=503 why=the secret NOT_SET is not set" in each for each in process.said
    )


def test_told_to_stop_while_it_starts(tmp_path: Path, valkey: PrivateValkey) -> None:
    """A signal that comes before the server listens to any is no less one."""
    early = "import gc, os, signal\ngc.freeze = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
    environ = {**os.environ, **book.ENVIRON, "REDIS_URL": valkey.url, "RELAIS_SPOOL": str(tmp_path / "spool")}
    command = [sys.executable, "-c", early + PROGRAM, str(book.write(tmp_path))]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, "receiver.listening" in ended.stderr) == (0, True)


def test_port_taken() -> None:
    """A port that somebody else has is said, with the mend."""
    with server.listen("127.0.0.1", 0) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(server.CannotListen, match="RELAIS_PORT") as caught:
            server.listen("127.0.0.1", number)
        assert str(number) in str(caught.value)


def look_twice(held: RulebookWatcher) -> bool:
    """Look as often as a change needs that stands still; tell whether it was taken."""
    return any(asyncio.run(held.refresh()) for _ in range(2))


def test_restart_is_no_approval(valkey: PrivateValkey, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that starts with an emptied book goes on by the one in force, until a person approves the files."""
    settings = ReceiverSettings(redis_url=valkey.url, book=book.write(tmp_path, "sources: {}\n"))

    async def keep() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.keep_book("before", {"sources.yaml": book.TEXT})

    asyncio.run(keep())
    held = RulebookWatcher(settings.book, book.CATALOGUE, book.ENVIRON)
    server.load(held, settings)
    assert not look_twice(held)
    assert held.entry("at").verified_by()
    assert "would lose sources sd_nord, sd_streng, at, " in caplog.text
    assert "waits for: relais rules approve" in caplog.text
    assert asyncio.run(held.refresh(loader.fingerprint(settings.book)))
    assert held.names == []


def test_bad_book_at_the_start(valkey: PrivateValkey, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that starts while the files are bad takes the book in force, and later the files when they are right;
    without one, or without a store to ask, it does not start."""
    settings = ReceiverSettings(redis_url=valkey.url, book=book.write(tmp_path, "sources: {"))
    held = RulebookWatcher(settings.book, book.CATALOGUE, book.ENVIRON)
    with pytest.raises(BookRefused):
        server.load(held, settings)

    async def keep() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.keep_book("before", {"sources.yaml": book.TEXT})

    asyncio.run(keep())
    held = RulebookWatcher(settings.book, book.CATALOGUE, book.ENVIRON)
    server.load(held, settings)
    assert f"book.refused stays={held.version} problems=sources.yaml:" in caplog.text
    assert held.entry("at").verified_by()
    assert "sources.yaml" in held.problem
    (settings.book / "sources.yaml").write_text(book.TEXT + "\n# mended\n")
    assert look_twice(held)
    assert held.problem == ""
    valkey.stop(kill=True)
    (settings.book / "sources.yaml").write_text("sources: {")
    with pytest.raises(BookRefused):
        server.load(RulebookWatcher(settings.book, book.CATALOGUE, book.ENVIRON), settings)


def test_inherited_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is handed over is listened on: ours by its number, systemd's where it says that it is for us."""
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert server.inherited(ReceiverSettings()) == -1
    assert server.inherited(ReceiverSettings(listen_fd=7)) == 7
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert server.inherited(ReceiverSettings()) == server.FIRST_OF_SYSTEMD
    monkeypatch.setenv("LISTEN_PID", "1")
    assert server.inherited(ReceiverSettings()) == -1


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, None])
def test_no_socket_inherited(kind: socket.SocketKind | None) -> None:
    """A descriptor that is no TCP socket is said, with the mend."""
    with contextlib.ExitStack() as stack:
        if kind is None:
            number = stack.enter_context(tempfile.TemporaryFile()).fileno()
        else:
            number = stack.enter_context(socket.socket(socket.AF_INET, kind)).fileno()
        with pytest.raises(server.CannotListen, match="RELAIS_LISTEN_FD"):
            server.socket_of(ReceiverSettings(listen_fd=number))
