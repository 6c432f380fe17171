"""One spelling for the names of fields, whoever sends them.

Comes in: `firstName`, `FirstName`, `E-Mail-Adresse`. Goes out: `first_name`; or `emailadresse`, to look a name up
whatever its case and punctuation. Never touches values, nor names that people gave (`additional_fields`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from unicodedata import normalize

from rules.snake_case import IDENTIFIER, to_snake_case

#: Longer names are not cached: a stranger could fill the memory with them.
LONGEST_NAME = 64
MOST_NAMES = 4096
#: Fields whose members have names that users gave; these stay as they are.
LEFT_ALONE = frozenset({"additional_fields"})

UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
NOT_A_LETTER = re.compile(r"[\W_]+")


@lru_cache(MOST_NAMES)
def _snake(name: str) -> str:
    return to_snake_case(name) if IDENTIFIER.match(name) else normalize("NFC", name)


def snake(name: str) -> str:
    """Return a name in snake_case."""
    return _snake(name) if len(name) <= LONGEST_NAME else name


@lru_cache(MOST_NAMES)
def _squash(name: str) -> str:
    # Some systems write an umlaut as a letter and two dots.
    return NOT_A_LETTER.sub("", normalize("NFKC", name).lower().translate(UMLAUTS))


def squash(name: str) -> str:
    """Return a name without case, umlauts and punctuation, for looking it up."""
    return _squash(name) if len(name) <= LONGEST_NAME else name


class Names(dict[str, str]):
    """Cache of our name for each vendor's name: from a table of squashed names, else in snake_case."""

    def __init__(self, table: Mapping[str, str]) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, name: str) -> str:
        """Look a name up, and cache it within bounds."""
        ours = self._table.get(squash(name)) or snake(name)
        if len(name) <= LONGEST_NAME and len(self) < MOST_NAMES:
            self[name] = ours
        return ours


#: Values with names of their own inside.
NESTING = frozenset({dict, list})
#: Names in snake_case, for those that have no table.
SPELLED = Names({})


def ours(value: Any) -> Any:
    """Return a JSON value with all names in snake_case. If two become the same, the one that was snake_case wins."""
    if isinstance(value, dict):
        if NESTING.isdisjoint(map(type, value.values())) and list(map(SPELLED.__getitem__, value)) == list(value):
            return value  # as most are: it is ours already
        spelled: dict[str, Any] = {}
        for name, each in value.items():
            new = SPELLED[name]
            if new == name or (new not in spelled and new not in value):
                nested = each.__class__ in (dict, list) and new not in LEFT_ALONE
                spelled[new] = ours(each) if nested else each
        return spelled
    if isinstance(value, list):
        return [ours(each) for each in value]
    return value


def looked_up(fields: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return fields under our names.

    For platforms that post forms: an empty text is how a form says that there is nothing.
    """
    spelled: dict[str, Any] = {
        names[name]: value if value.__class__ is not str or value.strip() else None for name, value in fields.items()
    }
    if len(spelled) == len(fields):
        return spelled
    spelled = {}  # two names became the same: the first value that is not empty counts
    for name, value in fields.items():
        new = names[name]
        if spelled.get(new) is None:
            spelled[new] = value if value.__class__ is not str or value.strip() else None
    return spelled
