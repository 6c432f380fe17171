"""Two systems that know the same people: each tells of every change of a contact by a webhook, whoever made it.

Comes in: HTTP of a CRM with an ordinary REST API, below `/a` and `/b`, and faults that a test orders. Goes out:
answers, and a webhook for each write, also one that changes nothing, in their order. It knows nothing of Relais but
where the webhooks go. Runs in a thread of its own.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from console import catalogue
from mailroom import Mailroom
from mailroom.client import client
from receiver import server
from receiver.rulebook import RulebookWatcher
from receiver.settings import ReceiverSettings
from tests.conftest import wait_until

#: Passes what changes in one system on to the other.
BOOK = """\
sources:
  a: &system
    kind: generic
    verify:
      none: only a test posts here
    api: crm_a
    read:
      id: body.message
      type: body.event
    data: body.contact
  b:
    <<: *system
    api: crm_b
destinations:
  crm_a:
    kind: rest
    base: {url}/a
    allow_private: true
    {more_a}
  crm_b:
    kind: rest
    base: {url}/b
    allow_private: true
    timeout: 2
    {more_b}
rules:
  - name: a to b
    when:
      source: a
      type: contact.changed
    then:
      - crm_b.upsert_contact:
          email: "{{{{ data.email }}}}"
          last_name: "{{{{ data.last_name | omit }}}}"
  - name: b to a
    when:
      source: b
      type: contact.changed
    {option}
    then:
      - crm_a.upsert_contact:
          email: "{{{{ data.email }}}}"
          last_name: "{{{{ data.last_name | omit }}}}"
"""


class MirrorSystem:
    """One of the systems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.contacts: dict[str, dict[str, Any]] = {}
        #: What it told, in order.
        self.told: list[dict[str, Any]] = []
        #: Writes by its API, in order.
        self.written: list[Mapping[str, Any]] = []
        #: What shall happen to the next writes: `lost` (done, and the answer is lost), `refused`, `hang`.
        self.faults: list[str] = []
        #: How often each change is told.
        self.tells = 1
        #: Whether it tells no more than who has changed.
        self.thin = False


class MirrorSystems:
    """Both of them. Use it as `with`."""

    def __init__(self) -> None:
        self.a, self.b = MirrorSystem("a"), MirrorSystem("b")
        #: Where webhooks go: the name of the system is put behind it.
        self.hook = ""
        self.port = 0
        self._ids = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "MirrorSystems":
        up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(up)), daemon=True)
        self._thread.start()
        assert up.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)

    def edit(self, system: MirrorSystem, email: str, **fields: Any) -> None:
        """Somebody changes a contact at the surface of a system, or makes it."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._edit, system, email, fields, done)
        assert done.wait(30)

    def names(self, email: str) -> tuple[Any, Any]:
        """Return the last name that each of them has."""
        found = [
            [one for one in list(system.contacts.values()) if one["email"] == email] for system in (self.a, self.b)
        ]
        assert all(len(each) <= 1 for each in found), found
        return tuple(each[0].get("last_name") if each else None for each in found)  # type: ignore[return-value]

    def _edit(self, system: MirrorSystem, email: str, fields: Mapping[str, Any], done: threading.Event) -> None:
        found = next((one for one in system.contacts.values() if one["email"] == email), None)
        self._write(system, found["id"] if found else "", {"email": email, **fields})
        done.set()

    # -- the server

    async def _serve(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._untold: dict[str, asyncio.Queue[Mapping[str, Any]]] = {"a": asyncio.Queue(), "b": asyncio.Queue()}
        app = web.Application()
        app.router.add_get("/{system}/contacts", self._search)
        app.router.add_post("/{system}/contacts", self._answer_write)
        app.router.add_patch("/{system}/contacts/{id}", self._answer_write)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as self._session:
            tasks = [asyncio.create_task(self._tell(name)) for name in self._untold]
            up.set()
            await self._over.wait()
            for task in tasks:
                task.cancel()
            await runner.cleanup()

    def _system(self, request: web.Request) -> MirrorSystem:
        return {"a": self.a, "b": self.b}[request.match_info["system"]]

    async def _search(self, request: web.Request) -> web.Response:
        system = self._system(request)
        found = [
            one
            for one in system.contacts.values()
            if all(str(one.get(name)) == value for name, value in request.query.items())
        ]
        return web.json_response({"data": found})

    async def _answer_write(self, request: web.Request) -> web.Response:
        system, body = self._system(request), await request.json()
        fault = system.faults.pop(0) if system.faults else ""
        if fault == "refused":
            return web.json_response({"error": "no"}, status=422)
        if fault == "hang":
            await self._over.wait()
        system.written.append(body)
        contact = self._write(system, request.match_info.get("id", ""), body)
        if fault == "lost":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(contact)

    def _write(self, system: MirrorSystem, id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        contact = system.contacts.setdefault(id, {"id": id}) if id else {"id": str(next(self._ids))}
        contact.update(fields)
        system.contacts[contact["id"]] = contact
        told = {"id": contact["id"], "email": contact["email"]} if system.thin else dict(contact)
        for _ in range(system.tells):
            message = {"event": "contact.changed", "message": str(next(self._ids)), "contact": told}
            system.told.append(message)
            self._untold[system.name].put_nowait(message)
        return contact

    async def _tell(self, name: str) -> None:
        """Post what a system has to tell, one after the other."""
        while True:
            message = await self._untold[name].get()
            async with self._session.post(f"{self.hook}{name}", json=message) as answer:
                assert answer.status < 300, await answer.text()


def write_mirror_book(url: str, *, more: str = "", option: str = "") -> str:
    """Return the book. `more`: a key of both destinations, `SYSTEM` in it is the system; `option`: of one rule."""
    return BOOK.format(url=url, more_a=more.replace("SYSTEM", "a"), more_b=more.replace("SYSTEM", "b"), option=option)


@contextlib.contextmanager
def receive(folder: Path, redis_url: str, mirror: MirrorSystems) -> Iterator[None]:
    """Take the webhooks of both, as `relais receive` does with the book in that folder."""
    book = RulebookWatcher(folder, catalogue.build(), {})
    book.load()
    listening = server.listen("127.0.0.1", 0)
    mirror.hook = f"http://127.0.0.1:{listening.getsockname()[1]}/in/"
    chosen = ReceiverSettings(book=folder, REDIS_URL=redis_url)
    running: uvicorn.Server = server.server(chosen, book, Mailroom(client(redis_url)))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: running.started, "the receiver has started")
        yield
    finally:
        running.should_exit = True
        thread.join(30)
