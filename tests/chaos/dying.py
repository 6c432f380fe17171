"""`relais receive` or `relais work` that dies once, at a named step: `python -m tests.chaos.dying work --workers 2`.

Comes in: the step's name and a file in the environment. Goes out: a process that kills itself (SIGKILL) the moment the
step is reached for the n-th time, leaving the file as a mark, so that whoever follows it lives. Production code knows
nothing of this: the named function is wrapped from here.
"""

import asyncio
import functools
import importlib
import inspect
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from console import cli
from console.processes import worker_process
from tests.chaos.steps import STEPS, DeathStep
from workers import pool
from workers.settings import WorkSettings

#: Names of the step and of the mark in the environment.
STEP, MARK = "CHAOS_STEP", "CHAOS_MARK"


def arm(step: DeathStep, mark: Path) -> None:
    """Wrap the step's function in this process."""
    module, _, path = step.function.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for each in parents:
        owner = getattr(owner, each)
    real = getattr(owner, name)
    calls = itertools.count(1)

    def strike(args: tuple[Any, ...], answer: Any) -> bool:
        return step.counts(args, answer) and next(calls) == step.n and not mark.exists()

    def die() -> None:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return  # Somebody else was first.
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # Whatever this thread wanted to do next it does not do.

    @functools.wraps(real)
    async def wrapped(*args: Any, **more: Any) -> Any:
        if step.when == "before" and strike(args, None):
            die()
        if step.when == "during" and strike(args, None):
            task = asyncio.ensure_future(real(*args, **more))
            for _ in range(5):  # The loop's turns until it is on its way.
                await asyncio.sleep(0)
            if step.middle:
                await asyncio.wait([task], timeout=step.middle)
            die()
            return await task
        answer = await real(*args, **more)
        if step.when == "after" and strike(args, answer):
            die()
        return answer

    @functools.wraps(real)
    def wrapped_plain(*args: Any, **more: Any) -> Any:
        if step.when == "before" and strike(args, None):
            die()
        answer = real(*args, **more)
        if step.when == "after" and strike(args, answer):
            die()
        return answer

    setattr(owner, name, wrapped if inspect.iscoroutinefunction(real) else wrapped_plain)


def arm_here() -> None:
    """Wrap what the environment names."""
    arm(STEPS[os.environ[STEP]], Path(os.environ[MARK]))


def worker(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker process that may die."""
    arm_here()
    worker_process.main(name, parent, settings)


def main() -> None:
    """Be `relais receive`, or the parent of workers."""
    if sys.argv[1] == "work":
        if STEPS[os.environ[STEP]].process == "parent":
            arm_here()
        pool.run(WorkSettings(), worker)
    else:
        arm_here()
        cli.main()


if __name__ == "__main__":
    main()
