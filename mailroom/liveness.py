"""Where a process lives, and whether it is gone: boot, namespace of process ids, process id and when it began.

Comes in: nothing, or what another process said of itself. Goes out: a text, or whether that process certainly is no
more. Never guesses: what another host or container says of itself cannot be known here.
"""

import os
from functools import lru_cache
from pathlib import Path

PROC = Path("/proc")


def place() -> str:
    """Return where this process lives; empty where the system does not tell (macOS)."""
    here = _here()
    began = _began(os.getpid())
    return f"{here} {os.getpid()} {began}" if here and began else ""


def is_gone(said: str) -> bool:
    """Say whether a process that lived on this host, among our process ids, is certainly no more."""
    process = number(said)
    return process > 0 and _began(process) != said.rpartition(" ")[2]


def number(said: str) -> int:
    """Return the process id of a process on this host, among ours; 0: it lives elsewhere, or has not told."""
    boot_and_namespace, _, process = said.rpartition(" ")[0].rpartition(" ")
    return int(process) if process.isdigit() and boot_and_namespace == _here() != "" else 0


@lru_cache(maxsize=1)
def _here() -> str:
    """Return this boot of this machine, and our namespace of process ids: both as the kernel names them."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _began(process: int) -> str:
    """Return when a process began, in ticks since the boot (proc(5), field 22); empty: there is none, or a zombie."""
    try:
        fields = (PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
