"""What Relais writes comes back by webhook and goes round no more: real workers that are killed, a real receiver."""

import os
import signal
from typing import Any

from tests.conftest import wait_until
from tests.mailroom.log import list_fates
from tests.mirror import MirrorSystems, receive, write_mirror_book
from tests.system.processes import SystemProcesses

EVA = "eva@example.org"


def fates(house: SystemProcesses) -> list[Any]:
    """Return what became of all events, the oldest first."""

    async def recent(mailroom: Any) -> Any:
        return (await list_fates(mailroom))[::-1]

    found: list[Any] = house.ask(recent)
    return found


def test_killed_between_mark_and_write(house: SystemProcesses) -> None:
    """A worker dies by SIGKILL when it has marked and sent and nothing was written: another sends, all ends."""
    with MirrorSystems() as mirror:
        (house.folder / "book").mkdir()
        (house.folder / "book" / "book.yaml").write_text(write_mirror_book(mirror.url))
        with receive(house.folder / "book", house.valkey.url, mirror):
            work = house.work(workers=2)
            mirror.b.faults = ["hang"]
            mirror.edit(mirror.a, EVA, last_name="Adler")
            wait_until(lambda: not mirror.b.faults, "it is marked, and not written")
            for pid in work.workers:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(fates(house)) == 2 and all(one.settled for one in fates(house)), "it came back")
            house.idle()
            assert [one.state for one in fates(house)] == ["delivered", "echo"]
            assert mirror.names(EVA) == ("Adler", "Adler")
            mirror.edit(mirror.b, EVA, last_name="Berg")
            wait_until(lambda: mirror.names(EVA) == ("Berg", "Berg"), "what a person changes there goes over")
            wait_until(lambda: len(fates(house)) == 4 and all(one.settled for one in fates(house)), "it came back")
            assert [one.state for one in fates(house)][2:] == ["delivered", "echo"]
            assert (len(mirror.a.written), len(mirror.b.written)) == (1, 1)
