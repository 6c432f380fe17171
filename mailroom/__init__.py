"""The heart: what waits, who may touch it, and what a crash leaves behind.

Every key and every state stands at the top of `mailroom.lua`. The receiver imports only this package from `workers`.
"""

from mailroom.client import (
    CALL_TIMEOUT,
    INBOX,
    Lease,
    Mailroom,
    NewDelivery,
    Receipt,
    RoomChange,
    RoomRequest,
    RoomState,
    Settled,
    Settlement,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    Taken,
)
from mailroom.ledger import Fate

__all__ = [
    "CALL_TIMEOUT",
    "INBOX",
    "Fate",
    "Lease",
    "Mailroom",
    "NewDelivery",
    "Receipt",
    "RoomChange",
    "RoomRequest",
    "RoomState",
    "Settled",
    "Settlement",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "Taken",
]
