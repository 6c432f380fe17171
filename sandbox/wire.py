"""Resets a connection (TCP RST), which ASGI cannot express.

Comes in: a request, through uvicorn's httptools protocol, which puts its transport into the scope. Goes out: a TCP RST,
so that the client sees ECONNRESET instead of end of file. Never sends an answer.
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
    """uvicorn's httptools protocol; it also puts its transport into the scope."""

    def on_message_begin(self) -> None:
        """Begin a request and add the transport to its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


async def reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection of this request and wait until it is closed."""
    transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
    if transport.is_closing():
        return
    # uvloop's socket object refuses setsockopt, so the option is set through a second descriptor of the same socket.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
