"""The one thing ASGI has no word for: tearing the connection down.

Comes in: bytes, through uvicorn's httptools protocol. Goes out: a scope whose extensions carry the transport.
`reset` makes the kernel send a TCP RST, so that the client sees ECONNRESET and no end of file.
"""

import asyncio
import os
import socket
import struct

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "sandbox.transport"

#: struct linger {on, 0 s}: close discards what is unsent and sends RST.
NO_LINGER = struct.pack("ii", 1, 0)


class Protocol(HttpToolsProtocol):
    """uvicorn's own protocol, which hands its transport to the app."""

    def on_message_begin(self) -> None:
        """Start a request; its scope knows the transport."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


async def reset(scope: Scope, receive: Receive) -> None:
    """Tear down the connection of this request and wait until it is gone."""
    transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
    if transport.is_closing():
        return
    # uvloop's socket object refuses setsockopt, so the option is set through a second descriptor of the same socket.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
