"""Whether a process is gone, asked of real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from mailroom import liveness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")

TELL = "from mailroom import liveness; print(liveness.place(), flush=True); input()"


def test_gone() -> None:
    """A process is there until it has ended, also while nobody has asked for its status yet."""
    with subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        assert said
        assert not liveness.is_gone(said)
        process.stdin.close()
        process.stdout.read()  # until it ends
        process.wait()
        assert liveness.is_gone(said)


def test_this_one() -> None:
    """This process lives; one of the same number that began at another time is another one."""
    said = liveness.place()
    assert not liveness.is_gone(said)
    assert liveness.is_gone(said.rpartition(" ")[0] + " 1")


@pytest.mark.parametrize("part", [0, 1])
def test_elsewhere(part: int) -> None:
    """Of another boot, machine or container nobody here knows anything."""
    words = liveness.place().split(" ")
    words[part], words[-1] = "another", "1"
    assert not liveness.is_gone(" ".join(words))


@pytest.mark.parametrize("said", ["", "x", "a b c", "a b c d e f"])
def test_nonsense(said: str) -> None:
    """What says nothing says nothing of a death."""
    assert not liveness.is_gone(said)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without /proc nothing is said, and nobody is gone."""
    said = liveness.place()
    monkeypatch.setattr(liveness, "PROC", tmp_path)
    liveness._here.cache_clear()
    try:
        assert liveness.place() == ""
        assert not liveness.is_gone(said)
    finally:
        liveness._here.cache_clear()
