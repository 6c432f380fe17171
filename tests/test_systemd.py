"""The units that are shipped: what systemd says of them, and that a restart behind its socket refuses nobody."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.processes import port
from receiver import server
from tests.conftest import GENEROUS, PrivateValkey, wait_until
from tests.receiver import book
from tests.receiver.port import kept_in
from tests.system.test_rolling import Caller
from tests.test_compose import KNOWN, parse

ROOT = Path(__file__).parents[1]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROGRAM = "/opt/relais/bin/relais"
#: Ours.
RELAIS = str(Path(sys.executable).parent / "relais")
#: How much a unit may do at the most, out of 10, as `systemd-analyze security` counts. Without our lines it is 9.2.
MOST_EXPOSED = 1.5


def lines(unit: Path, key: str) -> list[str]:
    """Return the values of a key."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, the program being ours: systemd says of one that is missing that it is no unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("THE UNITS ARE NOT VERIFIED: there is no systemd-analyze")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, RELAIS))
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Ask systemd."""
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=GENEROUS)


def test_verified(installed: Path) -> None:
    """systemd finds nothing to say about any unit."""
    done = analyze("verify", *sorted(installed.iterdir()))
    ours = [line for line in done.stderr.splitlines() if "relais" in line]
    assert (done.returncode, ours) == (0, [])


def test_verifying_verifies(installed: Path) -> None:
    """The check above sees a key that systemd does not know."""
    unit = installed / "relais.service"
    unit.write_text(unit.read_text().replace("RestartSec=", "RestartSecs="))
    assert "RestartSecs" in analyze("verify", unit).stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_confined(installed: Path, unit: Path) -> None:
    """What a unit may do beyond its work is bounded: systemd's own score."""
    done = analyze("security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", installed / unit.name)
    assert done.returncode == 0, done.stdout


def test_confinement_is_bounded(installed: Path) -> None:
    """The check above refuses a unit without those lines."""
    unit = installed / "relais.service"
    unit.write_text(re.sub(r"(?m)^(System|Protect|Restrict|Private|Capability|NoNew).*\n", "", unit.read_text()))
    done = analyze("security", "--offline=true", f"--threshold={int(MOST_EXPOSED * 10)}", unit)
    assert done.returncode != 0


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_command(unit: Path) -> None:
    """Each unit runs a command that exists, with settings of it that exist; it ends in time."""
    [command] = lines(unit, "ExecStart")
    assert command.startswith(f"{PROGRAM} ")
    parse(["relais", *command.split()[1:]])
    [environment] = lines(unit, "Environment")
    process = command.split()[1]
    for word in environment.split():
        name = word.partition("=")[0]
        assert process == "up" or {process, "all"} & set(KNOWN[name].processes)
    assert int(lines(unit, "TimeoutStopSec")[0]) > (60 if process == "up" else 10)
    assert int(lines(unit, "LimitNOFILE")[0]) >= 65536


def test_the_same_confinement() -> None:
    """All units are confined by the same lines."""
    parts = {unit.read_text().partition("UMask=")[2] for unit in SERVICES}
    assert len(parts) == 1
    assert "SystemCallFilter=" in parts.pop()


def test_sockets() -> None:
    """Each socket belongs to the service that is the receiver, listens on loopback, with the receiver's own backlog."""
    sockets = [unit for unit in UNITS if unit.suffix == ".socket"]
    assert [unit.stem for unit in sockets] == ["relais-receive", "relais"]
    for unit in sockets:
        assert unit.with_suffix(".service") in SERVICES
        assert lines(unit, "ListenStream") == ["127.0.0.1:8080"]
        assert lines(unit, "Backlog") == [str(server.BACKLOG)]


#: What systemd does with a socket that it holds: it is number 3 of the process, which is told that it is for it.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


class HeldReceiver:
    """`relais receive` as a unit runs it, its socket being held by somebody else."""

    def __init__(self, folder: Path, url: str, held: socket.socket) -> None:
        environ = {**os.environ, **book.ENVIRON, "REDIS_URL": url, "RELAIS_SPOOL": str(folder / "spool")}
        environ["RELAIS_BOOK"] = str(book.write(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), sys.executable, RELAIS, "receive"],
            env=environ,
            pass_fds=(held.fileno(),),
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> int:
        """Stop it as systemd does, and wait for its end."""
        self.process.terminate()
        return self.process.wait(GENEROUS)


@contextlib.contextmanager
def sending(number: int, many: int) -> Iterator[list[Caller]]:
    """Callers that send without a break until the end."""
    callers = [Caller(number, who, patience=GENEROUS) for who in range(1, many + 1)]
    for each in callers:
        each.start()
    try:
        yield callers
    finally:
        for each in callers:
            each.over.set()
        for each in callers:
            each.join(GENEROUS)


def test_restart_refuses_nobody(tmp_path: Path, valkey: PrivateValkey) -> None:
    """The unit is restarted under load, one receiver after the other: nobody is refused, and all that was acknowledged
    is kept."""
    with server.listen("127.0.0.1", 0) as held, sending(held.getsockname()[1], 6) as callers:
        for _ in range(3):
            sent = sum(len(each.acknowledged) for each in callers)
            receiver = HeldReceiver(tmp_path, valkey.url, held)
            try:
                wait_until(
                    lambda n=sent: sum(len(each.acknowledged) for each in callers) > n + 60,  # type: ignore[misc]
                    "it takes webhooks",
                )
            finally:
                assert receiver.stop() == 0
        # The callers wait in the socket that nobody serves now; the last receiver answers them.
        last = HeldReceiver(tmp_path, valkey.url, held)
        for each in callers:
            each.over.set()
        for each in callers:
            each.join(GENEROUS)
        assert last.stop() == 0
    assert [wrong for each in callers for wrong in each.wrong] == []
    acknowledged = [id for each in callers for id in each.acknowledged]
    assert len(acknowledged) > 180
    assert kept_in(valkey.url, acknowledged) == len(acknowledged)


def test_socket_activation(tmp_path: Path, valkey: PrivateValkey) -> None:
    """systemd's own program holds a socket and starts the receiver with the first webhook, which is answered."""
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("SOCKET ACTIVATION IS NOT TRIED: there is no systemd-socket-activate")
    number = port.free("127.0.0.1")
    environ = {**os.environ, **book.ENVIRON, "REDIS_URL": valkey.url, "RELAIS_SPOOL": str(tmp_path / "spool")}
    environ["RELAIS_BOOK"] = str(book.write(tmp_path))
    passed = [f"--setenv={name}" for name in environ if name.isupper()]
    process = subprocess.Popen(
        [
            "systemd-socket-activate",
            *passed,
            "-l",
            f"127.0.0.1:{number}",
            Path(sys.executable).parent / "relais",
            "receive",
        ],
        env=environ,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: is_listening(number), "systemd listens")
        with sending(number, 1) as [caller]:
            wait_until(lambda: len(caller.acknowledged) > 5, "the receiver answers")
        assert caller.wrong == []
    finally:
        process.terminate()
        assert process.wait(GENEROUS) == 0


def is_listening(number: int) -> bool:
    """Whether somebody listens on a port of this machine; asks the kernel: a connection would start it."""
    hexadecimal = f"0100007F:{number:04X}"
    rows = Path("/proc/net/tcp").read_text().splitlines()
    return any(row.split()[1] == hexadecimal and row.split()[3] == "0A" for row in rows[1:])
