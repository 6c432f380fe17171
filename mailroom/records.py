"""What the mailroom takes and returns: typed records, one for each thing that its functions speak of.

Comes in: values. Goes out: records. Never talks to the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from mailroom.ledger import Verdict
from mailroom.quotas import QuotaState


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


@dataclass(frozen=True, slots=True)
class DeadLetterInfo:
    """What people are told of a dead letter or a held box; never a value of a person.

    A dead letter is a delivery, an event that cannot be read, or a rule that could not be carried out.
    """

    #: The destination, or `in` where the event itself could not be routed; empty: nobody knows.
    room: str
    event: str
    #: One stable word, and a sentence for people.
    code: str
    why: str
    box: str = ""
    delivery: str = ""
    action: str = ""
    rule: str = ""
    #: HTTP status of the last answer, 0 where there was none.
    status: int = 0
    #: When it died or was held, ms; 0: the store's own time tells.
    at: int = 0

    def encode(self) -> str:
        """Return it as JSON; what is not known is left out."""
        known = {
            "box": self.box,
            "event": self.event,
            "delivery": self.delivery,
            "action": self.action,
            "rule": self.rule,
            "code": self.code,
            "why": self.why,
            "status": self.status,
            "at": self.at,
        }
        # The mailroom's Lua looks for the room, also where it is empty: a rule whose destination nobody knows any more.
        return to_json({"room": self.room, **{name: value for name, value in known.items() if value}}).decode()


@dataclass(slots=True)
class NewDelivery:
    """A delivery that comes into being when the item it follows from is settled."""

    id: str
    room: str
    #: Hashed names of the objects that it may find, create or rename, each once; the first one is its home box. None
    #: where it is born as a dead letter.
    names: tuple[str, ...]
    record: bytes
    #: True: lease it to this drain in the same step if its box was idle and its room has room.
    lease: bool = False
    once_key: str = ""
    once_ms: int = 0
    coalesce_key: str = ""
    #: Milliseconds that its box waits if it was idle.
    delay: int = 0
    #: It comes into being as a dead letter, because its rule could not be carried out.
    dead: DeadLetterInfo | None = None
    #: Hashed weak names: never leased beside another that has one of them, and not ordered by them.
    weak: tuple[str, ...] = ()
    #: The source of its event: the class in which a box takes turns that it makes non-empty. Empty: none.
    source: str = ""
    #: Its box goes before all classes.
    urgent: bool = False

    @property
    def box(self) -> str:
        """Return its home box; empty where it is born as a dead letter."""
        return self.names[0] if self.names else ""

    @property
    def place(self) -> str:
        """Return its names as the mailroom's functions take them."""
        if len(self.names) == 1 and not self.weak:
            return self.names[0]
        return " ".join((*self.names, *(f"~{name}" for name in self.weak)))


def newness(received_at: str, position: int) -> str:
    """Return how new an event is, as texts that can be compared: received later, or later in its batch."""
    return f"{received_at} {position:06d}"


@dataclass(slots=True)
class Settlement:
    """What became of one item of a lease."""

    lease: Lease
    item: str
    verdict: Verdict
    event: str
    #: Day of the event's reception (its ledger page), `2026-11-21`.
    day: str
    #: One line of JSON for the ledger, without values; empty: nothing to note.
    line: str = ""
    #: Counters to raise by one, a line each: `@<page> <name>` on a page of its own, `=<name> <text>` no counter but a
    #: text that `line` names, else among `counts`; empty: none.
    counter: str = ""
    #: done, of an event: how new it is, noted under its names (`newness`); `aside`: no rule wanted it, and its payload
    #: is kept for `retain`; empty: neither.
    note: str = ""
    #: done, of an event that makes older ones stale: when it happened and its type, noted under its names.
    happened: str = ""
    #: wait: ms from now; 0: as soon as its room goes on.
    wait_ms: int = 0
    #: wait, of a delivery: its record from now on; empty: as it was.
    record: bytes = b""
    #: dead and hold: what people are told.
    info: DeadLetterInfo | None = None
    attempt: int = 0
    doubt: int = 0
    #: What the attempt tells of its destination: there | away:<code> | refused:<code>; empty: nothing.
    says: str = ""
    #: ms for which this item is to be left alone whoever gets an answer there meanwhile: the vendor said so, or its
    #: search would not show yet what may have been made.
    alone_ms: int = 0
    #: True when the drain is through with the box.
    last: bool = True
    retain: int = 0
    new: Sequence[NewDelivery] = ()


@dataclass(frozen=True, slots=True)
class RoomChange:
    """A room was paused, or goes on."""

    #: breaker: several boxes in a row found nobody there; key: it refuses ours; there: it answers again.
    what: Literal["breaker", "key", "there"]
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
    room_changes: list[RoomChange]
    #: What was next in boxes that were settled and is leased to the drain now.
    following: list[Lease]


@dataclass(frozen=True, slots=True)
class RefusedDetails:
    """What must be known of a refused request, beside its headers and its body, to take it in later."""

    #: What follows the source's name in the URL.
    name: str = ""
    #: Bytes of the whole body.
    size: int = 0
    #: Whether its sender had been verified when it was refused.
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """Whether requests of a key's quota were spent, and what is left of it."""

    granted: bool
    used: int
    limit: int
    #: When the page (day, month) ends, ms.
    ends: int
    #: Seconds after which it may be asked again, if not granted.
    wait: float = 0.0

    @property
    def left(self) -> int:
        """Requests left, the reserve included."""
        return max(0, self.limit - self.used)


class Pace(NamedTuple):
    """Whether one more request may be sent."""

    #: Seconds to wait before it is.
    wait: float = 0.0
    #: Seconds for which none may be sent, and none was counted; 0: that does not hold.
    rest: float = 0.0
    #: True: because the quota of its key is used up; False: because the destination asked to be left alone.
    used_up: bool = False


@dataclass(frozen=True, slots=True)
class BoxFault:
    """A box that is not what it must be."""

    room: str
    box: str
    #: What is wrong, without a person's value.
    why: str


@dataclass(frozen=True, slots=True)
class ItemPlace:
    """What a delivery waits for, and until when."""

    #: ready, under way, waiting (for a time), held, blocked (by one that stands before it).
    state: str
    #: Attempts that it has used.
    attempts: int
    #: When it is tried next, ms of the store's clock; 0: that is no matter of time.
    due_at: int
    #: Deliveries that stand before it, under any of its names.
    ahead: tuple[str, ...]


@dataclass(frozen=True)
class RoomState:
    """A room at a glance."""

    name: str
    ready: int
    leased: int
    waiting: int
    held: int
    suspect: int
    #: JSON: `code` and `at`, `by` (person, breaker or key), `why`, `until` where it ends by itself. Empty: it is not.
    paused: str
    #: Milliseconds since the oldest due time, for waiting boxes; 0 where nothing is due.
    overdue: int = 0
    #: Milliseconds since the first of the held boxes was held; 0 where none is.
    held_for: int = 0
    #: Why workers cannot serve it at all: a secret is missing, its options cannot work. Empty: they can.
    unusable: str = ""
    #: When a paused room is looked at next, ms of the store's clock; 0: not by itself.
    probe_at: int = 0
    #: Until when its destination asked to be left alone, ms of the store's clock; 0: it did not, or that is over.
    rests_until: int = 0
    #: Boxes that wait for another one: what stands first in them shares a further name with an earlier delivery.
    blocked: int = 0
    #: What is left of its key's quota; None: it has none.
    quota: QuotaState | None = None


@dataclass(frozen=True)
class DeadLetter:
    """An item that nobody will try again by itself."""

    id: str
    at: int
    info: Mapping[str, Any] = field(default_factory=dict)


def as_json(value: object) -> str:
    """Return JSON as it stands in the store: compact, and readable by people."""
    return to_json(value).decode()
