"""A real Tryton: built once and kept in .cache/, copied and started for each test process."""

import contextlib
import datetime
import fcntl
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import GENEROUS, wait_until

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "tryton"

#: What install.sh says when the packages could not be fetched.
NO_PACKAGES = 3


@dataclass(frozen=True)
class Tryton:
    """A server that answers."""

    url: str
    key: str
    #: Its SQLite file.
    file: Path
    database: str = "shop"


def build() -> Path:
    """Return a folder with Tryton and its database, built now unless it was before. One process builds, others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / _fingerprint()
        if not (folder / "key").exists():
            for old in CACHE.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            _install(folder)
        return folder


def _fingerprint() -> str:
    """Return what a build depends on. The year is in it: the fiscal year is this one."""
    recipe = (HERE / "install.sh").read_bytes() + (HERE / "bootstrap.py").read_bytes()
    return hashlib.sha256(recipe + f"{sys.version} {datetime.date.today().year}".encode()).hexdigest()[:16]


def _install(folder: Path) -> None:
    command = ["sh", str(HERE / "install.sh"), str(folder), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == NO_PACKAGES and os.environ.get("CI") != "true":
        pytest.skip("TRYTON IS NOT TESTED: its packages could not be fetched from PyPI (in CI this fails)")
    if done.returncode:
        pytest.fail(f"Tryton could not be built:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


@pytest.fixture(scope="session")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tryton]:
    """A Tryton with one company and nothing else, for this process alone."""
    built = build()
    folder = tmp_path_factory.mktemp("tryton")
    shutil.copytree(built / "data", folder / "data")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"],
        "TRYTOND_DATABASE_URI": "sqlite://",
        "TRYTOND_DATABASE__PATH": str(folder / "data"),
        "TRYTOND_DATABASE__LANGUAGE": "en",
        "TRYTOND_DATABASE_NAMES": "shop",
    }
    # One thread: with more, SQLite loses half of concurrent creates.
    command = [str(built / "venv/bin/python"), "-m", "waitress", "--threads=1"]
    command += [f"--listen=127.0.0.1:{port}", "trytond.application:app"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(process, port), "Tryton answers")
        yield Tryton(f"http://127.0.0.1:{port}", (built / "key").read_text().strip(), folder / "data" / "shop.sqlite")
    finally:
        process.terminate()
        process.wait(GENEROUS)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "Tryton ended by itself"
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("OPTIONS", "/")
            return connection.getresponse().status == 204
    return False
