"""0.1.0 beside this version on one store, and the switch from one to the other under load."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailroom.keys import SCHEMA
from tests.conftest import wait_until
from tests.mailroom.former_program import FormerLease, FormerProgram, FormerRefused
from tests.system.processes import PREFIX, SystemProcesses, WorkProcess
from tests.workers.worker_fixture import HEAD, NOTE

PERSONS = [f"p{n}" for n in range(6)]
#: Every so many messages one is sent once more, to the other version.
REPEATED = 5
#: What a receiver runs that says that it speaks the former schema.
FORMER_RECEIVER = "from console import cli; from receiver import app; app.SCHEMA = '1'; cli.main()"


class FormerWorker(threading.Thread):
    """A `relais work` of 0.1.0 with one worker: makes a note of every event, and sends notes, whoever made them."""

    def __init__(self, house: SystemProcesses) -> None:
        super().__init__(daemon=True)
        self.drain = f"{secrets.token_hex(16)}.1"
        self.parent = secrets.token_hex(16)
        self.program = FormerProgram(house.valkey.url)
        self.far = http.client.HTTPConnection("127.0.0.1", house.far.port, timeout=30)
        self.routed = self.sent = 0
        self.lost: list[str] = []
        self.over = threading.Event()
        self.program.start()
        self.program.beat(self.drain, register=True)
        self.program.say_parent(self.parent, 1, 0)

    def run(self) -> None:
        turn = 0
        while not self.over.is_set():
            turn += 1
            assert self.program.beat(self.drain)
            self.program.say_parent(self.parent, 1, turn)
            leases = self.program.take(self.drain, f"turn{turn}", "in", "crm")
            for lease in leases:
                for n in range(len(lease.items)):
                    if not (self._route(lease, n) if lease.room == "in" else self._send(lease, n)):
                        self.lost.append(lease.items[n][0])
            if not leases:
                time.sleep(0.005)
        self.program.leave(self.drain)
        self.program.say_parent(self.parent, 0, turn)
        self.program.close()
        self.far.close()

    def _route(self, lease: FormerLease, n: int) -> int:
        item, record = lease.items[n]
        head, body = (json.loads(part) for part in record.split(b"\n", 1))
        made = {"id": f"{item}.0", "event": item, "day": head["at"][:10], "to": "crm", "action": "add_note"}
        made |= {"rule": "keep a note", "path": [0], "book": "former", "box": lease.box}
        made |= {"args": {"email": body["email"], "text": body["name"]}}
        self.routed += 1
        return self.program.settle(self.drain, lease, n, ("crm", lease.box, made["id"], json.dumps(made)))

    def _send(self, lease: FormerLease, n: int) -> int:
        args = json.loads(lease.items[n][1])["args"]
        contact = args["email"].partition("@")[0]
        self.far.request("POST", f"/contacts/{contact}/notes", json.dumps({"text": args["text"]}))
        answer = self.far.getresponse()
        answer.read()
        assert answer.status == 201
        self.sent += 1
        return self.program.settle(self.drain, lease, n, says="there")


class Platform(threading.Thread):
    """Sends messages about one person, one after the other, to the receivers of both versions by turns.

    What a receiver of 0.1.0 cannot keep it hands to ours, as its spool is handed over when ours follows on its host.
    """

    def __init__(self, house: SystemProcesses, who: str, port: int) -> None:
        super().__init__(daemon=True)
        self.who = who
        self.port = port
        self.former = FormerProgram(house.valkey.url)
        self.former.start()
        self.kept: list[str] = []
        self.by_former = self.by_ours = 0
        self.refused: set[str] = set()
        self.wrong: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            n = len(self.kept)
            body = {"event": "person.changed", "email": f"{self.who}@example.org", "name": f"{self.who}.{n}"}
            to_former = n % 2 == 0 and self._put(body, new=True)
            if not to_former:
                self._post(body, new=True)
            self.kept.append(body["name"])
            if n % REPEATED == 0:
                if to_former:
                    self._post(body, new=False)
                else:
                    self._put(body, new=False)
        self.former.close()

    def _put(self, body: dict[str, str], *, new: bool) -> bool:
        """Return whether the receiver of 0.1.0 kept it."""
        try:
            if self.former.put("shop", body["name"], body) is not new:
                self.wrong.append(f"{body['name']}: new to 0.1.0 is {not new}")
        except FormerRefused as exc:
            self.refused.add(str(exc))
            return False
        self.by_former += 1
        return True

    def _post(self, body: dict[str, str], *, new: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/in/shop", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
        if answer.status != 202:
            self.wrong.append(f"{body['name']}: {answer.status} {told!r}")
        self.by_ours += 1


@pytest.fixture
def threads() -> Iterator[list[Any]]:
    """Threads with an `over`; none outlives the test."""
    all_of_them: list[Any] = []
    yield all_of_them
    for each in all_of_them:
        each.over.set()
    for each in all_of_them:
        each.join(30)


def write(house: SystemProcesses) -> None:
    read = "id: body.name\n      order_key: body.email\n      type: body.event"
    given = {"retain": 0, "concurrency": 50, "timeout": "30", "more": "", "desk": "", "other": "", "alerts": ""}
    (house.folder / "book").mkdir()
    text = HEAD.replace("type: body.event", read).format(url=house.far.url, **given) + NOTE
    (house.folder / "book" / "book.yaml").write_text(text, encoding="utf-8")
    house.far.contacts.update({who: {"id": who, "email": f"{who}@example.org"} for who in PERSONS})


def receive(house: SystemProcesses, *command: str, **environ: str) -> tuple[WorkProcess, int]:
    """Start a receiver; return it and its port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELAIS_", "REDIS_"))}
    settings = {
        "REDIS_URL": house.valkey.url,
        "RELAIS_BOOK": str(house.folder / "book"),
        "RELAIS_SPOOL": str(house.folder / "spool"),
        "DESK_KEY": "desk-key",
        "ALERT_URL": f"{house.far.url}/alerts",
    }
    one = WorkProcess([sys.executable, *command], {**clean, **settings, **environ})
    house.works.append(one)
    wait_until(lambda: "receiver.listening" in one.said, "the receiver serves")
    return one, int(one.said.partition("receiver.listening address=http://127.0.0.1:")[2].split()[0])


def schema(house: SystemProcesses) -> bytes:
    found = house.store.get(f"{PREFIX}schema")
    assert isinstance(found, bytes)
    return found


def rounds(house: SystemProcesses) -> int:
    """Return how many rounds the sweeps have done."""
    values: Any = house.store.hvals(f"{PREFIX}parents")
    return sum(int(value.split()[2]) for value in values if not value.startswith(b"- "))


def receivers(house: SystemProcesses) -> int:
    """Return how many receivers say that they live."""
    names: Any = house.store.hkeys(f"{PREFIX}speaks")
    return sum(name.startswith(b"receiver.") for name in names)


def test_both_versions(house: SystemProcesses, threads: list[Any]) -> None:
    """Receivers and workers of both versions share the work until 0.1.0 has left; then the store is migrated.

    All of it under load: nothing is lost or doubled, each person's notes come in order, and what is left of 0.1.0 is
    refused with words.
    """
    write(house)
    worker = FormerWorker(house)
    threads.append(worker)
    worker.start()
    work = house.work(workers=2)
    _, port = receive(house, "-m", "console.cli", "receive", "--port", "0")
    platforms = [Platform(house, who, port) for who in PERSONS]
    threads += platforms
    for each in platforms:
        each.start()
    wait_until(lambda: all(each.by_former > 10 and each.by_ours > 10 for each in platforms), "both versions take")
    wait_until(lambda: min(worker.routed, worker.sent, len(house.far.notes) - worker.sent) > 20, "both versions work")
    assert receivers(house) == 1
    assert schema(house) == b"1"

    worker.over.set()
    worker.join(30)
    assert worker.lost == []
    wait_until(lambda: schema(house) == SCHEMA.encode(), "the store is migrated")
    wait_until(lambda: all(each.refused for each in platforms), "every receiver of 0.1.0 is refused")
    before = [each.by_ours for each in platforms]
    wait_until(lambda: all(each.by_ours > n + 20 for each, n in zip(platforms, before, strict=True)), "ours goes on")
    for each in platforms:
        each.over.set()
    for each in platforms:
        each.join(60)
    house.idle(120)

    assert [wrong for each in platforms for wrong in each.wrong] == []
    assert {each.who: house.texts(each.who) for each in platforms} == {each.who: each.kept for each in platforms}
    (said,) = {words for each in platforms for words in each.refused}
    assert "the store was migrated to schema 3: run the version of Relais that did so" in said
    assert work.said.count("store.migrated") == 1
    with contextlib.closing(FormerProgram(house.valkey.url)) as late:
        for call in (lambda: late.beat("late.1", register=True), lambda: late.take("late.1", "x", "in")):
            with pytest.raises(FormerRefused, match="migrated to schema 3"):
                call()
        with pytest.raises(FormerRefused, match="schema is version b'3'"):
            late.start()


def test_a_receiver_holds_it_up(house: SystemProcesses) -> None:
    """A receiver that says that it speaks the former schema holds the migration up, until it is killed."""
    write(house)
    with contextlib.closing(FormerProgram(house.valkey.url)) as program:
        program.start()
    former, _ = receive(house, "-c", FORMER_RECEIVER, "receive", "--port", "0")
    ours, _ = receive(house, "-m", "console.cli", "receive", "--port", "0")
    wait_until(lambda: receivers(house) == 2, "both say so")
    work = house.work(workers=1)
    begun = rounds(house)
    wait_until(lambda: rounds(house) > begun + 10, "the sweep goes round")
    assert schema(house) == b"1"
    former.stop(signal.SIGKILL)
    wait_until(lambda: schema(house) == SCHEMA.encode(), "the store is migrated")
    assert receivers(house) == 1
    wait_until(lambda: "store.migrated schema=3" in work.said, "the log says so")
    assert ours.stop() == 0
    assert receivers(house) == 0
