"""What happened before somebody left, and arrives after it, is not sent. Real workers; events as receivers put them."""

from dataclasses import replace

import pytest

from rules.event import Event
from tests.conftest import wait_until
from tests.system.processes import SystemProcesses, event
from tests.workers.worker_fixture import HOLD, NOTE, hours

SIGN_UP = NOTE.replace("keep a note", "opt-in mail") + "    not_older_than: contact.unsubscribed\n"
LEFT = (
    NOTE.replace("keep a note", "note who goes")
    .replace("person.changed", "contact.unsubscribed")
    .replace("data.name", "raw.name")
)
BOUNCED = LEFT.replace("note who goes", "note a bounce").replace("contact.unsubscribed", "contact.bounced")


def at(minute: int, one: Event) -> Event:
    """Return an event as its platform stamps it."""
    return replace(one, time=f"2026-01-01T10:{minute:02}:00.000Z")


def test_older_sign_up_after_unsubscribe(house: SystemProcesses) -> None:
    """Left at 10:05; a sign-up of 10:00, sent again, comes after it and is stale; one of 10:10 is sent."""
    house.write(SIGN_UP + LEFT)
    house.work(workers=2)
    house.put(at(5, event("left", type="contact.unsubscribed")))
    house.idle()
    house.put(at(0, event("again")))
    house.idle()
    house.put(at(10, event("new")))
    house.idle()
    assert house.texts("eva") == ["left", "new"]
    fate = house.fate("again")
    assert (fate.state, fate.deliveries[0].state) == ("stale", "stale")
    assert "contact.unsubscribed of 2026-01-01T10:05:00.000Z is newer" in fate.deliveries[0].why


@pytest.mark.parametrize("waits", ["    delay: 1d\n", HOLD + hours(open_now=False)], ids=["delay", "hold"])
def test_unsubscribe_does_not_wait(house: SystemProcesses, waits: str) -> None:
    """What is to go tomorrow ends, and the platform hears at once, when its person leaves today; not at a bounce."""
    house.write(BOUNCED + LEFT + NOTE + waits)
    house.work(workers=2)
    house.put(event("tomorrow"), event("ada tomorrow", "ada"))
    wait_until(lambda: house.fate("tomorrow").state == "delivering", "it waits")
    house.put(event("bounced", "ada", type="contact.bounced"), event("left", type="contact.unsubscribed"))
    wait_until(lambda: house.texts("eva") == ["left"], "the platform heard of it")
    wait_until(lambda: house.fate("bounced").state == "delivering", "it waits behind what waits")
    assert (house.fate("tomorrow").state, house.fate("ada tomorrow").state) == ("stale", "delivering")


def test_known_by_two_names(house: SystemProcesses) -> None:
    """Who left is known by an id and an address; what is older is stale under either, whoever puts it at once."""
    house.write(SIGN_UP + LEFT)
    left = replace(at(5, event("left", type="contact.unsubscribed")), names=("id:7",))
    by_id = replace(at(0, event("by id", "other")), order_key="id:7")
    house.put(left, at(0, event("by address")), by_id, at(0, event("another", "ada")))
    house.work(workers=2)
    house.idle()
    assert house.texts("eva") == ["left"]
    assert house.texts("other") == []
    assert house.texts("ada") == ["another"]
