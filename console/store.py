"""What the store guarantees, in words: examined from what it says of itself.

Comes in: a client. Goes out: a Guarantee, whose sentence tells what an acknowledged event survives. Never changes the
store's settings, and never promises what it could not see.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis.asyncio
import redis.exceptions

#: What was acknowledged survives, by the settings of the append-only file.
POWER_CUT = "acknowledged events survive a power cut"
ONE_SECOND = "acknowledged events survive a crash of the store; a power cut may lose up to 1 s of them"
KERNEL = "acknowledged events survive a crash of the store; a power cut may lose up to 30 s of them"
REWRITE = "acknowledged events survive a power cut, but not while the append-only file is being rewritten"
NOTHING = "acknowledged events do not survive a restart of the store"
UNKNOWN = "the store does not tell how it keeps what is written, so nothing is promised"


@dataclass(frozen=True)
class Guarantee:
    """What a store keeps."""

    #: What an acknowledged event survives, in one sentence.
    says: str
    #: True: it keeps everything it acknowledged through its own crash.
    keeps: bool
    #: True: it may throw away what waits when its memory is full.
    evicts: bool
    #: `Valkey 9.1.2`.
    server: str = ""
    mend: str = ""


async def examine(store: redis.asyncio.Redis) -> Guarantee:
    """Ask a store. Raises redis' errors where it is away."""
    info: Mapping[str, Any] = await store.info()
    try:
        config = dict(await store.config_get("append*", "no-appendfsync-on-rewrite"))
    except redis.exceptions.ResponseError:  # managed stores forbid CONFIG
        config = {}
    return judge(info, config)


def judge(info: Mapping[str, Any], config: Mapping[Any, Any]) -> Guarantee:
    """Return what settings mean."""
    evicts = str(info.get("maxmemory_policy", "noeviction")) != "noeviction"
    server = f"{'Valkey' if info.get('server_name') == 'valkey' else 'Redis'} {version(info)}"
    on = str(config.get("appendonly", "")) == "yes" or info.get("aof_enabled") == 1
    if not on:
        return Guarantee(
            NOTHING, False, evicts, server, mend="set `appendonly yes` and `appendfsync always` in the store"
        )
    if info.get("aof_last_write_status") == "err":
        return Guarantee(
            NOTHING, False, evicts, server, mend="the store cannot write its append-only file: is its disk full?"
        )
    match config.get("appendfsync"):
        case "always" if config.get("no-appendfsync-on-rewrite") != "yes":
            return Guarantee(POWER_CUT, True, evicts, server, mend=_noeviction(evicts))
        case "always":
            return Guarantee(REWRITE, True, evicts, server, mend="set `no-appendfsync-on-rewrite no` in the store")
        case "everysec":
            return Guarantee(
                ONE_SECOND, True, evicts, server, mend="set `appendfsync always` in the store to lose nothing"
            )
        case "no":
            return Guarantee(KERNEL, True, evicts, server, mend="set `appendfsync always` in the store to lose nothing")
    return Guarantee(UNKNOWN, True, evicts, server)


def version(info: Mapping[str, Any]) -> str:
    """Return the server's own version."""
    return str(info.get("valkey_version") or info.get("redis_version") or "")


def _noeviction(evicts: bool) -> str:
    return "set `maxmemory-policy noeviction` in the store" if evicts else ""
