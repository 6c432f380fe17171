"""The vocabulary: one model per event type, the same whoever sends. Imports nothing of ours but each other."""

from collections.abc import Mapping
from types import MappingProxyType

from rules.event_types import booking, call, contact, invoice, newsletter, profile, seminar
from rules.event_types.base import EventData

#: Event type -> the model of its `data`.
TYPES: Mapping[str, type[EventData]] = MappingProxyType(
    {
        **contact.TYPES,
        **newsletter.TYPES,
        **booking.TYPES,
        **invoice.TYPES,
        **profile.TYPES,
        **seminar.TYPES,
        **call.TYPES,
    }
)
