"""What waits in the spool of this host, in words.

Comes in: the folder of the spool. Goes out: a HealthCheck, or its SpoolState for the metrics. Never writes into it.
"""

import contextlib
import shutil
import time
from pathlib import Path

from console.checks.store import HealthCheck
from console.render.tables import say_count
from receiver import spool

#: Age in seconds from which the oldest waiting event is a fault: a restart of the store takes less.
LONG = 60.0
MIB = 1024 * 1024
#: Below this much free disk nothing can be promised for the next outage of the store.
LEAST_DISK = 64 * MIB
NONE = "there is none: while the store is away, the answer is 503"


def check(folder: str) -> HealthCheck:
    """Return whether events wait there too long, or its disk is full."""
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
        says = (
            f"{say_count(found.events, 'event')} in {folder}, the oldest there for {age:.0f} s, {found.size // MIB} MiB"
        )
        return HealthCheck("spool", age < LONG, says, "mend the store: they go there by themselves, oldest first")
    if free < LEAST_DISK:
        return HealthCheck("spool", False, f"empty, and its disk has only {free // MIB} MiB left", "free some space")
    return HealthCheck("spool", True, f"empty, {free // MIB} MiB free")


def takes(folder: str) -> bool:
    """Say whether the spool of this host would take an event, as far as can be seen from here."""
    return state(folder) is not None and shutil.disk_usage(folder).free >= LEAST_DISK


def aside(folder: str) -> HealthCheck | None:
    """Return a failed check if events were set aside, None otherwise."""
    found = state(folder)
    if found is None or not found.aside:
        return None
    says = f"the store refused {say_count(found.aside, 'event')} again and again"
    return HealthCheck("aside", False, says, "relais spool list")


def state(folder: str) -> spool.SpoolState | None:
    """Return the state of the spool; None where there is none, or it cannot be read."""
    with contextlib.suppress(spool.SpoolFailed):
        return spool.look(Path(folder)) if folder else None
    return None
