"""What a destination remembers between deliveries: which id of theirs belongs to which key of ours, and marks.

Keys come in clear and are hashed; values are the vendor's ids, never a person's data. Shared by all workers. While the
store is away a delivery waits here: what it did at the vendor must be written down before it counts as done.
"""

from collections.abc import Sequence

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

    def name(self, written: str) -> str:
        """Return the hash of a name (`email:eva@example.org`), as its box and its entry here are called."""
        return self._mailroom.hash(written)

    async def ids(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return name -> the id of its object, and how many seconds ago it was last seen with that name."""
        hashed = [self.name(name) for name in names]
        found = await store_outage.retry_until_answered(lambda: self._mailroom.object_ids(self._destination, hashed))
        return {name: each for name, each in zip(names, found, strict=True) if each is not None}

    async def learn(self, names: Sequence[str], kind: str, id: str, *, gone: Sequence[str] = ()) -> None:
        """Remember by which names an object is found, and by which no longer. After a create: before it settles."""
        has, had = ([self.name(name) for name in some] for some in (names, gone))
        await store_outage.retry_until_answered(
            lambda: self._mailroom.learn(self._destination, has, kind, id, gone=had)
        )

    async def forget_names(self, names: Sequence[str]) -> None:
        """Remember nothing of the objects that have one of these names."""
        hashed = [self.name(name) for name in names]
        await store_outage.retry_until_answered(lambda: self._mailroom.forget_names(self._destination, hashed))
