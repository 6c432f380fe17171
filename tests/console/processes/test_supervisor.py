import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from console.errors import CANNOT_RUN, UserError
from console.processes import supervisor
from console.processes.supervisor import Child, Supervisor
from tests.conftest import GENEROUS, wait_until, wait_until_async


class Lines:
    """Keeps what children say."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.said.append((name, line))

    def has(self, name: str, text: str) -> bool:
        return any(who == name and text in line for who, line in self.said)


def python(name: str, code: str, **options: object) -> Child:
    return Child(name, [sys.executable, "-u", "-c", code], **options)  # type: ignore[arg-type]


SLEEPS = "import time; print('here'); time.sleep(60)"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stops_in_order() -> None:
    """Children stop one after the other, the last started first, and nothing of them is left."""
    lines = Lines()
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('stops'), time.sleep(0.1), print('gone'), sys.exit()))\n"
        "print('here')\n"
        "time.sleep(60)"
    )

    async def run() -> dict[str, int]:
        async with Supervisor([python("first", code), python("second", code)], lines) as running:
            await wait_until_async(_both_here(lines), "both run")
            return running.pids()

    pids = asyncio.run(run())
    assert [line for line in lines.said if line[1] != "here"] == [
        ("second", "stops"),
        ("second", "gone"),
        ("first", "stops"),
        ("first", "gone"),
    ]
    assert not any(alive(pid) for pid in pids.values())


def _both_here(lines: Lines) -> Callable[[], Awaitable[bool]]:
    async def fact() -> bool:
        return lines.has("first", "here") and lines.has("second", "here")

    return fact


def test_restarts() -> None:
    """A child that dies is started again, and it is said how it died."""
    lines = Lines()

    async def run() -> None:
        async with Supervisor([python("one", SLEEPS)], lines) as running:
            before = running.pids()["one"]
            os.kill(before, signal.SIGKILL)

            async def again() -> bool:
                return running.pids().get("one", before) != before

            await wait_until_async(again, "it runs again")

    asyncio.run(run())
    assert lines.has("one", "ended with signal SIGKILL; starts again in 0.2 s")


def test_cannot_run() -> None:
    """A child that says it can never run (status 3) ends everything with its last words."""

    async def run() -> None:
        code = f"import sys; print('port 80 is taken'); sys.exit({CANNOT_RUN})"
        async with Supervisor([python("one", SLEEPS), python("two", code)], Lines()) as running:
            await running.forever()

    with pytest.raises(UserError, match="two ended with status 3"):
        asyncio.run(run())


def test_never_ready() -> None:
    """A base that ends before it is ready keeps the others from starting."""
    lines = Lines()

    async def never() -> bool:
        return False

    async def run() -> None:
        base = python("base", "print('no'); raise SystemExit(1)", base=True, ready=never)
        async with Supervisor([base, python("other", SLEEPS)], lines):
            pass

    with pytest.raises(UserError, match="base ended with status 1"):
        asyncio.run(run())
    assert not lines.has("other", "here")


def test_does_not_stop() -> None:
    """A child that ignores SIGTERM is killed with all it started, after the time it was given."""
    lines = Lines()
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\n"
        "time.sleep(60)"
    )

    async def run() -> int:
        async with Supervisor([python("one", code, stop_within=0.2)], lines):

            async def told() -> bool:
                return bool(lines.said)

            await wait_until_async(told, "it told its child's pid")
            return int(lines.said[0][1])

    grandchild = asyncio.run(run())
    wait_until(lambda: not alive(grandchild), "the grandchild has gone")
    assert lines.has("one", "did not stop within 0.2 s; killed")


def test_tied_to_the_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed, its children go with it."""
    if sys.platform != "linux":
        pytest.skip("only Linux has the tie")
    code = """
import asyncio, sys
from console.processes.supervisor import Child, Supervisor

async def run():
    async with Supervisor([Child("one", [sys.executable, "-c", "import time; time.sleep(60)"])]) as running:
        print(running.pids()["one"], flush=True)
        await asyncio.sleep(60)

asyncio.run(run())
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.communicate(timeout=GENEROUS)
    wait_until(lambda: not alive(child), "the child has gone")


def test_relais_ignores_the_folder() -> None:
    """Our own processes never import what lies in the current folder: a user's may hold a folder `rules`."""
    assert supervisor.relais("work")[1:] == ["-P", "-m", "console.cli", "work"]
