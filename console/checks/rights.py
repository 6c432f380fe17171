"""What our processes ask of the store, and whether their user may: tried, not read from what the store says of itself.

Comes in: a client with the user of the processes. Goes out: what it may not do. Changes nothing: each command is queued
in a transaction that is never carried out, and a store judges rights when it queues.
"""

from collections.abc import Sequence

import redis.asyncio
import redis.exceptions

from console.checks.store import HealthCheck
from mailroom import errors
from mailroom.client import send_together
from mailroom.keys import PREFIX
from mailroom.sentences import say

#: Stands for a key; `C` for a channel.
KEY, CHANNEL = "K", "C"

#: What the mailroom asks, in Python and inside its functions, with arguments that the store can queue.
OF_STORE = (
    *("blpop K 1", "del K", "exists K", "expire K 1", "fcall none 1 K", "function|load x", "get K", "getrange K 0 1"),
    *(
        "getset K x",
        "hdel K x",
        "hexists K x",
        "hget K x",
        "hgetall K",
        "hincrby K x 1",
        "hkeys K",
        "hlen K",
        "incrby K 1",
    ),
    *(
        "hmget K x",
        "hscan K 0",
        "hset K x x",
        "hsetnx K x x",
        "hvals K",
        "info server",
        "lindex K 0",
        "linsert K before x x",
    ),
    *("llen K", "lpop K", "lpos K x", "lpush K x", "lrange K 0 1", "lrem K 0 x", "lset K 0 x", "ltrim K 0 1"),
    *("mget K", "mset K x", "pexpire K 1", "ping", "rename K K", "rpush K x", "rpushx K x", "sadd K x", "scard K"),
    *("set K x", "setbit K 0 1", "sismember K x", "smembers K", "smismember K x", "time", "ttl K", "xadd K * x x"),
    *(
        "xdel K 0-1",
        "xrange K - +",
        "xread streams K 0",
        "xrevrange K + -",
        "xtrim K maxlen 1",
        "zadd K 1 x",
        "zcard K",
        "zmscore K x",
        "zpopmin K",
    ),
    *("zrange K 0 1", "zrem K x", "zremrangebyscore K 0 1", "zrevrange K 0 1", "zscan K 0", "zscore K x"),
)
#: What RQ asks of the store of its queues.
OF_RQ = (
    *("blmove K K left left 1", "client|info", "client|setname x", "del K", "exists K", "expire K 1", "get K"),
    *("hello", "hgetall K", "hincrby K x 1", "hincrbyfloat K x 1", "hset K x x", "info server", "llen K"),
    *("lrange K 0 1", "lrem K 0 x", "persist K", "ping", "rpush K x", "sadd K x", "set K x", "smembers K", "srem K x"),
    *("subscribe C", "unsubscribe C", "xadd K * x x", "zadd K 1 x", "zrange K 0 1", "zrangebyscore K 0 1", "zrem K x"),
    "zremrangebyscore K 0 1",
)
#: What cannot be queued.
OUTSIDE = ("exec", "watch K")
#: What is done without where it is not allowed, and then said: how the store keeps what is written, the daily rewrite
#: of its file, a snapshot that is to forget somebody, a migration from the schema before, `relais doctor` itself.
OPTIONAL = ("bgrewriteaof", "bgsave", "config|get", "eval", "function|list", "scan")

#: So many of the missing rights are named.
MOST_TOLD = 6


def list_commands() -> list[str]:
    """Return the names of all commands that a user of ours needs, as an ACL has them."""
    asked = (*OF_STORE, *OF_RQ, *OUTSIDE, "multi", *OPTIONAL)
    return sorted({words.partition(" ")[0] for words in asked})


async def check(store: redis.asyncio.Redis, rq: redis.asyncio.Redis | None = None) -> HealthCheck:
    """Say whether our processes may do what they do. `rq`: where RQ's queues are, if not in the store.

    Raises redis' errors where a store is away, or refuses whoever comes.
    """
    denied = await _try(store, OF_STORE, f"{PREFIX}doctor")
    denied += await _try(rq or store, (*OF_RQ, *OUTSIDE), "rq:doctor")
    if not denied:
        return HealthCheck.of("rights", True, "rights")
    told = list(dict.fromkeys(denied))
    return HealthCheck.of("rights", False, "rights_missing", rights=name_some(told, MOST_TOLD))


def not_tried(exc: redis.exceptions.RedisError) -> HealthCheck:
    """Return that nobody knows what the user may do."""
    return HealthCheck.of("rights", False, "rights_not_tried", said=str(errors.explained(exc)))


def name_some(names: Sequence[str], most: int) -> str:
    """Return the first of some names, and how many more there are."""
    told = ", ".join(names[:most])
    return say("and_more", those=told, n=len(names) - most) if len(names) > most else told


async def may_keep(store: redis.asyncio.Redis) -> bool:
    """Say whether the user may do what is done in the store itself: who lacks RQ's rights only keeps events."""
    return not await _try(store, OF_STORE, f"{PREFIX}doctor")


async def _try(store: redis.asyncio.Redis, commands: Sequence[str], key: str) -> list[str]:
    """Return what is not allowed: commands, and keys or channels of ours."""
    words = {each: _words(each, key) for each in commands}
    pool = store.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        answers = {each: (await send_together(connection, words[each]))[0] for each in commands if each in OUTSIDE}
        queued = [each for each in commands if each not in OUTSIDE]
        (opened, *said) = await send_together(connection, ["MULTI"], *(words[each] for each in queued))
    finally:
        await connection.disconnect()  # The transaction ends with it.
        await pool.release(connection)
    answers |= {"multi": opened, **dict(zip(queued, said, strict=True))}
    return [_called(each, str(answer), key) for each, answer in answers.items() if _is_refusal(answer)]


def _words(command: str, key: str) -> list[str]:
    name, *arguments = command.split(" ")
    return [*name.split("|"), *(key if word in (KEY, CHANNEL) else word for word in arguments)]


def _is_refusal(answer: object) -> bool:
    # EXEC says why it was refused behind a word of its own.
    return isinstance(answer, redis.exceptions.ResponseError) and (
        isinstance(answer, redis.exceptions.NoPermissionError) or "NOPERM" in str(answer)
    )


def _called(command: str, said: str, key: str) -> str:
    """Return what a refusal is about: the command, or else our keys or channels."""
    if " command" in said:
        return command.partition(" ")[0]
    return f"{'channels' if ' channel' in said else 'keys'} {key.partition(':')[0]}:*"
