"""What the pulling of sources leaves in the store: how far each has come, its back-fill, and who pulls at the moment.

Comes in: a mailroom, and what a puller or a person says. Goes out: plain JSON values; times are ms since 1970. Never
decides when to pull, and holds no value of a person.
"""

import json
from collections.abc import Mapping
from typing import Any

from mailroom.functions import Mailroom

#: Seconds after which the lock of a process that was killed while it pulled expires.
LOCK = 60


class PullBoard:
    """What all processes know of the pulling of sources."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store

    async def states(self) -> Mapping[str, dict[str, Any]]:
        """Return source -> how far it has come, of all that were ever pulled. Raises StoreUnavailable."""
        return await self._all("pulls")

    async def fills(self) -> Mapping[str, dict[str, Any]]:
        """Return source -> its back-fill, going on or the last. Raises StoreUnavailable."""
        return await self._all("fills")

    async def say(self, source: str, state: Mapping[str, Any]) -> None:
        """Write down how far a source has come. Raises StoreUnavailable."""
        await self._write("pulls", source, state)

    async def say_fill(self, source: str, fill: Mapping[str, Any]) -> bool:
        """Write down how far a back-fill has come; False where a person has asked for another, or for none.

        Raises StoreUnavailable.
        """
        now = (await self.fills()).get(source)
        if now is None or now["asked"] != fill["asked"] or now.get("stopped"):
            return False
        await self._write("fills", source, fill)
        return True

    async def ask_fill(self, source: str, since: int, until: int, asked: int, by: str, *, dry: bool = False) -> None:
        """Ask for what happened between two moments; one that goes on is given up for it. Raises StoreUnavailable.

        `dry`: only to say what is missing.
        """
        fill = {"since": since, "until": until, "asked": asked, "by": by, "dry": dry, "marks": {}}
        await self._write("fills", source, fill)

    async def stop_fill(self, source: str) -> bool:
        """Stop a back-fill; return whether one went on. Raises StoreUnavailable."""
        fill = (await self.fills()).get(source)
        if fill is None or fill.get("ended") or fill.get("stopped"):
            return False
        await self._write("fills", source, {**fill, "stopped": True})
        return True

    async def hold(self, source: str, name: str) -> bool:
        """Take the right to pull from a source, or keep it. Raises StoreUnavailable."""
        return await self._mailroom.hold(f"pulling:{source}", name, LOCK)

    async def release(self, source: str, name: str) -> None:
        """Let another process pull from a source. Raises StoreUnavailable."""
        await self._mailroom.release(f"pulling:{source}", name)

    async def _all(self, key: str) -> dict[str, dict[str, Any]]:
        found = await self._mailroom.read(self._store.hgetall(self._mailroom.key(key)))
        return {source.decode(): json.loads(value) for source, value in found.items()}

    async def _write(self, key: str, source: str, value: Mapping[str, Any]) -> None:
        await self._mailroom.read(self._store.hset(self._mailroom.key(key), source, json.dumps(value)))
