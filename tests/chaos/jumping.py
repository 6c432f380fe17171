"""`relais receive` or `relais work` for runs under libfaketime: `python -m tests.chaos.jumping work`.

libfaketime 0.9.10 refuses the absolute sleeps of Python (EINVAL), so this process sleeps by select(2). Nothing else is
different.
"""

import select
import sys
import time
from typing import SupportsIndex

from console import cli, worker_process
from workers import pool
from workers.settings import WorkSettings


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
