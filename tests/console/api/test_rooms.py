"""`relais rooms`, over HTTP: a real console on a real store."""

import getpass
import json
import re
from typing import Any

import pytest

from console.api import rooms
from mailroom import RoomState
from tests.conftest import PrivateValkey
from tests.console.api.console_process import ready, samples
from tests.console.api.stuck_things import Stuck, StuckConsole, event, hold, stuck


def test_rooms(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A destination is paused with a reason, which is shown with its age, and resumed."""
    assert relais("rooms", "list") == "Nothing has ever waited anywhere.\n"
    hold(valkey.url)
    assert relais("rooms", "pause", "crm", "--reason", "migration until noon") == "crm is paused.\n"
    assert relais("rooms", "pause", "crm", "--until", "2h").startswith("crm was paused already; it is paused until 2")
    until = relais.json("rooms", "list")["rooms"][1]["paused"]["until"]
    assert until > relais.json("rooms", "list")["rooms"][1]["paused"]["since"]
    assert " more" in relais("rooms", "list")
    again = "crm was paused already; it is paused now.\n"
    assert relais("rooms", "pause", "crm", "--why", "migration until noon") == again
    crm = relais.json("rooms", "list")["rooms"][1]
    assert (crm["name"], crm["held"], crm["paused"]["why"]) == ("crm", 2, "migration until noon")
    assert f"crm: paused by {getpass.getuser()} (migration until noon), for" in relais("rooms", "list")
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
    assert re.search(rf"{word}, for \d+ s, next probe in ", relais("rooms", "list"))
    assert samples(relais.url)['relais_room_paused{room="crm"}'] == 1
    assert samples(relais.url)['relais_breaker_open{room="crm"}'] == is_open
    (delivery,) = relais.json("events", "show", "a1")["deliveries"]
    assert delivery["why"].startswith(sentence)
    assert ", next probe at " in delivery["why"]
    assert delivery["waits"] == {"state": "ready", "attempts": 0, "next_attempt": None, "ahead": []}
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


NOON = 1_795_435_200_000  # 2026-11-23T12:00:00.000Z


def paused(**more: object) -> str:
    return json.dumps({"code": "timeout", "at": NOON, "by": "breaker", **more})


def test_as_json() -> None:
    """A room is told in seconds and instants; what is not the case is null."""
    found = rooms.as_json(
        RoomState("crm", 1, 2, 3, 4, 5, paused(), overdue=1_500, held_for=90_000, probe_at=NOON + 30_000)
    )
    assert found == {
        "name": "crm",
        "ready": 1,
        "leased": 2,
        "waiting": 3,
        "held": 4,
        "suspect": 5,
        "overdue_seconds": 1.5,
        "held_seconds": 90.0,
        "unusable": None,
        "paused": {
            "code": "timeout",
            "why": "",
            "since": "2026-11-23T12:00:00.000Z",
            "by": "breaker",
            "who": "",
            "next_probe": "2026-11-23T12:00:30.000Z",
            "until": None,
        },
        "rests_until": None,
        "blocked": 0,
        "quota": None,
    }
    quiet = rooms.as_json(RoomState("in", 0, 0, 0, 0, 0, "", unusable="no key"))
    assert (quiet["paused"], quiet["unusable"], quiet["overdue_seconds"], quiet["held_seconds"]) == (
        None,
        "no key",
        0,
        0,
    )


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("crm", {}, "crm is down (timeout) since 2026-11-23T12:00:00.000Z"),
        ("in", {}, "the inbox is down (timeout) since 2026-11-23T12:00:00.000Z"),
        ("crm", {"by": "key"}, "crm refuses our key (timeout) since 2026-11-23T12:00:00.000Z"),
        (
            "crm",
            {"by": "key", "code": "private_address"},
            "crm leads to an address inside our own network; if that is meant, say allow_private: true "
            "(private_address) since 2026-11-23T12:00:00.000Z",
        ),
        ("crm", {"by": "person"}, "crm is paused by a person since 2026-11-23T12:00:00.000Z"),
        ("crm", {"by": "person", "why": "noon"}, "crm is paused by a person since 2026-11-23T12:00:00.000Z: noon"),
        (
            "crm",
            {"by": "person", "who": "eva", "why": "year end", "until": NOON + 60_000},
            "crm is paused by eva since 2026-11-23T12:00:00.000Z until 2026-11-23T12:01:00.000Z: year end",
        ),
    ],
)
def test_explain(name: str, more: dict[str, Any], sentence: str) -> None:
    """The sentence says who paused a room, why, since when, and when it is probed next, if it is."""
    assert rooms.explain(RoomState(name, 0, 0, 0, 0, 0, paused(**more))) == sentence
    probed = rooms.explain(RoomState(name, 0, 0, 0, 0, 0, paused(**more), probe_at=NOON))
    ends = "" if more.get("by") == "person" else ", next probe at 2026-11-23T12:00:00.000Z"
    assert probed == sentence + ends


def test_explain_what_goes_on() -> None:
    """Of a room where items only wait for their turn nothing is said; a missing secret counts more than a pause."""
    resting = rooms.explain(RoomState("crm", 9, 0, 9, 9, 0, "", rests_until=NOON))
    assert resting == "crm asked to be left alone until 2026-11-23T12:00:00.000Z"
    assert rooms.explain(RoomState("crm", 9, 0, 9, 9, 0, "")) == ""
    assert rooms.explain(RoomState("crm", 0, 0, 0, 0, 0, paused(), unusable="no key")) == "crm cannot be served: no key"


def test_why_the_inbox_waits(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """An event that no rule was asked about tells why: its deliveries cannot, there are none yet."""

    async def put(it: Stuck) -> None:
        await it.mailroom.put([event("a1", 1)])

    async def pause(it: Stuck) -> None:
        await it.mailroom.pause("in", "new rules")

    stuck(valkey.url, put)
    assert "why" not in relais.json("events", "show", "a1")
    stuck(valkey.url, pause)
    why = relais.json("events", "show", "a1")["why"]
    assert why.startswith("the inbox is paused by a person since ")
    assert why.endswith(": new rules")


def test_paused_before_the_first_worker(relais: StuckConsole) -> None:
    """A destination of the book can be paused before any worker has told the store of it."""
    assert relais("rooms", "pause", "crm", "--reason", "not yet") == "crm is paused.\n"
    (crm,) = relais.json("rooms", "list")["rooms"]
    assert (crm["name"], crm["paused"]["why"]) == ("crm", "not yet")
    assert "unknown_room" in relais("rooms", "pause", "nowhere", status=1)
    assert relais("rooms", "resume", "crm") == "crm goes on.\n"
