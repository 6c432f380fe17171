"""A whole house for system tests: a Valkey with its data on disk, `relais work` as people start it, a far side.

Knows our processes only from outside: by their command, their signals, the store and what arrives. Events are put as
the receiver puts them.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import redis

from mailroom import Fate, Mailroom
from mailroom.operator import Operator
from rules.event import Event
from tests.conftest import GENEROUS, PrivateValkey, wait_until
from tests.fake_destination import FakeDestination
from tests.processes import children
from tests.workers.worker_fixture import event, write_book

PREFIX = "relais:{p0}:"
QUEUE = "rq:queue:relais-default"


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class WorkProcess:
    """One `relais work` process."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def workers(self) -> list[int]:
        """The worker processes of this parent."""
        return children(self.process.pid)

    def stop(self, sign: signal.Signals = signal.SIGTERM, seconds: float = GENEROUS) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(sign)
        status = self.process.wait(seconds)
        self._reading.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


async def _release(room: str, box: str, mailroom: Mailroom) -> bool:
    return await Operator(mailroom).release(room, box)


class SystemProcesses:
    """Everything around one or more `relais work`."""

    def __init__(self, valkey: PrivateValkey, far: FakeDestination, folder: Path) -> None:
        self.valkey = valkey
        self.far = far
        self.folder = folder
        self.store = redis.Redis.from_url(valkey.url, socket_timeout=5)
        self.works: list[WorkProcess] = []
        self._pids: set[int] = set()

    def write(self, *args: Any, **more: Any) -> None:
        """Write the book."""
        write_book(self.folder / "book", self.far.url, *args, **more)

    def work(self, *, workers: int = 1, module: str = "console.cli", wait: bool = True, **environ: str) -> WorkProcess:
        """Start `relais work`; by default wait until its drains live."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "REDIS_"))}
        settings = {
            "REDIS_URL": self.valkey.url,
            "RELAIS_BOOK": str(self.folder / "book"),
            "RELAIS_WORKERS": str(workers),
            "RELAIS_STOP_SECONDS": "3",
            "DESK_KEY": "desk-key",
            "ALERT_URL": f"{self.far.url}/alerts",
        }
        before = len(self.drains()) if wait else 0
        arguments = ["work"] if module == "console.cli" else []
        work = WorkProcess([sys.executable, "-m", module, *arguments], {**clean, **settings, **environ})
        self.works.append(work)
        if wait:
            wait_until(lambda: len(self.drains()) == before + workers, "as many drains as workers")
        return work

    def close(self) -> None:
        """End what still runs; nothing of ours may be left."""
        pids = [pid for work in self.works for pid in (work.process.pid, *work.workers)]
        for work in self.works:
            print(work.said)  # pytest shows it where a test fails
            if work.process.poll() is None:
                for pid in work.workers:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGCONT)
                work.stop()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "no process is left")
        self.store.close()

    # -- the store, from outside

    def ask(self, call: Any) -> Any:
        """Ask the mailroom something, as the receiver or the console would."""

        async def with_mailroom() -> Any:
            async with await Mailroom.open(self.valkey.url) as mailroom:
                return await call(mailroom)

        return asyncio.run(with_mailroom())

    def put(self, *events: Event) -> None:
        self.ask(lambda mailroom: mailroom.put(events))

    def fate(self, id: str) -> Fate:
        found = self.ask(lambda mailroom: mailroom.fate(id))
        assert isinstance(found, Fate)
        return found

    def drains(self) -> dict[Any, Any]:
        """Return the drains that live: name -> pool and counter."""
        return dict(self.store.hgetall(PREFIX + "beats"))

    def holder(self, room: str = "crm") -> tuple[Any, int]:
        """Return the drain that holds the one leased box of a room, and its process, as RQ knows it."""
        (drain,) = cast("list[bytes]", self.store.hvals(f"{PREFIX}leased:{room}"))
        worker = str(drain, "ascii").partition(".")[0]
        return drain, int(self.store.hget(f"rq:worker:{worker}", "pid") or 0)

    def queued(self) -> int:
        """Return how many drain jobs wait in RQ."""
        return int(self.store.llen(QUEUE))

    def leased(self, room: str = "crm") -> int:
        return int(self.store.hlen(f"{PREFIX}leased:{room}"))

    def held(self, room: str = "crm") -> list[dict[str, Any]]:
        return [json.loads(why) for why in self.store.hvals(f"{PREFIX}held:{room}")]

    def release(self, room: str = "crm") -> None:
        """Let every held box of a room go on, as a person does who has looked."""
        for box in cast(list[bytes], self.store.hkeys(f"{PREFIX}held:{room}")):
            assert self.ask(functools.partial(_release, room, box.decode()))

    def is_idle(self) -> bool:
        """Whether nothing waits, is leased or suspected anywhere."""
        names = [
            f"{PREFIX}{kind}:{room}"
            for room in ("in", "crm", "other")
            for kind in ("ready", "turns", "leased", "waiting", "retry", "woken", "suspect")
        ] + [f"{PREFIX}ready:{room}:!" for room in ("in", "crm", "other")]
        return int(self.store.exists(*names)) == 0

    def idle(self, seconds: float = 15) -> None:
        wait_until(self.is_idle, "nothing waits", seconds)

    def texts(self, who: str = "") -> list[str]:
        """Return the notes that arrived, of one person or all."""
        return [note["text"] for note in self.far.notes if not who or note["email"] == f"{who}@example.org"]


@contextlib.contextmanager
def house(valkey: PrivateValkey, folder: Path) -> Iterator[SystemProcesses]:
    """A house, and nothing left of it afterwards."""
    with FakeDestination() as far:
        one = SystemProcesses(valkey, far, folder)
        try:
            yield one
        finally:
            far.mend()
            one.close()


__all__ = ["SystemProcesses", "WorkProcess", "event", "house", "is_alive"]
