"""What the store remembers of our own writes, so that a change that comes back because of one is known.

Comes in: a mark of a write, names of objects (hashed). Goes out: the marks of an object, and which event has taken
which of them. Never holds a value of a person: fields are keyed hashes. What is lost here makes a change go round once
more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import redis.exceptions

from mailroom import errors
from mailroom.functions import Mailroom

#: Writes to one object that are remembered: of more the oldest are forgotten.
MOST_MARKS = 50
#: Seconds that a mark outlives its time: what came in time may wait in the inbox so long.
LATE = 3_600


@dataclass(frozen=True, slots=True)
class EchoMark:
    """A write that is about to be sent."""

    delivery: str
    #: Types of the events that it may cause.
    types: tuple[str, ...]
    #: When the write began, and until when an echo of it may be received, ms since 1970.
    since: int
    until: int
    #: Name of a field -> the keyed hash of what was written into it.
    fields: Mapping[str, str]
    #: Those of them that say which object it is.
    names: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return it as the store keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class EchoClaim:
    """The first event that was taken for the echo of a write."""

    event: str
    #: Keyed hash of its data; empty: no other event is like it, since something else has happened meanwhile.
    content: str


class EchoMemory:
    """The marks of all objects."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store

    async def mark(self, sources: Sequence[str], names: Sequence[str], mark: EchoMark) -> None:
        """Remember a write before it is sent, under each name of its object. Raises StoreUnavailable."""
        text, ends = mark.encode(), _lasts(mark)
        pipe = self._store.pipeline(transaction=True)
        for key in self._keys(sources, names):
            pipe.lpush(key, text)
            pipe.ltrim(key, 0, MOST_MARKS - 1)
            pipe.expire(key, ends)
        await self._run(pipe)

    async def unmark(self, sources: Sequence[str], names: Sequence[str], mark: EchoMark) -> None:
        """Forget a write that did not happen. Raises StoreUnavailable."""
        text = mark.encode()
        pipe = self._store.pipeline(transaction=False)
        for key in self._keys(sources, names):
            pipe.lrem(key, 0, text)
        await self._run(pipe)

    async def marks(self, source: str, names: Sequence[str]) -> list[EchoMark]:
        """Return the writes to an object that this source may tell of, the oldest first. Raises StoreUnavailable."""
        pipe = self._store.pipeline(transaction=False)
        for key in self._keys([source], names):
            pipe.lrange(key, 0, -1)
        texts = dict.fromkeys(text for page in await self._run(pipe) for text in page)
        return sorted((_read_mark(json.loads(text)) for text in texts), key=lambda mark: mark.since)

    async def claims(self, source: str, type: str, deliveries: Sequence[str]) -> dict[str, EchoClaim]:
        """Return delivery -> the event of this type that was taken for its echo. Raises StoreUnavailable."""
        keys = [self._claim(source, type, delivery) for delivery in deliveries]
        found = await self._mailroom.read(self._store.mget(keys)) if keys else []
        return {one: _read_claim(text) for one, text in zip(deliveries, found, strict=True) if text is not None}

    async def claim(self, source: str, type: str, mark: EchoMark, claim: EchoClaim) -> EchoClaim:
        """Take an event for the echo of a write, unless another one was; return which was. Raises StoreUnavailable."""
        key = self._claim(source, type, mark.delivery)
        text = f"{claim.event} {claim.content}"
        before = await self._mailroom.read(self._store.set(key, text, nx=True, ex=_lasts(mark), get=True))
        return claim if before is None else _read_claim(before)

    async def close(self, source: str, type: str, mark: EchoMark, event: str) -> None:
        """Something else has happened since this event: what is like it is no echo. Raises StoreUnavailable."""
        key = self._claim(source, type, mark.delivery)
        await self._mailroom.read(self._store.set(key, f"{event} ", ex=_lasts(mark)))

    def _keys(self, sources: Sequence[str], names: Sequence[str]) -> list[str]:
        return [self._mailroom.key(f"echo:{source}:{name}") for source in sources for name in dict.fromkeys(names)]

    def _claim(self, source: str, type: str, delivery: str) -> str:
        return self._mailroom.key(f"echoed:{self._mailroom.hash(f'{source}|{type}|{delivery}')}")

    async def _run(self, pipe: Any) -> Any:
        try:
            return await self._mailroom.read(pipe.execute())
        except redis.exceptions.RedisError as exc:
            raise errors.explained(exc) from exc


def _read_mark(said: Mapping[str, Any]) -> EchoMark:
    # A newer version, side by side with this one, may say more.
    known = {field.name: said[field.name] for field in fields(EchoMark)}
    return EchoMark(**{**known, "types": tuple(said["types"]), "names": tuple(said["names"])})


def _lasts(mark: EchoMark) -> int:
    return (mark.until - mark.since) // 1000 + LATE


def _read_claim(text: bytes) -> EchoClaim:
    event, _, content = text.decode().partition(" ")
    return EchoClaim(event, content)
