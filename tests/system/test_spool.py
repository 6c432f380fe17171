"""The store in every kind of trouble, receivers that die, and nothing acknowledged lost or overtaken."""

import contextlib
import hashlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from mailroom.keys import CALL_TIMEOUT, PREFIX
from receiver import spool
from rules.event import Event
from tests.conftest import PrivateValkey, wait_until
from tests.receiver.port import AT
from tests.receiver.process import Process

#: Acknowledgements of each sender before, during and after the trouble.
BEFORE, DURING, AFTER = 5, 30, 5


class SpoolReceiver(Process):
    """A receiver process; several on one folder share its spool."""

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        self.process.send_signal(sign)
        return self.end()

    def post(self, body: object) -> tuple[int, Mapping[str, str], bytes]:
        """Send one event."""
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=30)
        try:
            connection.request("POST", "/in/at/contact_changed", json.dumps(body), AT)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


class SpoolSender(threading.Thread):
    """Sends events of one person, each after the one before was answered, to one receiver after the other."""

    def __init__(self, who: int, *receivers: SpoolReceiver) -> None:
        super().__init__(daemon=True)
        self.who = who
        self.receivers = list(receivers)
        self.acknowledged: list[str] = []
        #: Seconds that each acknowledgement took.
        self.took: list[float] = []
        self.other: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.over.is_set():
            n += 1
            start = time.monotonic()
            try:
                receiver = self.receivers[n % len(self.receivers)]
                status, _, told = receiver.post({"id": self.who, "n": n})
            except (OSError, http.client.HTTPException):
                continue
            if status == 202:
                self.took.append(time.monotonic() - start)
                self.acknowledged.append(json.loads(told)["events"][0]["id"])
            else:
                self.other.append(status)


class SpoolProcesses:
    """Receivers, senders, and what the store holds."""

    def __init__(self, folder: Path, valkey: PrivateValkey) -> None:
        self.folder = folder
        self.valkey = valkey
        self.receivers: list[SpoolReceiver] = []
        self.senders: list[SpoolSender] = []

    def receiver(self, url: str = "", **environ: str) -> SpoolReceiver:
        self.receivers.append(SpoolReceiver(self.folder, url or self.valkey.url, -1, **environ))
        return self.receivers[-1]

    def send(self, *receivers: SpoolReceiver, people: int = 4) -> None:
        """Let several people be sent about, from now on."""
        for who in range(1, people + 1):
            self.senders.append(SpoolSender(who, *receivers))
            self.senders[-1].start()

    def more(self, count: int) -> None:
        """Wait until each sender has so many more acknowledgements."""
        goals = [(sender, len(sender.acknowledged) + count) for sender in self.senders]
        wait_until(lambda: all(len(s.acknowledged) >= goal for s, goal in goals), f"{count} more acknowledged", 60)

    def quiet(self) -> None:
        """Stop sending."""
        for sender in self.senders:
            sender.over.set()
        for sender in self.senders:
            sender.join(30)
            assert not sender.is_alive()

    @property
    def store(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.valkey.socket), socket_timeout=5)

    def waiting(self) -> int:
        """How many events wait in the spool."""
        found = spool.look(self.folder / "spool")
        return found.events if found else 0

    def handed_over(self) -> None:
        wait_until(lambda: self.waiting() == 0, "the spool is handed over", 30)

    def boxes(self) -> list[list[str]]:
        """The inbox: per person, the ids in their order."""
        with self.store as store:
            alone = [[value.decode().partition("\n")[2]] for value in store.hvals(f"{PREFIX}one:in")]
            return alone + [
                [item.decode() for item in store.lrange(key, 1, -1)]
                for key in store.scan_iter(match=f"{PREFIX}b:in:*", count=1000)
            ]

    def check(self) -> None:
        """Nothing acknowledged is lost, stands twice, or was overtaken by what came later."""
        boxes = self.boxes()
        for sender in self.senders:
            assert len(sender.acknowledged) == len(set(sender.acknowledged))
            [box] = [box for box in boxes if set(box) & set(sender.acknowledged)]
            known = set(sender.acknowledged)
            assert [each for each in box if each in known] == sender.acknowledged


@pytest.fixture
def house(short_folder: Path, valkey: PrivateValkey) -> Iterator[SpoolProcesses]:
    """An empty house."""
    folder = short_folder / "house"
    folder.mkdir()
    built = SpoolProcesses(folder, valkey)
    yield built
    for sender in built.senders:
        sender.over.set()
    for receiver in built.receivers:
        if receiver.process.poll() is None:
            receiver.stop(signal.SIGKILL)
    if valkey.process is not None:
        valkey.process.send_signal(signal.SIGCONT)


Trouble = Callable[[SpoolProcesses], "contextlib.AbstractContextManager[None]"]


@contextlib.contextmanager
def stopped(house: SpoolProcesses) -> Iterator[None]:
    house.valkey.stop()
    yield
    house.valkey.start()


@contextlib.contextmanager
def killed(house: SpoolProcesses) -> Iterator[None]:
    house.valkey.stop(kill=True)
    yield
    house.valkey.start()


@contextlib.contextmanager
def hung(house: SpoolProcesses) -> Iterator[None]:
    assert house.valkey.process is not None
    house.valkey.process.send_signal(signal.SIGSTOP)
    yield
    house.valkey.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def full(house: SpoolProcesses) -> Iterator[None]:
    with house.store as store:
        store.config_set("maxmemory", "1mb")
        store.config_set("maxmemory", "1")
    yield
    with house.store as store:
        store.config_set("maxmemory", "0")


@contextlib.contextmanager
def nearly_full(house: SpoolProcesses) -> Iterator[None]:
    with house.store as store:
        used = int(store.info("memory")["used_memory"])
        store.config_set("maxmemory", str(int(used / 0.9)))
    wait_until(lambda: house.waiting() > 0, "new events wait in the spool", 10)
    yield
    with house.store as store:
        store.config_set("maxmemory", "0")


@contextlib.contextmanager
def read_only(house: SpoolProcesses) -> Iterator[None]:
    with house.store as store:
        store.execute_command("REPLICAOF", "127.0.0.1", "1")  # nobody there
    yield
    with house.store as store:
        store.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("trouble", [stopped, killed, hung, full, nearly_full, read_only])
def test_trouble(house: SpoolProcesses, trouble: Trouble) -> None:
    """Whatever ails the store, receivers go on acknowledging, quickly, and it gets everything in order afterwards."""
    receiver = house.receiver()
    house.send(receiver)
    house.more(BEFORE)
    with trouble(house):
        for sender in house.senders:
            sender.took.clear()
        house.more(DURING)
        assert house.waiting() > 0
        took = [sorted(sender.took) for sender in house.senders]
    house.more(AFTER)
    house.quiet()
    house.handed_over()
    house.check()
    assert not [status for sender in house.senders for status in sender.other]
    # The one that was on its way to the store waits for it no longer than a call may last; the later ones not at all.
    assert max(each[-1] for each in took) < CALL_TIMEOUT + 1
    assert max(each[-2] for each in took) < 1
    if trouble is hung:
        assert any("did not answer" in line for line in receiver.said if "spool.begins" in line)
    assert receiver.stop() == 0


def test_two_receivers(house: SpoolProcesses) -> None:
    """Two receivers of one host share the spool: what one acknowledged is not overtaken through the other."""
    house.send(house.receiver(), house.receiver())
    house.more(BEFORE)
    with hung(house):
        house.more(DURING)
    house.more(AFTER)
    with stopped(house):
        house.more(DURING)
    house.more(AFTER)
    house.quiet()
    house.handed_over()
    house.check()


def test_one_cut_off(house: SpoolProcesses) -> None:
    """A receiver that the store answers to does not overtake what another one of its host, cut off from it, spooled."""
    link = house.folder / "link"
    link.symlink_to(house.valkey.socket)
    house.send(house.receiver(f"unix://{link}"), house.receiver())
    house.more(BEFORE)
    link.unlink()
    with house.store as store:
        store.client_kill_filter(_type="normal", skipme=True)
    house.more(DURING)
    link.symlink_to(house.valkey.socket)
    house.more(AFTER)
    house.quiet()
    house.handed_over()
    house.check()


def test_killed_while_spooling(house: SpoolProcesses) -> None:
    """A receiver killed while it spools left everything it acknowledged; the next one hands it over."""
    first = house.receiver()
    house.send(first)
    house.more(BEFORE)
    with stopped(house):
        house.more(DURING)
        first.stop(signal.SIGKILL)
        second = house.receiver()
        for sender in house.senders:
            sender.receivers[:] = [second]
        house.more(DURING)
    house.more(AFTER)
    house.quiet()
    house.handed_over()
    house.check()


def test_adopted_by_the_other(house: SpoolProcesses) -> None:
    """What a killed receiver spooled is handed over by the other one of its host, which nobody sends anything."""
    first, second = house.receiver(), house.receiver()
    house.send(first)
    house.more(BEFORE)
    with stopped(house):
        house.more(DURING)
        for sender in house.senders:
            sender.over.set()
        first.stop(signal.SIGKILL)
    house.quiet()
    house.handed_over()
    house.check()
    assert second.stop() == 0


def test_stopped_and_started(house: SpoolProcesses) -> None:
    """A receiver that is stopped and started while the store is away keeps what it acknowledged, and starts."""
    first = house.receiver()
    house.send(first)
    house.more(BEFORE)
    house.valkey.stop()
    house.more(DURING)
    house.quiet()
    assert first.stop() == 0
    assert house.waiting() > 0
    house.receiver()
    house.valkey.start()
    house.handed_over()
    house.check()


def test_killed_while_handing_over(house: SpoolProcesses) -> None:
    """A receiver killed in the middle of the hand-over leaves nothing behind and puts nothing twice."""
    house.valkey.stop()
    left = spool.Spool(house.folder / "spool", 1 << 30)
    first = house.receiver()
    house.send(first, people=2)
    house.more(DURING)
    house.quiet()
    many = [many_events(n) for n in range(40)]
    for some in many:
        left.append([(each, None) for each in some])
    left.close()
    house.valkey.start()
    wait_until(lambda: 0 < house.waiting() < 8000, "it is in the middle", 30)
    first.stop(signal.SIGKILL)
    house.receiver()
    house.handed_over()
    house.check()
    [box] = [box for box in house.boxes() if "0.0" in box]
    assert box == [each.id for some in many for each in some]


def many_events(n: int) -> list[Event]:
    names = [f"{n}.{i}" for i in range(250)]
    told = {"source": "at", "kind": "activetrail", "type": "contact.changed", "body": b"{}", "order_key": "id:1"}
    return [Event(id=name, sender_id=name, received_at="2026-01-01T00:00:00.000Z", **told) for name in names]  # type: ignore[arg-type]


def test_flushed(house: SpoolProcesses) -> None:
    """A store that was emptied meanwhile gets what waited, without a restart of ours."""
    receiver = house.receiver()
    with full(house):
        house.send(receiver)
        house.more(DURING)
        house.quiet()
        with house.store as store:
            store.flushall()
    house.handed_over()
    house.check()


def test_poison(house: SpoolProcesses) -> None:
    """An event that the store refuses whenever it comes holds up nobody else, and comes in when the store is mended."""
    receiver = house.receiver()
    assert [receiver.post({"id": 1, "n": n})[0] for n in range(2)] == [202] * 2
    with house.store as store:
        [box] = store.keys(f"{PREFIX}b:in:*")
        store.rename(box, "mended")
        store.hset(box, "a box", "that is none")
    status, _, told = receiver.post({"id": 1, "n": 3})
    assert status == 202
    assert [receiver.post({"id": 2, "n": n})[0] for n in range(3)] == [202] * 3
    house.handed_over()
    folder = house.folder / "spool"
    [bad] = spool.aside(folder)
    assert bad.id == json.loads(told)["events"][0]["id"]
    assert bad.said.startswith("the store refused")
    assert any("spool.set_aside" in line and bad.id in line for line in receiver.said)
    with house.store as store:
        assert [store.llen(other) for other in store.keys(f"{PREFIX}b:in:*") if other != box] == [4]
        store.rename("mended", box)
    assert spool.again(folder, [bad.id]) == 1
    wait_until(lambda: sorted(len(some) for some in house.boxes()) == [3, 3], "it has come in", 10)


def test_spool_full(house: SpoolProcesses) -> None:
    """When the spool is full, too, the answer is 503 and when to come again; with room again it is 202."""
    receiver = house.receiver(RELAIS_SPOOL_BYTES="131072")
    with stopped(house):
        statuses: list[int] = []
        kept: list[str] = []
        while not statuses or statuses[-1] == 202:
            status, headers, told = receiver.post({"id": 1, "n": len(statuses), "x": "x" * 4000})
            statuses.append(status)
            if status == 202:
                kept.append(json.loads(told)["events"][0]["id"])
        assert len(statuses) > 10
        assert (status, json.loads(told)["error"]) == (503, "spool_full")
        assert int(headers["retry-after"]) > 0
    house.handed_over()
    assert house.boxes() == [kept]
    assert receiver.post({"id": 1})[0] == 202


def test_no_spool(house: SpoolProcesses) -> None:
    """Without a spool the answer is 503 while the store is away."""
    receiver = house.receiver(RELAIS_SPOOL="")
    assert receiver.post({"id": 1})[0] == 202
    with stopped(house):
        status, headers, told = receiver.post({"id": 1})
        assert (status, json.loads(told)["error"]) == (503, "store_unavailable")
        assert int(headers["retry-after"]) > 0


def test_hash_key(house: SpoolProcesses) -> None:
    """With a key of its own the receiver keeps none in the store, and two hosts with the same key agree on a person."""
    receiver = house.receiver(RELAIS_HASH_KEY=hashlib.sha256(b"of this test").hexdigest())
    assert receiver.post({"id": 1})[0] == 202
    with house.store as store:
        assert store.exists(f"{PREFIX}hash_key") == 0
    other = house.receiver(RELAIS_HASH_KEY=hashlib.sha256(b"of this test").hexdigest())
    assert other.post({"id": 1, "n": 2})[0] == 202
    assert [len(box) for box in house.boxes()] == [2]


def test_equal_bodies(house: SpoolProcesses) -> None:
    """A body sent again while its first answer was lost is one event; what waited long is compared with nothing."""
    receiver = house.receiver()
    with stopped(house):
        first = json.loads(receiver.post({"id": 1})[2])["events"][0]["id"]
        assert json.loads(receiver.post({"id": 1})[2])["events"][0]["id"] == first
    house.handed_over()
    assert json.loads(receiver.post({"id": 1})[2])["events"][0]["id"] == first
    assert house.boxes() == [[first]]
    with house.store as store:
        [page] = list(store.scan_iter(match=f"{PREFIX}last:*"))
        [mark] = store.hvals(page)
        assert 0 < int(mark.split()[2]) - time.time() * 1000 <= 60_000
