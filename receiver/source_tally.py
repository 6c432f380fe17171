"""What this receiver sees of each source, counted in memory and written once a second.

Comes in: each batch that is on disk, each refusal. Goes out: notes for the store. Never holds a value of a person, and
never costs a request more than some additions; a process that is killed loses a second of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from mailroom import SourceNotes, StoreUnavailable
from mailroom.observations import MINUTE, RECEIVERS
from receiver.rulebook import SourceEntry
from receiver.shape import ShapeTally
from receiver.sources.base import Batch

#: While the store is away notes are kept: so many different counts and minutes of them.
MOST_KEPT = 10_000

#: Writes notes down. Raises StoreUnavailable, TimeoutError.
WriteNotes = Callable[[SourceNotes], Awaitable[None]]


class SourceTally:
    """What was seen since it was last written."""

    def __init__(self) -> None:
        self.notes = SourceNotes()
        self._shapes = ShapeTally()
        #: The last minute since 1970 of which it is noted that this receiver was there.
        self._there = 0

    def take(self, source: str, batch: Batch) -> None:
        """Count a batch whose events are on disk."""
        counts = self.notes.counts
        fit = 0
        for item in batch.items:
            if item.type is None:
                self._shapes.sample(source, f"{item.name} (not taken)", item.body)
                continue
            if item.invalid is None:
                fit += 1
            else:
                counts[f"quarantined|{source}"] += 1
            self._shapes.sample(source, item.type, item.body)
            for name in item.unread:
                # Below a field of the model names may be the sender's own.
                counts[f"unread|{source}|{name if name.startswith('read.') else name.partition('.')[0]}"] += 1
            for name in item.empty:
                counts[f"unread|{source}|{name}"] += 1
        if fit:
            counts[f"taken|{source}"] += fit

    def refuse(self, source: str, code: str) -> None:
        """Count a request of a source that was not taken."""
        self.notes.counts[f"refused|{source}|{code}"] += 1

    async def write(self, write: WriteNotes, entries: Iterable[SourceEntry], *, last: bool = False) -> None:
        """Write what was seen; what the store does not take is written the next time. `last`: there is no next time."""
        await self._shapes.look()
        if (minute := time.time_ns() // 1_000_000 // MINUTE) != self._there:
            self._there = minute
            self.notes.minutes.add((RECEIVERS, minute))
        notes, self.notes = self.notes, SourceNotes()
        notes.merge(SourceNotes(shapes=self._shapes.take_due(last=last)))
        notes.minutes |= {(source, at // MINUTE) for source, at in notes.came.items()}
        for entry in entries:
            notes.verified |= {f"{entry.source.name}|{label}": at for label, at in entry.take_proofs().items()}
        if not notes:
            return
        try:
            await write(notes)
        except (StoreUnavailable, TimeoutError, asyncio.CancelledError):
            if len(notes.counts) + len(notes.minutes) < MOST_KEPT:
                notes.merge(self.notes)
                self.notes = notes
            raise
