"""All kinds of sources: adding one means one file, its test, and one line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from receiver.sources import activetrail, cmxorganize, generic, seminardesk
from receiver.sources.base import Adapter
from rules.catalogue import SourceKind

ADAPTERS: Mapping[str, Adapter] = MappingProxyType(
    {
        each.kind.name: each
        for each in (
            activetrail.ADAPTER,
            cmxorganize.ADAPTER,
            generic.ADAPTER,
            seminardesk.ADAPTER,
        )
    }
)

KINDS: Mapping[str, SourceKind] = MappingProxyType({name: each.kind for name, each in ADAPTERS.items()})


def read(kind: str, type: str, body: bytes) -> Mapping[str, Any]:
    """Return the data of one item from its vendor's body. Pure: the worker calls it again when the event is routed.

    Raises ValueError: the body does not fit (a quarantined event), or a newer version has sent it.
    """
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        raise ValueError(f"there is no kind of source named {kind}")
    return adapter.read(type, body)
