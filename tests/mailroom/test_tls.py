"""`rediss://` against real certificates, made by openssl. The wheel's Valkey knows no TLS, so a door before it does."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailroom import Mailroom, StoreUnavailable
from tests.conftest import PrivateValkey
from tests.mailroom.store import event
from workers import worker

pytestmark = pytest.mark.anyio

KEY = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, and its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    both = folder / "both.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    done = subprocess.run([*KEY, *names, "-keyout", folder / "key", "-out", folder / "ca.pem"], capture_output=True)
    assert done.returncode == 0, done.stderr
    both.write_bytes((folder / "key").read_bytes() + (folder / "ca.pem").read_bytes())
    return both


@pytest.fixture
async def door(valkey: PrivateValkey, certificate: Path) -> AsyncIterator[int]:
    """The port of a door that speaks TLS outside and to Valkey inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    passing: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(valkey.socket))
        for one, other in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(carry(one, other))
            passing.add(task)
            task.add_done_callback(passing.discard)

    server = await asyncio.start_server(enter, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    if passing:
        await asyncio.wait(passing, timeout=5)


def url(door: int, ca: Path | None, host: str = "localhost") -> str:
    """Return the address of the door."""
    return f"rediss://{host}:{door}" + (f"?ssl_ca_certs={ca}" if ca else "")


async def test_trusted(door: int, certificate: Path) -> None:
    """With the CA in the address events are kept, and RQ's client is let in, too."""
    ca = certificate.parent / "ca.pem"
    async with await Mailroom.open(url(door, ca)) as room:
        assert [r.id for r in await room.put([event("a")])] == ["a"]
    connection = worker.connect(url(door, ca))
    try:
        assert await asyncio.to_thread(connection.ping)
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_not_trusted(door: int, certificate: Path, host: str) -> None:
    """Without the CA, or under a name that the certificate does not have, nothing is sent; the sentence says why."""
    ca = certificate.parent / "ca.pem" if host != "localhost" else None
    async with Mailroom.connect(url(door, ca, host)) as room:
        with pytest.raises(StoreUnavailable, match="certificate is not trusted"):
            await room.prepare()
