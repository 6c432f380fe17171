"""What a drain knows of what it leased: how far it is with a box, and whether the box is still its own.

Comes in: the time of the last beat that the store confirmed, and what ends a drain. Goes out: yes or no. Never talks to
the store.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from mailroom import Lease
from mailroom.keys import BEAT


@dataclass(slots=True)
class LeaseProgress:
    """A lease that is being worked on."""

    lease: Lease
    #: Index of its next item.
    at: int = 0
    #: Whether that item may have been sent already.
    sent: bool = False


class LeaseClock:
    """Whether a drain may begin something new, and whether what it leased is still its own."""

    def __init__(self, stopping: asyncio.Event, *, budget: float, dead_after: float, longest_request: float) -> None:
        self._stopping = stopping
        #: Seconds of life that a lease needs so that a request sent now ends within it.
        self._margin = longest_request + BEAT
        self._dead_after = dead_after
        #: When the drain has used up its time.
        self.deadline = time.monotonic() + budget
        #: When the last beat was sent that the store confirmed.
        self.beat_at = time.monotonic()
        #: Another process declared this drain dead: what it had leased is somebody else's.
        self.buried = False
        #: A bug: the drain ends.
        self.broken = False

    def over(self) -> bool:
        """Return whether the drain begins nothing new any more."""
        return self._stopping.is_set() or self.buried or self.broken or time.monotonic() >= self.deadline

    def lease_is_good(self) -> bool:
        """Return whether a request sent now ends before anybody could think that this drain is dead."""
        return not self.buried and self._dead_after - (time.monotonic() - self.beat_at) > self._margin


def read_head(record: bytes) -> dict[str, Any]:
    """Return the first line of an item's record as far as it can be read: of an event its source, type and time."""
    try:
        head = from_json(record.split(b"\n", 1)[0])
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}
