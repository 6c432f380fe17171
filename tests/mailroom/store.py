"""A store for the mailroom's tests: a real Valkey, the real functions, and a clock that the test moves.

Takes what the test wants changed in the Lua. Gives mailrooms, the store's whole contents as Python values, and what is
wrong with its keys. Never guesses what should be there: that is `model.py`.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis.asyncio

from bench.nodes import StoreNode
from mailroom import Mailroom
from mailroom.client import client, library_text
from mailroom.keys import PREFIX
from rules.event import Event
from tests.conftest import PrivateValkey

LUA = library_text()
#: One day, the dedupe window, in ms.
DAY = 86_400_000
#: The ledger's page of what is received now; a month later it is gone.
TODAY = datetime.now(UTC).date().isoformat()
#: Where the test's clock stands (in the slot of the mailroom's keys), and where it starts: an hour before a bucket of
#: sender ids ends.
CLOCK = "test:{p0}:clock"
START = 20_000 * DAY - 3_600_000

#: Ms of real time between two calls of a test, at the most: keys live by real time, whatever the test's clock says.
MOMENT = 5_000

_STORE_CLOCK = """  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)"""

_DUMP = """
local out = {}
for _, k in ipairs(redis.call('KEYS', 'relais:*')) do
  local t, v = redis.call('TYPE', k).ok, nil
  if t == 'string' then v = redis.call('GET', k)
  elseif t == 'list' then v = redis.call('LRANGE', k, 0, -1)
  elseif t == 'set' then v = redis.call('SMEMBERS', k)
  elseif t == 'hash' then v = redis.call('HGETALL', k)
  elseif t == 'zset' then v = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES')
  else v = redis.call('XRANGE', k, '-', '+') end
  out[#out + 1] = { k, t, redis.call('PTTL', k), v }
end
return out
"""

_ADVANCE = """
for _, k in ipairs(redis.call('KEYS', 'relais:*')) do
  local left = redis.call('PTTL', k)
  if left >= 0 then
    -- What a real moment would end is ended at once; pages of bodies count by the mailroom's own clock.
    local early = string.find(k, ':last:', 1, true) and 0 or tonumber(ARGV[2])
    if left <= tonumber(ARGV[1]) + early then redis.call('DEL', k) else redis.call('PEXPIRE', k, left - ARGV[1]) end
  end
end
return redis.call('INCRBY', KEYS[1], ARGV[1])
"""


def replaced(text: str, old: str, new: str) -> str:
    """Return the text with a passage replaced, wherever it stands; one that is not there is a defect of the test."""
    assert old in text, f"not in mailroom/lua any more: {old!r}"
    return text.replace(old, new)


@dataclass
class StoredKey:
    """A key of the store."""

    type: str
    #: ms it still lives, None: for ever.
    ttl: int | None
    value: Any


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")  # the bits of a day are no text
    return [_plain(x) for x in value] if isinstance(value, list) else value


class Store:
    """A Valkey with the mailroom's functions, on the test's clock unless told otherwise."""

    def __init__(self, server: PrivateValkey | StoreNode, lua: str = LUA, *, real_clock: bool = False) -> None:
        self.server = server
        self.lua = (
            lua if real_clock else replaced(lua, _STORE_CLOCK, f"  return tonumber(redis.call('GET', '{CLOCK}'))")
        )
        #: A client beside the mailroom's.
        self.raw: redis.asyncio.Redis = client(server.url)

    async def open(self) -> Mailroom:
        """Return a mailroom over the store, prepared."""
        await self.raw.set(CLOCK, START, nx=True)
        room = Mailroom(client(self.server.url), hash_key=b"k" * 32, text=self.lua)
        try:
            await room.prepare()
        except BaseException:
            await room.close()
            raise
        return room

    async def close(self) -> None:
        await self.raw.aclose()

    async def _eval(self, script: str, keys: int, *args: Any) -> Any:
        return await cast(Any, self.raw.eval(script, keys, *args))

    async def now(self) -> int:
        """Return what the test's clock shows."""
        return int(await self.raw.get(CLOCK) or 0)

    async def advance(self, ms: int, *, early: int = 0) -> int:
        """Move the clock on; what lives shorter than that is gone, and what would end so many ms later."""
        return int(await self._eval(_ADVANCE, 1, CLOCK, ms, early))

    async def dump(self) -> dict[str, StoredKey]:
        """Return everything under our prefix: name without prefix -> entry."""
        out = {}
        for key, kind, ttl, value in await self._eval(_DUMP, 0):
            name = key.decode().removeprefix(PREFIX)
            value = _plain(value)
            if kind == b"hash":
                value = dict(zip(value[::2], value[1::2], strict=True))
            elif kind == b"zset":
                value = {k: float(v) for k, v in zip(value[::2], value[1::2], strict=True)}
            elif kind == b"set":
                value = set(value)
            out[name] = StoredKey(kind.decode(), None if ttl < 0 else ttl, value)
        return with_boxes_of_one(out)

    async def take_apart(self) -> None:
        """Make every box of one element the list that it could be as well, so that a test can bend it."""
        fields = {name: entry for name, entry in (await self.dump()).items() if name.startswith("one:")}
        for name, entry in with_boxes_of_one(fields).items():
            kind, room, *box = name.split(":")
            if kind == "b":
                await cast(Any, self.raw.hdel(f"{PREFIX}one:{room}", box[0]))
                await cast(Any, self.raw.rpush(PREFIX + name, *entry.value))
            elif kind == "also":
                await cast(Any, self.raw.hset(PREFIX + name, mapping=entry.value))


def with_boxes_of_one(dump: Mapping[str, StoredKey]) -> dict[str, StoredKey]:
    """Return a dump in which boxes that are fields of `one:<room>` are lists, and have their further boxes in `also`.

    The two forms mean the same. No box has both, and no event has further boxes in both places.
    """
    found = dict(dump)
    for room, entry in ((name[4:], entry) for name, entry in dump.items() if name.startswith("one:")):
        for box, value in entry.value.items():
            head, element = value.split("\n")
            state, _, kind = head.partition(":")
            kind, _, further = kind.partition(" ")
            if further:
                also = found.get(f"also:{room}", StoredKey("hash", None, {}))
                assert element not in also.value, f"{element} has its further boxes twice"
                found[f"also:{room}"] = StoredKey("hash", None, {**also.value, element: further})
            name = f"b:{room}:{box}"
            assert name not in dump or dump[name].type != "list", f"{name} is a list and a field"
            found[name] = StoredKey("list", None, [f"{state} 0 0 0 - 0 {kind}" if kind else head, element])
    return found


def event(
    name: str,
    key: str | None = "email:eva@example.org",
    *,
    sender: bool = True,
    body: bytes = b'{"email":"eva@example.org"}',
    source: str = "shop",
    type: str = "booking.created",
    retain: int = 0,
) -> Event:
    """Return an event of an invented person."""
    return Event(
        id=name,
        source=source,
        kind="generic",
        type=type,
        received_at=f"{TODAY}T10:00:00.000Z",
        body=body,
        order_key=key,
        sender_id=name if sender else None,
        retain=retain,
    )


# -- the schema table at the top of mailroom/lua/00-keys.lua is checked, not only read

_UNITS = {"s": 1_000, "minutes": 60_000, "days": DAY, "dedupe windows": DAY, "day": DAY}
#: Words that promise no certain time: the key is there without one.
_NO_TTL = re.compile(r"^(for ever|while .*|until .*|with the event|1,000 entries, 3 days|about 20,000 entries)")
#: Entries of these come and go while the key stays.
_BY_ENTRY = {"dead", "deadinfo", "quarantine", "audit", "dropped", "jobs"}


@dataclass(frozen=True)
class SchemaRow:
    """A line of the schema table."""

    pattern: re.Pattern[str]
    name: str
    type: str
    lives: str


def schema(lua: str = LUA) -> list[SchemaRow]:
    """Return the schema table at the top of mailroom/lua/00-keys.lua."""
    head = lua.split("State of a box")[0].splitlines()
    (title,) = (line for line in head if line.strip().startswith("key "))
    columns = [title.index(word) for word in ("key ", "type", "what it holds", "written by", "lives")]
    rows = []
    for line in head[head.index(title) + 1 :]:
        if not line.strip():
            continue
        name, kind, _, _, lives = (line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True))
        pattern = re.sub(r"<[a-z]+>", "[^:]+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">"))
        rows.append(SchemaRow(re.compile(f"{pattern}$"), name, kind, lives))
    return rows


def key_faults(found: Mapping[str, StoredKey], rows: list[SchemaRow] | None = None) -> list[str]:
    """Return what is wrong with the keys of a store: not in the table, of another type, living longer than stated."""
    faults = []
    by_word: dict[str, list[SchemaRow]] = defaultdict(list)
    for row in rows or schema():
        by_word[re.split(r"[:<]", row.name)[0]].append(row)
    for name, entry in found.items():
        matching = [row for row in by_word[name.partition(":")[0]] if row.pattern.match(name)]
        if len(matching) != 1:
            faults.append(f"{name}: {len(matching)} lines in the schema table")
            continue
        row = matching[0]
        if entry.type != row.type:
            faults.append(f"{name}: a {entry.type}, not a {row.type}")
        stated = re.match(r"^(a|[\d,]+) (s|minutes|days?|dedupe windows)$", row.lives)
        if stated and row.name not in _BY_ENTRY:
            most = (1 if stated[1] == "a" else int(stated[1].replace(",", ""))) * _UNITS[stated[2]]
            if entry.ttl is None or entry.ttl > most:
                faults.append(f"{name}: lives {entry.ttl} ms, not {row.lives}")
        elif row.lives == "a day and the delay":
            if entry.ttl is None:
                faults.append(f"{name}: lives for ever, not {row.lives}")
        elif _NO_TTL.match(row.lives) and entry.ttl is not None and not row.name.startswith(("e:", "d:")):
            faults.append(f"{name}: lives {entry.ttl} ms, not {row.lives}")
        elif not stated and not _NO_TTL.match(row.lives) and not row.lives.startswith("as "):
            faults.append(f"{name}: the table says {row.lives!r}, which nobody can check")
    return faults


class Loop:
    """An event loop for tests that are not async themselves."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def __call__(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait())

    def close(self) -> None:
        self._runner.close()
