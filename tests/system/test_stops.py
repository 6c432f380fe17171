"""SIGTERM under load, of everything that people start: nothing is lost, no lease stays, it ends in time."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bench.stage import BenchStage, bodies
from mailroom import Mailroom
from tests.backlog import _event
from tests.chaos.processes import StormProcesses as Whole
from tests.chaos.processes import free_port
from tests.conftest import GENEROUS, wait_until
from tests.processes import children
from tests.system.processes import SystemProcesses, event
from tests.workers.worker_fixture import NOTE


class Up(Whole):
    """`relais up`, with a store of the test's own."""

    def start(self, name: str) -> None:
        if name != "up":
            super().start(name)
            return
        environ = {**self.environ(name), "RELAIS_PORT": str(self.port), "RELAIS_CONSOLE_PORT": str(free_port())}
        with (self.folder / "up.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "console.cli", "up"], cwd=self.folder, env=environ, stdout=log, stderr=log
            )


@pytest.fixture
def up() -> Iterator[Up]:
    """A house in which `relais up` runs everything but the store."""
    with Up() as one:
        yield one


async def _stop_under_load(up: Up) -> tuple[int, int, int]:
    up.start("store")
    wait_until((up.folder / "s").exists, "the store is there")
    up.start("up")
    await up.until_up()
    over = asyncio.Event()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GENEROUS)) as session:

        async def all_of(key: str) -> None:
            while not over.is_set():
                await up.send(session, key)

        sending = [asyncio.create_task(all_of(f"p{n}@example.org")) for n in range(20)]
        while len(up.promised) < 200:  # noqa: ASYNC110 - what others do is counted
            await asyncio.sleep(0.01)
        process = up.processes["up"]
        process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(process.wait, GENEROUS)
        over.set()
        async with await Mailroom.open(up.url) as mailroom:
            leased = sum(room.leased for room in await mailroom.rooms())
            drains = len(await mailroom.beats())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    return status, leased, drains


def test_up(up: Up) -> None:
    """`relais up` is stopped under load: status 0, no lease, no drain; what was acknowledged arrives later."""
    status, leased, drains = asyncio.run(_stop_under_load(up))
    assert (status, leased, drains) == (0, 0, 0), up.logs()
    # Each process ended by itself, within the seconds that it gives itself; the supervisor had to kill none.
    assert "did not stop within" not in (up.folder / "up.log").read_text()
    up.start("up")

    async def arrives() -> set[tuple[str, int]]:
        await up.until_up()
        facts = await up.facts(await up.settle(GENEROUS))
        return set(facts.acknowledged) - {(key, n) for key, numbers in facts.effects.items() for n in numbers}

    assert asyncio.run(arrives()) == set()


def test_console(house: SystemProcesses) -> None:
    """The console ends with status 0 although somebody waits for an event, and does not wait for that event."""
    number = free_port()
    environ = {**os.environ, "REDIS_URL": house.valkey.url, "RELAIS_CONSOLE_PORT": str(number)}
    words = [sys.executable, "-m", "console.cli", "console"]
    console = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    house.put(event("e1"))
    try:
        wait_until(lambda: answers(number), "the console answers")
        with socket.create_connection(("127.0.0.1", number)) as waiting:
            waiting.sendall(b"GET /events/e1?wait=30 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert answers(number)
            console.terminate()
            assert console.wait(GENEROUS) == 0
            assert b"200 OK" not in read_rest(waiting)
    finally:
        console.kill()
        console.wait()


def read_rest(connection: socket.socket) -> bytes:
    """Return what a server sent before it closed the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            found += more
    return found


def answers(number: int) -> bool:
    """Whether the console is there."""
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=GENEROUS)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def test_rolling_workers(house: SystemProcesses) -> None:
    """`relais work` processes replace each other under load: all is delivered, once and in order."""
    house.write(NOTE)
    house.far.fail(times=None, delay=0.02)
    old = house.work()
    house.put(*(event(f"e{n}", f"p{n % 20}") for n in range(600)))
    for _ in range(2):
        new = house.work(wait=False)
        wait_until(lambda: len(house.drains()) == 2, "both work")
        assert old.stop() == 0
        assert len(house.drains()) == 1
        old = new
    house.far.mend()
    house.idle(GENEROUS)
    for person in range(20):
        assert house.texts(f"p{person}") == [f"e{n}" for n in range(person, 600, 20)]


def memory_of(stage: BenchStage) -> float:
    """Return what the one worker keeps in memory, in MB."""
    (worker,) = children(stage.pids["work"])
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_worker_memory() -> None:
    """A worker that has delivered four times as much keeps no more in memory."""
    with BenchStage() as stage:
        stage.valkey()
        stage.workers(1)

        async def deliver(first: int, count: int) -> None:
            async with await Mailroom.open(stage.url) as mailroom:
                for n in range(first, first + count, 500):
                    some = bodies(500, start=n)
                    now = "2026-11-21T10:00:00.000Z"
                    await mailroom.put([_event(n + at, body, now) for at, body in enumerate(some)])
            stage.wait(lambda: stage.sink()["count"] >= first + count, "all is delivered", 60, every=0.1)

        asyncio.run(deliver(0, 5_000))
        before = memory_of(stage)
        asyncio.run(deliver(5_000, 15_000))
        after = memory_of(stage)
        print(f"after 5,000: {before:.0f} MB, after 20,000: {after:.0f} MB")
        assert after - before < 12
