"""What the console notices of events and drains; the mailroom is a stand-in whose answers are given."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from console.api import watcher
from console.api.watcher import MailroomWatcher
from mailroom import Mailroom, StoreUnavailable
from tests.conftest import GENEROUS, wait_until_async


class StubMailroom:
    """Settles when told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.settled = False
        self.asked = 0
        self.counters: dict[str, tuple[str, int]] = {}
        self.log: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.away = False

    async def fate(self, event: str) -> Any:
        self.asked += 1
        return SimpleNamespace(settled=self.settled)

    async def tail(self) -> AsyncIterator[tuple[str, str]]:
        while True:
            entry = await self.log.get()
            if self.away:
                raise StoreUnavailable("away")
            yield entry

    async def beats(self) -> dict[str, tuple[str, int]]:
        if self.away:
            raise StoreUnavailable("away")
        return dict(self.counters)


def watch(mailroom: StubMailroom) -> MailroomWatcher:
    return MailroomWatcher(cast("Mailroom", mailroom))


def test_end_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for an event is woken by its end, by no other's, and not by its coming in."""
    monkeypatch.setattr(watcher, "LOOK_AGAIN", 10 * GENEROUS)

    async def run() -> None:
        mailroom = StubMailroom()
        async with watch(mailroom) as watching:
            asking = asyncio.create_task(watching.fate("e1", 10 * GENEROUS))
            for entry in (("put", "e1"), ("ended", "e2")):
                await mailroom.log.put(entry)
            await asyncio.sleep(0.05)
            assert (mailroom.asked, asking.done()) == (1, False)
            mailroom.settled = True
            await mailroom.log.put(("ended", "e1"))
            found = await asyncio.wait_for(asking, GENEROUS)
            assert found is not None
            assert found.settled
            assert mailroom.asked == 2
            assert dict(watching._waiting) == {}

    asyncio.run(run())


def test_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits asks now and then without being woken: the log may have been cut."""
    monkeypatch.setattr(watcher, "LOOK_AGAIN", 0.01)

    async def run() -> None:
        mailroom = StubMailroom()
        async with watch(mailroom) as watching:
            asking = asyncio.create_task(watching.fate("e1", 10 * GENEROUS))

            async def asked() -> bool:
                return mailroom.asked > 2

            await wait_until_async(asked, "it asks by itself")
            mailroom.settled = True
            assert await asyncio.wait_for(asking, GENEROUS)

    asyncio.run(run())


def test_time_is_over() -> None:
    """After its time the question is answered as things stand; no wait is one look."""

    async def run() -> None:
        mailroom = StubMailroom()
        async with watch(mailroom) as watching:
            found = await watching.fate("e1", 0.0)
            assert found is not None
            assert (found.settled, mailroom.asked) == (False, 1)
            await asyncio.wait_for(watching.fate("e1", 0.02), GENEROUS)
            assert dict(watching._waiting) == {}

    asyncio.run(run())


def test_store_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was away is followed again."""
    monkeypatch.setattr(watcher, "AGAIN_AFTER", 0.01)

    async def run() -> None:
        mailroom = StubMailroom()
        async with watch(mailroom) as watching:
            mailroom.away = True
            await mailroom.log.put(("ended", "e0"))
            await asyncio.sleep(0.05)
            mailroom.away = False
            mailroom.counters["d1"] = ("default", 1)
            asking = asyncio.create_task(watching.fate("e1", 10 * GENEROUS))
            await asyncio.sleep(0.01)
            mailroom.settled = True
            await mailroom.log.put(("ended", "e1"))
            assert await asyncio.wait_for(asking, GENEROUS)

            async def counted() -> bool:
                return watching.drains == 1

            await wait_until_async(counted, "the drain is seen")

    asyncio.run(run())


def test_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain lives while its counter moves; one whose counter stands still for five seconds does not."""
    monkeypatch.setattr(watcher, "AGAIN_AFTER", 0.001)
    clock = [1000.0]
    mailroom = StubMailroom()

    async def run() -> None:
        watching = watch(mailroom)
        monkeypatch.setattr(watcher, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        following = asyncio.create_task(watching._follow_beats())

        async def seen(at: float, count: int, **counters: int) -> None:
            clock[0] = at
            mailroom.counters = {name: ("default", counter) for name, counter in counters.items()}

            async def counted() -> bool:
                known = {name: counter for name, (counter, _) in watching._beats.items()}
                return known == counters

            await wait_until_async(counted, "the beats are read")
            assert watching.drains == count, at

        await seen(1000.0, 2, d1=1, d2=7)
        await seen(1004.9, 2, d1=2, d2=7)
        await seen(1005.0, 1, d1=3, d2=7)
        await seen(1006.0, 2, d1=3, d2=8)
        await seen(1006.5, 1, d1=4)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(run())
    assert watcher.STILL == 5.0
    assert isinstance(time.monotonic(), float)
