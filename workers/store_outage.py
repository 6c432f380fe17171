"""Retry a call of the store until it succeeds or the task is cancelled.

Comes in: a call that is safe to repeat. Goes out: its answer. Never gives up by itself: it is for what must not be
lost, and while the store is away nothing else can go on either.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mailroom import StoreUnavailable

#: Seconds before the store is asked again after it was away.
AWAY = 0.5
#: Seconds between two lines of the log about a store that stays away.
SAY_EVERY = 30.0

T = TypeVar("T")


async def retry_until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of the store, however long the store stays away."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(AWAY)
