"""Names of fields in snake_case, and names of events in our spelling.

Comes in: a name as a platform writes it (`firstName`, `emailHTML`, `Order/Paid`). Goes out: `first_name`, `email_html`,
`order.paid`. Never decides which names are to be changed: names that people gave to fields stay as they are.
"""

import re
from functools import lru_cache

#: Only such names become snake_case; `Lieblingsfarbe des Gastes` is a name that a user gave to a field.
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
#: The type of an event.
TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*\Z")
LONGEST_TYPE = 100
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def to_snake_case(name: str) -> str:
    """Return a name in snake_case."""
    return HUMP.sub("_", name).lower()


def spell_type(told: str) -> str | None:
    """Return an event's name in our spelling: `Order/Paid` and `order:paid` are `order.paid`. None: it is no type."""
    return _spell_type(told) if len(told) <= 2 * LONGEST_TYPE else None


@lru_cache(maxsize=256)
def _spell_type(told: str) -> str | None:
    parts = [part.strip() for part in re.split(r"[./:]", told)]
    named = [to_snake_case(part) if IDENTIFIER.match(part) else part for part in parts]
    type = ".".join(re.sub(r"[\s-]+", "_", part).lower() for part in named)
    return type if TYPE.match(type) and len(type) <= LONGEST_TYPE else None
