"""A copy of the whole store as it is at one moment: what the store sends to a replica that has just come.

Comes in: REDIS_URL and a file to write to. Goes out: the bytes of an RDB file, which hold all that was acknowledged
before the call. Needs no access to the store's disk, and leaves nothing there. Never changes what the store holds.
"""

import socket
from typing import Any, BinaryIO

import redis.exceptions

from mailroom import address, errors
from mailroom.errors import StoreUnavailable

#: Seconds of silence. A store waits five for further replicas, forks, and says every ten that it is still at it.
PATIENCE = 60.0
#: Bytes of the mark behind the last byte, where the store does not know beforehand how many they are.
MARK = 40
CHUNK = 1 << 20


def write(url: str, file: BinaryIO) -> int:
    """Write the store's content to a file, and return how many bytes these are. Raises StoreUnavailable."""
    client = address.parse(url).plain_client(PATIENCE)
    try:
        connection: Any = client.connection_pool.get_connection()
        try:
            # The mark lets the store send while it writes, without a file of its own; the other one keeps it from
            # collecting what is written meanwhile.
            for words in (("capa", "eof"), ("rdb-only", "1")):
                connection.send_command("REPLCONF", *words)
                connection.read_response()
            connection.send_command("SYNC")
            return _read(connection._sock, file)
        finally:
            connection.disconnect()
    except redis.exceptions.RedisError as exc:
        raise errors.explained(exc) from exc
    except OSError as exc:
        raise StoreUnavailable(f"the copy of the store was not finished: {exc.__class__.__name__}") from exc
    finally:
        client.close()


def _read(sock: socket.socket, file: BinaryIO) -> int:
    line = _line(sock)
    if not line.startswith(b"$"):
        raise redis.exceptions.ResponseError(line.decode(errors="replace").removeprefix("-ERR ").removeprefix("-"))
    size = line[1:]
    return _until(sock, file, size[4:]) if size.startswith(b"EOF:") else _exactly(sock, file, int(size))


def _line(sock: socket.socket) -> bytes:
    """Return the first line that is not empty: with empty ones the store says that it is still at it."""
    found = b""
    while not found.endswith(b"\n") or not found.strip():
        found = (found + _some(sock, 1)).lstrip()
    return found.strip()


def _some(sock: socket.socket, most: int) -> bytes:
    if found := sock.recv(most):
        return found
    raise ConnectionResetError("the store closed the connection")


def _exactly(sock: socket.socket, file: BinaryIO, size: int) -> int:
    left = size
    while left:
        chunk = _some(sock, min(left, CHUNK))
        file.write(chunk)
        left -= len(chunk)
    return size


def _until(sock: socket.socket, file: BinaryIO, mark: bytes) -> int:
    size, held = 0, b""
    while held[-MARK:] != mark:
        held += _some(sock, CHUNK)
        ready, held = held[:-MARK], held[-MARK:]
        file.write(ready)
        size += len(ready)
    return size
