"""What somebody may do: four roles, each with all that the one before may, and the right to see payloads apart.

Comes in: the word of a role. Goes out: whether it allows something. Never asks who somebody is.
"""

import enum
from dataclasses import dataclass


class Role(enum.IntEnum):
    """Ordered: a role may all that those before it may."""

    #: Sees events, rooms, causes and counts; no person is searched for, nothing is decided.
    VIEWER = 1
    #: Also searches for people, and decides about what is stuck.
    OPERATOR = 2
    #: Also approves a book, and observes another one.
    RULES = 3
    #: Also says who may what.
    ADMIN = 4

    @property
    def word(self) -> str:
        """Return the role as people write it: `operator`."""
        return self.name.lower()

    def may(self, role: "Role") -> bool:
        """Say whether this role may what `role` may."""
        return self >= role

    @classmethod
    def read(cls, word: str) -> "Role":
        """Return the role that a word means. Raises ValueError."""
        try:
            return cls[word.upper()]
        except KeyError as exc:
            raise ValueError(f"{word!r} is no role: {', '.join(role.word for role in cls)}") from exc


@dataclass(frozen=True)
class Actor:
    """Who asks, as far as the console has made sure."""

    name: str
    role: Role
    #: Whether payloads may be seen; each look is written down.
    payloads: bool = False


#: Who asks at the loopback address while the console has no token: somebody who has an account on this machine.
LOCAL = Actor("local", Role.ADMIN, payloads=True)
