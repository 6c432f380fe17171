"""What the mailroom takes and returns: typed records, one for each thing that its functions speak of.

Comes in: values. Goes out: records. Never talks to the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import to_json


class Receipt(NamedTuple):
    """The answer to `put`, one per event."""

    #: The id under which the event is kept: its own, or that of the one it repeats.
    id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """What a drain asks a room for: so many boxes, so many items of each."""

    room: str
    boxes: int
    per_box: int = 1


@dataclass(slots=True)
class Lease:
    """A box that is ours for now, and its first items."""

    room: str
    box: str
    token: str
    #: Attempts that the first item has used.
    attempt: int
    #: How many items at the head may have been sent before by somebody who got no answer.
    doubt: int
    #: How many drains died with it since it last moved on.
    deaths: int
    items: list[tuple[str, bytes]]


@dataclass(slots=True)
class Taken:
    """The answer to `take`."""

    leases: list[Lease]
    #: Milliseconds until something becomes takeable by itself; None: only a bell or a settle can tell.
    wait: int | None
    #: Boxes whose drain died and which are taken in small groups (see `take`).
    suspects: int


@dataclass(slots=True)
class NewDelivery:
    """A delivery that comes into being when the item it follows from is settled."""

    id: str
    room: str
    box: str
    record: bytes
    #: True: lease it to this drain in the same step if its box was idle and its room has room.
    lease: bool = False
    once_key: str = ""
    once_ms: int = 0
    coalesce_key: str = ""
    #: Milliseconds that its box waits if it was idle.
    delay: int = 0
    #: JSON: born as a dead letter, because its rule could not be carried out.
    dead: str = ""


@dataclass(slots=True)
class Settlement:
    """What became of one item of a lease."""

    lease: Lease
    item: str
    #: done | dead | wait | hold | back
    verdict: str
    event: str
    #: Day of the event's reception (its ledger page), `2026-11-21`.
    day: str
    #: One line of JSON for the ledger, without values; empty: nothing to note.
    line: str = ""
    #: Counter to raise, empty: none.
    counter: str = ""
    #: dead and hold: JSON for people; wait: ms from now.
    argument: str = ""
    attempt: int = 0
    doubt: int = 0
    #: What the attempt tells of its destination: there | away:<code> | refused:<code>; empty: nothing.
    says: str = ""
    #: True when the drain is through with the box.
    last: bool = True
    retain: int = 0
    new: Sequence[NewDelivery] = ()


@dataclass(frozen=True, slots=True)
class RoomChange:
    """A room was paused, or goes on."""

    #: breaker: several boxes in a row found nobody there; key: it refuses ours; there: it answers again.
    what: str
    room: str
    #: How the attempt failed.
    code: str


@dataclass(slots=True)
class Settled:
    """The answer to `settle`."""

    #: Per settlement: 1 applied, 0 the lease was no longer ours, 2 the item was gone, 3 no attempt was counted, because
    #: its destination is known to be away or to refuse us.
    statuses: list[int]
    #: New deliveries that are leased to the drain already.
    leased: set[str]
    #: New deliveries that `only_once` did not let come into being.
    once: set[str]
    #: True when something became takeable.
    more: bool
    news: list[RoomChange]


@dataclass(frozen=True)
class RoomState:
    """A room at a glance."""

    name: str
    ready: int
    leased: int
    waiting: int
    held: int
    suspect: int
    #: JSON: `code` and `at`, `by` (person, breaker or key), `why`. Empty: it is not.
    paused: str
    #: Milliseconds since the oldest due time, for waiting boxes; 0 where nothing is due.
    overdue: int = 0
    #: Milliseconds since the first of the held boxes was held; 0 where none is.
    held_for: int = 0
    #: Why workers cannot serve it at all: a secret is missing, its options cannot work. Empty: they can.
    unusable: str = ""
    #: When a paused room is looked at next, ms of the store's clock; 0: not by itself.
    probe_at: int = 0


@dataclass(frozen=True)
class DeadLetter:
    """An item that nobody will try again by itself."""

    id: str
    at: int
    info: Mapping[str, Any] = field(default_factory=dict)


def as_json(value: object) -> str:
    """Return JSON as it stands in the store: compact, and readable by people."""
    return to_json(value).decode()
