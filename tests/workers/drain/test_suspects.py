"""When boxes whose drain died are asked for."""

import pytest

from mailroom import Lease, Taken
from tests.clock import ManualClock
from workers.drain import suspects
from workers.drain.suspects import SUSPECTS_AGAIN, SUSPECTS_AGAIN_MOST, SuspectTurns

LEASE = Lease("crm", "box", "t", 0, 0, 1, [("e1.0", b"{}")])


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that stands still until the test moves it."""
    clock = ManualClock()
    monkeypatch.setattr(suspects, "time", clock)
    return clock


def test_asked_for_when_there_are_some(time: ManualClock) -> None:
    """Suspects are asked for as soon as the store says that some wait, and not while none do."""
    turns = SuspectTurns()
    assert not turns.due()
    turns.note(Taken([LEASE], None, 3), asked=False)
    assert turns.due()
    assert not turns.under_way
    turns.note(Taken([LEASE], None, 0), asked=True)
    assert turns.under_way
    assert not turns.due()


def test_less_and_less_often(time: ManualClock) -> None:
    """Suspects that may not be sent yet are asked for after one second, two, four, at the most thirty."""
    turns = SuspectTurns()
    turns.note(Taken([], None, 3), asked=False)
    waits = []
    for _ in range(8):
        assert turns.due()
        turns.note(Taken([], None, 3), asked=True)
        begun = time.now
        while not turns.due():
            time.now += 0.5
        waits.append(time.now - begun)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert (waits[0], waits[-1]) == (SUSPECTS_AGAIN, SUSPECTS_AGAIN_MOST)


def test_soon_again_after_success(time: ManualClock) -> None:
    """Once they could be sent the waits begin anew."""
    turns = SuspectTurns()
    turns.note(Taken([], None, 3), asked=False)
    for _ in range(4):
        turns.note(Taken([], None, 3), asked=True)
    time.now += SUSPECTS_AGAIN_MOST
    turns.note(Taken([LEASE], None, 2), asked=True)
    assert turns.due()
    turns.note(Taken([], None, 2), asked=True)
    assert not turns.due()
    time.now += SUSPECTS_AGAIN
    assert turns.due()
