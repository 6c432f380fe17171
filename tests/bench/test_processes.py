"""Processes as the kernel counts them."""

import os
import subprocess
import sys

import pytest

from bench import processes
from tests.conftest import wait_until

#: Burns a little processor time in a child of its own, says so, and waits.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "sum(range(5_000_000)); print(1, flush=True); input()"])
child.wait()
"""


def test_a_family_is_counted_together() -> None:
    """The time of a child is its parent's as well, for a worker that starts others."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"1\n"
        assert len(processes.family(parent.pid)) == 2
        together = processes.cpu_seconds(parent.pid)
        child = processes.family(parent.pid)[1]
        assert together > processes.cpu_seconds(child) > 0
        assert parent.stdin
        parent.stdin.close()


def test_a_process_that_is_gone_used_nothing_more() -> None:
    """Between two readings a process may end; that is no crash of the bench."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    wait_until(lambda: processes.cpu_seconds(gone.pid) == 0, "it is gone")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core only")
def test_the_measured_process_has_a_core_of_its_own() -> None:
    """Whatever is measured shares no core with load, store and sink."""
    cores = processes.apart()
    assert len(cores.measured) == 1
    assert cores.others
    assert not cores.measured & cores.others
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        processes.pin(process.pid, cores.of(measured=True))
        assert os.sched_getaffinity(process.pid) == cores.measured
        assert process.stdin
        process.stdin.close()
        process.kill()


def test_memory_of_a_process() -> None:
    """A process has at least the memory that it filled and shares with nobody; it says who it is."""
    program = (
        "held = bytearray(b'1') * 50_000_000; open('/proc/self/comm', 'w').write('a worker'); "
        "print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"1\n"
        assert processes.name(process.pid) == "a worker"
        assert 50_000_000 < processes.pss_bytes(process.pid) < 100_000_000
        assert process.stdin
        process.stdin.close()
