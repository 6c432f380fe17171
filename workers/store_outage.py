"""What to do while the store is away: ask again, until it answers or the task is cancelled.

Takes a call that is safe to repeat; returns its answer. Never gives up by itself: what it is used for must not be lost,
and nothing else can go on either while the store is away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mailroom import StoreUnavailable

#: Seconds before the store is asked again after it was away.
AWAY = 0.5
#: Seconds between two lines about a store that stays away.
SAY_EVERY = 30.0

T = TypeVar("T")


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of the store, however long it takes to come back."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(AWAY)
