"""What a rule asks for: Actions, or the reason why it asks for nothing.

Plain frozen facts. The mailroom enforces what needs a clock or a memory (`delay`, `coalesce`, `only_once`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from rules.catalogue import ActionKind


@dataclass(frozen=True)
class OnlyOnce:
    """`only_once: {per: …, within: 30d}`: of all actions with this key only the first within the time is sent."""

    key: str
    within: int  # milliseconds


@dataclass(frozen=True)
class ActionOptions:
    """The options of the rule that the mailroom enforces; times in milliseconds, 0 where not asked for."""

    delay: int = 0
    coalesce: int = 0
    in_order: bool = False
    only_once: OnlyOnce | None = None
    on_echo: str = "record"


@dataclass(frozen=True)
class Action:
    """One thing to do at one destination for one event."""

    #: Name of the destination in the book, name of the action at it.
    destination: str
    name: str
    #: Validated against the action's model, as plain JSON values; consent is in it where the action needs it.
    arguments: Mapping[str, Any]
    #: The object it writes, in clear (`email:eva@example.org`); the mailroom hashes it.
    writes: str
    #: The same as the action's model, and what is known of the action.
    model: BaseModel
    kind: ActionKind
    #: The rule's name, and the action's place in it: (0,) the first, (0, 1) the second under the first one's `next:`.
    rule: str
    path: tuple[int, ...]
    #: True: `next:` follows, so event and look-ups are needed once more after success.
    has_next: bool = False
    options: ActionOptions = field(default_factory=ActionOptions)

    @property
    def once_by(self) -> str | None:
        """What makes two deliveries one effect, in clear; None: each is its own."""
        return self.kind.once_by(self.model) if self.kind.once_by else None


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
