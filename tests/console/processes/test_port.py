import errno
import os
import re
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


def test_more_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port below 1024 is refused with one that this user may have."""
    monkeypatch.setattr(port, "refused", lambda host, number: OSError(errno.EACCES, "Permission denied"))
    with pytest.raises(UserError, match="port 80 needs more rights than this user has") as refused:
        port.demand("127.0.0.1", 80, "--port")
    assert re.fullmatch(r"use one above 1023: --port \d{4,5}", refused.value.mend)


@pytest.mark.parametrize(("wanted", "chosen"), [(8080, 8090), (8081, 8091)])
def test_nearest(wanted: int, chosen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest free port is one that a person recognises, ten above."""
    monkeypatch.setattr(port, "refused", lambda host, number: OSError() if number == wanted else None)
    assert port.choose("127.0.0.1", wanted) == chosen


def test_last_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the last port there is none: any free one is taken."""
    monkeypatch.setattr(port, "refused", lambda host, number: OSError() if number <= 65_535 else None)
    assert 0 < port.choose("127.0.0.1", 65_530) <= 65_535


def test_loopback() -> None:
    """Only what nobody else can reach counts as loopback."""
    addresses = ("127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "::", "192.168.1.1", "example.org")  # noqa: S104
    assert [each for each in addresses if port.is_loopback(each)] == ["127.0.0.1", "127.8.8.8", "::1", "localhost"]
