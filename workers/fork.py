"""A process of ours that begins as a copy of this one: what is imported here is shared with it, not loaded again.

Comes in: what the process runs. Goes out: the process, which keeps no descriptor, signal handler or event loop of its
parent. Never forks where the libraries of the system do not bear it (macOS): a process starts afresh (spawned) there.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

#: Whether a process begins as a copy; else it imports all it needs itself.
COPIES = sys.platform == "linux"
_Process = multiprocessing.get_context("fork").Process if COPIES else multiprocessing.get_context("spawn").Process
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def process(name: str, run: Callable[..., None], *args: object, keeps: Sequence[int] = ()) -> BaseProcess:
    """Return a process that is not started yet and runs `run(*args)`, to start within `signals_held`.

    `name`: what `top` calls it, up to 15 letters. `keeps`: descriptors that it inherits, beside the first three.
    """
    return _Process(target=_run, args=(run, args, tuple(keeps)), name=name)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals back in the block: one that comes before a new process has its own handlers must not run ours."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(run: Callable[..., None], args: tuple[object, ...], keeps: tuple[int, ...]) -> None:
    if COPIES:
        signal.set_wakeup_fd(-1)  # it leads into the parent's event loop
        for sign in _SIGNALS:
            if callable(signal.getsignal(sign)):  # what is ignored stays ignored, as in a program that is started
                signal.signal(sign, signal.SIG_DFL)
        # The parent's objects go on to exist here, and nobody touches them.
        low = 3
        for number in (*sorted(keeps), os.sysconf("SC_OPEN_MAX")):
            os.closerange(low, number)
            low = number + 1
        with contextlib.suppress(OSError):  # its command line is that of its parent
            Path("/proc/self/comm").write_text(multiprocessing.current_process().name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    run(*args)
