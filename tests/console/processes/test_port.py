import os
import socket

import pytest

from console.errors import UserError
from console.processes import port


def test_taken() -> None:
    """A taken port is refused with who has it and a command that works instead."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(UserError, match=f"port {number} on 127.0.0.1 is taken") as refused:
            port.demand("127.0.0.1", number, "--port")
        other = port.choose("127.0.0.1", number)
    assert f"pid {os.getpid()}" in refused.value.message
    assert refused.value.mend.startswith("stop that, or take another port: --port ")
    assert other != number


def test_free() -> None:
    """A free port is taken as it is."""
    number = port.free("127.0.0.1")
    port.demand("127.0.0.1", number, "--port")
    assert port.choose("127.0.0.1", number) == number


def test_not_ours() -> None:
    """An address of another machine is refused with the mend."""
    with pytest.raises(UserError, match=r"192\.0\.2\.1:8080 cannot be listened on"):
        port.demand("192.0.2.1", 8080, "--port")
