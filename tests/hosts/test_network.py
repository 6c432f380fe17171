"""Machines apart, and nothing left of them."""

import os
import subprocess
import sys

import pytest

from tests.conftest import wait_until
from tests.hosts.network import Impossible, Network, run


@pytest.fixture(scope="module")
def possible() -> None:
    """Skips, and says why, where nobody can make network namespaces; in CI that is a failure."""
    try:
        with Network(["probe"], f"relaisprobe{os.getpid()}"):
            pass
    except Impossible as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no network namespaces here: {exc}")
        pytest.skip(f"NETWORKS ARE NOT TESTED, no network namespaces here: {exc}")


#: Listens where it is told, says so, and sends back what it hears, to one after the other.
ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 7)) as listening:
    print("listening", flush=True)
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(connection.recv(9))
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], 7), timeout=0.5) as connection:
    connection.sendall(b"hello")
    assert connection.recv(9) == b"hello"
"""


@pytest.mark.usefixtures("possible")
def test_links() -> None:
    """Machines hear each other until a link is cut or two groups are parted, and again afterwards; nothing stays."""
    with Network(["one", "two"]) as network:
        words = [*network.within("one"), sys.executable, "-c", ECHO, network.address("one")]
        echo = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert echo.stdout is not None
        echo.stdout.readline()

        def hears() -> bool:
            asking = [*network.within("two"), sys.executable, "-c", ASK, network.address("one")]
            return subprocess.run(asking, stderr=subprocess.DEVNULL).returncode == 0

        wait_until(hears, "they hear each other", 60)
        network.cut("one")
        assert not hears()
        network.mend("one")
        wait_until(hears, "the link is mended", 60)
        network.part(["one"], ["two"])
        assert not hears()
        network.join(["one"], ["two"])
        wait_until(hears, "both are joined", 60)
        tag = network.tag
    echo.stdout.close()
    assert echo.wait(60) == -9
    assert tag not in run("ip", "netns", "list")
