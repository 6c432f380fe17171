"""Follows the mailroom's log and heartbeats: which events have ended, and which drains are alive.

Comes in: the log and the beats of the mailroom. Goes out: a wait for the end of an event, the number of live drains.
Never changes anything; while the store is away, it is asked again twice a second.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from typing import Self

from mailroom import Fate, Mailroom, StoreUnavailable

#: A drain whose counter has not changed for this many seconds is not counted as alive; it beats once a second.
STILL = 5.0

#: Seconds after which a waiting request asks for the fate even if the log named no end: the log may have been cut.
LOOK_AGAIN = 5.0

#: Seconds between two looks at the beats, and before a store that was away is asked again.
AGAIN_AFTER = 0.5


class MailroomWatcher:
    """One for the whole console, for any number of waiting requests. Runs inside its `async with` block."""

    def __init__(self, mailroom: Mailroom) -> None:
        self.mailroom = mailroom
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._beats: dict[str, tuple[int, float]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow_log()), asyncio.create_task(self._follow_beats())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def fate(self, event: str, within: float) -> Fate | None:
        """Return what became of an event, as soon as that is settled or after `within` seconds.

        Raises StoreUnavailable.
        """
        deadline = time.monotonic() + within
        bell = asyncio.Event()
        self._waiting[event].add(bell)
        try:
            while True:
                bell.clear()
                found = await self.mailroom.fate(event)
                left = deadline - time.monotonic()
                if left <= 0 or (found is not None and found.settled):
                    return found
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), min(left, LOOK_AGAIN))
        finally:
            self._waiting[event].discard(bell)
            if not self._waiting[event]:
                del self._waiting[event]

    @property
    def drains(self) -> int:
        """Number of live drains."""
        now = time.monotonic()
        return sum(now - moved < STILL for _, moved in self._beats.values())

    async def _follow_log(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                async for what, event in self.mailroom.tail():
                    if what == "ended":
                        for bell in self._waiting.get(event, ()):
                            bell.set()
            await asyncio.sleep(AGAIN_AFTER)

    async def _follow_beats(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                beats = await self.mailroom.beats()
                now = time.monotonic()
                self._beats = {
                    drain: (counter, now if self._beats.get(drain, (None, 0))[0] != counter else self._beats[drain][1])
                    for drain, (_, counter) in beats.items()
                }
            await asyncio.sleep(AGAIN_AFTER)
