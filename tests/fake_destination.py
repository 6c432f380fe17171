"""The far side of every delivery: a CRM, an invoicing system and SeminarDesk's look-ups on one loopback port.

Comes in: HTTP, and faults that a test orders. Goes out: answers, and every request with the time it came. Like the real
ones it has no uniqueness: two creates are two contacts. Runs in a thread of its own, so that it answers whatever the
test does.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class SeenRequest:
    """A request as it came."""

    at: float
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    #: E-mail of the person concerned, as far as request or contact tell; else the path.
    who: str


@dataclass
class DestinationFault:
    """What shall go wrong, with which requests, and how often."""

    method: str = "*"
    path: str = "*"
    who: str = "*"
    #: None: until `mended`.
    times: int | None = 1
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds before anything is done.
    delay: float = 0.0
    #: The connection ends by RST instead of an answer.
    reset: bool = False
    #: No answer at all until the test ends or the fault is mended.
    hang: bool = False
    #: It is done all the same, only the answer is bad.
    after_effect: bool = False

    def meets(self, seen: SeenRequest) -> bool:
        return (
            self.times != 0
            and fnmatchcase(seen.method, self.method)
            and fnmatchcase(seen.path, self.path)
            and fnmatchcase(seen.who, self.who)
        )


class FakeDestination:
    """Use it as `with`."""

    def __init__(self) -> None:
        self.seen: list[SeenRequest] = []
        self.faults: list[DestinationFault] = []
        self.contacts: dict[str, dict[str, Any]] = {}
        #: A second system of the same kind.
        self.others: dict[str, dict[str, Any]] = {}
        self.notes: list[dict[str, Any]] = []
        self.invoices: dict[str, dict[str, Any]] = {}
        self.references: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.persons: dict[str, dict[str, Any]] = {}
        #: Headers of all answers but faults.
        self.headers: dict[str, str] = {}
        #: Requests under way, and the most there ever were.
        self.under_way = 0
        self.most_under_way = 0
        self.port = 0
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "FakeDestination":
        up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(up,), daemon=True)
        self._thread.start()
        assert up.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)

    def fail(self, **about: Any) -> DestinationFault:
        """Order a fault."""
        fault = DestinationFault(**about)
        self.faults.append(fault)
        return fault

    def mend(self) -> None:
        """Nothing goes wrong from now on; what hangs is answered."""
        for fault in self.faults:
            fault.times = 0
            fault.hang = False

    def requests(self, method: str = "*", path: str = "*", who: str = "*") -> list[SeenRequest]:
        """Return the requests of that kind, in the order they came."""
        wanted = DestinationFault(method, path, who)
        return [seen for seen in list(self.seen) if wanted.meets(seen)]

    def contact(self, email: str) -> dict[str, Any]:
        """Return the one contact with that e-mail."""
        found = [contact for contact in list(self.contacts.values()) if contact.get("email") == email]
        assert len(found) == 1, f"{len(found)} contacts are {email}"
        return found[0]

    def emails(self) -> list[str]:
        return [contact["email"] for contact in list(self.contacts.values())]

    # -- the server

    def _run(self, up: threading.Event) -> None:
        asyncio.run(self._serve(up))

    async def _serve(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        up.set()
        await self._over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for writer in self._connections:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(writer, method, target, headers, json.loads(content) if content else None)
        finally:
            self.under_way -= 1

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, target: str, headers: Mapping[str, str], body: Any
    ) -> bool:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        seen = SeenRequest(
            time.monotonic(), method, parts.path, query, headers, body, self._who(parts.path, query, body)
        )
        self.seen.append(seen)
        fault = next((fault for fault in self.faults if fault.meets(seen)), None)
        if fault is None:
            status, answer = self._do(seen)
            return self._write(writer, status, answer, self.headers)
        if fault.times is not None:
            fault.times -= 1
        done = self._do(seen) if fault.after_effect else None
        await asyncio.sleep(fault.delay)
        while fault.hang:  # noqa: ASYNC110 (the test sets it from another thread)
            await asyncio.sleep(0.01)
        if fault.reset:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if fault.status:
            return self._write(writer, fault.status, {"error": "as ordered"}, fault.headers)
        status, answer = done or self._do(seen)
        return self._write(writer, status, answer)

    def _write(
        self, writer: asyncio.StreamWriter, status: int, answer: Any, headers: Mapping[str, str] | None = None
    ) -> bool:
        content = json.dumps(answer).encode()
        lines = [f"HTTP/1.1 {status} Far", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        return True

    def _who(self, path: str, query: Mapping[str, str], body: Any) -> str:
        parts = path.strip("/").split("/")
        if "email" in query:
            return query["email"]
        if isinstance(body, dict) and "email" in body:
            return str(body["email"])
        if len(parts) > 1 and parts[0] == "contacts":
            return str(self.contacts.get(parts[1], {}).get("email", path))
        return path

    def _do(self, seen: SeenRequest) -> tuple[int, Any]:
        parts = seen.path.strip("/").split("/")
        match seen.method, parts:
            case "GET", ["contacts"]:
                return 200, {"data": [c for c in self.contacts.values() if seen.query.items() <= c.items()]}
            case "POST", ["contacts"]:
                return 201, self._keep(self.contacts, seen.body)
            case "GET", ["others"]:
                return 200, {"data": [c for c in self.others.values() if c.get("email") == seen.query.get("email")]}
            case "POST", ["others"]:
                return 201, self._keep(self.others, seen.body)
            case "PATCH", ["contacts", id] if id in self.contacts:
                self.contacts[id].update(seen.body)
                return 200, self.contacts[id]
            case "POST", ["contacts", id, "notes"] if id in self.contacts:
                self.notes.append({**seen.body, "contact": id, "email": self.contacts[id].get("email")})
                return 201, {"id": str(len(self.notes))}
            case "GET", ["customers"]:
                return 200, {"data": []}
            case "POST", ["customers"]:
                return 201, {"id": f"k-{seen.body['email']}"}
            case "PATCH", ["customers", id]:
                return 200, {"id": id, **seen.body}
            case "GET", ["invoices"]:
                wanted = seen.query.get("reference")
                return 200, {"data": [i for i in self.invoices.values() if i["reference"] == wanted]}
            case "POST", ["invoices"]:
                return 201, self._keep(self.invoices, {**seen.body, "status": "draft", "number": None})
            case "GET", ["persons", id] if id in self.persons:
                return 200, self.persons[id]
            case "POST", ["alerts"]:
                self.alerts.append(seen.body)
                return 200, {}
        return 404, {"error": "there is nothing here"}

    def _keep(self, where: dict[str, dict[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        id = f"{len(where) + 1}"
        where[id] = {"id": id, **body}
        return where[id]
