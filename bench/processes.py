"""Processes according to /proc: descendants, processor time, memory, CPU affinity.

Comes in: process ids. Goes out: seconds of processor time, bytes. Never starts or ends a process; Linux only (`/proc`).
"""

import os
import time
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
    members = [(each, fields) for each in family(pid) if (fields := _stat(each))]
    return sum(_own_seconds(each) + sum(map(int, fields[13:15])) / TICK for each, fields in members)


def name(pid: int) -> str:
    """Return the name that a process gave itself, or that of its program. Raises OSError if it is gone."""
    return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process: a page of several counts for a share. Raises OSError if gone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _own_seconds(pid: int) -> float:
    """Return the processor time of one process, in nanoseconds where /proc has hundredths; 0 if it is gone.

    Linux has a clock for each process, whose number clock_getcpuclockid(3) computes like this.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (the name may hold spaces), nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


@dataclass(frozen=True)
class MachineTime:
    """Seconds of processor time of the whole machine since it was started, all cores together."""

    total: float
    #: In processes, ours and others; what the kernel did between them is nobody's.
    used: float
    #: Taken away by the host for other machines.
    stolen: float

    @classmethod
    def read(cls, text: str | None = None) -> "MachineTime":
        """Read /proc/stat."""
        line = (Path("/proc/stat").read_text() if text is None else text).partition("\n")[0]
        user, nice, system, idle, iowait, irq, softirq, steal, *_ = (int(word) / TICK for word in line.split()[1:])
        return cls(user + nice + system + idle + iowait + irq + softirq + steal, user + nice + system, steal)


@dataclass(frozen=True)
class Disturbance:
    """What kept the machine from us, as shares of all its processor time."""

    others: float = 0.0
    stolen: float = 0.0

    @classmethod
    def between(cls, before: MachineTime, after: MachineTime, ours: float) -> "Disturbance":
        """Return it for a span in which our processes used so many seconds."""
        total = max(after.total - before.total, 1 / TICK)
        others = max(0.0, after.used - before.used - ours)
        return cls(others / total, (after.stolen - before.stolen) / total)


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
