"""Asks a server on this machine one question over HTTP.

Comes in: an address and a path. Goes out: the status and the JSON, or nothing where nobody answers in time.
Never raises where the server is away.
"""

import asyncio
import json
from typing import Any

from receiver.settings import in_url


async def get(host: str, port: int, path: str, *, within: float = 2.0) -> tuple[int, Any] | None:
    """Return status and parsed body of `GET path`, or None."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(reachable(host), port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {in_url(host)}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        status = int(head.split(b" ", 2)[1])
    except (IndexError, ValueError):
        return None
    try:
        return status, json.loads(body)
    except ValueError:
        return status, None


def reachable(host: str) -> str:
    """Return where to reach a server that is bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
