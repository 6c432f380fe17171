"""What a rule asks for: Actions, or for each action that it skips or that cannot be made the reason.

Frozen records. Options that need a clock or a memory (`delay`, `hold`, `coalesce`, `only_once`) are only recorded here;
the drain and the mailroom enforce them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from rules.business_hours import BusinessHours
from rules.catalogue import ActionKind, Name


@dataclass(frozen=True)
class OnlyOnce:
    """`only_once: {per: …, within: 30d}`: of all actions with this key only the first within the time is sent."""

    key: str
    within: int  # milliseconds


@dataclass(frozen=True)
class ActionOptions:
    """The options of the rule that the mailroom enforces. Times are in milliseconds; 0: the option is not set."""

    delay: int = 0
    coalesce: int = 0
    in_order: bool = False
    only_once: OnlyOnce | None = None
    #: `hold: until business hours`: those of the book. None: sent at any hour.
    hold: BusinessHours | None = None

    def due(self, now: int) -> int:
        """Return from when on an action that is made at `now` may be sent, both in ms since 1970."""
        at = now + self.delay
        return at if self.hold is None else self.hold.next_open(at)

    @property
    def waits_for(self) -> str:
        """What its deliveries wait for, in words; empty: nothing."""
        parts = ["the delay of its rule"] if self.delay else []
        if self.hold is not None:
            parts.append(f"business hours ({self.hold})")
        return ", then ".join(parts)


@dataclass(frozen=True)
class Action:
    """One thing to do at one destination for one event."""

    #: Name of the destination in the book, name of the action at it.
    destination: str
    name: str
    #: Validated against the action's model, as plain JSON values; consent is in it where the action needs it.
    arguments: Mapping[str, Any]
    #: The names of the objects that it may find, create or rename, its home first. The drain hashes them before they
    #: become keys.
    touches: tuple[Name, ...]
    #: `arguments` as an instance of the action's model, and the catalogue entry of the action.
    model: BaseModel
    kind: ActionKind
    #: The rule's name, and the action's place in it: (0,) the first, (0, 1) the second under the first one's `next:`.
    rule: str
    path: tuple[int, ...]
    #: True: the action has a `next:`, so the event and the look-up results are needed again after it succeeds.
    has_next: bool = False
    options: ActionOptions = field(default_factory=ActionOptions)
    #: True: its rule looks something up at delivery. `arguments` and `model` have only what names the object.
    late: bool = False

    @classmethod
    def of(cls, **fields: Any) -> "Action":
        """Create an action of all its fields, past the generated `__init__`, as `Event.of`."""
        action = object.__new__(cls)
        object.__setattr__(action, "__dict__", fields)
        return action

    @property
    def touched(self) -> list[str]:
        """Its names in plain text, for people: `email:eva@example.org`, `~phone:+4930123456`."""
        return [str(name) for name in self.touches]

    @property
    def once_by(self) -> str | None:
        """What makes deliveries one effect, in plain text: those that share it. None: each has its own."""
        return self.kind.once_by(self.model) if self.kind.once_by and not self.late else None


#: The code of what was left out because of `not_older_than`.
STALE = "stale"


@dataclass(frozen=True)
class Skipped:
    """An action that a matching rule did not take, and why: `no newsletter consent: data.newsletter is false`."""

    destination: str
    name: str
    rule: str
    path: tuple[int, ...]
    #: A short stable code (`no_consent`, `only_if`), then the sentence.
    code: str
    why: str


@dataclass(frozen=True)
class FailedAction:
    """An action that cannot be made for this event. The others of its rule are made all the same."""

    #: Of `api.…` where the event's source has no API: `api`.
    destination: str
    name: str
    rule: str
    path: tuple[int, ...]
    #: Mostly a ValueFailed; anything else is a bug.
    error: Exception


#: What becomes of one action of a rule.
AskedAction = Action | Skipped | FailedAction
