"""Group commit: requests that arrive together are put together, synced once, and acknowledged together.

Comes in: the events of one request. Goes out: their receipts, when they are on disk. One flush is under way at a time;
what arrives meanwhile goes with the next one. Never acknowledges early, and never lets more wait than it was told.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from receiver import refusal, spool
from rules.event import Event
from workers.mailroom import Full, Receipt, Unavailable

logger = logging.getLogger("relais.receiver")

#: Events in one call: beyond some hundred a call costs the store in proportion, and everybody waits for the last one.
MOST_AT_ONCE = 500


class Room(Protocol):
    """The part of the mailroom that keeps events."""

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        """Keep events. Raises Unavailable."""
        ...


#: Told of the receipts when the events are on disk, or why they could not be kept.
Kept = Callable[[list[Receipt] | refusal.Unavailable], None]
Waiting = tuple[Sequence[Event], Kept]


class GroupCommit:
    """The queue before the mailroom, and the one who carries it there."""

    def __init__(self, room: Room, most_waiting: int) -> None:
        self._room = room
        self._most_waiting = most_waiting
        self._queue: deque[Waiting] = deque()
        self._waiting = 0
        self._flusher: asyncio.Task[None] | None = None

    def put(self, events: Sequence[Event], kept: Kept) -> None:
        """Keep events with the next flush, and tell. Raises refusal.Unavailable."""
        if self._waiting + len(events) > self._most_waiting and self._waiting:
            raise refusal.Unavailable("busy", "more is arriving than can be kept; try again")
        self._queue.append((events, kept))
        self._waiting += len(events)
        if self._flusher is None:
            # It begins when all that the sockets hold has been read: what arrived together goes together.
            self._flusher = asyncio.create_task(self._flush(), name="group commit")

    async def _flush(self) -> None:
        try:
            while self._queue:
                await self._flush_once(self._next())
        finally:
            self._flusher = None

    def _next(self) -> list[Waiting]:
        """Take what goes together: whole requests, at least one."""
        group: list[Waiting] = []
        size = 0
        while self._queue and (not group or size + len(self._queue[0][0]) <= MOST_AT_ONCE):
            waiting = self._queue.popleft()
            group.append(waiting)
            size += len(waiting[0])
        return group

    async def _flush_once(self, group: list[Waiting]) -> None:
        events = [event for each, _ in group for event in each]
        try:
            receipts = await self._room.put(events)
        except Exception as exc:  # whatever it is, nobody may wait for an answer for ever
            if not isinstance(exc, Unavailable):
                logger.exception("put_failed")
            for _, kept in group:
                tell(kept, unavailable(exc))
        else:
            at = 0
            for each, kept in group:
                tell(kept, receipts[at : at + len(each)])
                at += len(each)
        finally:
            self._waiting -= len(events)

    async def drain(self) -> None:
        """Wait until everything that was taken is answered."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])


def tell(kept: Kept, what: list[Receipt] | refusal.Unavailable) -> None:
    """Tell one of them; a defect of his leaves the others alone."""
    try:
        kept(what)
    except Exception:
        logger.exception("answer_failed")


def unavailable(cause: Exception) -> refusal.Unavailable:
    """Return the refusal of events that could not be kept, or of which nobody knows whether they are."""
    if isinstance(cause, spool.Full):
        refused = refusal.Unavailable("spool_full", "neither the store nor the spool has room; try again")
    elif isinstance(cause, spool.Failed):
        refused = refusal.Unavailable("spool_failed", "neither the store nor the spool could keep it; try again")
    elif isinstance(cause, Full):
        refused = refusal.Unavailable("store_full", "there is no room for new events; try again")
    else:
        refused = refusal.Unavailable("store_unavailable", "the event could not be kept; try again")
    refused.__cause__ = cause
    return refused
