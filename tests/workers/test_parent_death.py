"""Whoever is tied to its parent goes when that goes."""

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import wait_until

#: A parent that starts a child which is tied to it, says the child's id and waits.
PARENT = """\
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import os, sys, time
from workers import parent_death
parent_death.die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(60)
''', str(os.getpid())])
child.wait()
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_killed_parent() -> None:
    """A child whose parent is killed is told by the kernel."""
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_alive(child), "the child has gone")


def test_parent_gone_before() -> None:
    """A child that comes to life after its parent's death ends at once."""
    code = "from workers import parent_death; parent_death.die_with_parent(1 << 30); print('still here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tied_to_a_living_parent() -> None:
    """A child of a living parent goes on."""
    code = (
        "import os; from workers import parent_death; parent_death.die_with_parent(os.getppid()); print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.stdout == "still here\n"
