"""`relais receive` or `relais work` for runs under libfaketime: `python -m tests.chaos.jumping work`.

libfaketime 0.9.10 refuses the absolute sleeps of Python (EINVAL), so this process sleeps by select(2). Nothing else is
different.
"""

import select
import sys
import time
from pathlib import Path
from typing import SupportsIndex

from console import cli
from console.processes import worker_process
from workers import pool
from workers.settings import WorkSettings

#: Debian's faketime: changes what a process takes for the time, while it runs.
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def environ(clock: Path) -> dict[str, str]:
    """Return what makes a process take its time from a file."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # What measures a duration does not jump, here as in life.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(clock: Path, seconds: int) -> None:
    """Set such clocks so many seconds off, from now on."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{seconds:+d}\n")
    fresh.replace(clock)


def sleep(seconds: float | SupportsIndex) -> None:
    """Sleep as time.sleep does."""
    select.select([], [], [], float(seconds))


def worker(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker process."""
    time.sleep = sleep
    worker_process.main(name, parent, settings)


def main() -> None:
    """Be `relais receive`, or the parent of workers."""
    time.sleep = sleep
    if sys.argv[1] == "work":
        pool.run(WorkSettings(), worker)
    else:
        cli.main()


if __name__ == "__main__":
    main()
