"""`relais work` as people run it: signals, deaths, hangs, a store that comes and goes. Real processes, real sockets."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.conftest import PrivateValkey, wait_until
from tests.system.processes import SystemProcesses, event, is_alive
from tests.workers.worker_fixture import LATE_NOTE, NOTE, UPSERT


def test_stop_under_load(house: SystemProcesses) -> None:
    """SIGTERM in the middle of a load: what was sent is finished, the rest given back in time; nothing is left over."""
    house.write(NOTE)
    house.far.fail(times=None, delay=0.03)
    house.put(*(event(f"e{n}", f"p{n % 20}") for n in range(400)))
    work = house.work(workers=2)
    wait_until(lambda: len(house.far.notes) > 20, "it is under way", 10)
    workers = work.workers
    begun = time.monotonic()
    assert work.stop() == 0
    assert time.monotonic() - begun < 10
    assert not any(is_alive(pid) for pid in workers)
    assert (house.leased("in"), house.leased("crm"), house.drains()) == (0, 0, {})
    assert len(house.far.notes) < 400
    house.far.mend()
    house.work(workers=2)
    house.idle()
    for person in range(20):
        assert house.texts(f"p{person}") == [f"e{n}" for n in range(person, 400, 20)]


def test_stop_when_idle(house: SystemProcesses) -> None:
    """An idle `relais work` stops at once: at SIGTERM, and at SIGINT to all its processes, as Ctrl-C sends it."""
    house.write(NOTE)
    for sign in (signal.SIGTERM, signal.SIGINT):
        work = house.work(workers=2, RELAIS_STOP_SECONDS="30")
        workers = work.workers
        begun = time.monotonic()
        if sign == signal.SIGINT:
            os.killpg(work.process.pid, sign)
        assert work.stop(sign) == 0
        assert time.monotonic() - begun < 8
        assert not any(is_alive(pid) for pid in workers)
        assert house.drains() == {}
        assert "Traceback" not in work.said


def test_killed_parent(house: SystemProcesses) -> None:
    """When the parent is killed its workers finish or give back what they hold, and go."""
    house.write(NOTE)
    work = house.work(workers=2)
    workers = work.workers
    assert len(workers) == 2
    house.far.fail(times=None, delay=0.03)
    house.put(*(event(f"e{n}", f"p{n % 9}") for n in range(200)))
    wait_until(lambda: len(house.far.notes) > 9, "it is under way", 10)
    work.stop(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in workers), "the workers have gone", 6)
    assert (house.leased("in"), house.leased("crm"), house.drains()) == (0, 0, {})
    house.far.mend()
    house.work()
    house.idle()
    for person in range(9):
        assert house.texts(f"p{person}") == [f"e{n}" for n in range(person, 200, 9)]


def test_killed_worker(house: SystemProcesses) -> None:
    """A worker is killed in mid-delivery: nothing is lost, no contact doubled, a new worker goes on within seconds."""
    house.write(UPSERT)
    slow = house.far.fail(method="POST", path="/contacts", times=None, delay=0.5, after_effect=True)
    work = house.work(workers=1)
    house.put(*(event(f"e{n}", f"p{n}") for n in range(20)))
    wait_until(lambda: len(house.far.contacts) == 20, "all creates are done and none is answered", 10)
    slow.times = 0
    (worker,) = work.workers
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: house.leased() == 0, "what it held is free again, long before it would count as silent", 10)
    wait_until(lambda: house.is_idle(), "another one delivers it", 10)
    assert sorted(house.far.emails()) == sorted(f"p{n}@example.org" for n in range(20))
    assert all(house.fate(f"e{n}").state == "delivered" for n in range(20))
    assert worker not in work.workers


def test_killed_after_deciding(house: SystemProcesses) -> None:
    """A worker is killed after it looked something up at delivery: another one sends what the first one decided."""
    house.write(LATE_NOTE.replace("crm.add_note", "crm.upsert_contact").replace("text:", "last_name:"))
    house.far.persons = {"1": {"id": 1, "first_name": "Eva"}}
    slow = house.far.fail(method="GET", path="/contacts", times=None, delay=5)
    work = house.work(workers=1)
    house.put(event("e1", person=1))
    wait_until(lambda: house.far.requests("GET", "/contacts") != [], "it is being sent", 15)
    (worker,) = work.workers
    os.kill(worker, signal.SIGKILL)
    house.far.persons["1"] = {"id": 1, "first_name": "Ada"}
    slow.times = 0
    house.idle(30)
    assert [contact["last_name"] for contact in house.far.contacts.values()] == ["e1 Eva"]
    assert house.fate("e1").state == "delivered"
    assert len(house.far.requests("GET", "/persons/*")) == 1


def test_lost_job(house: SystemProcesses) -> None:
    """As many drains as workers: one whose job gets lost in RQ is replaced within a second or so."""
    house.write(NOTE)
    work = house.work(workers=2, RELAIS_DRAIN_BUDGET="1.5")
    # Both workers are busy with a drain, so who waits for the next job first is this test.
    for _ in range(2):
        assert house.store.blpop(["rq:queue:relais-default"], timeout=4)
    wait_until(lambda: len(house.drains()) == 2, "two drains again", 3)
    house.put(event("e1"))
    house.idle(3)
    assert len(work.workers) == 2


def test_exactly_as_many_drains_as_workers(house: SystemProcesses) -> None:
    """While drains come and go there are never more alive or queued than there are workers."""
    house.write(NOTE)
    house.work(workers=2, RELAIS_DRAIN_BUDGET="0.5")
    most = 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        most = max(most, len(house.drains()))
        time.sleep(0.01)
    assert most == 2
    assert house.queued() <= 2


def test_two_parents(house: SystemProcesses) -> None:
    """Two `relais work` share a store: as many drains as workers of both, and one goes on when the other has gone."""
    house.write(NOTE)
    first = house.work(workers=1)
    second = house.work(workers=2)
    assert len(house.drains()) == 3
    house.put(*(event(f"e{n}", f"p{n % 9}") for n in range(100)))
    house.idle()
    first.stop()
    wait_until(lambda: len(house.drains()) == 2, "the drains of the second", 5)
    house.put(*(event(f"f{n}", f"p{n % 9}") for n in range(20)))
    house.idle()
    assert sorted(house.texts()) == sorted([f"e{n}" for n in range(100)] + [f"f{n}" for n in range(20)])
    assert len(second.workers) == 2


def test_store_away_at_the_start(house: SystemProcesses, valkey: PrivateValkey) -> None:
    """Workers that find no store wait for it: none dies, each says so once, and they begin when it is there."""
    house.write()
    valkey.stop()
    work = house.work(workers=2, wait=False)
    wait_until(lambda: work.said.count("worker.store_away") == 2, "both wait", 30)
    waiting = work.workers
    valkey.start()
    wait_until(lambda: len(house.drains()) == 2, "both work", 30)
    assert work.workers == waiting
    assert work.said.count("worker.store_away") == 2
    assert "worker.died" not in work.said


def test_poison(house: SystemProcesses) -> None:
    """What kills its worker three times is held for a person, and takes nobody with it."""
    house.write(UPSERT)
    house.far.fail(times=None, delay=0.05)
    house.work(workers=2, module="tests.system.poisoned_work")
    house.put(*(event(f"e{n}", f"p{n}") for n in range(20)), event("bad", "poison"), event("worse", "poison"))
    house.put(*(event(f"f{n}", f"q{n}") for n in range(20)))
    wait_until(lambda: bool(house.held()), "the poison is found", 60)
    house.idle(30)
    assert [why["code"] for why in house.held()] == ["poison"]
    wait_until(lambda: bool(house.far.alerts), "somebody is told", 5)
    assert house.far.alerts == [{"alert": "held_key", "text": "crm: poison", "destination": "crm"}]
    assert sorted(house.far.emails()) == sorted(f"{who}{n}@example.org" for n in range(20) for who in "pq")
    assert house.fate("bad").state == "delivering"


def test_hanging_worker(house: SystemProcesses) -> None:
    """A process that stands still for too long counts as dead; when it wakes up, what it settles changes nothing."""
    house.write(UPSERT, timeout="1")
    hanging = house.far.fail(method="POST", path="/contacts", hang=True, after_effect=True)
    work = house.work(workers=2, RELAIS_DEAD_AFTER="5")
    house.put(event("e1"))
    wait_until(lambda: house.leased() == 1 and bool(house.far.contacts), "it is sent and not answered")
    drain, pid = house.holder()
    os.kill(pid, signal.SIGSTOP)
    hanging.hang = False
    house.put(event("e2"))
    wait_until(lambda: drain not in house.drains(), "it counts as dead", 15)
    house.idle()
    assert [contact["last_name"] for contact in house.far.contacts.values()] == ["e2"]
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: len(house.drains()) == 2 and drain not in house.drains(), "it begins anew", 10)
    house.put(event("e3"))
    house.idle()
    assert [contact["last_name"] for contact in house.far.contacts.values()] == ["e3"]
    assert [house.fate(id).state for id in ("e1", "e2", "e3")] == ["delivered"] * 3
    assert pid in work.workers


def test_store_restarts(house: SystemProcesses) -> None:
    """The store is killed and comes back with its data while work is under way: nobody is restarted, nothing lost.

    A create whose answer nobody could write down may be held, rather than done twice: a person lets it go on.
    """
    house.write(UPSERT)
    house.far.fail(times=None, delay=0.05)
    work = house.work(workers=2)
    workers = work.workers
    house.put(*(event(f"e{n}", f"p{n % 30}") for n in range(150)))
    wait_until(lambda: len(house.far.contacts) > 10, "it is under way", 10)
    house.valkey.stop(kill=True)
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 2, "the store is away for a while")
    house.valkey.start()
    wait_until(house.is_idle, "all is delivered or held", 30)
    assert {why["code"] for why in house.held()} <= {"unresolved"}
    house.release()
    wait_until(house.is_idle, "all is delivered", 30)
    assert sorted(house.far.emails()) == sorted(f"p{n}@example.org" for n in range(30))
    for person in range(30):
        assert house.far.contact(f"p{person}@example.org")["last_name"] == f"e{120 + person}"
    assert work.workers == workers
    wait_until(lambda: len(house.drains()) == 2, "two drains", 10)
    assert house.held() == []


def test_everything_killed(house: SystemProcesses, valkey: PrivateValkey) -> None:
    """After a kill of all processes, the store too, what was under way is delivered before any beat is missed."""
    house.write(UPSERT)
    slow = house.far.fail(method="POST", path="/contacts", times=None, delay=0.5, after_effect=True)
    work = house.work(workers=2)
    house.put(*(event(f"e{n}", f"p{n}") for n in range(20)))
    wait_until(lambda: len(house.far.contacts) == 20, "all creates are done and none is answered", 30)
    slow.times = 0
    for pid in work.workers:
        os.kill(pid, signal.SIGKILL)
    work.stop(signal.SIGKILL)
    valkey.stop(kill=True)
    valkey.start()
    house.work(workers=2, wait=False, RELAIS_DEAD_AFTER="100000")
    house.idle()
    assert sorted(house.far.emails()) == sorted(f"p{n}@example.org" for n in range(20))


@pytest.fixture
def queues() -> Iterator[PrivateValkey]:
    """A store of its own for RQ's queues."""
    folder = Path(tempfile.mkdtemp(prefix="rl"))
    server = PrivateValkey(folder)
    server.start("--appendonly", "no")
    yield server
    server.stop(kill=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("trouble", ["killed", "emptied", "stopped"])
def test_without_rq(house: SystemProcesses, queues: PrivateValkey, trouble: str) -> None:
    """Deliveries go on while RQ's store is killed, emptied or stopped, and there are as many drains afterwards."""
    house.write(NOTE)
    house.work(workers=2, RELAIS_RQ_URL=queues.url, RELAIS_DRAIN_BUDGET="1")
    house.put(*(event(f"a{n}", f"p{n % 9}") for n in range(30)))
    house.idle()
    assert queues.process is not None
    if trouble == "killed":
        queues.stop(kill=True)
    elif trouble == "emptied":
        redis.Redis.from_url(queues.url).flushall()
    else:
        queues.process.send_signal(signal.SIGSTOP)
    for part in range(4):  # longer than a drain's budget
        house.put(*(event(f"b{part}-{n}", f"p{n % 9}") for n in range(30)))
        house.idle()
        time.sleep(1)
    if trouble == "killed":
        queues.start("--appendonly", "no")
    elif trouble == "stopped":
        queues.process.send_signal(signal.SIGCONT)
    wait_until(lambda: len(house.drains()) == 2, "as many drains as workers")
    house.put(*(event(f"c{n}", f"p{n % 9}") for n in range(30)))
    house.idle()
    assert len(house.texts()) == 30 + 120 + 30
