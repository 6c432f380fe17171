"""Where an event goes: to the store, or to the spool while the store cannot take it.

Comes in: events. Goes out: their receipts, when they are on disk here or there, within a bounded time. While the spool
holds anything, new events queue behind it, whichever process of this host takes them; in the background the spool is
handed over to the store, oldest first. Never acknowledges what is on neither disk, and never lets a new event overtake.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from mailroom import Receipt, StoreDamaged, StoreUnavailable
from mailroom.keys import BODY_WINDOW, CALL_TIMEOUT, ID_PAGE
from receiver.spool import BATCH, Spool, SpooledEvent, Unreadable
from rules.event import Event

logger = logging.getLogger("relais.receiver")

#: Part of the store's memory beyond which new events wait here: the workers need the rest to settle what they hold.
HIGH_WATER = 0.85
#: Seconds between two looks at the store's memory, and at a spool that a dead process may have left.
LOOK_EVERY = 1.0
#: Seconds until a store that failed is asked again: a restart takes well under one.
ASK_AGAIN = (0.05, 0.1, 0.2, 0.5, 1.0)
#: Seconds without progress after which we no longer trust the process that hands over: it may be stopped.
STUCK = 10.0
#: While the spool is being handed over, a new event is answered when fewer wait than before it came, or after so many
#: seconds: else a host at its limit would fill the spool as fast as it is emptied, and new events would wait for ever.
GIVE_WAY = 0.25
#: So often the store must refuse an event alone, each time after it said that it would take some, before others are
#: tried in its place; and so many of them are. Five times take some seconds: longer than a restart that we did not see.
REFUSALS, WITNESSES = 5, 20
#: Older than this, the mailroom may have forgotten an id, so its ledger is asked first. Half of what it remembers.
ASK_LEDGER = ID_PAGE // 2

T = TypeVar("T")
Wrong = (StoreUnavailable, StoreDamaged, TimeoutError)


class StoreClient(Protocol):
    """What is needed of the mailroom."""

    async def prepare(self) -> None:
        """Connect and agree on the schema. Raises Unavailable, Damaged."""
        ...

    async def put(self, events: Sequence[Event], *, body_window: int = BODY_WINDOW) -> list[Receipt]:
        """Keep events. Raises Unavailable."""
        ...

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep events that do not fit, each with the reason. Raises Unavailable."""
        ...

    async def refused(self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a refused request for inspection. Raises Unavailable."""
        ...

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return those of these events that it has, or had in the last month. Raises Unavailable."""
        ...

    async def memory_used(self) -> float:
        """Return the used part of the store's memory. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class SpoolingMailroom:
    """A mailroom that takes events also while the store does not. `prepare` starts it, `close` ends it."""

    def __init__(self, mailroom: StoreClient, spool: Spool, *, patience: float = CALL_TIMEOUT) -> None:
        self._mailroom = mailroom
        self._spool = spool
        #: Seconds that one call to the store may take before its events go to the spool.
        self._patience = patience
        #: Whether the store takes events, as far as we know.
        self._up = False
        self._why = "not asked yet"
        #: SQLite blocks, so it has a thread of its own.
        self._thread = ThreadPoolExecutor(1, "spool")
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._spooling = False
        self._stuck = (0, 0.0)
        #: How many events go to the store in the next call, how often it refused which row alone, whose it refuses.
        self._most = BATCH
        self._refused = (0, 0)
        self._poison: set[bytes | None] = set()

    @property
    def spooling(self) -> bool:
        """True while events go to the spool."""
        return not self._up or not self._spool.empty()

    async def prepare(self) -> None:
        """Ask the store, and begin to hand over what waits. A store that is away stops nobody. Raises Damaged."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            await self._ask()
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._carry(), name="spool"),
                asyncio.create_task(self._watch(), name="high water"),
            ]

    async def close(self) -> None:
        """Stop handing over and close both; what waits is handed over after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        self._spool.close()
        await self._mailroom.close()

    # -- taking

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        """Keep events. Raises spool.Full, spool.Failed where neither takes them."""
        # Looked at after the events have arrived: what was acknowledged before is in the spool or in the store.
        if self._up and self._spool.empty():
            try:
                async with asyncio.timeout(self._patience):
                    return await self._mailroom.put(events)
            except Wrong as exc:
                self._down(exc)
        return await self._append([(event, None) for event in events])

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep events that do not fit, each with the reason. Raises as `put`."""
        if self._up and self._spool.empty():
            try:
                async with asyncio.timeout(self._patience):
                    return await self._mailroom.quarantine(events)
            except Wrong as exc:
                self._down(exc)
        return await self._append(events)

    async def refused(self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a refused request for inspection, while the store has time for it. Raises Unavailable."""
        if not self._up:
            raise StoreUnavailable(self._why)
        await self._mailroom.refused(reason=reason, source=source, headers=headers, body=body)

    async def _append(self, events: Sequence[tuple[Event, str | None]]) -> list[Receipt]:
        before = self._spool.depth()
        receipts = await self._blocking(lambda: self._spool.append(events))
        if not self._spooling:
            self._spooling = True
            logger.warning("spool_begins: %s", self._why if not self._up else "events wait in it")
        self._wake.set()
        await self._give_way(before)
        return receipts

    async def _give_way(self, before: int) -> None:
        """Let the hand-over get ahead of what comes in, while there is one."""
        enough = time.monotonic() + GIVE_WAY
        most = max(1, before * 9 // 10)
        while self._up and self._spool.depth() >= most and time.monotonic() < enough:  # noqa: ASYNC110 - any process may do it
            await asyncio.sleep(0.005)

    def _down(self, why: Exception) -> None:
        """Remember that the store takes nothing, until it has been asked again."""
        self._up = False
        self._why = str(why) or f"the store did not answer within {self._patience:g} s"
        self._wake.set()

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- handing over

    async def _watch(self) -> None:
        """Notice a store that fills up, or hangs while nobody sends anything."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._up:
                continue
            try:
                async with asyncio.timeout(self._patience):
                    await self._demand_memory()
            except Wrong as exc:
                self._down(exc)

    async def _demand_memory(self) -> None:
        """Raise Unavailable for a store that is nearly full."""
        used = await self._mailroom.memory_used()
        if used >= HIGH_WATER:
            raise StoreUnavailable(f"the store's memory is used to {used:.0%}")

    async def _ask(self) -> None:
        """Ask the store whether it would take events. Raises Unavailable, Damaged, TimeoutError."""
        async with asyncio.timeout(self._patience):
            await self._mailroom.prepare()
            # Nothing is put, and refused for every reason for which something would be.
            await self._mailroom.put([])
            await self._demand_memory()
        self._up = True

    async def _carry(self) -> None:
        """Hand over whatever waits, until cancelled."""
        failures = 0
        while True:
            try:
                if not self._up:
                    await self._ask()
                if not self._spool.empty():
                    await self._hand_over()
            except Wrong as exc:
                self._down(exc)
                failures += 1
            except Exception:  # a defect must not end it: events wait
                logger.exception("spool_defect")
                failures += 1
            else:
                failures = 0
            if failures:
                await asyncio.sleep(ASK_AGAIN[min(failures, len(ASK_AGAIN)) - 1])
            elif self._up and self._spool.empty():
                await self._rest()

    async def _rest(self) -> None:
        """Nothing waits: say so once, and wait until somebody spools, or a dead process's events are found."""
        if self._spooling:
            self._spooling = False
            logger.warning("spool_ends")
            await self._blocking(self._spool.tidy)
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._wake.wait()

    async def _hand_over(self) -> None:
        """Give the spool to the store until it is empty. Raises Unavailable."""
        with self._spool.only_one() as ours:
            if not ours and not await self._is_stuck():
                await asyncio.sleep(ASK_AGAIN[0])
                return
            while self._up and (rows := await self._head()):
                await self._demand_memory()
                try:
                    await self._put(rows)
                except Exception as exc:
                    if not await self._is_its_own_fault(rows, exc):
                        raise
                    continue
                # Only now: an answer that was lost costs a repetition, which the mailroom recognises.
                await self._done(rows)
                self._most = min(BATCH, self._most * 2)

    async def _head(self) -> list[SpooledEvent]:
        """Return what goes to the store next; what cannot even be read is set aside."""
        while True:
            try:
                return await self._blocking(lambda: self._spool.head(self._most))
            except Unreadable as exc:
                await self._set_aside(exc.seq, str(exc))

    async def _done(self, rows: Sequence[SpooledEvent]) -> None:
        await self._blocking(lambda: self._spool.delete(rows))

    async def _is_its_own_fault(self, rows: Sequence[SpooledEvent], why: Exception) -> bool:
        """Set an event aside that the store refuses whenever it is alone, while it takes others; say whether it was.

        Nobody must wait for ever for an event that the store cannot take, and a store in trouble must not cost one: so
        events of other order keys are tried in its place, and it once more after one of them passed.
        """
        self._most = 1
        if len(rows) > 1:
            return False
        [row] = rows
        self._refused = (row.seq, self._refused[1] + 1 if self._refused[0] == row.seq else 1)
        if self._refused[1] < REFUSALS and (row.box is None or row.box not in self._poison):
            return False
        for other in await self._blocking(lambda: self._spool.others(row, WITNESSES)):
            with contextlib.suppress(Exception):
                await self._put([other])
                await self._done([other])
                break
        else:
            return False
        try:
            await self._put(rows)
        except Exception as exc:
            await self._set_aside(row.seq, str(exc) or type(exc).__name__)
            self._poison = {*list(self._poison)[-WITNESSES:], row.box}
            return True
        await self._done(rows)
        return True

    async def _set_aside(self, seq: int, said: str) -> None:
        now = time.time_ns() // 1_000_000
        name = await self._blocking(lambda: self._spool.set_aside(seq, said, now))
        logger.error(
            "spool_set_aside event_id=%s why=%s: it is kept in the spool and delivered no more; see relais spool list",
            name,
            said,
        )

    async def _is_stuck(self) -> bool:
        """Say whether the process that hands over has stood still. Two at once double nothing, they only work twice."""
        seq = await self._blocking(self._spool.first)
        if seq != self._stuck[0]:
            self._stuck = (seq, time.monotonic())
        return bool(seq) and time.monotonic() - self._stuck[1] > STUCK

    async def _put(self, rows: Sequence[SpooledEvent]) -> None:
        """Put what waits. Raises Unavailable; then any of it may have been put."""
        now = time.time_ns() // 1_000_000
        old = [row.event.id for row in rows if not 0 <= now - row.at <= ASK_LEDGER]
        known = await self._mailroom.known(old) if old else set()
        left = [row for row in rows if row.event.id not in known]
        inbox = [row for row in left if row.why is None]
        # The mailroom measures the window of equal bodies from now, and these were received before: so much is left of
        # it. What came twice within the window has been recognised in the spool; what came later is a new event.
        for young, group in itertools.groupby(inbox, lambda row: 0 <= now - row.at < BODY_WINDOW):
            some = list(group)
            left_of_it = BODY_WINDOW - max(now - row.at for row in some) if young else 0
            await self._mailroom.put([row.event for row in some], body_window=left_of_it)
        unfit = [(row.event, row.why) for row in left if row.why is not None]
        if unfit:
            await self._mailroom.quarantine(unfit)
