"""Ties a process to the life of its parent: when the parent dies, however it dies, the child is told.

Called in the child. Where the kernel has no such thing (macOS), a drain notices by its parent's id once a second.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tie(parent: int, sign: signal.Signals = signal.SIGTERM) -> None:
    """Let the kernel send `sign` to this process when its parent ends. Exits at once if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)
