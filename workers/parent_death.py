"""Ask the kernel (PR_SET_PDEATHSIG) to signal this process when its parent dies, however it dies.

Comes in: the parent's process id, in the child. Goes out: nothing. Never acts where the kernel has no such call
(macOS): there a drain compares its parent's id once a second, and other processes end by an orderly stop only.
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


def die_with_parent(parent: int) -> None:
    """Let the kernel send SIGTERM to this process when its parent ends. Exits at once if that has happened already."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def to_parent() -> Callable[[], None]:
    """Return the `preexec_fn` for a child of this process.

    Call it in the main thread: the kernel signals the child when the thread that started it ends.
    """
    return partial(die_with_parent, os.getpid())
