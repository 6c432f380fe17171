"""The three truth values: true, false, unknown; and why something is not true.

Comes in: truth values. Goes out: a truth value. A condition is unknown if its field is absent or has a value of a kind
that the operator cannot be applied to. A rule fires only on true, never on unknown.
"""

from enum import IntEnum
from typing import Literal, Self

#: Why a rule does not match, in one word.
MissCode = Literal[
    "absent", "denied", "denied_element", "differs", "disabled", "echo", "empty", "exists", "no_element", "no_group",
    "nothing_to_compare", "null", "other_kind", "stopped", "unless",
]  # fmt: skip


class Why(str):
    """Why a rule does not match, in English and the words of the book, without any value of the event."""

    code: MissCode | Literal[""] = ""

    @classmethod
    def of(cls, code: MissCode | Literal[""], text: str) -> Self:
        """Return a text with its code."""
        made = cls(text)
        made.code = code
        return made


#: Of what is true.
NO_REASON = Why()


class Truth(IntEnum):
    """Kleene's three-valued logic: AND is the minimum, OR the maximum, NOT is `TRUE - value`."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


#: The same as plain integers, for the matcher: reading an enum member costs an attribute look-up each time.
FALSE = 0
UNKNOWN = 1
TRUE = 2
