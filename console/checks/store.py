"""What the store guarantees, in words: examined from what it says of itself.

Comes in: a client. Goes out: a Guarantee, whose sentence tells what an acknowledged event survives, and a HealthCheck
for each thing that it rests on. Never changes the store, and never promises what it could not see.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import redis.asyncio
import redis.exceptions

from mailroom import aof_rewrite
from mailroom.errors import NEWER, StoreRefused, StoreUnavailable
from mailroom.keys import PREFIX
from mailroom.sentences import SENTENCES, say, spell_out
from receiver.failover import HIGH_WATER

#: What was acknowledged survives, by the settings of the append-only file.
POWER_CUT = say("kept_power_cut")
ONE_SECOND = say("kept_one_second")
KERNEL = say("kept_kernel")
REWRITE = say("kept_rewrite")
NOTHING = say("kept_nothing")
UNKNOWN = say("kept_unknown")

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
ALONE = say("replicas_alone.mend")

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

    @classmethod
    def of(cls, name: str, ok: bool, code: str, /, **args: Any) -> Self:
        """Return a check by the code of its sentence; where the catalogue has a mend for it, with that."""
        mend = f"{code}.mend"
        return cls(name, ok, say(code, **args), say(mend, **args) if mend in SENTENCES else "")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, with the code of its sentence and what is filled in."""
        told: dict[str, Any] = spell_out({name: each for name, each in vars(self).items() if each != ""})
        return told


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
        return HealthCheck("store", False, exc.says, exc.mend)
    return HealthCheck.of("store", False, "store_away")


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
        return NOTHING, say("kept_nothing.mend")
    if info.get("aof_last_write_status") == "err":
        return NOTHING, say("kept_unwritten.mend")
    match config.get("appendfsync"):
        case "always" if config.get("no-appendfsync-on-rewrite") != "yes":
            return POWER_CUT, ""
        case "always":
            return REWRITE, say("kept_rewrite.mend")
        case "everysec":
            return ONE_SECOND, say("kept_one_second.mend")
        case "no":
            return KERNEL, say("kept_kernel.mend")
    return UNKNOWN, say("kept_unknown.mend")


def answers(server: str, info: Mapping[str, Any]) -> HealthCheck:
    """Say whether it takes what is written."""
    if info.get("loading") == 1:
        seconds = info.get("loading_eta_seconds", "some")
        return HealthCheck.of("store", False, "store_loading", server=server, seconds=seconds)
    if info.get("role") == "slave":
        return HealthCheck.of("store", False, "store_is_replica", server=server)
    return unfit(server, info) or HealthCheck.of("store", True, "store_answers", server=server)


def unfit(server: str, info: Mapping[str, Any]) -> HealthCheck | None:
    """Say why Relais can never work on a store, None where it can."""
    if info.get("redis_mode") == "cluster":
        return HealthCheck.of("store", False, "store_is_cluster", server=server)
    major = version(info).partition(".")[0]
    if info.get("server_name") != "valkey" and major.isdigit() and int(major) < OLDEST:
        return HealthCheck.of("store", False, "store_is_too_old", server=server, newer=NEWER)
    return None


def evicted(evicts: bool) -> HealthCheck:
    """Say whether what waits may be thrown away."""
    if evicts:
        return HealthCheck.of("noeviction", False, "evicts")
    return HealthCheck.of("noeviction", True, "evicts_nothing")


def written(info: Mapping[str, Any], config: Mapping[Any, Any]) -> HealthCheck:
    """Say whether the store's last writes to its disk went well."""
    if info.get("aof_last_write_status") == "err":
        return HealthCheck.of("persistence", False, "write_failed")
    if info.get("aof_last_bgrewrite_status") == "err":
        return HealthCheck.of("persistence", False, "rewrite_failed")
    if info.get("rdb_last_bgsave_status") == "err" and config.get("stop-writes-on-bgsave-error") != "no":
        return HealthCheck.of("persistence", False, "snapshot_failed")
    return HealthCheck.of("persistence", True, "written")


def memory(info: Mapping[str, Any]) -> HealthCheck:
    """Say how full the store is."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        return HealthCheck.of("memory", True, "memory_unlimited", used=used // MIB)
    full = used >= HIGH_WATER * most
    return HealthCheck.of("memory", not full, "memory_full" if full else "memory", used=used // MIB, most=most // MIB)


def replicas(
    info: Mapping[str, Any], config: Mapping[Any, Any], demanded: int = 0, kept: int | None = None
) -> HealthCheck:
    """Say what a failover would lose."""
    count = int(info.get("connected_slaves", 0))
    least = int(config.get("min-replicas-to-write", 0) or 0)
    lag = config.get("min-replicas-max-lag", "?")
    connected = say("replicas", n=count)
    if least > count:
        return HealthCheck.of("replicas", False, "replicas_refuse", replicas=connected, least=least)
    if demanded > count:
        return HealthCheck.of("replicas", False, "replicas_missing", replicas=connected, demanded=demanded)
    if kept is not None and demanded > kept:
        return HealthCheck.of("replicas", False, "replicas_forget", kept=kept, count=count, demanded=demanded)
    if demanded:
        where = "" if kept is not None else say("in_memory")
        told = {"count": count, "demanded": demanded, "where": where}
        found = HealthCheck.of("replicas", True, "replicas_all" if demanded == count else "replicas_some", **told)
        return found if least else replace(found, mend=ALONE)
    if not count:
        return HealthCheck.of("replicas", True, "replicas_none")
    if least:
        return HealthCheck.of("replicas", True, "replicas_lag", count=count, lag=lag)
    return HealthCheck.of("replicas", True, "replicas_unbound", count=count)


def erased(info: Mapping[str, Any], config: Mapping[Any, Any], refuses: bool) -> list[HealthCheck]:
    """Say where what was erased stays on the store's disk for longer than a day; a note, since all goes on."""
    if info.get("aof_enabled") != 1:
        return []
    if str(config.get("auto-aof-rewrite-percentage", "")) == "0":
        return [HealthCheck.of("erased", True, "rewrite_off")]
    return [HealthCheck.of("erased", True, "rewrite_refused")] if refuses else []


def disk(info: Mapping[str, Any], free: int) -> HealthCheck:
    """Say whether the append-only file can grow and be rewritten."""
    needed = max(int(info.get("aof_current_size", 0)), LEAST_DISK)
    if free < needed:
        return HealthCheck.of("disk", False, "disk_short", free=free // MIB, needed=needed // MIB)
    return HealthCheck.of("disk", True, "disk", free=free // MIB)


def version(info: Mapping[str, Any]) -> str:
    """Return the server's own version."""
    return str(info.get("valkey_version") or info.get("redis_version") or "")
