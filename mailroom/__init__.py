"""The heart: what waits, whose turn it is, and what a crash leaves behind.

Every key and every state stands at the top of `lua/00-keys.lua`; the functions that change them in the files beside it.
"""

from mailroom.errors import StoreDamaged, StoreFull, StoreUnavailable
from mailroom.functions import Mailroom
from mailroom.keys import CALL_TIMEOUT, INBOX
from mailroom.ledger import Fate
from mailroom.observations import SourceNotes
from mailroom.quotas import QuotaState
from mailroom.records import (
    BoxFault,
    DeadLetterInfo,
    ItemPlace,
    Lease,
    NewDelivery,
    Pace,
    Receipt,
    RefusedDetails,
    RoomChange,
    RoomRequest,
    RoomState,
    Settled,
    Settlement,
    Spent,
    Taken,
)

__all__ = [
    "CALL_TIMEOUT",
    "INBOX",
    "BoxFault",
    "DeadLetterInfo",
    "Fate",
    "ItemPlace",
    "Lease",
    "Mailroom",
    "NewDelivery",
    "Pace",
    "QuotaState",
    "Receipt",
    "RefusedDetails",
    "RoomChange",
    "RoomRequest",
    "RoomState",
    "Settled",
    "Settlement",
    "SourceNotes",
    "Spent",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "Taken",
]
