"""The three truth values: true, false, unknown.

Comes in: truth values. Goes out: a truth value. A condition is unknown if its field is absent or has a value of a kind
that the operator cannot be applied to. A rule fires only on true, never on unknown.
"""

from enum import IntEnum


class Truth(IntEnum):
    """Kleene's three-valued logic: AND is the minimum, OR the maximum, NOT is `TRUE - value`."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


#: The same as plain integers, for the matcher: reading an enum member costs an attribute look-up each time.
FALSE = 0
UNKNOWN = 1
TRUE = 2
