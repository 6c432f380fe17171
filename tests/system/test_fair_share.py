"""A back-fill of one source stands before others: an event of another source and an unsubscription do not wait for it.

Real workers. `RELAIS_TEST_BACKLOG=1000000 pytest tests/system/test_fair_share.py` for a backlog as large as one likes.
"""

import os
import time

from tests.conftest import GENEROUS, wait_until
from tests.system.processes import SystemProcesses, event
from tests.workers.worker_fixture import NOTE

#: Events that wait; of so many the person in the middle unsubscribes.
BACKLOG = int(os.environ.get("RELAIS_TEST_BACKLOG", "20000"))
#: Events in one call.
BATCH = 1_000
#: Of the backlog, so many events may be delivered first. What a worker has in hand when the two come goes before them.
AHEAD = 2_000
#: Another source, and the same rule for it and for those who go.
FORMS = """\
sources:
  forms:
    kind: generic
    verify:
      none: only a test posts here
    read:
      type: body.event
rules:
"""
OF_FORMS = NOTE.replace("keep a note", "note a form").replace("shop", "forms")
OF_WHO_GOES = (
    NOTE.replace("keep a note", "note who goes")
    .replace("person.changed", "contact.unsubscribed")
    .replace("data.name", "raw.name")
)


def write(house: SystemProcesses, limit: str = "") -> None:
    """Write a book with two sources."""
    house.write(NOTE + OF_WHO_GOES, more=limit)
    (house.folder / "book" / "forms.yaml").write_text(FORMS + OF_FORMS, encoding="utf-8")


def fill(house: SystemProcesses) -> None:
    """Put a backlog of one source, each event of a person of its own."""
    for first in range(0, BACKLOG, BATCH):
        house.put(*(event(f"e{n}", f"p{n}") for n in range(first, min(BACKLOG, first + BATCH))))


def come_late(house: SystemProcesses) -> None:
    """Put one event of another source, and one unsubscription of somebody in the middle of the backlog."""
    house.put(
        event("other", "another", source="forms"),
        event("goes", f"p{BACKLOG // 2}", type="contact.unsubscribed"),
    )


def passed(house: SystemProcesses) -> int:
    """Wait until both are delivered, and return how many of the backlog were before them."""
    goes = f"p{BACKLOG // 2}"
    wait_until(lambda: bool(house.texts("another")) and "goes" in house.texts(goes), "both came", GENEROUS)
    assert house.texts(goes) == [f"e{BACKLOG // 2}", "goes"]
    return len(house.far.notes) - 3


def test_backlog_in_the_inbox(house: SystemProcesses) -> None:
    """What waits is not routed yet."""
    write(house)
    fill(house)
    come_late(house)
    house.work()
    began = time.monotonic()
    before = passed(house)
    print(f"{BACKLOG} in the inbox: both after {time.monotonic() - began:.2f} s and {before} of the others")
    assert before <= AHEAD


def test_backlog_in_a_room_with_a_rate(house: SystemProcesses) -> None:
    """What waits is routed, and its destination takes a hundred a second."""
    write(house, limit="limit: 100/s")
    house.ask(lambda mailroom: mailroom.pause("crm", "backlog"))
    fill(house)
    house.work()
    wait_until(lambda: not house.store.exists("relais:{p0}:turns:in") and not house.leased("in"), "routed", 1_200)
    house.ask(lambda mailroom: mailroom.resume("crm"))
    wait_until(lambda: len(house.far.notes) > 20, "it is under way", GENEROUS)
    already = len(house.far.notes)
    come_late(house)
    began = time.monotonic()
    before = passed(house) - already
    print(f"{BACKLOG} in a room of 100/s: both after {time.monotonic() - began:.2f} s and {before} of the others")
    assert before <= AHEAD
