"""`relais boxes` and `relais rooms`, over HTTP: a real console on a real store."""

import json
import urllib.error
import urllib.request

import pytest

from tests.conftest import PrivateValkey
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck
from tests.console.api.test_app import begin, ready, samples
from tests.console.conftest import Start


@pytest.fixture
def relais(start: Start, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> StuckConsole:
    """The command line against a console on a store of its own."""
    return StuckConsole(begin(start, valkey.url), monkeypatch)


def hold(url: str) -> None:
    """Hold Ada's box, with two deliveries in it, and Bob's with one."""

    async def do(it: Stuck) -> None:
        await it.put("a1", "a2", who="ada")
        await it.put("b1", who="bob", rule="keep a contact")
        await it.end("hold", "unresolved")

    stuck(url, do)


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
    assert note["says"].startswith("2 boxes are held for a person")
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


def test_release(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Without --yes nothing happens; with it the box goes on in order, and the others stay held."""
    hold(valkey.url)
    assert "1 held boxes would go on. Nothing was done" in relais("boxes", "release", "crm/box-ada", status=1)
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
    assert relais.json("dead", "retry", "b1.0", "--yes")["results"] == {"done": 1}


def test_skip_and_drop(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """With --drop the first item is given up for good."""
    hold(valkey.url)
    assert relais.json("boxes", "skip", "crm/box-bob", "--drop", "--yes")["results"] == {"done": 1}
    assert relais.json("dead", "list")["total"] == 0
    assert relais.json("events", "show", "b1")["state"] == "skipped"


def test_somebody_was_quicker(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A box whose first item is another one by now is left alone."""
    hold(valkey.url)
    body = {"boxes": [{"destination": "crm", "box": "box-ada", "item": "a0.0"}]}
    for verb in ("release", "skip"):
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{relais.url}/boxes/{verb}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "X-Relais-By-Hand": "1"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own address
            assert json.load(answer)["results"] == [["crm/box-ada", "gone"]]
    assert relais.json("boxes", "list")["total"] == 2


def test_rooms(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A destination is paused with a reason, which is shown with its age, and resumed."""
    assert relais("rooms", "list") == "Nothing has ever waited anywhere.\n"
    hold(valkey.url)
    assert relais("rooms", "pause", "crm", "--why", "migration until noon") == "crm is paused.\n"
    assert relais("rooms", "pause", "crm") == "crm was paused already.\n"
    assert relais("rooms", "pause", "crm", "--why", "migration until noon") == "crm was paused already.\n"
    crm = relais.json("rooms", "list")["rooms"][1]
    assert (crm["name"], crm["held"], crm["paused"]["why"]) == ("crm", 2, "migration until noon")
    assert "migration until noon, for" in relais("rooms", "list")
    assert samples(relais.url)['relais_room_paused{room="crm"}'] == 1
    assert "paused crm" in [check["name"] for check in ready(relais.url)["checks"]]
    assert relais("rooms", "resume", "crm") == "crm goes on.\n"
    assert relais("rooms", "resume", "crm") == "crm was not paused.\n"
    assert "unknown_room" in relais("rooms", "pause", "nowhere", status=1)


@pytest.mark.parametrize(
    ("says", "word", "sentence", "is_open"),
    [
        ("away:timeout", "down: timeout", "crm is down (timeout) since ", 1),
        ("refused:unauthorised", "unauthorised", "crm refuses our key (unauthorised) since ", 0),
    ],
)
def test_down(relais: StuckConsole, valkey: PrivateValkey, says: str, word: str, sentence: str, is_open: int) -> None:
    """A destination that is probed says so with the next probe: the room, the metrics, and each event that waits."""

    async def go_down(it: Stuck) -> None:
        await it.mailroom.configure("crm", breaker=1)
        await it.put("a1")
        await it.fail(says)

    stuck(valkey.url, go_down)
    crm = relais.json("rooms", "list")["rooms"][1]
    assert (crm["ready"], crm["waiting"], crm["paused"]["code"]) == (1, 0, says.partition(":")[2])
    assert crm["paused"]["next_probe"] > crm["paused"]["since"]
    assert f"{word}, for 0 s, next probe in " in relais("rooms", "list")
    assert samples(relais.url)['relais_room_paused{room="crm"}'] == 1
    assert samples(relais.url)['relais_breaker_open{room="crm"}'] == is_open
    (delivery,) = relais.json("events", "show", "a1")["deliveries"]
    assert delivery["why"].startswith(sentence)
    assert ", next probe at " in delivery["why"]
    assert sentence in relais("events", "show", "a1")
    assert relais("rooms", "resume", "crm") == "crm goes on.\n"
    assert "why" not in relais.json("events", "show", "a1")["deliveries"][0]


def test_why_an_event_waits(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """An event tells why its delivery waits where its destination cannot be served or a person paused it."""

    async def put(it: Stuck) -> None:
        await it.put("a1")
        await it.mailroom.unusable("crm", "the secret CRM_TOKEN is not set")

    stuck(valkey.url, put)
    assert "crm cannot be served: the secret CRM_TOKEN is not set" in relais("events", "show", "a1")

    async def pause(it: Stuck) -> None:
        await it.mailroom.unusable("crm", "")
        await it.mailroom.pause("crm", "migration")

    stuck(valkey.url, pause)
    assert "crm is paused by a person since " in relais("events", "show", "a1")


def test_unserved(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A destination that workers cannot serve says why, also while nothing waits for it, and until they can."""
    why = "the secret CRM_TOKEN is not set"

    async def note(it: Stuck) -> None:
        await it.mailroom.unusable("crm", why)

    async def served(it: Stuck) -> None:
        await it.mailroom.unusable("crm", "")

    stuck(valkey.url, note)
    assert why in relais("rooms", "list")
    (check,) = (check for check in ready(relais.url)["checks"] if check["name"] == "unusable crm")
    assert (check["ok"], check["mend"]) == (True, "relais rooms list")
    stuck(valkey.url, served)
    assert relais.json("rooms", "list")["rooms"][0]["unusable"] is None
