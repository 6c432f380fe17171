"""The three truth values: true, false, unknown.

Comes in: truth values. Goes out: a truth value. Unknown is what a condition says of a field that is not there, or whose
value it cannot judge; a rule fires only on true, so the unknown never forwards.
"""

from enum import IntEnum


class Truth(IntEnum):
    """Ordered so that AND is the smallest, OR the largest and NOT the mirror of what it joins (Kleene's logic)."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


#: The same as plain numbers: the matcher passes millions of them, and an enum member costs a look-up each time.
FALSE = 0
UNKNOWN = 1
TRUE = 2
