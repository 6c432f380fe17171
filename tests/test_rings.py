"""The quick ring leaves out what needs a process or a socket, and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

TESTS = """
import contextlib, os, socket, subprocess, threading
import pytest

@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening

def test_pure():
    assert 1 + 1 == 2

def test_wrong():
    assert 1 + 1 == 3

@pytest.mark.skip(reason="for a reason of its own")
def test_left_out():
    pass

def test_process():
    subprocess.run(["true"])

def test_fork():
    if os.fork() == 0:
        os._exit(0)

def test_socket():
    socket.create_connection(("127.0.0.1", 1))

def test_first(server):
    pass

def test_second(server):
    pass

def test_catches_everything():
    with contextlib.suppress(BaseException):
        subprocess.run(["true"])

def test_fails_for_it():
    thread = threading.Thread(target=subprocess.run, args=(["true"],))
    thread.start()
    thread.join()
    assert False

def test_what_follows():
    assert 1 + 1 == 2
"""


def outcomes(folder: Path, *options: str) -> dict[str, list[str]]:
    """Run the tests above; return their names by what became of them."""
    (folder / "test_some.py").write_text(TESTS)
    words = ["-p", "tests.rings", "-p", "no:cacheprovider", "-rA", "--tb=no", "-c", "/dev/null", "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *options, "test_some.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found: dict[str, list[str]] = {"text": [done.stdout + done.stderr]}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED"):
            found.setdefault(word, []).append(rest.partition("::")[2].partition(" ")[0])
    return found


def test_quick(tmp_path: Path) -> None:
    """Tests that start a process or open a socket are skipped whatever became of them, the others say what they say."""
    found = outcomes(tmp_path, "--quick")
    assert found.get("PASSED") == ["test_pure", "test_what_follows"], found["text"]
    assert found.get("FAILED") == ["test_wrong"], found["text"]
    assert "SKIPPED [7]" in found["text"][0], "one line for all, though a fixture was stopped only once"
    assert "for a reason of its own" in found["text"][0]


def test_all(tmp_path: Path) -> None:
    """Without `--quick` nothing is stopped."""
    found = outcomes(tmp_path, "--deselect", "test_some.py::test_socket")
    assert found.get("FAILED") == ["test_wrong", "test_fails_for_it"], found["text"]
    assert {"test_process", "test_fork", "test_first", "test_second"} <= set(found["PASSED"])
