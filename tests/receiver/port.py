"""A receiver on a real socket with a real Valkey behind it, and a client that can be as rude as a test wants."""

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from mailroom import Fate, Mailroom
from mailroom.client import client
from receiver import server, sources
from receiver.settings import ReceiverSettings
from rules import event
from rules.event import Event
from tests.conftest import wait_until
from tests.receiver import book

T = TypeVar("T")

JSON = {"Content-Type": "application/json"}
AT = {**JSON, "X-Relais-Token": "new"}
SD = {**JSON, "Authorization": "Basic " + base64.b64encode(b"relais:geheim").decode()}


@dataclass
class PortAnswer:
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.json["events"]]


class Port:
    """The receiver, running in a thread."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        *,
        text: str = book.TEXT,
        environ: Mapping[str, str] = book.ENVIRON,
        **settings: Any,
    ) -> None:
        self.redis_url = redis_url
        chosen = ReceiverSettings(book=folder / "book", REDIS_URL=redis_url, **settings)
        self.book = book.holder(folder, text, environ)
        listening = server.listen("127.0.0.1", 0)
        self.number: int = listening.getsockname()[1]
        self.server: uvicorn.Server = server.server(chosen, self.book, Mailroom(client(redis_url)))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)

    def __enter__(self) -> "Port":
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive(), "the receiver has started")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()

    def post(
        self, path: str, body: bytes | str | Any, headers: Mapping[str, str] = AT, method: str = "POST"
    ) -> PortAnswer:
        """Send a request and return the answer."""
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return PortAnswer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Return a connection for writing bytes by hand."""
        return socket.create_connection(("127.0.0.1", self.number), timeout=10)

    def send(self, raw: bytes) -> bytes:
        """Write bytes and return all that comes back until the receiver closes the connection."""
        with self.connect() as connection:
            connection.sendall(raw)
            received = b""
            while part := connection.recv(65536):
                received += part
            return received

    def ask(self, question: Any) -> Any:
        """Return what a function says that asks the store's mailroom."""

        async def run() -> Any:
            async with await Mailroom.open(self.redis_url) as room:
                return await question(room)

        return asyncio.run(_typed(run()))

    def kept(self, event_id: str) -> Event:
        """Return the event as a worker would read it out of the store."""

        async def record(room: Mailroom) -> bytes | None:
            return await room.record(event_id)

        found = self.ask(record)
        assert found is not None, f"{event_id} is not kept"
        return event.decode(event_id, found, sources.read)

    def fate(self, event_id: str) -> Fate:
        """Return what became of an event."""

        async def fate(room: Mailroom) -> Fate | None:
            return await room.fate(event_id)

        found = self.ask(fate)
        assert isinstance(found, Fate)
        return found

    def counts(self) -> Mapping[str, int]:
        """Return the counters of the store."""

        async def counts(room: Mailroom) -> Mapping[str, int]:
            return await room.counts()

        found: Mapping[str, int] = self.ask(counts)
        return found

    def refused(self) -> list[tuple[str, str, Mapping[str, str], bytes]]:
        """Return the refused requests that are kept for inspection."""

        async def refused(room: Mailroom) -> Any:
            found: Any = await room.store.xrange(room.key("refused"))
            names = (b"reason", b"source", b"headers", b"body")
            return [tuple(each[name] for name in names) for _, each in found]

        found = self.ask(refused)
        return [(reason.decode(), source.decode(), json.loads(head), body) for reason, source, head, body in found]


async def _typed(of: Coroutine[Any, Any, T]) -> T:
    return await of


def kept_in(redis_url: str, event_ids: list[str]) -> int:
    """Return how many of these events the store holds."""

    async def run() -> int:
        async with await Mailroom.open(redis_url) as room:
            return sum([await room.record(each) is not None for each in event_ids])

    return asyncio.run(run())
