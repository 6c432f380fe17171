"""The vocabulary: one model per event type, the same whoever sends. Imports nothing of ours but each other."""

from collections.abc import Mapping
from types import MappingProxyType

from rules.nouns import booking, call, contact, invoice, newsletter, profile, seminar
from rules.nouns.noun import Noun

#: Event type -> the model of its `data`.
TYPES: Mapping[str, type[Noun]] = MappingProxyType(
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
