"""The application around webhooks: what else the public port answers, and how it starts without a store."""

import logging
from pathlib import Path
from typing import cast

import pytest
import redis

from mailroom import liveness
from mailroom.keys import SCHEMA
from receiver import app
from receiver.settings import ReceiverSettings
from tests.conftest import PrivateValkey, wait_until
from tests.receiver import book
from tests.receiver.port import Port
from tests.receiver.test_intake import FakeEventStore

CONTACT = {"id": 12, "email": "eva@example.org"}

#: Whether uvicorn's own protocol serves the connections (RELAIS_PLAIN_HTTP).
both_ways = pytest.mark.parametrize("plain", [False, True], ids=["own", "plain"])


def test_healthz(either: Port) -> None:
    """The only other thing on the public port is a sign of life."""
    assert either.post("/healthz", b"", {}, "GET").json == {"status": "ok"}
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/events", "/in"):
        assert either.post(path, b"", {}, "GET").status == 404


@both_ways
def test_store_away_at_start(
    tmp_path: Path, valkey: PrivateValkey, plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that starts before its store answers 503, and takes webhooks as soon as the store is there."""
    caplog.set_level(logging.INFO, "relais.receiver")
    valkey.stop(kill=True)
    with Port(tmp_path, valkey.url, plain_http=plain) as port:
        assert port.post("/in/at/unsubscribed", CONTACT).status == 503
        assert "store.away answers=503 why=" in caplog.text
        assert "store.back" not in caplog.text
        valkey.start()
        wait_until(lambda: port.post("/in/at/unsubscribed", CONTACT).status == 202, "the receiver found the store")
        wait_until(lambda: "store.back" in caplog.text, "the log says so")


def processes(valkey: PrivateValkey) -> dict[str, tuple[bytes, str]]:
    """Return process -> what it says of itself, and that it lives."""
    with redis.Redis.from_url(valkey.url) as store:
        said = cast("dict[bytes, bytes]", store.hgetall("relais:{p0}:speaks"))
        lives = cast("dict[bytes, bytes]", store.hgetall("relais:{p0}:parents"))
    assert said.keys() == lives.keys()
    return {name.decode(): (lives[name], said[name].decode()) for name in said}


def test_beat(tmp_path: Path, valkey: PrivateValkey) -> None:
    """While it serves, a receiver says that it lives, where, and which schema it speaks; at its end it takes that back.

    An emptied store learns it again.
    """
    with Port(tmp_path, valkey.url):
        wait_until(lambda: len(processes(valkey)) == 1, "it says so")
        ((name, (lives, said)),) = processes(valkey).items()
        assert name.startswith("receiver.")
        assert lives.startswith(b"- 0 ")
        assert said == f"{SCHEMA} {liveness.place()}"
        wait_until(lambda: processes(valkey)[name][0] != lives, "it says so again")
        with redis.Redis.from_url(valkey.url) as store:
            store.flushall()
        wait_until(lambda: name in processes(valkey), "it says all of it again")
    assert processes(valkey) == {}


def test_last_webhooks(tmp_path: Path, valkey: PrivateValkey) -> None:
    """What was kept says when, by source, and so does what came again; a refused request says nothing."""

    def came() -> dict[bytes, bytes]:
        with redis.Redis.from_url(valkey.url) as store:
            return cast("dict[bytes, bytes]", store.hgetall("relais:{p0}:came"))

    with Port(tmp_path, valkey.url) as port:
        assert port.post("/in/cmx", b"{}", {"Content-Type": "application/json"}).status == 401
        assert port.post("/in/at/unsubscribed", CONTACT).status == 202
        wait_until(lambda: b"at" in came(), "the store knows when it came")
        first = int(came()[b"at"])
        assert port.post("/in/at/unsubscribed", CONTACT).status == 202
        wait_until(lambda: int(came()[b"at"]) > first, "the store knows that it came again")
        assert came().keys() == {b"at"}


@both_ways
def test_short_way(tmp_path: Path, plain: bool) -> None:
    """Only beside our own protocol the application takes requests as a whole, and only webhooks."""
    settings = ReceiverSettings(book=book.write(tmp_path), plain_http=plain)
    made = app.build_app(settings, book.holder(tmp_path), FakeEventStore())
    assert isinstance(made, app.FastPublicPort) != plain
    if isinstance(made, app.FastPublicPort):
        assert made.takes_whole({"method": "POST", "path": "/in/at"})
        assert not made.takes_whole({"method": "GET", "path": "/in/at"})
        assert not made.takes_whole({"method": "POST", "path": "/healthz"})
