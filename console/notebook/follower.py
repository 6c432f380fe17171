"""Keeps the notebook up to date: follows the mailroom's log, and reads the ledger where the log has been cut.

Comes in: ids of events that came, ended or were changed, as the log names them. Goes out: their fates in the notebook,
and frames for who watches. One for a whole console, however many watch: the store is asked for a fate once, in batches,
and at most `PACE` times a second. Never changes anything in the store.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from console.notebook import search
from console.notebook.file import Notebook, wall_clock
from console.notebook.tables import DAYS
from mailroom import Fate, Mailroom, StoreDamaged, StoreUnavailable

log = logging.getLogger("relais.console")

#: Fates asked for in one call: less than a millisecond of the store's time.
BATCH = 100
#: Fates asked for in a second, at most: about 1 % of the store's time.
PACE = 2_000
#: Entries of the log that are read at once.
ENTRIES = 500
#: Seconds from one frame to the next, and events of a frame that are shown; of the others it is said how many.
FRAME, SHOWN = 0.25, 20
#: Seconds after which an event that is not settled is looked at once more: a delivery may be held, and no log says so.
LOOK_AGAIN = 10.0
#: Seconds between two looks at what is too old.
EXPIRE = 60.0
#: Seconds before a store that was away is asked again.
AGAIN_AFTER = 0.5
#: Seconds after its start in which who asks waits for the ledger to be read.
YOUNG = 10.0
#: Frames that one who watches may be behind; then he is cut off.
MOST_BEHIND = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    """What happened in a quarter of a second: events that came, ended or were changed."""

    fates: list[Fate]
    #: What was made of it, for all who want the same.
    _made: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is made of it, made once for all who watch with the same filter and in the same language."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def show(self, chosen: search.EventFilter) -> tuple[list[dict[str, Any]], int]:
        """Return the newest of those that are meant, as pages show them, and of how many more nothing is shown."""
        meant = [fate for fate in self.fates if chosen.fits(fate)]
        return [summarise(fate) for fate in meant[-SHOWN:]], max(0, len(meant) - SHOWN)


@dataclass
class Progress:
    """How far the notebook is."""

    #: Whether it holds all that the ledger holds.
    complete: bool = False
    #: Until when it tells what happened, ms since 1970; 0: it has read nothing yet.
    as_of: int = 0


@dataclass(eq=False)
class _Watcher:
    frames: asyncio.Queue[Frame | None] = field(default_factory=lambda: asyncio.Queue(MOST_BEHIND))


class Follower:
    """Follows one store. Runs inside its `async with` block."""

    def __init__(self, mailroom: Mailroom, notebook: Notebook) -> None:
        self._mailroom = mailroom
        self._notebook = notebook
        self._tasks: list[asyncio.Task[None]] = []
        self._cursor = ""
        self._moved = asyncio.Condition()
        self._watchers: set[_Watcher] = set()
        self._paced_until = 0.0
        self._began = time.monotonic()
        self.progress = Progress()

    async def __aenter__(self) -> Self:
        for work in (self._follow, self._look_again, self._expire):
            self._tasks.append(asyncio.create_task(self._keep_on(work)))
        return self

    async def __aexit__(self, *_: object) -> None:
        # Asked again until they end: `asyncio.wait_for` of Python 3.11, with which redis-py sends, can lose it.
        while left := [task for task in self._tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.5)

    async def catch_up(self, within: float = 2.0) -> None:
        """Return when what is in the log by now is in the notebook, or the store is away, or after some seconds.

        Just after its start it waits for the ledger, too: a small one is read at once.
        """
        with contextlib.suppress(StoreUnavailable, StoreDamaged, TimeoutError):
            async with asyncio.timeout(within):
                _, newest = await self._mailroom.log_ends()
                async with self._moved:
                    await self._moved.wait_for(lambda: bool(self._cursor) and _place(self._cursor) >= _place(newest))
                    if time.monotonic() - self._began < YOUNG:
                        await self._moved.wait_for(lambda: self.progress.complete)

    def watch(self) -> AsyncGenerator[Frame, None]:
        """Return an iterator of frames, one each time something happened, from now on; it ends for who is too slow."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        return self._list_frames(watcher)

    async def _list_frames(self, watcher: _Watcher) -> AsyncGenerator[Frame, None]:
        try:
            while (frame := await watcher.frames.get()) is not None:
                yield frame
        finally:
            self._watchers.discard(watcher)

    # -- what it does all the time

    async def _keep_on(self, work: Any) -> None:
        while True:
            try:
                await work()
            except (StoreUnavailable, StoreDamaged):
                await asyncio.sleep(AGAIN_AFTER)
            except Exception:
                log.exception("notebook.failed")
                await asyncio.sleep(10 * AGAIN_AFTER)

    async def _follow(self) -> None:
        await self._begin()
        reading = asyncio.create_task(self._read_pages()) if not self.progress.complete else None
        try:
            while True:
                began = time.monotonic()
                entries = await self._mailroom.read_log(self._cursor, ENTRIES, 1000)
                if entries and await self._log_was_cut():
                    await self._set_pages(_days_since(_place(self._cursor)[0]))
                    entries = entries[-1:]
                    await self._note([], cursor=entries[-1][0])
                    return
                ids = list(dict.fromkeys(id for _, fields in entries for _, names in fields for id in names))
                # The id of an entry is the time of the store.
                kept = {
                    id: _place(entry)[0]
                    for entry, fields in entries
                    for what, names in fields
                    for id in names
                    if what == "put"
                }
                await self._note(ids, cursor=entries[-1][0] if entries else "", kept=kept)
                if reading is not None and reading.done():
                    reading.result()
                    reading = None
                # What comes in and ends within a frame is looked at once.
                await asyncio.sleep(max(0.0, FRAME - (time.monotonic() - began)) if entries else 0)
        finally:
            if reading is not None:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def _begin(self) -> None:
        """Find out where to go on: behind what is noted, or at the end of the log, with the ledger still to read."""
        await self._mailroom.prepare()
        store = self._mailroom.hash("notebook")  # another store has another key
        if await asyncio.to_thread(self._notebook.meta, "store") != store:
            await asyncio.to_thread(self._notebook.clear)
        cursor = await asyncio.to_thread(self._notebook.meta, "cursor")
        oldest, newest = await self._mailroom.log_ends()
        if cursor and not _place(oldest) <= _place(cursor) <= _place(newest):
            await self._set_pages(_days_since(_place(cursor)[0]))
            cursor = ""
        elif not cursor:
            await self._set_pages(_days_since(0))
        await asyncio.to_thread(self._notebook.write, [], wall_clock(), store=store, cursor=cursor or newest)
        self._cursor = cursor or newest
        pages = await asyncio.to_thread(self._notebook.meta, "pages")
        self.progress.complete = not pages

    async def _log_was_cut(self) -> bool:
        oldest, _ = await self._mailroom.log_ends()
        return _place(self._cursor) < _place(oldest) and self._cursor != "0-0"

    async def _set_pages(self, days: Iterable[str]) -> None:
        """Note which pages of the ledger are to be read."""
        known = (await asyncio.to_thread(self._notebook.meta, "pages")).split()
        pages = " ".join(sorted({*known, *days, "kept"}, reverse=True))
        await asyncio.to_thread(self._notebook.write, [], wall_clock(), pages=pages)
        self.progress.complete = False

    async def _read_pages(self) -> None:
        """Read the ledger's pages that are still to be read, the newest first, then what has no line there yet."""
        while pages := (await asyncio.to_thread(self._notebook.meta, "pages")).split():
            page = pages[0]
            source = self._mailroom.kept_events() if page == "kept" else self._mailroom.ledger_page(page)
            async for ids in source:
                fresh = await asyncio.to_thread(self._notebook.list_new, ids) if page == "kept" and ids else ids
                await self._note(fresh)
            await asyncio.to_thread(self._notebook.write, [], wall_clock(), pages=" ".join(pages[1:]))
        self.progress.complete = True
        self.progress.as_of = self.progress.as_of or wall_clock()
        async with self._moved:
            self._moved.notify_all()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            before = wall_clock() - int(LOOK_AGAIN * 1000)
            ids = await asyncio.to_thread(self._notebook.list_open, before, 2 * BATCH)
            await self._note(ids)
            await asyncio.to_thread(self._notebook.look_again, ids, wall_clock())

    async def _expire(self) -> None:
        while True:
            more = await asyncio.to_thread(self._notebook.expire, wall_clock())
            await asyncio.sleep(0.1 if more else EXPIRE)

    async def _note(self, ids: list[str], *, cursor: str = "", kept: Mapping[str, int] | None = None) -> None:
        """Note what became of events; `cursor`: how far the log was read then.

        `kept`: they come from the log, and are shown to who watches; when the store took each of these, ms.
        """
        noted: list[Fate] = []
        for first in range(0, len(ids), BATCH):
            part = ids[first : first + BATCH]
            await self._pace(len(part))
            # What people did with a refused request stands in the ledger, too; no event: it has no source.
            found = [fate for fate in await self._mailroom.fates(part) if fate is not None and fate.source]
            await asyncio.to_thread(self._notebook.write, found, wall_clock(), kept)
            noted += found
        if cursor:
            await asyncio.to_thread(self._notebook.write, [], wall_clock(), cursor=cursor)
            self._cursor = cursor
        if kept is not None:
            self.progress.as_of = wall_clock()
            async with self._moved:
                self._moved.notify_all()
            if noted and self._watchers:
                self._publish(Frame(noted))

    async def _pace(self, count: int) -> None:
        now = time.monotonic()
        self._paced_until = max(now, self._paced_until) + count / PACE
        if (wait := self._paced_until - now - 1.0) > 0:
            await asyncio.sleep(wait)

    def _publish(self, frame: Frame) -> None:
        for watcher in list(self._watchers):
            try:
                watcher.frames.put_nowait(frame)
            except asyncio.QueueFull:
                self._watchers.discard(watcher)
                watcher.frames.get_nowait()
                watcher.frames.put_nowait(None)


def summarise(fate: Fate) -> dict[str, Any]:
    """Return an event as a page shows it: each delivery without its attempts."""
    answer = fate.as_json()
    for name in ("rules", "shadow", "decisions", "unread", "who"):
        answer.pop(name, None)
    for delivery in answer["deliveries"]:
        delivery["tries"] = len(delivery.pop("attempts"))
    return answer


def _days_since(ms: int) -> list[str]:
    """Return the ledger's pages (days) that may tell of what happened since a time: of all that was received before."""
    today = datetime.now(UTC).date()
    return [(today - timedelta(days=n)).isoformat() for n in range(-1, DAYS + 1)] if ms >= 0 else []


def _place(cursor: str) -> tuple[int, int]:
    ms, _, n = cursor.partition("-")
    return int(ms), int(n or 0)
