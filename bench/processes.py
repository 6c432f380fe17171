"""Processes according to /proc: descendants, processor time, CPU affinity.

Comes in: process ids. Goes out: seconds, bytes. Linux only (`/proc`), as the bench is.
"""

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    out = [pid]
    for each in out:
        out += children.get(each, [])
    return out


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, its descendants and those of them that ended."""
    return sum(sum(map(int, fields[11:15])) for each in family(pid) if (fields := _stat(each))) / TICK


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (the name may hold spaces), nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


@dataclass(frozen=True)
class Cores:
    """The cores of the measured process, and those of all others; empty: not restricted."""

    measured: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()

    def __str__(self) -> str:
        if not self.measured:
            return "nothing"
        return f"measured process on core {_names(self.measured)}, load, store and sink on {_names(self.others)}"

    def of(self, *, measured: bool) -> frozenset[int]:
        """Return the cores of a process."""
        return self.measured if measured else self.others


def _names(cores: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cores)))


def apart() -> Cores:
    """Reserve a core for the measured process, if there is more than one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return Cores()
    return Cores(frozenset(available[:1]), frozenset(available[1:]))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Restrict a process that has just started, and its future children, to some cores."""
    if cores:
        os.sched_setaffinity(pid, cores)
