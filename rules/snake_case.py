"""Names of fields in snake_case.

Comes in: a name as a platform writes it (`firstName`, `emailHTML`). Goes out: `first_name`, `email_html`. Never decides
which names are to be changed: names that people gave to fields stay as they are.
"""

import re

HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def to_snake_case(name: str) -> str:
    """Return a name in snake_case."""
    return HUMP.sub("_", name).lower()
