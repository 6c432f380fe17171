"""Four worker processes keep to what one destination says and to what its key is good for, together."""

import time
from datetime import datetime

import pytest

from mailroom import QuotaState, RoomState
from tests.conftest import wait_until
from tests.system.processes import SystemProcesses, event

PEOPLE = [f"p{n}" for n in range(60)]


def crm(house: SystemProcesses) -> RoomState:
    """Return the room of the destination."""
    rooms: list[RoomState] = house.ask(lambda mailroom: mailroom.rooms())
    return next((room for room in rooms if room.name == "crm"), RoomState("crm", 0, 0, 0, 0, 0, ""))


@pytest.mark.parametrize("header", ["Retry-After", "X-RateLimit-Reset"])
def test_nothing_is_begun_meanwhile(house: SystemProcesses, header: str) -> None:
    """From when a 429 is settled until its end no worker begins a request, neither the first nor a further one."""
    house.write(concurrency=20, timeout="10")
    # All that may be under way is when the 429 comes: whoever was leased has begun.
    house.far.fail(method="GET", who="p0@*", status=429, headers={header: "4"}, delay=2.0)
    house.far.fail(method="GET", times=19, delay=3.0)
    house.work(workers=4)
    house.put(*(event(name, name) for name in PEOPLE))

    def refused_at() -> float | None:
        deliveries = house.fate("p0").deliveries
        attempts = deliveries[0].attempts if deliveries else []
        return datetime.fromisoformat(attempts[0]["at"]).timestamp() if attempts else None

    wait_until(lambda: refused_at() is not None, "the one that was refused is settled", 30)
    settled, ends = refused_at(), crm(house).rests_until / 1000
    assert settled is not None
    assert settled + 2 < ends <= settled + 5
    house.idle(60)
    clock = time.time() - time.monotonic()  # what was seen is timed by the monotonic clock
    begun = [seen.at + clock for seen in house.far.requests(path="/contacts*")]
    assert len([at for at in begun if settled < at < ends]) == 0
    assert 1 < len([at for at in begun if at <= settled]) <= 20
    assert sorted(house.far.emails()) == sorted(f"{name}@example.org" for name in PEOPLE)


def test_one_quota(house: SystemProcesses) -> None:
    """All of them together send as many requests as their key is good for, and not one more."""
    house.write(more="quota: 37/day")
    house.work(workers=4)
    house.put(*(event(name, name) for name in PEOPLE))

    def waits() -> bool:
        room = crm(house)
        return room.quota is not None and room.quota.used_up and not room.leased

    wait_until(waits, "it is used up", 30)
    (state,) = house.ask(lambda mailroom: mailroom.quotas())
    assert isinstance(state, QuotaState)
    assert (state.name, state.used, state.limit) == ("crm", 37, 37)
    assert len(house.far.requests(path="/contacts*")) == 37
