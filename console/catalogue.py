"""All kinds of sources and destinations as one Catalogue: what the compiler of the rules knows of the world.

Comes in: the sources, destinations and event types that were found, and whether this is a sandbox (RELAIS_SANDBOX).
Goes out: rules.catalogue.Catalogue. Never opens a connection.
"""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import settings
from receiver import sources
from rules import event_types
from rules.catalogue import Catalogue
from workers import destinations


class CatalogueSettings(BaseSettings):
    """What every process reads that compiles a book."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    sandbox: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#]+/?)?$",
        description="Address of a sandbox that the destinations of the book lead to instead of the vendors; no other "
        "server is asked then. `relais up --sandbox` sets it. Empty: the vendors.",
    )


def build() -> Catalogue:
    """Return what exists."""
    return Catalogue(
        sources={name: each.kind for name, each in sources.SOURCES.items()},
        destinations={name: each.kind for name, each in destinations.DESTINATIONS.items()},
        types=event_types.TYPES,
        sandbox=settings.load(CatalogueSettings).sandbox.rstrip("/"),
    )
