"""Child processes of tests: they start with the usual signals, however the tests themselves were started.

Comes in: nothing but the signals of this process. Goes out: the same process, whose children can be stopped; who the
children of a process are. Never starts or stops anything.
"""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

#: Ignored in what `nohup` or a shell starts in the background; a child would inherit that for good.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def children_with_default_signals() -> Iterator[None]:
    """Replace ignored signals by handlers that do nothing: we still ignore them, our children do not.

    `exec` keeps an ignored signal ignored, but resets one with a handler to its default action.
    """
    ignored = [sign for sign in SIGNALS if signal.getsignal(sign) is signal.SIG_IGN]
    for sign in ignored:
        signal.signal(sign, lambda *_: None)
    try:
        yield
    finally:
        for sign in ignored:
            signal.signal(sign, signal.SIG_IGN)


def children(pid: int) -> list[int]:
    """Return the children of a process, by what the kernel says."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(folder.name))
    return sorted(found)
