import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
import redis.exceptions

from mailroom import Mailroom, StoreUnavailable
from mailroom.client import client
from mailroom.connection import StoreConnection
from rules.event import Event
from tests.conftest import GENEROUS, PrivateValkey, wait_until_async

pytestmark = pytest.mark.anyio


def event(name: str) -> Event:
    return Event(name, "at", "activetrail", "contact.changed", "2026-11-21T10:00:00.000Z", b"{}", sender_id=name)


@pytest.fixture
async def store(valkey: PrivateValkey) -> AsyncIterator[redis.asyncio.Redis]:
    """A client whose answers may take a second."""
    store = client(valkey.url, timeout=1)
    yield store
    await store.aclose()


async def test_each_its_own(store: redis.asyncio.Redis) -> None:
    """Many calls under way at once get each their own answer; one that the store refuses fails alone."""
    line = await StoreConnection.open(store.connection_pool)
    calls = [line.call("ECHO", f"{n}" * 5_000) for n in range(10)]
    wrong = line.call("NO_SUCH_COMMAND")
    after = line.call("ECHO", "after")
    assert await asyncio.gather(*calls) == [f"{n}".encode() * 5_000 for n in range(10)]
    with pytest.raises(redis.exceptions.ResponseError, match="unknown command"):
        await wrong
    assert await after == b"after"
    assert await line.call("GET", "nothing") is None
    await line.close()


async def test_no_answer_in_time(store: redis.asyncio.Redis, valkey: PrivateValkey) -> None:
    """An answer that is late fails everybody who waits, and nothing more is sent over this line."""
    line = await StoreConnection.open(store.connection_pool)
    assert await line.call("ECHO", "hello") == b"hello"
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        calls = [line.call("ECHO", f"{n}") for n in range(3)]
        for each in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(each, redis.exceptions.TimeoutError)
    finally:
        valkey.process.send_signal(signal.SIGCONT)
    assert line.ended
    with pytest.raises(redis.exceptions.ConnectionError):
        line.call("ECHO", "once more")
    await line.close()


async def test_cut(store: redis.asyncio.Redis, valkey: PrivateValkey) -> None:
    """A connection that breaks fails everybody who waits, and goes back to where it came from."""
    line = await StoreConnection.open(store.connection_pool)
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    calls = [line.call("ECHO", f"{n}") for n in range(3)]
    valkey.stop(kill=True)
    for each in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(each, redis.exceptions.ConnectionError)
    assert line.ended
    await line.close()
    valkey.start()
    again = await StoreConnection.open(store.connection_pool)
    assert await again.call("ECHO", "back") == b"back"
    await again.close()


async def test_one_connection(valkey: PrivateValkey) -> None:
    """What is put goes over one connection, also when much of it begins at once."""
    async with await Mailroom.open(valkey.url) as room:
        before = len(await room.store.client_list())
        await asyncio.gather(*(room.put([event(f"{n}")]) for n in range(20)))
        assert len(await room.store.client_list()) == before + 1


async def test_given_up(valkey: PrivateValkey) -> None:
    """After somebody gave up waiting, new calls go over a new connection; those under way still get their answer."""
    async with await Mailroom.open(valkey.url) as room:
        await room.put([event("first")])
        assert valkey.process is not None
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            patient = asyncio.create_task(room.put([event("patient")]))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await room.put([event("hasty")])
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        assert not (await patient)[0].duplicate
        assert not (await room.put([event("new")]))[0].duplicate
        assert await room.record("hasty") is not None

        async def two() -> bool:
            return len(await room.store.client_list()) == 2

        await wait_until_async(two, "the old connection is closed")


async def test_hung_and_replaced(short_folder: Path) -> None:
    """A store that hangs is Unavailable when its time is over, and used again as soon as it goes on."""
    server = PrivateValkey(short_folder)
    server.start()
    try:
        async with await Mailroom.open(server.url, timeout=0.3) as room:
            await room.put([event("a")])
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            with pytest.raises(StoreUnavailable, match="TimeoutError"):
                await room.put([event("b")])
            server.process.send_signal(signal.SIGCONT)
            assert (await room.put([event("a")]))[0].duplicate
    finally:
        server.stop(kill=True)


async def test_cancelled(valkey: PrivateValkey) -> None:
    """Whoever asks the store again and again ends when cancelled, in whatever moment that comes."""

    async def ask(room: Mailroom) -> None:
        while True:
            await room.rooms()

    async with await Mailroom.open(valkey.url) as room:
        for n in range(100):
            asking = asyncio.create_task(ask(room))
            for _ in range(n):
                await asyncio.sleep(0)
            asking.cancel()
            ended, _ = await asyncio.wait([asking], timeout=GENEROUS)
            while not asking.done():
                asking.cancel()
                await asyncio.sleep(0)
            assert ended, f"cancelled after {n} turns"


async def test_many_wait_for_one_connection(valkey: PrivateValkey) -> None:
    """While the store hangs, those who need a new connection fail together, none after the others' time-outs."""
    async with await Mailroom.open(valkey.url, timeout=0.3) as room:
        assert valkey.process is not None
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):  # it still had a connection
                await room.put([event("first")])
            began = time.monotonic()
            told = await asyncio.gather(*(room.put([event(f"{n}")]) for n in range(20)), return_exceptions=True)
            took = time.monotonic() - began
        finally:
            valkey.process.send_signal(signal.SIGCONT)
        assert all(isinstance(each, StoreUnavailable) for each in told)
        assert took < 2
        assert len(await room.put([event("a")])) == 1
