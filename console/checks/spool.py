"""What waits in the spool of this host, in words.

Comes in: the folder of the spool. Goes out: a Check, or its State for the metrics. Never writes into it.
"""

import contextlib
import shutil
import time
from pathlib import Path

from console.checks.store import HealthCheck
from receiver import spool

#: Seconds that an event may wait there until somebody should look: a restart of the store takes less.
LONG = 60.0
MIB = 1024 * 1024
#: Below this much free disk nothing can be promised for the next outage of the store.
LEAST_DISK = 64 * MIB
NONE = "there is none: while the store is away, the answer is 503"


def check(folder: str) -> HealthCheck:
    """Return what waits there."""
    if not folder:
        return HealthCheck("spool", True, NONE)
    try:
        found = spool.look(Path(folder))
    except spool.SpoolFailed as exc:
        return HealthCheck("spool", False, str(exc), "ask as the user that runs the receiver; is the disk well?")
    if found is None:
        return HealthCheck("spool", True, f"no receiver has made one in {folder} yet")
    free = shutil.disk_usage(folder).free
    if found.events:
        age = max(0.0, time.time() - found.oldest / 1000)
        says = f"{found.events} events wait in {folder}, the oldest for {age:.0f} s, {found.size // MIB} MiB"
        return HealthCheck("spool", age < LONG, says, "mend the store: they go there by themselves, oldest first")
    if free < LEAST_DISK:
        return HealthCheck("spool", False, f"empty, and its disk has only {free // MIB} MiB left", "free some space")
    return HealthCheck("spool", True, f"empty, {free // MIB} MiB free")


def aside(folder: str) -> HealthCheck | None:
    """Return that events were set aside, None where none was."""
    found = state(folder)
    if found is None or not found.aside:
        return None
    return HealthCheck("aside", False, f"the store refused {found.aside} events again and again", "relais spool list")


def state(folder: str) -> spool.SpoolState | None:
    """Return what waits there; None where there is no spool, or nobody can tell."""
    with contextlib.suppress(spool.SpoolFailed):
        return spool.look(Path(folder)) if folder else None
    return None
