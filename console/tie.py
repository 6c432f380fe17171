"""Ties a child process to its parent's life: when the parent dies, however it dies, the child gets a signal.

Comes in: nothing. Goes out: a function that runs in the child between fork and exec.
Does nothing where the kernel has no such thing (macOS): there an orderly stop is needed.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def to_parent(sign: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return the `preexec_fn` for a child of this process. Call it in the main thread: the tie is to the thread."""
    parent = os.getpid()

    def tie() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
        if os.getppid() != parent:  # it died before the tie was made
            os._exit(1)

    return tie
