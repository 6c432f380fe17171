"""The heart: what waits, who may touch it, and what a crash leaves behind.

Every key and every state stands at the top of `mailroom.lua`. The receiver imports only this package from `workers`.
"""

from workers.mailroom.ledger import Fate
from workers.mailroom.mailroom import (
    CALL_TIMEOUT,
    INBOX,
    Damaged,
    Full,
    Lease,
    Mailroom,
    NewDelivery,
    News,
    Receipt,
    RoomState,
    Settled,
    Settlement,
    Taken,
    Unavailable,
    Want,
)

__all__ = [
    "CALL_TIMEOUT",
    "INBOX",
    "Damaged",
    "Fate",
    "Full",
    "Lease",
    "Mailroom",
    "NewDelivery",
    "News",
    "Receipt",
    "RoomState",
    "Settled",
    "Settlement",
    "Taken",
    "Unavailable",
    "Want",
]
