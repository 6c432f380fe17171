from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from rich.console import Console, RenderableType

from console.render import rooms
from mailroom.aside import TakenIn
from mailroom.operator import Cancelled, Replayed, Retried


def text(shown: RenderableType, width: int = 200) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as found:
        console.print(shown)
    return [line.rstrip() for line in found.get().splitlines()]


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


LETTER: dict[str, Any] = {
    "id": "a.0",
    "destination": "crm",
    "action": "add_note",
    "rule": "keep a note",
    "code": "invalid",
    "status": 422,
    "why": "said no",
    "story": None,
}


def room(**more: Any) -> dict[str, Any]:
    usual = {
        "name": "crm",
        "ready": 2,
        "suspect": 3,
        "leased": 4,
        "waiting": 6,
        "blocked": 7,
        "held": 0,
        "held_seconds": 0.0,
    }
    return {**usual, "paused": None, "unusable": None, "rests_until": None, **more}


def test_every_word_is_explained() -> None:
    """Each word by which the console says how a decision ended has a sentence."""
    assert set(rooms.SAYS) == {word for each in (Retried, Cancelled, Replayed, TakenIn) for word in get_args(each)}


def test_age() -> None:
    """A time is told by how long ago, or how far ahead, it is; never less than nothing."""
    assert rooms.age(ago(hours=3, minutes=30)) == "3 h"
    assert rooms.age(ago(hours=-3)) == "0 s"
    assert rooms.ahead(ago(minutes=-5, seconds=-30)) == "5 min"
    assert rooms.ahead(ago(minutes=5)) == "0 s"


def test_groups() -> None:
    """A cause is told with the ages of its oldest and its newest, and one of them to look at."""
    cause = {**LETTER, "count": 7, "oldest": ago(days=2, hours=1), "newest": ago(minutes=5, seconds=5), "sample": "a.0"}
    [head, line] = text(rooms.groups([cause]))
    assert head.split() == ["destination", "reason", "rule", "count", "oldest", "newest", "one", "of", "them"]
    assert line.split() == ["crm", "invalid", "keep", "a", "note", "7", "2", "d", "5", "min", "a.0"]


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, ["at crm.add_note, by the rule keep a note", "because invalid, HTTP 422: said no"]),
        ({"status": 0, "why": ""}, ["at crm.add_note, by the rule keep a note", "because invalid"]),
        ({"destination": "in", "rule": "", "status": 0}, ["at the inbox", "because invalid: said no"]),
        ({"destination": "in"}, ["at the inbox, by the rule keep a note", "because invalid, HTTP 422: said no"]),
    ],
)
def test_letter(more: dict[str, Any], lines: list[str]) -> None:
    """A dead letter says where it died, by which rule and why; what is not known is left out."""
    shown = text(rooms.letter({**LETTER, "at": ago(days=1, minutes=1), **more}))
    assert shown[0] == "a.0  dead for 1 d"
    assert [line.lstrip("├└─ ") for line in shown[1:]] == lines


@pytest.mark.parametrize(("waiting", "more"), [(2, []), (3, ["and 1 more"])])
def test_box(waiting: int, more: list[str]) -> None:
    """A held box names what waits in it, in order, and how many it does not name."""
    box = {
        "id": "crm/x",
        "at": ago(minutes=9, seconds=5),
        "waiting": waiting,
        "ahead": ["e9.0"],
        "code": "poison",
        "why": "",
        "story": None,
    }
    shown = [line.lstrip("├└─│ ") for line in text(rooms.box({**box, "items": ["a.0", "b.0"]}))]
    assert shown == [
        f"crm/x  held for 9 min, {waiting} wait in it",
        "because poison",
        "behind e9.0, which have a name of it, too",
        "in their order",
        "a.0",
        "b.0",
        *more,
    ]


def test_boxes() -> None:
    """A held box is one line with its reason and its age."""
    box = {"id": "crm/x", "code": "poison", "at": ago(hours=2, minutes=1), "waiting": 5, "event": "e", "rule": "r"}
    assert text(rooms.boxes([box]))[1].split() == ["crm/x", "poison", "2", "h", "5", "e", "r"]


DOWN = "down: timeout, for 1 h, next probe in 2 min"


@pytest.mark.parametrize(
    ("paused", "says"),
    [
        ({"by": "person", "why": "migration", "code": "paused", "next_probe": None}, "paused (migration), for 1 h"),
        ({"by": "person", "why": "", "code": "paused", "next_probe": None}, "paused, for 1 h"),
        ({"by": "key", "why": "", "code": "unauthorised", "next_probe": None}, "unauthorised, for 1 h"),
        (
            {"by": "breaker", "why": "", "code": "timeout", "next_probe": 1},
            DOWN,
        ),
    ],
)
def test_rooms(paused: dict[str, Any], says: str) -> None:
    """A room says what is ready (suspects too), what is under way, and why it is paused and until when."""
    probe = ago(minutes=-2, seconds=-30) if paused["next_probe"] else None
    shown = rooms.rooms([room(paused={**paused, "since": ago(hours=1, minutes=1), "next_probe": probe})])
    [_, line, why] = text(shown)
    assert line.split() == ["crm", "5", "4", "6", "7", "0"]
    assert why == f"crm: {says}"
    assert [each.rstrip() for each in text(shown, 80)] == [*text(shown)]


def test_a_pause_with_an_end() -> None:
    """A pause that ends by itself says for how long it goes on."""
    pause = {"by": "person", "who": "eva", "why": "year end", "code": "by_hand", "next_probe": None}
    pause |= {"since": ago(hours=1, minutes=1), "until": ago(minutes=-2, seconds=-30)}
    assert text(rooms.rooms([room(paused=pause)]))[2] == "crm: paused by eva (year end), for 1 h, for 2 min more"


def test_d8s_resting() -> None:
    """D8s: a room whose destination asked to be left alone says for how long, beside why it is paused."""
    until = ago(minutes=-2, seconds=-30)
    assert text(rooms.rooms([room(rests_until=until)]))[2].endswith("asked to be left alone, for 2 min more")
    pause = {"by": "breaker", "why": "", "code": "timeout", "since": ago(hours=1, minutes=1), "next_probe": until}
    line = text(rooms.rooms([room(paused=pause, rests_until=until)]))[2]
    assert line.endswith(f"{DOWN}, asked to be left alone, for 2 min more")


def test_held_and_unusable() -> None:
    """Held boxes are told with the age of the oldest; a room that cannot be served says why."""
    [_, line, why] = text(rooms.rooms([room(held=2, held_seconds=7_300.0, unusable="no key")]))
    assert line.split() == ["crm", "5", "4", "6", "7", "2,", "for", "2", "h"]
    assert why == "crm: cannot be served: no key"
