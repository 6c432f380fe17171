"""A destination goes down and comes back, real processes on both sides: what that costs, and how it ends by itself."""

import itertools

from tests.conftest import wait_until
from tests.system.processes import SystemProcesses, event
from tests.workers.worker_fixture import UPSERT

PEOPLE, EACH = 40, 4


def everybody(letter: str) -> list[str]:
    """Return events, each person's in order."""
    return [f"{letter}{n}" for n in range(PEOPLE * EACH)]


def person(name: str) -> str:
    return f"p{int(name[1:]) % PEOPLE}"


def test_down_and_back(house: SystemProcesses) -> None:
    """Two workers notice it together, probe one at a time, lose no attempt, and go on in order when it answers."""
    house.write(UPSERT)
    house.work(workers=2)
    house.put(*(event(name, person(name)) for name in everybody("a")))
    house.idle()
    down = house.far.fail(path="/contacts*", times=None, reset=True)
    house.put(*(event(name, person(name)) for name in everybody("b")))
    wait_until(lambda: [alert["alert"] for alert in house.far.alerts] == ["destination_down"], "somebody is told", 20)
    wait_until(lambda: house.leased() == 0, "what was under way has failed", 10)
    vain = len(house.far.requests(path="/contacts*"))
    # Nobody tries what comes meanwhile, and all of it is ready for the moment when it is back.
    house.put(*(event(name, person(name)) for name in everybody("c")))
    wait_until(lambda: len(house.far.requests(path="/contacts*")) > vain, "a first probe", 15)
    wait_until(lambda: len(house.far.requests(path="/contacts*")) > vain + 1, "a second probe", 20)
    probes = house.far.requests(path="/contacts*")[vain:]
    assert [later.at - sooner.at > 8 for sooner, later in itertools.pairwise(probes)] == [True] * (len(probes) - 1)
    (crm,) = [room for room in house.ask(lambda mailroom: mailroom.rooms()) if room.name == "crm"]
    assert (crm.waiting, crm.held, crm.ready + crm.leased) == (0, 0, PEOPLE)
    down.times = 0
    house.idle(60)
    assert [alert["alert"] for alert in house.far.alerts] == ["destination_down", "destination_up"]
    for n in range(PEOPLE):
        assert house.far.contact(f"p{n}@example.org")["last_name"] == f"c{PEOPLE * (EACH - 1) + n}"
    fates = [house.fate(name) for name in everybody("b")[:PEOPLE]]
    attempts = [[attempt["n"] for attempt in fate.deliveries[0].attempts] for fate in fates]
    assert max(map(max, attempts)) == 2, "nobody lost more than the one attempt that showed that it is down"
    assert sum(max(numbers) == 2 for numbers in attempts) < 10
    assert {house.fate(name).state for name in everybody("c")} == {"delivered"}
    assert house.held() == []
