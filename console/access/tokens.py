"""Named bearer tokens of programs: made once, shown once, kept as a hash.

Comes in: a name and a role, or a token that somebody sent. Goes out: the token, or whose it is. Never keeps a token;
256 random bits need no slow hash.
"""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from console.access.roles import Actor, Role
from console.access.users import NameTaken, check_name
from mailroom import Mailroom, StoreUnavailable

#: Begins each token, so that whoever finds one (a person, a scanner of repositories) knows what it is.
PREFIX = "relais_"
#: `last_used` is written this often at the most, in ms: Prometheus asks every few seconds.
NOTED_EVERY = 60_000
#: Tokens that are known while the store is away: monitoring must see that it is.
MOST_KNOWN = 100


@dataclass(frozen=True)
class NamedToken:
    """A token, as it is listed."""

    name: str
    role: Role
    payloads: bool
    #: When it was made, and used last, ms; 0: never.
    added: int
    last_used: int


class Tokens:
    """The named tokens of one store. One for a whole console: it remembers whom it has seen."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._tokens, self._used = mailroom.key("tokens"), mailroom.key("tokens_used")
        self._known: dict[str, Actor] = {}
        self._noted: dict[str, int] = {}

    async def all(self) -> list[NamedToken]:
        """Return them by name. Raises StoreUnavailable."""
        pipe = self._store.pipeline(transaction=False)
        pipe.hgetall(self._tokens)
        pipe.hgetall(self._used)
        found, used = await self._mailroom.read(pipe.execute())
        listed = []
        for hashed, text in found.items():
            its = json.loads(text)
            last = int(used.get(hashed, 0))
            listed.append(NamedToken(its["name"], Role.read(its["role"]), its["payloads"], its["added"], last))
        return sorted(listed, key=lambda token: token.name)

    async def add(self, name: str, role: Role, *, payloads: bool = False) -> str:
        """Return a new token: nobody can read it again. Raises NameTaken, ValueError, StoreUnavailable."""
        check_name(name)
        if any(token.name == name for token in await self.all()):
            raise NameTaken(name)
        token = PREFIX + secrets.token_urlsafe(32)
        told = {"name": name, "role": role.word, "payloads": payloads, "added": int(time.time() * 1000)}
        await self._mailroom.read(self._store.hset(self._tokens, hash_secret(token), json.dumps(told)))
        return token

    async def remove(self, name: str) -> bool:
        """Let a token open nothing any more. False: there is none of this name. Raises StoreUnavailable."""
        found = await self._mailroom.read(self._store.hgetall(self._tokens))
        gone = [hashed for hashed, text in found.items() if json.loads(text)["name"] == name]
        if gone:
            await self._mailroom.read(self._store.hdel(self._tokens, *gone))
            await self._mailroom.read(self._store.hdel(self._used, *gone))
        return bool(gone)

    async def find(self, token: str) -> Actor | None:
        """Return whose token it is, None where it is nobody's.

        While the store is away, those are known that were used before. Raises StoreUnavailable for others.
        """
        if not token.startswith(PREFIX):
            return None
        hashed = hash_secret(token)
        try:
            text = await self._mailroom.read(self._store.hget(self._tokens, hashed))
        except StoreUnavailable:
            if hashed in self._known:
                return self._known[hashed]
            raise
        if text is None:
            self._known.pop(hashed, None)
            return None
        its = json.loads(text)
        actor = Actor(its["name"], Role.read(its["role"]), its["payloads"])
        while hashed not in self._known and len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[hashed] = actor
        await self._note(hashed)
        return actor

    async def _note(self, hashed: str) -> None:
        now = int(time.time() * 1000)
        if now - self._noted.get(hashed, 0) >= NOTED_EVERY:
            self._noted = {**{k: v for k, v in self._noted.items() if k in self._known}, hashed: now}
            await self._mailroom.read(self._store.hset(self._used, hashed, now))


def hash_secret(secret: str) -> str:
    """Return the hash under which a random secret (token, cookie, link) is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
