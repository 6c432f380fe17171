"""One platform, one file: how its bodies are read.

Comes in: the modules of this folder, each with its SOURCE; a new one is found by itself.
Goes out: SOURCES by their kind. Never verifies a request and never stores.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from receiver.sources import base
from receiver.sources.base import SourceType
from rules.discovery import discover


def find(*folders: str) -> Mapping[str, SourceType]:
    """Return kind -> source, of this folder and of further ones. Raises ImportError."""
    found: dict[str, SourceType] = {}
    # It is not called, so it may be abstract.
    kind: type[SourceType] = SourceType  # type: ignore[type-abstract]
    for source in discover(__name__, [*__path__, *folders], "SOURCE", kind):
        if source.kind.name in found:
            raise ImportError(f"two modules of {__name__} declare the kind {source.kind.name}")
        found[source.kind.name] = source
    return MappingProxyType(found)


#: Kind -> what reads its bodies.
SOURCES = find()


def read(kind: str, type: str, body: bytes) -> Mapping[str, Any]:
    """Return the data of one item from its vendor's body. Pure: the worker calls it again when the event is routed.

    Raises ValueError: the body does not fit (a quarantined event), or a newer version has sent it.
    """
    source = SOURCES.get(kind)
    if source is None:
        raise ValueError(f"there is no kind of source named {kind}")
    data = source.read(type, body)
    return base.drop_nul(data) if base.NUL in body else data
