"""What a health check asks: whether processes of this host do their work."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from console.checks import alive
from console.processes import port
from mailroom import Mailroom, liveness
from mailroom.keys import SCHEMA
from tests.conftest import PrivateValkey


@pytest.fixture
async def mailroom(valkey: PrivateValkey) -> AsyncIterator[Mailroom]:
    """A mailroom of its own."""
    async with await Mailroom.open(valkey.url) as opened:
        yield opened


@pytest.mark.anyio
async def test_a_drain_elsewhere_says_nothing_of_this_host(mailroom: Mailroom, valkey: PrivateValkey) -> None:
    """A drain of another container beats as much as it likes: the workers of this one do not live by it."""
    over = asyncio.Event()

    async def beat(drain: str, place: str) -> None:
        await mailroom.beat(drain, register=True, said=f"{SCHEMA} {place}")
        while not over.is_set():
            await mailroom.beat(drain)
            await asyncio.sleep(0.1)

    elsewhere = asyncio.create_task(beat("theirs", "other-boot pid:[1] 7 1"))
    assert not await alive.workers_beat(valkey.url)
    here = asyncio.create_task(beat("ours", liveness.place()))
    assert await alive.workers_beat(valkey.url)
    assert set(await alive.beats_of_this_host(mailroom)) == {"ours"}
    over.set()
    await asyncio.gather(elsewhere, here)
    assert not await alive.workers_beat(valkey.url)


@pytest.mark.anyio
async def test_no_store() -> None:
    """Where no store answers nobody works."""
    assert not await alive.workers_beat("redis://127.0.0.1:1")


def test_servers(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that does not answer is named; with nothing to ask nothing lives."""
    assert alive.main([f"console:{port.free('127.0.0.1')}"]) == 1
    assert "does not live: console" in capsys.readouterr().err
    assert alive.main([]) == 1
