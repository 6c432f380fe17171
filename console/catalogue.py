"""All kinds of sources and destinations as one Catalogue: what the compiler of the rules knows of the world.

Comes in: the registries of the adapters and the nouns. Goes out: rules.catalogue.Catalogue. Never opens a connection.
"""

from receiver.sources import registry as sources
from rules import event_types
from rules.catalogue import Catalogue
from workers.destinations import registry as destinations


def build() -> Catalogue:
    """Return what exists."""
    return Catalogue(sources=sources.KINDS, destinations=destinations.KINDS, types=event_types.TYPES)
