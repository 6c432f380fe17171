"""What a destination remembers between deliveries: which id of theirs belongs to which key of ours, and marks.

Keys come in clear and are hashed; values are the vendor's ids, never a person's data. Shared by all workers. While the
store is away a delivery waits here: what it did at the vendor must be written down before it counts as done.
"""

from mailroom import Mailroom
from workers import store_outage

DAY = 86_400  # seconds


class RedisMemory:
    """The memory of one destination, in the store."""

    def __init__(self, mailroom: Mailroom, destination: str) -> None:
        self._mailroom = mailroom
        self._destination = destination

    def _key(self, key: str) -> str:
        return self._mailroom.key(f"m:{self._destination}:{self._mailroom.hash(key)}")

    async def get(self, key: str) -> str | None:
        """Return what was remembered, None if nothing was or it is too old."""
        return await store_outage.retry_until_answered(lambda: self._mailroom.recall(self._key(key)))

    async def set(self, key: str, value: str, days: int) -> None:
        """Remember a value for some days. An empty value forgets."""
        await store_outage.retry_until_answered(lambda: self._mailroom.remember(self._key(key), value, days * DAY))
