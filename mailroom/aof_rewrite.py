"""Once a day the store writes its append-only file anew, so that what was erased is gone from its disk, too.

Comes in: the mailroom. Goes out: a mark in the store for a day, and a line in the log where the store will not. Never
begins a rewrite where the operator switched rewriting off, as for a backup; only who forgets a person waits
for its end.
"""

import asyncio
import logging
from typing import Any, Literal

import redis.exceptions

from mailroom import Mailroom, errors

log = logging.getLogger("relais.sweep")

#: Seconds between two rewrites that are asked for.
EVERY = 86_400
ASKED, REFUSED = "asked", "refused"
#: Seconds between two looks at whether a rewrite has ended.
LOOK_EVERY = 0.1

#: What INFO says while a file is being written anew.
RUNS = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")

#: How asking ended. done: what was erased is on the store's disk no more. asked: it goes on. off: the operator switched
#: rewriting off. refused: this user may not, or the store will not. none: it writes no file.
Rewritten = Literal["done", "asked", "off", "refused", "none"]


async def look(mailroom: Mailroom) -> None:
    """Ask for a rewrite when none was asked for within a day, or the last one failed. Raises redis' errors."""
    store: Any = mailroom.store
    info = await store.info("persistence")
    if not info.get("aof_enabled") or info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled"):
        return
    mark = mailroom.key("rewritten")
    known = await store.get(mark)
    failed = info.get("aof_last_bgrewrite_status") == "err" and known == ASKED.encode()
    if (known is not None and not failed) or await _is_off(store):
        return
    try:
        await store.bgrewriteaof()
    except redis.exceptions.ResponseError as exc:
        if "in progress" in str(exc):
            return
        # Once a day, over all hosts; the doctor says it as long as the mark stands.
        log.warning("store.no_rewrite why=%s: what was erased stays in its append-only file until it rewrites it", exc)
        await store.set(mark, REFUSED, ex=EVERY)
        return
    await store.set(mark, ASKED, ex=EVERY)


async def rewrite(mailroom: Mailroom, within: float) -> Rewritten:
    """Have all files of the store written anew, and wait so many seconds for the end. Raises StoreUnavailable."""
    try:
        async with asyncio.timeout(within):
            return await _rewrite(mailroom)
    except TimeoutError:
        return "asked"
    except redis.exceptions.RedisError as exc:
        raise errors.explained(exc) from exc


async def _rewrite(mailroom: Mailroom) -> Rewritten:
    store: Any = mailroom.store
    has_file = (await store.info("persistence")).get("aof_enabled")
    if has_file and await _is_off(store):
        return "off"
    saves = await _saves(store)
    try:
        # What runs already may have begun before something was erased.
        if has_file:
            await _wait_for_end(store)
            await store.bgrewriteaof()
            await store.set(mailroom.key("rewritten"), ASKED, ex=EVERY)
            if not await _wait_for_end(store):
                return "refused"
        if saves:
            await store.bgsave()
            if not await _wait_for_end(store, "rdb_last_bgsave_status"):
                return "refused"
    except redis.exceptions.ResponseError as exc:
        log.warning("store.no_rewrite why=%s: what was erased stays on its disk until it writes its files anew", exc)
        return "refused"
    return "done" if has_file or saves else "none"


async def _wait_for_end(store: Any, last: str = "aof_last_bgrewrite_status") -> bool:
    """Wait until the store writes no file anew, and return whether the last time that ended well, as INFO says."""
    while True:
        info = await store.info("persistence")
        if not any(info.get(name) for name in RUNS):
            return str(info.get(last)) == "ok"
        await asyncio.sleep(LOOK_EVERY)


async def _saves(store: Any) -> bool:
    """Say whether the store writes snapshots of its memory, beside its append-only file."""
    return bool(await _setting(store, "save"))


async def _is_off(store: Any) -> bool:
    """Say whether the operator switched rewriting off."""
    return await _setting(store, "auto-aof-rewrite-percentage") == "0"


async def _setting(store: Any, name: str) -> str:
    """Return a setting of the store; empty where it may not be asked: managed stores forbid CONFIG."""
    try:
        return str((await store.config_get(name)).get(name, ""))
    except redis.exceptions.ResponseError:
        return ""
