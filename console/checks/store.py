"""What the store guarantees, in words: examined from what it says of itself.

Comes in: a client. Goes out: a Guarantee, whose sentence tells what an acknowledged event survives, and a HealthCheck
for each thing that it rests on. Never changes the store, and never promises what it could not see.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import redis.asyncio
import redis.exceptions

from console.render.tables import say_count
from mailroom import aof_rewrite
from mailroom.errors import NEWER, StoreRefused, StoreUnavailable
from mailroom.keys import PREFIX
from receiver.failover import HIGH_WATER

#: What was acknowledged survives, by the settings of the append-only file.
POWER_CUT = "acknowledged events survive a power cut"
ONE_SECOND = "acknowledged events survive a crash of the store; a power cut may lose up to 1 s of them"
KERNEL = "acknowledged events survive a crash of the store; a power cut may lose up to 30 s of them"
REWRITE = "acknowledged events survive a power cut, but not while the append-only file is being rewritten"
NOTHING = "acknowledged events do not survive a restart of the store"
UNKNOWN = "the store does not tell how it keeps what is written, so nothing is promised"

#: What may be asked of a store (RELAIS_STRICT), and the sentences that are enough for it.
Strict = Literal["", "1s", "power-cut"]
ENOUGH: Mapping[str, frozenset[str]] = {
    "1s": frozenset({POWER_CUT, ONE_SECOND}),
    "power-cut": frozenset({POWER_CUT}),
}

#: The functions of the mailroom need Redis 7.
OLDEST = 7
#: A rewrite needs as much disk as the file has, and a little more than nothing in any case.
LEAST_DISK = 256 * 1024 * 1024
MIB = 1024 * 1024

#: What keeps a primary that was cut off from going on alone.
ALONE = "set `min-replicas-to-write 1` in the store: a primary that is cut off then stops handing out work"

#: What is asked of CONFIG GET.
ASKED = (
    *("append*", "no-appendfsync-on-rewrite", "auto-aof-rewrite-percentage"),
    *("min-replicas*", "stop-writes-on-bgsave-error", "save", "dir"),
)


@dataclass(frozen=True)
class HealthCheck:
    """One thing that was checked: whether it is in order, what was found, and how to mend it."""

    name: str
    ok: bool
    says: str
    mend: str = ""


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
    #: What it rests on, one by one.
    checks: tuple[HealthCheck, ...] = ()
    #: Why Relais can never work on it, and the mend; None: it can.
    unfit: HealthCheck | None = None

    def meets(self, strict: Strict) -> bool:
        """Say whether that is as much as was asked for."""
        return not strict or (self.says in ENOUGH[strict] and not self.evicts)


def away(exc: StoreUnavailable) -> HealthCheck:
    """Say that a store does not answer, or refuses us."""
    if isinstance(exc, StoreRefused):
        says, _, mend = str(exc).partition(": ")
        return HealthCheck("store", False, says, mend)
    return HealthCheck("store", False, "the store does not answer", "start it, or mend REDIS_URL")


async def examine(store: redis.asyncio.Redis, replicas: int = 0) -> Guarantee:
    """Ask a store. `replicas`: how many must have each event. Raises redis' errors where it is away."""
    info: Mapping[str, Any] = await store.info()
    try:
        config = dict(await store.config_get(*ASKED))
    except redis.exceptions.ResponseError:  # managed stores forbid CONFIG
        config = {}
    kept = await kept_by(store, replicas) if replicas else None
    refuses = await store.get(f"{PREFIX}rewritten") == aof_rewrite.REFUSED.encode()
    return judge(info, config, free_disk(config), replicas, kept, refuses)


async def kept_by(store: redis.asyncio.Redis, replicas: int) -> int | None:
    """Return how many replicas have on disk, within a second, what is written now; None where nobody can tell."""
    try:
        async with store.client() as one:
            await one.set(f"{PREFIX}written", "1")
            # The second question finds the replica synced where the first one came with the write.
            for ms in (100, 1000):
                kept = await one.execute_command("WAITAOF", 0, replicas, ms)  # type: ignore[no-untyped-call]
    except redis.exceptions.ResponseError:  # too old, or not allowed
        return None
    return int(kept[1])


def free_disk(config: Mapping[Any, Any]) -> int | None:
    """Return the free bytes of the store's disk; None where it is not a disk of this machine."""
    folder = Path(str(config.get("dir", "")))
    # The folder of the append-only file, and not only one of the same name on another machine.
    if not config.get("appenddirname") or not (folder / str(config["appenddirname"])).is_dir():
        return None
    return shutil.disk_usage(folder).free


def judge(
    info: Mapping[str, Any],
    config: Mapping[Any, Any],
    free: int | None = None,
    demanded: int = 0,
    kept: int | None = None,
    refuses: bool = False,
) -> Guarantee:
    """Return what settings mean.

    `demanded`: replicas that must have each event; `kept`: those that just had one; `refuses`: to rewrite its file.
    """
    evicts = str(info.get("maxmemory_policy", "noeviction")) != "noeviction"
    server = f"{'Valkey' if info.get('server_name') == 'valkey' else 'Redis'} {version(info)}"
    says, mend = promise(info, config)
    keeps = says != NOTHING
    checks = (
        answers(server, info),
        HealthCheck("kept", says not in (NOTHING, UNKNOWN), says, mend),
        evicted(evicts),
        written(info, config),
        memory(info),
        replicas(info, config, demanded, kept),
        *([] if free is None else [disk(info, free)]),
        *erased(info, config, refuses),
    )
    mend = mend or (evicted(evicts).mend if keeps else "")
    return Guarantee(says, keeps, evicts, server, mend, checks, unfit(server, info))


def promise(info: Mapping[str, Any], config: Mapping[Any, Any]) -> tuple[str, str]:
    """Return what an acknowledged event survives, and the mend where it could be more."""
    on = str(config.get("appendonly", "")) == "yes" or info.get("aof_enabled") == 1
    if not on:
        return NOTHING, "set `appendonly yes` and `appendfsync always` in the store"
    if info.get("aof_last_write_status") == "err":
        return NOTHING, "the store cannot write its append-only file: is its disk full?"
    match config.get("appendfsync"):
        case "always" if config.get("no-appendfsync-on-rewrite") != "yes":
            return POWER_CUT, ""
        case "always":
            return REWRITE, "set `no-appendfsync-on-rewrite no` in the store"
        case "everysec":
            return ONE_SECOND, "set `appendfsync always` in the store to lose nothing"
        case "no":
            return KERNEL, "set `appendfsync always` in the store to lose nothing"
    return UNKNOWN, "let the user of REDIS_URL read its settings (+config|get), or ask who runs the store"


def answers(server: str, info: Mapping[str, Any]) -> HealthCheck:
    """Say whether it takes what is written."""
    if info.get("loading") == 1:
        seconds = info.get("loading_eta_seconds", "some")
        return HealthCheck("store", False, f"{server} still reads its data, {seconds} s more", "wait for it")
    if info.get("role") == "slave":
        return HealthCheck(
            "store",
            False,
            f"{server} is a replica, which takes nothing",
            "point REDIS_URL at the primary, or the Sentinels",
        )
    return unfit(server, info) or HealthCheck("store", True, f"{server} answers")


def unfit(server: str, info: Mapping[str, Any]) -> HealthCheck | None:
    """Say why Relais can never work on a store, None where it can."""
    if info.get("redis_mode") == "cluster":
        says = f"{server} is a node of a cluster: RQ needs keys of several nodes at once, which a cluster refuses"
        return HealthCheck("store", False, says, "point REDIS_URL at a single primary, or at its Sentinels")
    major = version(info).partition(".")[0]
    if info.get("server_name") != "valkey" and major.isdigit() and int(major) < OLDEST:
        return HealthCheck("store", False, f"{server} is too old", NEWER)
    return None


def evicted(evicts: bool) -> HealthCheck:
    """Say whether what waits may be thrown away."""
    if evicts:
        mend = "set `maxmemory-policy noeviction` in the store"
        return HealthCheck("noeviction", False, "what waits may be thrown away when memory is full", mend)
    return HealthCheck("noeviction", True, "nothing that waits is evicted")


def written(info: Mapping[str, Any], config: Mapping[Any, Any]) -> HealthCheck:
    """Say whether the store's last writes to its disk went well."""
    disk = "is its disk full? See the log of the store"
    if info.get("aof_last_write_status") == "err":
        return HealthCheck("persistence", False, "the last write to the append-only file failed", disk)
    if info.get("aof_last_bgrewrite_status") == "err":
        return HealthCheck(
            "persistence", False, "the last rewrite of the append-only file failed, so it only grows", disk
        )
    if info.get("rdb_last_bgsave_status") == "err" and config.get("stop-writes-on-bgsave-error") != "no":
        return HealthCheck(
            "persistence", False, "the last snapshot failed, and writes are refused until one works", disk
        )
    return HealthCheck("persistence", True, "its last writes to disk went well")


def memory(info: Mapping[str, Any]) -> HealthCheck:
    """Say how full the store is."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        mend = "set `maxmemory` to two thirds of what it may use"
        return HealthCheck("memory", True, f"{used // MIB} MiB used, unlimited: the kernel may kill it", mend)
    says = f"{used // MIB} of {most // MIB} MiB used"
    if used >= HIGH_WATER * most:
        return HealthCheck(
            "memory", False, f"{says}: new events wait in the spool", "raise `maxmemory`, or see what waits"
        )
    return HealthCheck("memory", True, says)


def replicas(
    info: Mapping[str, Any], config: Mapping[Any, Any], demanded: int = 0, kept: int | None = None
) -> HealthCheck:
    """Say what a failover would lose."""
    count = int(info.get("connected_slaves", 0))
    least = int(config.get("min-replicas-to-write", 0) or 0)
    lag = config.get("min-replicas-max-lag", "?")
    if least > count:
        says = f"{say_count(count, 'replica')}, and {least} demanded: the store refuses writes"
        return HealthCheck("replicas", False, says, "bring the replicas back")
    if demanded > count:
        demands = f"{say_count(count, 'replica')}, and RELAIS_REPLICAS={demanded}"
        says = f"{demands}: events wait in the spool, and nothing is delivered"
        return HealthCheck("replicas", False, says, "bring the replicas back, or set RELAIS_REPLICAS to fewer")
    if kept is not None and demanded > kept:
        says = f"{kept} of {count} have on disk what was written a second ago, and RELAIS_REPLICAS={demanded}"
        return HealthCheck("replicas", False, says, "set `appendonly yes` and `appendfsync always` in the replicas")
    if demanded:
        where = "" if kept is not None else " in memory"
        which = "whichever takes over" if demanded == count else f"if one of the {demanded} takes over"
        says = f"{count}; each event is on {demanded} of them{where} before it is acknowledged, and survives {which}"
        return HealthCheck("replicas", True, says, "" if least else ALONE)
    if not count:
        return HealthCheck("replicas", True, "none: events are on one machine")
    if least:
        says = f"{count}; a failover may lose up to {lag} s, and a little more, of acknowledged events"
        return HealthCheck("replicas", True, says, "set RELAIS_REPLICAS=1 to lose none")
    mend = "set RELAIS_REPLICAS=1 to lose none, and `min-replicas-to-write 1` in the store"
    return HealthCheck("replicas", True, f"{count}; a failover may lose acknowledged events, however many", mend)


def erased(info: Mapping[str, Any], config: Mapping[Any, Any], refuses: bool) -> list[HealthCheck]:
    """Say where what was erased stays on the store's disk for longer than a day; a note, since all goes on."""
    stays = "what was erased stays in its append-only file"
    if info.get("aof_enabled") != 1:
        return []
    if str(config.get("auto-aof-rewrite-percentage", "")) == "0":
        mend = "set `auto-aof-rewrite-percentage 100` in the store when the backup is done"
        return [HealthCheck("erased", True, f"rewriting is switched off, so {stays}", mend)]
    if refuses:
        mend = "allow BGREWRITEAOF to the workers, or rewrite it daily some other way"
        return [HealthCheck("erased", True, f"it refuses BGREWRITEAOF: {stays} until it rewrites it by itself", mend)]
    return []


def disk(info: Mapping[str, Any], free: int) -> HealthCheck:
    """Say whether the append-only file can grow and be rewritten."""
    needed = max(int(info.get("aof_current_size", 0)), LEAST_DISK)
    says = f"{free // MIB} MiB free"
    if free < needed:
        return HealthCheck("disk", False, f"{says}, a rewrite may need {needed // MIB}", "free some space on its disk")
    return HealthCheck("disk", True, says)


def version(info: Mapping[str, Any]) -> str:
    """Return the server's own version."""
    return str(info.get("valkey_version") or info.get("redis_version") or "")
