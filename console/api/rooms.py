"""Why nothing is sent to a destination at the moment.

Comes in: the state of its room. Goes out: that as fields and as a sentence. Never asks anybody.
"""

import json
from dataclasses import dataclass

from mailroom import INBOX, RoomState
from rules.event_types.base import from_epoch


def instant(ms: int) -> str:
    """Return a time as people and machines read it."""
    return from_epoch(ms)


@dataclass(frozen=True)
class Standstill:
    """A pause, as people see it."""

    code: str
    why: str
    since: str
    #: person, breaker (it is down), key (it refuses ours)
    by: str
    #: When it is looked at next by itself; None: only a person ends the pause.
    next_probe: str | None

    @property
    def says(self) -> str:
        """Say it in a sentence."""
        if self.by == "person":
            return f"is paused by a person since {self.since}{': ' + self.why if self.why else ''}"
        what = "is down" if self.by == "breaker" else "refuses our key"
        probe = f", next probe at {self.next_probe}" if self.next_probe else ""
        return f"{what} ({self.code}) since {self.since}{probe}"


def pause(room: RoomState) -> Standstill | None:
    """Return why and since when a room is paused, None where it is not."""
    if not room.paused:
        return None
    found = json.loads(room.paused)
    probe = instant(room.probe_at) if room.probe_at else None
    return Standstill(
        found.get("code", ""), found.get("why", ""), instant(found.get("at", 0)), found.get("by", "key"), probe
    )


def says(room: RoomState) -> str:
    """Return why what waits in a room waits, empty where nothing but its turn is in the way."""
    name = "the inbox" if room.name == INBOX else room.name
    if room.unusable:
        return f"{name} cannot be served: {room.unusable}"
    paused = pause(room)
    return f"{name} {paused.says}" if paused else ""
