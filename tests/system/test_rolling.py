"""Restarts under load: whoever sends sees nothing of them."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver import server
from tests.conftest import PrivateValkey, wait_until
from tests.receiver.port import AT, kept_in
from tests.receiver.process import Process


class Caller(threading.Thread):
    """Sends one event after the other, each on a connection of its own, and counts what goes wrong."""

    def __init__(self, port: int, who: int, *, patience: float = 10) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.patience = patience
        self.who = who
        self.acknowledged: list[str] = []
        self.wrong: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.over.is_set():
            n += 1
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
            try:
                connection.request("POST", "/in/at/contact_changed", json.dumps({"id": self.who, "n": n}), AT)
                answer = connection.getresponse()
                told = answer.read()
                if answer.status == 202:
                    self.acknowledged.append(json.loads(told)["events"][0]["id"])
                else:
                    self.wrong.append(str(answer.status))
            except (OSError, http.client.HTTPException) as exc:
                self.wrong.append(repr(exc))
            finally:
                connection.close()


@pytest.fixture
def callers() -> Iterator[list[Caller]]:
    """Callers, to be started; none outlives the test."""
    all_of_them: list[Caller] = []
    yield all_of_them
    for each in all_of_them:
        each.over.set()
    for each in all_of_them:
        each.join(15)


def test_rolling_receivers(tmp_path: Path, valkey: PrivateValkey, callers: list[Caller]) -> None:
    """Receivers that share a socket replace each other under load: no request is refused, none is lost."""
    with server.listen("127.0.0.1", 0) as listening:
        callers += [Caller(listening.getsockname()[1], who) for who in range(1, 9)]
        _replace(tmp_path, valkey, callers, listening.fileno())
    assert [wrong for each in callers for wrong in each.wrong] == []
    acknowledged = [id for each in callers for id in each.acknowledged]
    assert kept_in(valkey.url, acknowledged) == len(acknowledged)


def _replace(folder: Path, valkey: PrivateValkey, callers: list[Caller], socket: int) -> None:
    old = Process(folder, valkey.url, listening=socket)
    for each in callers:
        each.start()
    wait_until(lambda: all(len(each.acknowledged) > 10 for each in callers), "everybody sends", 20)
    for _ in range(3):
        new = Process(folder, valkey.url, listening=socket)
        old.process.terminate()
        assert old.end() == 0
        old = new
        sent = sum(len(each.acknowledged) for each in callers)
        wait_until(lambda n=sent: sum(len(each.acknowledged) for each in callers) > n + 80, "it goes on", 20)  # type: ignore[misc]
    for each in callers:
        each.over.set()
    for each in callers:
        each.join(15)
    old.process.terminate()
    assert old.end() == 0
