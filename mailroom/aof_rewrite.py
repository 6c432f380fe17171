"""Once a day the store writes its append-only file anew, so that what was erased is gone from its disk, too.

Comes in: the mailroom. Goes out: a mark in the store for a day, and a line in the log where the store will not. Never
waits for the end of a rewrite, and never begins one where the operator switched rewriting off, as for a backup.
"""

import logging
from typing import Any

import redis.exceptions

from mailroom import Mailroom

log = logging.getLogger("relais.sweep")

#: Seconds between two rewrites that are asked for.
EVERY = 86_400
ASKED, REFUSED = "asked", "refused"


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


async def _is_off(store: Any) -> bool:
    try:
        found = await store.config_get("auto-aof-rewrite-percentage")
    except redis.exceptions.ResponseError:  # managed stores forbid CONFIG
        return False
    return str(found.get("auto-aof-rewrite-percentage")) == "0"
