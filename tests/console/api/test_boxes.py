"""`relais boxes`, over HTTP: a real console on a real store."""

from typing import Any, cast

from console.jobs import JobDesk, JobOrder
from tests.conftest import PrivateValkey
from tests.console.api.console_process import ready, samples
from tests.console.api.stuck_things import Stuck, StuckConsole, hold, stuck


def test_list(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A held box is listed with reason and age, in the metrics and in /readyz, which stays as it was."""
    assert relais("boxes", "list") == "No box is held.\n"
    before = [check["ok"] for check in ready(relais.url)["checks"]]
    hold(valkey.url)
    found = {box["id"]: box for box in relais.json("boxes", "list")["boxes"]}
    ada = found["crm/box-ada"]
    assert (ada["code"], ada["item"], ada["waiting"], ada["rule"]) == ("unresolved", "a1.0", 2, "keep a note")
    assert "unresolved" in relais("boxes", "list", "--rule", "keep a contact")
    assert relais.json("boxes", "list", "--source", "desk")["total"] == 0
    counted = samples(relais.url)
    assert counted['relais_room_boxes{room="crm",state="held"}'] == 2
    assert 0 <= counted['relais_room_held_seconds{room="crm"}'] < 60
    checks = ready(relais.url)["checks"]
    (note,) = [check for check in checks if check["name"] == "held"]
    assert (note["ok"], note["mend"]) == (True, "relais boxes list")
    assert note["says"].startswith("2 boxes held for a person")
    assert [check["ok"] for check in checks if check != note] == before


def test_show(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """One box is shown with what waits in it and the story of its first event, and no value of a person."""
    hold(valkey.url)
    said = relais("boxes", "show", "crm/box-ada")
    assert "because unresolved: said no" in said
    assert said.index("a1.0") < said.index("a2.0")
    assert relais.json("boxes", "show", "crm/box-ada")["story"]["deliveries"][0]["state"] == "held"
    assert "example.org" not in said
    assert "unknown_box" in relais("boxes", "show", "crm/nobody", status=1)
    assert "is the name or id whole" in relais("boxes", "show", "crm", status=1)
    assert "is the name or id whole" in relais("events", "show", "crm/a1", status=1)


def test_release(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Without --yes nothing happens; with it the box goes on in order, and the others stay held."""
    hold(valkey.url)
    assert "Held boxes: 1 would go on. Nothing was done" in relais("boxes", "release", "crm/box-ada", status=1)
    assert "1 done" in relais("boxes", "release", "crm/box-ada", "--not-sent", "--yes")
    assert stuck(valkey.url, lambda it: it.waiting()) == ["a1.0", "a2.0"]
    assert relais.json("boxes", "list")["total"] == 1
    assert relais("boxes", "release", "crm/box-ada", "--yes") == "No held boxes of this kind.\n"


def test_skip(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """The first item becomes a dead letter, which a person may retry; the rest goes on."""
    hold(valkey.url)
    assert "2 done" in relais("boxes", "skip", "--code", "unresolved", "--yes")
    assert relais("boxes", "list") == "No box is held.\n"
    assert relais.json("dead", "list")["total"] == 2
    assert relais.json("events", "show", "b1")["deliveries"][0]["why"] == "unresolved, skipped by a person"
    assert stuck(valkey.url, lambda it: it.waiting()) == ["a2.0"]
    assert relais.json("dead", "retry", "b1.0", "--yes")["words"] == {"done": 1}


def test_skip_and_drop(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """With --drop the first item is given up for good."""
    hold(valkey.url)
    assert relais.json("boxes", "skip", "crm/box-bob", "--drop", "--yes")["words"] == {"done": 1}
    assert relais.json("dead", "list")["total"] == 0
    assert relais.json("events", "show", "b1")["state"] == "skipped"


def test_somebody_was_quicker(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A box whose first item is another one by now is left alone."""
    hold(valkey.url)

    async def decide(it: Stuck) -> list[str]:
        desk = JobDesk(it.mailroom, cast(Any, None), cast(Any, None), cast(Any, None))  # of no use to boxes
        orders = (JobOrder(verb="release", expect="any"), JobOrder(verb="skip", expect="any"))
        acts = [await desk.prepare(order) for order in orders]
        return [await act('["crm", "box-ada", "a0.0"]') for act in acts if act is not None]

    assert stuck(valkey.url, decide) == ["gone", "gone"]
    assert relais.json("boxes", "list")["total"] == 2
