"""The row of the console's notebook: pages, a person, dead letters by cause, and memory, with very many events in it.

The store is empty, so nothing follows; what is asked goes over HTTP to a real console. One core is enough.
"""

import gzip
import http.client
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.measure import Figures
from bench.session import PageSession
from bench.stage import TOKEN, BenchStage, free_port
from console.notebook import Notebook
from mailroom import Fate
from mailroom.hashing import Hasher
from mailroom.ledger import DeliveryFate
from rules.event_types.base import from_epoch

#: How often each question is asked, after once unmeasured.
ASKED = 20
#: Events that are written at once.
BATCH = 2_000
#: Causes of dead letters; and events of one person.
CAUSES, PER_PERSON = 12, 10
KEY = "bench-hash-key"
#: Pages that are asked for: name -> address.
PAGES = {
    "now": "/",
    "events": "/events",
    "filtered": "/events?state=dead&span=604800",
    "todo": "/todo",
    "dead": "/todo/dead?destination=destination+1&code=invalid",
    "systems": "/systems",
}


def notebook(events: int, dead: int) -> Figures:
    """Time of each question at a console whose notebook has so many events, of which so many are dead letters."""
    with BenchStage() as stage:
        stage.valkey()
        path = stage.folder / "notebook.sqlite"
        began = time.perf_counter()
        _fill(path, events, dead)
        filled = time.perf_counter() - began
        port = free_port()
        environ = (f"RELAIS_NOTEBOOK={path}", f"RELAIS_HASH_KEY={KEY}", "RELAIS_SPOOL=")
        stage.run("console", ["env", *environ, *_console(port)])
        stage.wait_for_port(port)
        questions = {
            "newest": "/events?limit=50",
            "counted": "/events?state=dead&limit=50&total=true",
            "person": f"/people/{Hasher(KEY.encode())('email:person7@example.org')}",
            "causes": "/dead",
        }
        figures = {f"{name}_ms": _time(port, path_of) for name, path_of in questions.items()}
        found = _ask(port, "/dead")
        if found["total"] != dead or len(found["groups"]) != CAUSES:
            raise RuntimeError(f"the console counts {found['total']} dead letters, {dead} were written")
        session = PageSession(port)
        of_pages = {name: _time_page(session, path) for name, path in PAGES.items()}
        figures |= {f"page_{name}_ms": ms for name, (ms, _) in of_pages.items()}
        figures["largest_kb"] = max(kb for _, kb in of_pages.values())
        figures["rss_mb"] = _peak(stage.pids["console"])
    slowest = max(figures["newest_ms"], figures["person_ms"])
    return {
        "ratio": slowest / 30,
        "ratio_causes": figures["causes_ms"] / 200,
        "ratio_page": max(ms for ms, _ in of_pages.values()) / 30,
        "ratio_size": figures["largest_kb"] / 60,
        "ratio_memory": figures["rss_mb"] / 150,
        **figures,
        "events": events,
        "dead": dead,
        "filled_per_s": events / filled,
    }


def _console(port: int) -> list[str]:
    return [sys.executable, "-m", "console.cli", "console", "--port", str(port)]


def _fill(path: Path, events: int, dead: int) -> None:
    now = int(time.time() * 1000)
    hashed = Hasher(KEY.encode())
    with closing(Notebook(path)) as file:
        for first in range(0, events, BATCH):
            some = range(first, min(first + BATCH, events))
            file.write(_fates(some, events, dead, now, hashed), now)
        file.write([], now, store=hashed("notebook"), cursor="0-0", pages="")


def _fates(numbers: range, events: int, dead: int, now: int, hashed: Hasher) -> Iterator[Fate]:
    every = max(1, events // dead) if dead else events + 1
    for n in numbers:
        at = from_epoch(now - (events - n) * 2_000)
        is_dead = n % every == 0 and n // every < dead
        outcome = "permanent" if is_dead else "done"
        attempt: dict[str, Any] = {"at": at, "n": 1, "outcome": outcome, "code": "", "status": 200, "ms": 30 + n % 400}
        cause = n // every % CAUSES
        one = DeliveryFate(
            f"e{n}.0",
            f"destination {cause % 3}" if is_dead else "crm",
            "upsert_contact",
            f"rule {cause}",
            "dead" if is_dead else "delivered",
            "invalid" if is_dead else "",
            at,
            [attempt],
        )
        who = [hashed(f"email:person{n % (events // PER_PERSON or 1)}@example.org"), hashed(f"sender:{n}")]
        state: Any = "dead" if is_dead else "delivered"
        yield Fate(f"e{n}", f"source{n % 4}", "order.paid", at, who=who, state=state, book="b1", deliveries=[one])


def _time(port: int, path: str) -> float:
    """Return the median time of a question in ms."""
    _ask(port, path)
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        _ask(port, path)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


def _time_page(session: PageSession, path: str) -> tuple[float, float]:
    """Return the median time of a page in ms, and its size in kB as it would be compressed on its way."""
    text = session.get(path)
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        session.get(path)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), len(gzip.compress(text.encode())) / 1000


def _ask(port: int, path: str) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status}")
        return json.loads(body)


def _peak(pid: int) -> float:
    """Return the most memory that a process ever had, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell")
