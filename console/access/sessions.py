"""How people come in: by a link that is worth one use, or by name and pass phrase; and how long they stay.

Comes in: a link, a pass phrase, a cookie. Goes out: a cookie, or who it is that asks. Never keeps what opens a door:
links and cookies are kept as hashes, pass phrases as argon2 makes them. A session lives in the store, so it can be
ended.
"""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from console.access.roles import Actor, Role
from console.access.tokens import hash_secret
from console.access.users import User, Users, decode
from mailroom import Mailroom

#: Seconds that a session lives without a request, and at most.
IDLE, LONGEST = 8 * 3600, 16 * 3600
#: A session's life is prolonged this often at the most, in seconds.
PROLONGED_EVERY = 60
#: Seconds that a link is worth something.
LINK_LIVES = 600
#: Characters of a pass phrase: at least, and at most (a long text would only cost time).
SHORTEST_PHRASE, LONGEST_PHRASE = 12, 1024
#: Failed attempts that cost no wait, and the longest wait, in seconds: for one person, whom others must not be able to
#: keep out for long, and for one address. Failures are forgotten an hour after the last one.
PATIENCE = {"person": (5, 30), "address": (20, 300)}
REMEMBERED = 3600

#: 19 MiB, two passes: of the settings that OWASP recommends the one with little memory, for the console has little.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
#: Of a random text: checked where there is no such person, so that this takes as long.
NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$OmWKlT5UZlMvVLbmbbbn+Q$Fr4qto3NAgxt3aqYrR8dE8hCaA5d2O7AZHms0GJ8/n8"


class PhraseRefused(ValueError):
    """A pass phrase is too short or too long to be set."""


class SignInRefused(Exception):
    """Name and pass phrase do not fit, or it is too early to try again."""

    def __init__(self, wait: int = 0) -> None:
        super().__init__("too_many_attempts" if wait else "wrong_name_or_phrase")
        #: Seconds until an attempt is looked at again; 0: this one was.
        self.wait = wait


class SignOnRefused(Exception):
    """Single sign-on lets nobody in; `code` says why: over, away, denied, unfit, no_role, domain, name_taken."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(code)
        self.code = code
        #: For the log: what exactly, without a value of anybody.
        self.why = why


@dataclass(frozen=True)
class Entry:
    """What a link is worth."""

    name: str
    role: Role
    payloads: bool
    #: It lets its person set a pass phrase, and does not open without one.
    sets_phrase: bool


class Sessions:
    """The sessions of one store. One for a whole console: it checks one pass phrase at a time."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._users = Users(mailroom)
        self._checking = asyncio.Lock()

    # -- links

    async def invite(self, name: str, *, role: Role = Role.OPERATOR, payloads: bool = False) -> str:
        """Return a link for somebody: a named person sets a pass phrase by it, anybody else comes in once.

        `role`, `payloads`: of who is no named person. Raises StoreUnavailable.
        """
        user = await self._users.find(name)
        if user is not None:
            role, payloads = user.role, user.payloads
        link = secrets.token_urlsafe(24)
        told = {"name": name, "role": role.word, "payloads": payloads, "sets_phrase": user is not None}
        told["generation"] = await self._generation(name)
        await self._mailroom.read(self._store.set(self._entry(link), json.dumps(told), ex=LINK_LIVES))
        return link

    async def look(self, link: str) -> Entry | None:
        """Return what a link is worth, None if nothing (any more). It stays what it is. Raises StoreUnavailable."""
        text = await self._mailroom.read(self._store.get(self._entry(link)))
        if text is None:
            return None
        its = json.loads(text)
        if its["generation"] != await self._generation(its["name"]):
            return None  # Its person was removed, reset or signed out meanwhile.
        return Entry(its["name"], Role.read(its["role"]), its["payloads"], its["sets_phrase"])

    async def enter(self, link: str, phrase: str = "") -> str | None:
        """Use a link up and return the cookie of a new session; None: it is worth nothing (any more).

        `phrase`: the pass phrase that a named person sets by it. Raises PhraseRefused, and the link stays good then;
        StoreUnavailable.
        """
        entry = await self.look(link)
        if entry is None:
            return None
        if entry.sets_phrase:
            check_phrase(phrase)
        if not await self._mailroom.read(self._store.delete(self._entry(link))):
            return None  # Somebody else was faster.
        if entry.sets_phrase:
            user = await self._users.find(entry.name)
            if user is None:
                return None
            async with self._checking:
                hashed = await asyncio.to_thread(HASHER.hash, phrase)
            await self._users.put(replace(user, phrase=hashed, last=int(time.time() * 1000)))
        return await self._begin(entry.name, entry.role, entry.payloads, named=entry.sets_phrase)

    async def reset(self, name: str) -> str | None:
        """Take a named person's pass phrase and sessions, and return a link to set another; None: there is none.

        Who comes in by single sign-on has none, either. Raises StoreUnavailable.
        """
        user = await self._users.find(name)
        if user is None or user.subject:
            return None
        await self._users.put(replace(user, phrase=""))
        await self.end_all(name)
        return await self.invite(name)

    async def remove(self, name: str) -> bool:
        """Let a named person in no more, at once. False: there was none of this name. Raises StoreUnavailable."""
        await self.end_all(name)
        return await self._users.remove(name)

    # -- pass phrases

    async def sign_in(self, name: str, phrase: str, address: str) -> str:
        """Return the cookie of a new session. Raises SignInRefused, StoreUnavailable."""
        await self.be_patient("person", name)
        await self.be_patient("address", address)
        user = await self._users.find(name)
        known = user.phrase if user is not None and user.phrase else NOBODYS
        async with self._checking:
            fits = await asyncio.to_thread(_fits, known, phrase[: LONGEST_PHRASE + 1])
        if user is None or not user.phrase or not fits:
            raise SignInRefused
        await self._mailroom.read(self._store.delete(self._failed("person", name), self._waits("person", name)))
        await self.forgive(address)
        user = replace(user, last=int(time.time() * 1000))
        if HASHER.check_needs_rehash(user.phrase):
            user = replace(user, phrase=await asyncio.to_thread(HASHER.hash, phrase))
        await self._users.put(user)
        return await self.begin(user)

    async def be_patient(self, what: str, key: str) -> None:
        """Count an attempt, before it is looked at. Raises SignInRefused."""
        wait = int(await self._mailroom.read(self._store.ttl(self._waits(what, key))))
        if wait > 0:
            raise SignInRefused(wait)
        pipe = self._store.pipeline(transaction=False)
        pipe.incrby(self._failed(what, key), 1)
        pipe.expire(self._failed(what, key), REMEMBERED)
        attempts, _ = await self._mailroom.read(pipe.execute())
        free, longest = PATIENCE[what]
        if attempts > free:
            wait = min(longest, 2 ** min(attempts - free - 1, 10))
            # Of many attempts at once one is looked at.
            if not await self._mailroom.read(self._store.set(self._waits(what, key), "1", nx=True, ex=wait)):
                raise SignInRefused(wait)

    async def forgive(self, address: str) -> None:
        """Take back an attempt of an address, which was a good one. Raises StoreUnavailable."""
        await self._mailroom.read(self._store.incrby(self._failed("address", address), -1))

    # -- sessions

    async def begin(self, user: User) -> str:
        """Return the cookie of a new session of a named person. Raises StoreUnavailable."""
        return await self._begin(user.name, user.role, user.payloads, named=True)

    async def find(self, cookie: str) -> Actor | None:
        """Return whose session it is, None where it has ended. Raises StoreUnavailable."""
        key = self._session(cookie)
        text = await self._mailroom.read(self._store.get(key))
        if text is None:
            return None
        its = json.loads(text)
        pipe = self._store.pipeline(transaction=False)
        pipe.hget(self._mailroom.key("users"), its["name"])
        pipe.hget(self._mailroom.key("signed_out"), its["name"])
        user, generation = await self._mailroom.read(pipe.execute())
        now = int(time.time())
        gone = its["named"] and user is None
        if gone or its["generation"] != int(generation or 0) or now >= its["begun"] + LONGEST:
            await self._mailroom.read(self._store.delete(key))
            return None
        if now - its["seen"] >= PROLONGED_EVERY:
            lives = min(IDLE, its["begun"] + LONGEST - now)
            # `xx`: a session that was ended meanwhile stays ended.
            await self._mailroom.read(self._store.set(key, json.dumps({**its, "seen": now}), ex=lives, xx=True))
        if user is not None:  # A role that was changed counts at once.
            known: User = decode(its["name"], user)
            return Actor(known.name, known.role, known.payloads)
        return Actor(its["name"], Role.read(its["role"]), its["payloads"])

    async def end(self, cookie: str) -> None:
        """End a session. Raises StoreUnavailable."""
        await self._mailroom.read(self._store.delete(self._session(cookie)))

    async def end_all(self, name: str) -> None:
        """End all sessions of somebody, and what links they have. Raises StoreUnavailable."""
        await self._mailroom.read(self._store.hincrby(self._mailroom.key("signed_out"), name, 1))

    async def _begin(self, name: str, role: Role, payloads: bool, *, named: bool) -> str:
        cookie, now = secrets.token_urlsafe(32), int(time.time())
        told = {"name": name, "role": role.word, "payloads": payloads, "named": named, "begun": now, "seen": now}
        told["generation"] = await self._generation(name)
        await self._mailroom.read(self._store.set(self._session(cookie), json.dumps(told), ex=IDLE))
        return cookie

    async def _generation(self, name: str) -> int:
        return int(await self._mailroom.read(self._store.hget(self._mailroom.key("signed_out"), name)) or 0)

    def _entry(self, link: str) -> str:
        return self._mailroom.key(f"entry:{hash_secret(link)}")

    def _session(self, cookie: str) -> str:
        return self._mailroom.key(f"session:{hash_secret(cookie)}")

    def _failed(self, what: str, key: str) -> str:
        return self._mailroom.key(f"attempts:{hash_secret(f'{what} {key}')}")

    def _waits(self, what: str, key: str) -> str:
        return self._mailroom.key(f"patience:{hash_secret(f'{what} {key}')}")


def check_phrase(phrase: str) -> None:
    """Raise PhraseRefused where nobody may have this pass phrase."""
    if len(phrase) < SHORTEST_PHRASE:
        raise PhraseRefused(f"a pass phrase has {SHORTEST_PHRASE} characters at least")
    if len(phrase) > LONGEST_PHRASE:
        raise PhraseRefused(f"a pass phrase has {LONGEST_PHRASE} characters at the most")


def _fits(known: str, phrase: str) -> bool:
    try:
        return HASHER.verify(known, phrase)
    except (VerifyMismatchError, InvalidHashError):
        return False
