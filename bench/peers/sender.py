"""Sends the scenario's webhooks, and goes on when the tool was killed and is back.

Comes in: where to, and the requests of each connection. Goes out: which were acknowledged. What was under way at the
kill counts as not acknowledged and is not sent again.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

#: Seconds that a connection tries to come back.
PATIENCE = 60.0
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


@dataclass
class Acknowledged:
    """What was acknowledged so far."""

    acknowledged: list[int] = field(default_factory=list)
    #: Seconds that sending took.
    seconds: float = 0.0


async def send(
    port: int, requests: Sequence[bytes], lanes: Sequence[Sequence[int]], each: Callable[[Acknowledged], None]
) -> Acknowledged:
    """Send every lane over a connection of its own; `each` is called for every acknowledgement."""
    sent = Acknowledged()
    began = time.monotonic()
    await asyncio.gather(*(_lane(port, requests, lane, sent, each) for lane in lanes))
    sent.seconds = time.monotonic() - began
    return sent


async def _lane(
    port: int, requests: Sequence[bytes], lane: Sequence[int], sent: Acknowledged, each: Callable[[Acknowledged], None]
) -> None:
    reader, writer = await _connect(port)
    for number in lane:
        try:
            writer.write(requests[number])
            status = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            reader, writer = await _connect(port)
            continue
        if 200 <= status < 300:
            sent.acknowledged.append(number)
            each(sent)
    writer.close()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer; return its status. Knows a length or the end of a chunked body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    if length is not None:
        await reader.readexactly(int(length[1]))
    elif b"chunked" in head.lower():
        await reader.readuntil(b"0\r\n\r\n")
    return int(head[9:12])
