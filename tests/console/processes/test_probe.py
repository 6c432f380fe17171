import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from console.processes import probe


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """A server that says the same to everybody; gives its port."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(say, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"alive": true}', (200, {"alive": True})),
        (b"HTTP/1.1 503 Away\r\n\r\n<html>", (503, None)),
        (b"", None),
        (b"SSH-2.0-x\r\n", None),
        (b"HTTP/1.1 many\r\n\r\n", None),
    ],
)
def test_answers(answer: bytes, expected: object) -> None:
    """Status and JSON are read; what is no HTTP answer is none."""

    async def ask() -> object:
        async with server(answer) as port:
            return await probe.get("127.0.0.1", port, "/healthz")

    assert asyncio.run(ask()) == expected


def test_nobody() -> None:
    """Where nobody listens there is no answer, and no error."""
    assert asyncio.run(probe.get("127.0.0.1", 9, "/healthz")) is None


def test_silence() -> None:
    """A server that says nothing is not waited for longer than told."""

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = probe.get("127.0.0.1", silent.getsockname()[1], "/", within=0.1)
        assert asyncio.run(asked) is None


def test_reachable() -> None:
    """A server bound to all addresses is asked on loopback."""
    hosts = ("0.0.0.0", "::", "127.0.0.1", "::1")  # noqa: S104 - compared
    assert [probe.reachable(host) for host in hosts] == ["127.0.0.1", "::1", "127.0.0.1", "::1"]
