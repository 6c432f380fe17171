"""A process that begins as a copy has what its parent imported, and nothing else of it."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest

from workers import fork

pytestmark = pytest.mark.skipif(not fork.COPIES, reason="here a process starts afresh")


def run(what: Callable[..., None], *args: object, keeps: tuple[int, ...] = ()) -> int | None:
    """Run it in a process to its end; return the status."""
    process = fork.process("relais test", what, *args, keeps=keeps)
    with fork.signals_held():
        process.start()
    process.join()
    return process.exitcode


def say_open(answer: int, *descriptors: int) -> None:
    """Write which of the descriptors are open here."""
    found = []
    for number in descriptors:
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(str(number))
    os.write(answer, " ".join(found).encode())


def test_descriptors() -> None:
    """Of the parent's descriptors it has the first three and those that it is given."""
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as given, socket.create_server(("127.0.0.1", 0)) as other:
        numbers = (0, 1, 2, given.fileno(), other.fileno(), reading)
        assert run(say_open, writing, *numbers, keeps=(given.fileno(), writing)) == 0
        assert os.read(reading, 100).decode() == f"0 1 2 {given.fileno()}"
    os.close(reading)
    os.close(writing)


def say_signals(answer: int) -> None:
    """Write what happens at signals here, and whether one wakes somebody else's loop."""
    said = [signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    os.write(answer, f"{[int(each) for each in said]} {blocked} {signal.set_wakeup_fd(-1)}".encode())  # type: ignore[arg-type]


def test_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals do there what they do in a program that was started: the parent's handlers and its loop hear none."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    reading, writing = os.pipe()
    waking, woken = socket.socketpair()
    woken.setblocking(False)
    try:
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(woken.fileno())
        assert run(say_signals, writing, keeps=(writing,)) == 0
    finally:
        signal.set_wakeup_fd(-1)
        for sign, handler in before.items():
            signal.signal(sign, handler)
        waking.close()
        woken.close()
    default, ignored = int(signal.SIG_DFL), int(signal.SIG_IGN)
    assert os.read(reading, 100).decode() == f"{[default, default, ignored]} set() -1"
    os.close(reading)
    os.close(writing)


def test_early_signal() -> None:
    """A signal that comes before the process has handlers of its own ends it, and no handler of the parent runs."""
    code = """
    import os, signal, sys, time
    from workers import fork

    signal.signal(signal.SIGTERM, lambda *_: print("handler of", os.getpid(), flush=True))
    process = fork.process("relais test", time.sleep, 60)
    with fork.signals_held():
        # The first thing that happens in the copy.
        os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
        process.start()
    process.join()
    print(process.exitcode)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{-signal.SIGTERM}\n"


def test_name() -> None:
    """It has a name of its own among the processes of the system."""
    process = fork.process("relais test", time.sleep, 60)
    with fork.signals_held():
        process.start()
    try:
        with open(f"/proc/{process.pid}/comm") as file:
            deadline = time.monotonic() + 20
            while (name := file.read()) != "relais test\n" and time.monotonic() < deadline:
                time.sleep(0.01)
                file.seek(0)
        assert name == "relais test\n"
    finally:
        process.kill()
        process.join()
