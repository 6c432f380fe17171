"""Named people: their role, whether they may see payloads, and the hash of their pass phrase.

Comes in: a name and a role. Goes out: users, as the store's hash `users` has them (JSON). Never holds a pass phrase,
and never decides whether one is right: `console.access.sessions` does.
"""

import json
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any

from console.access.roles import Role
from mailroom import Mailroom

#: What a person or a token may be called: it stands in the audit, in tables and after `by`.
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")


class NameTaken(ValueError):
    """There is a person or a token of this name already."""


@dataclass(frozen=True)
class User:
    """A named person."""

    name: str
    role: Role
    payloads: bool = False
    #: As argon2 writes it; empty: no pass phrase was set (since the last reset).
    phrase: str = field(default="", repr=False)
    #: When they were added, and when they signed in last, ms; 0: never.
    added: int = 0
    last: int = 0
    #: Who it is at the provider of single sign-on, hashed; empty: somebody whom we know ourselves.
    subject: str = ""


class Users:
    """The named people of one store."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._key = mailroom.key("users")

    async def all(self) -> list[User]:
        """Return them by name. Raises StoreUnavailable."""
        found = await self._mailroom.read(self._store.hgetall(self._key))
        return sorted((decode(name.decode(), text) for name, text in found.items()), key=lambda user: user.name)

    async def find(self, name: str) -> User | None:
        """Return one of them, None where there is none of this name. Raises StoreUnavailable."""
        text = await self._mailroom.read(self._store.hget(self._key, name))
        return None if text is None else decode(name, text)

    async def add(self, name: str, role: Role, *, payloads: bool = False) -> User:
        """Add somebody, who cannot sign in before a link was used. Raises NameTaken, ValueError, StoreUnavailable."""
        check_name(name)
        user = User(name, role, payloads, added=int(time.time() * 1000))
        if not await self._mailroom.read(self._store.hsetnx(self._key, name, encode(user))):
            raise NameTaken(name)
        return user

    async def find_vouched(self, subject: str) -> User | None:
        """Return whom the provider of single sign-on vouches for under a subject. Raises StoreUnavailable."""
        return next((user for user in await self.all() if subject and user.subject == subject), None)

    async def vouch(self, subject: str, name: str, role: Role, *, payloads: bool = False) -> User:
        """Write down whom the provider of single sign-on vouches for, under the name of their first time here.

        Raises NameTaken where somebody else has that, StoreUnavailable.
        """
        now = int(time.time() * 1000)
        known = await self.find_vouched(subject)
        user = User(name, role, payloads, added=now, last=now, subject=subject)
        if known is not None:
            user = replace(user, name=known.name, added=known.added)
        elif not await self._mailroom.read(self._store.hsetnx(self._key, name, encode(user))):
            raise NameTaken(name)
        await self.put(user)
        return user

    async def change(self, name: str, role: Role, *, payloads: bool = False) -> bool:
        """Give somebody another role, which counts at once. False: it is the same, or there is nobody of this name.

        Raises StoreUnavailable.
        """
        user = await self.find(name)
        if user is None or (user.role, user.payloads) == (role, payloads):
            return False
        await self.put(replace(user, role=role, payloads=payloads))
        return True

    async def put(self, user: User) -> None:
        """Write one of them anew. Raises StoreUnavailable."""
        await self._mailroom.read(self._store.hset(self._key, user.name, encode(user)))

    async def remove(self, name: str) -> bool:
        """Take somebody off the list. False: there was none of this name. Raises StoreUnavailable."""
        await self._mailroom.read(self._store.hdel(self._mailroom.key("views"), name))
        return bool(await self._mailroom.read(self._store.hdel(self._key, name)))


def check_name(name: str) -> None:
    """Raise ValueError where nobody may be called so."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: up to 60 of a-z, 0-9, '.', '_', '@' and '-'")


def encode(user: User) -> str:
    """Return a user as the store keeps it."""
    told = {"role": user.role.word, "payloads": user.payloads, "phrase": user.phrase}
    vouched = {"subject": user.subject} if user.subject else {}
    return json.dumps({**told, "added": user.added, "last": user.last, **vouched})


def decode(name: str, text: bytes) -> User:
    """Return a user that the store kept."""
    found = json.loads(text)
    times = found["added"], found["last"]
    return User(name, Role.read(found["role"]), found["payloads"], found["phrase"], *times, found.get("subject", ""))
