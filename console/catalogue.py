"""All kinds of sources and destinations as one Catalogue: what the compiler of the rules knows of the world.

Comes in: the sources, destinations and event types that were found. Goes out: rules.catalogue.Catalogue. Never opens
a connection.
"""

from receiver import sources
from rules import event_types
from rules.catalogue import Catalogue
from workers import destinations


def build() -> Catalogue:
    """Return what exists."""
    return Catalogue(
        sources={name: each.kind for name, each in sources.SOURCES.items()},
        destinations={name: each.kind for name, each in destinations.DESTINATIONS.items()},
        types=event_types.TYPES,
    )
