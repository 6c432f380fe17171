"""Whether a drain may begin something, and whether what it leased is still its own."""

import asyncio

import pytest

from mailroom.keys import BEAT
from tests.clock import ManualClock
from workers.drain import lease
from workers.drain.lease import LeaseClock, read_head
from workers.settings import WorkSettings


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that stands still until the test moves it."""
    clock = ManualClock()
    monkeypatch.setattr(lease, "time", clock)
    return clock


def make(stopping: asyncio.Event | None = None) -> LeaseClock:
    """Return the clock of a drain that has a minute, counts as dead after 45 s and waits 30 s for an answer."""
    return LeaseClock(stopping or asyncio.Event(), budget=60, dead_after=45, longest_request=30)


def test_budget(time: ManualClock) -> None:
    """A drain begins nothing new once its time is used up."""
    clock = make()
    time.now += 59.9
    assert not clock.over()
    time.now += 0.1
    assert clock.over()


def test_asked_to_stop(time: ManualClock) -> None:
    """A drain begins nothing new once its worker is to stop."""
    stopping = asyncio.Event()
    clock = make(stopping)
    stopping.set()
    assert clock.over()


@pytest.mark.parametrize("what", ["buried", "broken"])
def test_ended(time: ManualClock, what: str) -> None:
    """A drain begins nothing new once somebody took over, or after a bug."""
    clock = make()
    setattr(clock, what, True)
    assert clock.over()


def test_lease_is_good(time: ManualClock) -> None:
    """Nothing is sent whose answer could come after the drain counts as dead, with a beat to spare."""
    clock = make()
    time.now += 45 - 30 - BEAT - 0.1
    assert clock.lease_is_good()
    time.now += 0.1
    assert not clock.lease_is_good()
    clock.beat_at = time.now
    assert clock.lease_is_good()
    clock.buried = True
    assert not clock.lease_is_good()


@pytest.mark.parametrize("dead_after", [5.0, 10.0, 34.0, 45.0, 600.0])
def test_time_to_send(time: ManualClock, dead_after: float) -> None:
    """With any setting a drain that beats as it should may send, also when its last beat came a little late."""
    settings = WorkSettings(dead_after=dead_after)
    stopping = asyncio.Event()
    clock = LeaseClock(stopping, budget=60, dead_after=dead_after, longest_request=settings.longest_request)
    time.now += 2 * BEAT
    assert clock.lease_is_good()


@pytest.mark.parametrize(
    ("record", "head"),
    [
        (
            b'{"source":"shop","at":"2026-11-21T10:00:00.000Z"}\nbody',
            {"source": "shop", "at": "2026-11-21T10:00:00.000Z"},
        ),
        (b'{"id":"e1.0"}', {"id": "e1.0"}),
        (b"{broken\nbody", {}),
        (b'["a list"]\nbody', {}),
        (b"", {}),
    ],
)
def test_read_head(record: bytes, head: dict[str, str]) -> None:
    """The head of a record is its first line; what cannot be read is empty."""
    assert read_head(record) == head
