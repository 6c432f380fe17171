"""Group commit: events that arrive together are put together, synced once, and acknowledged together.

Comes in: the events of one request. Goes out: their receipts, when they are on disk. While the store syncs one flush,
the next is sent; what arrives meanwhile goes with the one after. No order key or other name of an event is in two
flushes at once: the earlier event could end in the spool, and the later one in the store before it. Never acknowledges
early, and never lets more events wait than `most_waiting`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from mailroom import Receipt, StoreFull, StoreUnavailable
from receiver import errors, spool
from rules.event import Event

log = logging.getLogger("relais.receiver")

T = TypeVar("T")

#: Events in one call: beyond some hundred a call costs the store in proportion, and everybody waits for the last one.
MOST_AT_ONCE = 500
#: Flushes under way at once: one that the store syncs, and one that it finds when it has.
MOST_UNDER_WAY = 2
#: Events that are worth a flush of their own while another one is under way. A call costs the store as much as some ten
#: events: with 32 connections, two of 16 are cheaper than three of ten.
WORTH_IT = 16


class EventSink(Protocol):
    """The part of the mailroom that keeps events."""

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        """Keep events. Raises StoreUnavailable."""
        ...


#: Called with the receipts when the events are on disk, or with the reason why they could not be kept.
Kept = Callable[[list[Receipt] | errors.NotKept], None]
#: The events of a request, their order keys and further names, and the callback.
Waiting = tuple[Sequence[Event], list[str], Kept]


class GroupCommit:
    """The queue of events before the mailroom, and the tasks that flush it."""

    def __init__(self, room: EventSink, most_waiting: int) -> None:
        self._room = room
        self._most_waiting = most_waiting
        self._queue: deque[Waiting] = deque()
        #: Events in the queue, and those in the queue or being flushed.
        self._gathered = self._waiting = 0
        #: Flushes that wait for the store.
        self._under_way = 0
        #: Order keys and further names of the events in these flushes.
        self._keys: set[str] = set()
        self._flushers: set[asyncio.Task[None]] = set()
        #: Whether a flush has been scheduled that has not begun.
        self._scheduled = False

    def put(self, events: Sequence[Event], kept: Kept) -> None:
        """Keep events with the next flush, then call `kept`. Raises NotKept while too many events wait."""
        if self._waiting + len(events) > self._most_waiting and self._waiting:
            raise errors.NotKept("busy", "more is arriving than can be kept; try again")
        names: list[str] = []
        for event in events:
            names.append(event.order_key or event.id)
            names += event.names
        self._queue.append((events, names, kept))
        self._gathered += len(events)
        self._waiting += len(events)
        if not self._scheduled and self._is_due():
            # The task runs when the loop has read all sockets that were ready: what arrived together goes together.
            self._scheduled = True
            self._flushers.add(asyncio.create_task(self._flush(), name="group commit"))

    def _is_due(self) -> bool:
        """Say whether to flush now: nothing is being flushed, or enough waits that is free to go."""
        if not self._under_way:
            return bool(self._queue)
        if self._under_way == MOST_UNDER_WAY or self._gathered < WORTH_IT:
            return False
        return self._keys.isdisjoint(self._queue[0][1])

    async def _flush(self) -> None:
        self._scheduled = False
        try:
            while self._is_due():
                await self._flush_once(self._next())
        finally:
            self._flushers.discard(asyncio.current_task())

    def _next(self) -> list[Waiting]:
        """Take what goes together: whole requests, at least one."""
        group: list[Waiting] = []
        size = 0
        while self._queue:
            events, keys, _ = self._queue[0]
            if group and (size + len(events) > MOST_AT_ONCE or not self._keys.isdisjoint(keys)):
                break
            group.append(self._queue.popleft())
            size += len(events)
        self._gathered -= size
        return group

    async def _flush_once(self, group: list[Waiting]) -> None:
        events = [event for each, _, _ in group for event in each]
        keys = [key for _, its, _ in group for key in its]
        self._under_way += 1
        self._keys.update(keys)
        try:
            receipts = await self._room.put(events)
        except Exception as exc:  # whatever it is, nobody may wait for an answer for ever
            if not isinstance(exc, StoreUnavailable):
                log.exception("commit.failed")
            for _, _, kept in group:
                notify(kept, unavailable(exc))
        else:
            at = 0
            for each, _, kept in group:
                notify(kept, receipts[at : at + len(each)])
                at += len(each)
        finally:
            self._under_way -= 1
            self._keys.difference_update(keys)
            self._waiting -= len(events)

    async def drain(self) -> None:
        """Wait until everything that was taken is answered."""
        while self._flushers:
            await asyncio.wait(self._flushers)


def notify(callback: Callable[[T], None], what: T) -> None:
    """Call a callback; an exception in one must not affect the others."""
    try:
        callback(what)
    except Exception:
        log.exception("answer.failed")


def unavailable(cause: Exception) -> errors.NotKept:
    """Return the refusal of events that could not be kept, or of which nobody knows whether they are."""
    if isinstance(cause, spool.SpoolFull):
        refused = errors.NotKept("spool_full", "neither the store nor the spool has room; try again")
    elif isinstance(cause, spool.SpoolFailed):
        refused = errors.NotKept("spool_failed", "neither the store nor the spool could keep it; try again")
    elif isinstance(cause, StoreFull):
        refused = errors.NotKept("store_full", "there is no room for new events; try again")
    else:
        refused = errors.NotKept("store_unavailable", "the event could not be kept; try again")
    refused.__cause__ = cause
    return refused
