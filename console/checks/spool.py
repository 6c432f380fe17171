"""What waits in the spool of this host, in words.

Comes in: the folder of the spool. Goes out: a HealthCheck, or its SpoolState for the metrics. Never writes into it.
"""

import contextlib
import shutil
import time
from pathlib import Path

from console.checks.store import HealthCheck
from mailroom.sentences import say
from receiver import spool

#: Age in seconds from which the oldest waiting event is a fault: a restart of the store takes less.
LONG = 60.0
MIB = 1024 * 1024
#: Below this much free disk nothing can be promised for the next outage of the store.
LEAST_DISK = 64 * MIB


def check(folder: str) -> HealthCheck:
    """Return whether events wait there too long, or its disk is full."""
    if not folder:
        return HealthCheck.of("spool", True, "spool_none")
    try:
        found = spool.look(Path(folder))
    except spool.SpoolFailed as exc:
        return HealthCheck.of("spool", False, "spool_broken", said=str(exc))
    if found is None:
        return HealthCheck.of("spool", True, "spool_unmade", folder=folder)
    free = shutil.disk_usage(folder).free
    if found.events:
        age = max(0.0, time.time() - found.oldest / 1000)
        told = {"events": say("events", n=found.events), "folder": folder, "seconds": round(age)}
        return HealthCheck.of("spool", age < LONG, "spool_holds", **told, size=found.size // MIB)
    if free < LEAST_DISK:
        return HealthCheck.of("spool", False, "spool_disk_short", free=free // MIB)
    return HealthCheck.of("spool", True, "spool_empty", free=free // MIB)


def takes(folder: str) -> bool:
    """Say whether the spool of this host would take an event, as far as can be seen from here."""
    return state(folder) is not None and shutil.disk_usage(folder).free >= LEAST_DISK


def aside(folder: str) -> HealthCheck | None:
    """Return a failed check if events were set aside, None otherwise."""
    found = state(folder)
    if found is None or not found.aside:
        return None
    return HealthCheck.of("aside", False, "set_aside", events=say("events", n=found.aside))


def state(folder: str) -> spool.SpoolState | None:
    """Return the state of the spool; None where there is none, or it cannot be read."""
    with contextlib.suppress(spool.SpoolFailed):
        return spool.look(Path(folder)) if folder else None
    return None
