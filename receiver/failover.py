"""Where an event goes: to the store, or to the spool while the store cannot take it.

Comes in: events. Goes out: their receipts, when they are on disk here or there, within a bounded time. While the spool
holds anything, new events queue behind it, whichever process of this host takes them; in the background the spool is
handed over to the store, oldest first. Never acknowledges what is on neither disk, and never lets a new event overtake.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

from mailroom import Receipt, RefusedDetails, SourceNotes, StoreDamaged, StoreUnavailable
from mailroom.forgetting import Person, PersonSearch, read_receipt
from mailroom.hashing import former_event_id
from mailroom.keys import BODY_WINDOW, CALL_TIMEOUT, ID_PAGE
from receiver import identity
from receiver.intake import EventStore
from receiver.spool import BATCH, Spool, SpooledEvent, Unreadable
from rules.event import Event
from rules.event_types.base import to_epoch

log = logging.getLogger("relais.receiver")

#: Part of the store's memory beyond which new events wait here: the workers need the rest to settle what they hold.
HIGH_WATER = 0.85
#: Seconds between two looks at the store's memory, and at a spool that a dead process may have left.
LOOK_EVERY = 1.0
#: Seconds until a store that failed is asked again: a restart takes well under one.
ASK_AGAIN = (0.05, 0.1, 0.2, 0.5, 1.0)
#: Seconds without progress after which another process hands over as well: the one that should may be stopped.
STUCK = 10.0
#: While the spool is being handed over, the answer to a new event is held back until fewer events wait than before it,
#: or for at most so many seconds. Without that a host at its limit would fill the spool as fast as it is emptied.
GIVE_WAY = 0.25
#: An event is set aside after the store refused it alone this often. Five times take some seconds: longer than a
#: restart of the store that we did not notice.
REFUSALS = 5
#: Before that, the store must accept one of so many other events: a store in trouble refuses those, too.
WITNESSES = 20
#: ms. Of an event older than this the ledger is asked first: the mailroom may have forgotten its id.
ASK_LEDGER = ID_PAGE // 2

T = TypeVar("T")
#: How a call to a store fails that cannot take events now.
STORE_FAILURES = (StoreUnavailable, StoreDamaged, TimeoutError)


class StoreClient(EventStore, Protocol):
    """What is needed of the mailroom beside that."""

    async def put(self, events: Sequence[Event], *, body_window: int = BODY_WINDOW) -> list[Receipt]:
        """Keep events. Raises StoreUnavailable."""
        ...

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return those of these events that it has, or had in the last month. Raises StoreUnavailable."""
        ...

    async def new_receipts(self, known: Collection[str]) -> dict[str, bytes]:
        """Return the receipts of persons who were forgotten, but for those known. Raises StoreUnavailable."""
        ...

    async def report_forgotten(self, receipt: str, process: str, rows: int) -> None:
        """Say that a receipt is carried out here. Raises StoreUnavailable."""
        ...

    def hash(self, identity: str) -> str:
        """Return the keyed hash of an identity. Raises StoreUnavailable."""
        ...

    async def memory_used(self) -> float:
        """Return the used part of the store's memory. Raises StoreUnavailable."""
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
        #: The oldest row of the spool when it was last seen to change, and when that was.
        self._oldest = (0, 0.0)
        #: Most events of the next call to the store.
        self._most = BATCH
        #: The row that the store refused alone, and how often in a row.
        self._refused = (0, 0)
        #: Order keys (hashes) of which an event was set aside: their next one is tested after one refusal.
        self._poison: set[bytes | None] = set()
        #: Receipts of persons who were forgotten that were carried out here -> rows that went; and those of which the
        #: store has been told.
        self._forgotten: dict[str, int] = {}
        self._reported: set[str] = set()
        #: Held while rows are in our hands, on their way to the store, and while rows are erased.
        self._rows = asyncio.Lock()

    @property
    def spooling(self) -> bool:
        """True while events go to the spool."""
        return not self._up or not self._spool.empty()

    async def prepare(self) -> None:
        """Ask the store, and begin to hand over what waits. A store that is away stops nobody. Raises StoreDamaged."""
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
        """Keep events. Raises SpoolFull, SpoolFailed where neither takes them."""
        # Whatever was acknowledged before these events came is in the spool by now, or in the store.
        if self._up and self._spool.empty():
            try:
                async with asyncio.timeout(self._patience):
                    return await self._mailroom.put(events)
            except STORE_FAILURES as exc:
                self._down(exc)
        return await self._append([(event, None) for event in events])

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep events that do not fit, each with the reason. Raises as `put`."""
        if self._up and self._spool.empty():
            try:
                async with asyncio.timeout(self._patience):
                    return await self._mailroom.quarantine(events)
            except STORE_FAILURES as exc:
                self._down(exc)
        return await self._append(events)

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        """Keep a refused request for inspection, while the store has time for it. Raises StoreUnavailable."""
        if not self._up:
            raise StoreUnavailable(self._why)
        await self._mailroom.refused(reason=reason, source=source, headers=headers, body=body, more=more)

    async def approved_book(self) -> str:
        """Return the version of the book that a person approved last. Raises StoreUnavailable, TimeoutError."""
        async with asyncio.timeout(self._patience):
            return await self._mailroom.approved_book()

    async def say_process(self, name: str, pool: str, workers: int, turn: int, *, said: str = "") -> None:
        """Say that this process lives, also while the store takes no events. Raises StoreUnavailable, TimeoutError."""
        async with asyncio.timeout(self._patience):
            await self._mailroom.say_process(name, pool, workers, turn, said=said)

    async def note_sources(self, notes: SourceNotes) -> None:
        """Write down what was seen of sources, likewise. Raises StoreUnavailable, TimeoutError."""
        async with asyncio.timeout(self._patience):
            await self._mailroom.note_sources(notes)

    async def forget_spooled(self, process: str) -> None:
        """Erase what the spool holds of persons who were forgotten. Raises StoreUnavailable, TimeoutError."""
        async with asyncio.timeout(self._patience):
            fresh = await self._mailroom.new_receipts(self._reported)
        await self._carry_out(fresh)
        for receipt in fresh:
            async with asyncio.timeout(self._patience):
                await self._mailroom.report_forgotten(receipt, process, self._forgotten[receipt])
            self._reported.add(receipt)

    async def _carry_out(self, receipts: Mapping[str, bytes]) -> None:
        """Erase what receipts are about, each once. Raises SpoolFailed."""
        async with self._rows:
            for receipt in [read_receipt(text) for id, text in receipts.items() if id not in self._forgotten]:
                search = PersonSearch(self._mailroom.hash, Person(frozenset(receipt.hashes)))
                rows = await self._blocking(functools.partial(self._spool.forget, search, to_epoch(receipt.at)))
                self._forgotten[receipt.id] = rows
                if rows:
                    log.info("spool.forgotten receipt=%s rows=%d", receipt.id, rows)

    async def forget_process(self, name: str) -> None:
        """Say that this process ends. Raises StoreUnavailable, TimeoutError."""
        async with asyncio.timeout(self._patience):
            await self._mailroom.forget_process(name)

    async def _append(self, events: Sequence[tuple[Event, str | None]]) -> list[Receipt]:
        before = self._spool.depth()
        receipts = await self._blocking(lambda: self._spool.append(events))
        if not self._spooling:
            self._spooling = True
            log.warning("spool.begins why=%s", self._why if not self._up else "events wait in it")
        self._wake.set()
        await self._give_way(before)
        return receipts

    async def _give_way(self, before: int) -> None:
        """While the spool is handed over, wait until it is shorter than before, so that it empties in the end."""
        enough = time.monotonic() + GIVE_WAY
        most = max(1, before * 9 // 10)
        while self._up and self._spool.depth() >= most and time.monotonic() < enough:  # noqa: ASYNC110 - any process may do it
            await asyncio.sleep(0.005)

    def _down(self, why: Exception) -> None:
        """Send events to the spool until the store has been asked again."""
        self._up = False
        self._why = str(why) or f"the store did not answer within {self._patience:g} s"
        self._wake.set()

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- handing over

    async def _watch(self) -> None:
        """Every second: notice that the store fills up, or that it hangs while nobody sends anything."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._up:
                continue
            try:
                async with asyncio.timeout(self._patience):
                    await self._demand_memory()
            except STORE_FAILURES as exc:
                self._down(exc)

    async def _demand_memory(self) -> None:
        """Raise StoreUnavailable for a store that is nearly full."""
        used = await self._mailroom.memory_used()
        if used >= HIGH_WATER:
            raise StoreUnavailable(f"the store's memory is used to {used:.0%}")

    async def _ask(self) -> None:
        """Ask the store whether it would take events. Raises StoreUnavailable, StoreDamaged, TimeoutError."""
        async with asyncio.timeout(self._patience):
            await self._mailroom.prepare()
            # Putting nothing is refused for every reason for which an event would be.
            await self._mailroom.put([])
            await self._demand_memory()
        self._up = True

    async def _carry(self) -> None:
        """Hand over the events that wait in the spool, until cancelled."""
        failures = 0
        while True:
            try:
                if not self._up:
                    await self._ask()
                if not self._spool.empty():
                    await self._hand_over()
            except STORE_FAILURES as exc:
                self._down(exc)
                failures += 1
            except Exception:  # a defect must not end it: events wait
                log.exception("spool.defect")
                failures += 1
            else:
                failures = 0
            if failures:
                await asyncio.sleep(ASK_AGAIN[min(failures, len(ASK_AGAIN)) - 1])
            elif self._up and self._spool.empty():
                await self._rest()

    async def _rest(self) -> None:
        """Nothing waits: log it once, and sleep until an event is spooled, here or by another process."""
        if self._spooling:
            self._spooling = False
            log.warning("spool.ends")
            await self._blocking(self._spool.tidy)
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._wake.wait()

    async def _hand_over(self) -> None:
        """Put the spool's events into the store until it is empty. Raises StoreUnavailable."""
        with self._spool.only_one() as ours:
            if not ours and not await self._is_stuck():
                await asyncio.sleep(ASK_AGAIN[0])
                return
            # Who was forgotten while the store was away must not come in.
            await self._carry_out(await self._mailroom.new_receipts(self._forgotten))
            while self._up and await self._hand_over_some():
                pass

    async def _hand_over_some(self) -> bool:
        """Put the oldest rows into the store; return whether there were any. Raises StoreUnavailable."""
        async with self._rows:
            rows = await self._head()
            if not rows:
                return False
            await self._demand_memory()
            try:
                await self._put(rows)
            except Exception:
                if not await self._unblock(rows):
                    raise
                return True
            # Only now: an answer that was lost costs a repetition, which the mailroom recognises.
            await self._done(rows)
            self._most = min(BATCH, self._most * 2)
            return True

    async def _head(self) -> list[SpooledEvent]:
        """Return what goes to the store next; what cannot even be read is set aside."""
        while True:
            try:
                return await self._blocking(lambda: self._spool.head(self._most))
            except Unreadable as exc:
                await self._set_aside(exc.seq, str(exc))

    async def _done(self, rows: Sequence[SpooledEvent]) -> None:
        await self._blocking(lambda: self._spool.delete(rows))

    async def _unblock(self, rows: Sequence[SpooledEvent]) -> bool:
        """After the store refused these rows: get one that it never takes out of the way. Return whether that worked.

        An event that the store cannot take must not hold up the others for ever, and a store in trouble must not get
        one set aside. So events of other order keys are tried first, and the refused one again after one of them
        passed.
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
        log.error(
            "spool.set_aside event_id=%s why=%s: it is kept in the spool and delivered no more; see relais spool list",
            name,
            said,
        )

    async def _is_stuck(self) -> bool:
        """Say whether the process that hands over has made no progress for too long.

        If it goes on after all, two hand over at once: that does the same work twice and doubles no event.
        """
        seq = await self._blocking(self._spool.first)
        if seq != self._oldest[0]:
            self._oldest = (seq, time.monotonic())
        return bool(seq) and time.monotonic() - self._oldest[1] > STUCK

    async def _put(self, rows: Sequence[SpooledEvent]) -> None:
        """Put what waits. Raises StoreUnavailable; then any of it may have been put."""
        now = time.time_ns() // 1_000_000
        old = [row.event.id for row in rows if not 0 <= now - row.at <= ASK_LEDGER]
        known = await self._mailroom.known(old) if old else set()
        left = [row for row in rows if row.event.id not in known]
        inbox = [row for row in left if row.why is None]
        # The mailroom measures the window of equal bodies from now, but these events were received earlier: only the
        # rest of the window counts. Equal bodies within it were recognised in the spool; a later one is a new event.
        for young, group in itertools.groupby(inbox, lambda row: 0 <= now - row.at < BODY_WINDOW):
            some = list(group)
            rest = BODY_WINDOW - max(now - row.at for row in some) if young else 0
            await self._mailroom.put([_under_our_id(row.event) for row in some], body_window=rest)
        unfit = [(row.event, row.why) for row in left if row.why is not None]
        if unfit:
            await self._mailroom.quarantine(unfit)


def _under_our_id(event: Event) -> Event:
    """Return an event that a receiver of 0.1.0 spooled under the id that its repetition has with us; others as is.

    Only the first of a batch: of the others nobody knows any more which item of it they were.
    """
    if event.position or not event.sender_id or event.id != former_event_id(event.source, event.sender_id, 0):
        return event
    return replace(event, id=identity.event_id(event.source, event.sender_id, "", event.body))
