"""Views that people keep: a name for the address of a list.

Comes in: who, a name, an address below the pages. Goes out: names and addresses. Never keeps what may name a person,
nor the place in a list.
"""

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from mailroom import Mailroom

#: Views of one person, characters of a name and of an address.
MOST, LONGEST_NAME, LONGEST_ADDRESS = 50, 60, 500
#: Pages that are lists.
LISTS = ("events", "todo", "jobs", "rules", "systems", "machine")
#: Parts of an address that a view leaves out: a person, the place in a list, what was just done.
LEFT_OUT = frozenset({"who", "cursor", "did", "at"})


class ViewRefused(ValueError):
    """A view cannot be kept."""


class SavedViews:
    """The views of all people of one store."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._key = mailroom.key("views")

    async def all(self, who: str) -> dict[str, str]:
        """Return name -> address of what somebody keeps. Raises StoreUnavailable."""
        found = await self._mailroom.read(self._store.hget(self._key, who))
        views: dict[str, str] = json.loads(found) if found else {}
        return views

    async def save(self, who: str, name: str, address: str) -> None:
        """Keep a view. Raises ViewRefused, StoreUnavailable."""
        name, address = name.strip(), clean(address)
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "@" in name:
            raise ViewRefused
        views = {**await self.all(who), name: address}
        if len(views) > MOST:
            raise ViewRefused
        await self._write(who, views)

    async def remove(self, who: str, name: str) -> None:
        """Keep a view no longer. Raises StoreUnavailable."""
        await self._write(who, {each: at for each, at in (await self.all(who)).items() if each != name})

    async def _write(self, who: str, views: dict[str, str]) -> None:
        if views:
            await self._mailroom.read(self._store.hset(self._key, who, json.dumps(views, ensure_ascii=False)))
        else:
            await self._mailroom.read(self._store.hdel(self._key, who))


def clean(address: str) -> str:
    """Return the address of a list without what a view leaves out. Raises ViewRefused where it is none."""
    parts = urlsplit(address)
    section = parts.path.removeprefix("/").partition("/")[0]
    if parts.scheme or parts.netloc or section not in LISTS or "@" in address or len(address) > LONGEST_ADDRESS:
        raise ViewRefused
    query = urlencode([(name, text) for name, text in parse_qsl(parts.query) if name not in LEFT_OUT])
    if "%40" in query:
        raise ViewRefused
    return parts.path + (f"?{query}" if query else "")
