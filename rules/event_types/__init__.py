"""The vocabulary: one model per event type, the same whoever sends.

Comes in: the modules of this folder, each with its TYPES. Goes out: TYPES, all of them. Imports nothing of ours but
the modules themselves and what finds them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rules.discovery import discover
from rules.event_types.base import EventData


def find(*folders: str) -> Mapping[str, type[EventData]]:
    """Return event type -> the model of its `data`, of this folder and of further ones. Raises ImportError."""
    found: dict[str, type[EventData]] = {}
    for types in discover(__name__, [*__path__, *folders], "TYPES", dict):
        if twice := found.keys() & types.keys():
            raise ImportError(f"two modules of {__name__} declare {', '.join(sorted(twice))}")
        found |= types
    return MappingProxyType(found)


#: Event type -> the model of its `data`.
TYPES = find()
