"""One outside system, one file: its actions and what carries them out.

Comes in: the modules of this folder, each with its DESTINATION; a new one is found by itself.
Goes out: DESTINATIONS by their kind. Never opens a connection.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rules.discovery import discover
from workers.destinations.base import DestinationType

#: Modules of this folder that several destinations share and that are none themselves.
HELPERS = ("classify", "contacts", "finding", "id_map", "invoices")


def find(*folders: str) -> Mapping[str, DestinationType]:
    """Return kind -> destination, of this folder and of further ones. Raises ImportError."""
    found: dict[str, DestinationType] = {}
    for destination in discover(__name__, [*__path__, *folders], "DESTINATION", DestinationType, helpers=HELPERS):
        if destination.kind.name in found:
            raise ImportError(f"two modules of {__name__} declare the kind {destination.kind.name}")
        found[destination.kind.name] = destination
    return MappingProxyType(found)


#: Kind -> its options and actions, and what carries them out.
DESTINATIONS = find()
