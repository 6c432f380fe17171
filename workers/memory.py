"""What a destination remembers between deliveries: which id of theirs belongs to which key of ours, and marks.

Keys come in clear and are hashed; values are the vendor's ids, never a person's data. Shared by all workers.
"""

from workers.mailroom import Mailroom, Unavailable
from workers.outcome import Failed

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
        try:
            value = await self._mailroom.recall(self._key(key))
        except Unavailable as exc:
            raise Failed("transient", "store_away", hint="what was done before could not be read") from exc
        return value

    async def set(self, key: str, value: str, days: int) -> None:
        """Remember a value for some days. An empty value forgets."""
        try:
            await self._mailroom.remember(self._key(key), value, days * DAY)
        except Unavailable as exc:
            raise Failed("ambiguous", "store_away", hint="what was done could not be written down") from exc
