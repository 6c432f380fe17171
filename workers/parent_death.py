"""Ties a process to the life of its parent: when the parent dies, however it dies, the kernel tells the child.

Comes in: the parent's process id, in the child. Does nothing where the kernel has no such thing (macOS): there a drain
notices by its parent's id once a second, and everything else needs an orderly stop.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def tie(parent: int, sign: signal.Signals = signal.SIGTERM) -> None:
    """Let the kernel send `sign` to this process when its parent ends. Exits at once if that has happened already."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def to_parent() -> Callable[[], None]:
    """Return the `preexec_fn` for a child of this process. Call it in the main thread: the tie is to the thread."""
    return partial(tie, os.getpid())
