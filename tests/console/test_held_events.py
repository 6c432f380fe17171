"""Choosing among the events of a held source, and until when it is held."""

import time
from datetime import datetime

import click
import pytest

from console import held_events
from console.held_events import Until

ITEMS = [
    {"id": "a", "type": "order.paid", "received": "2026-11-21T10:00:00.000Z", "number": 1, "behind": ()},
    {"id": "b", "type": "order.sent", "received": "2026-11-21T10:01:00.000Z", "number": 2, "behind": ("a",)},
    {"id": "c", "type": "order.paid", "received": "2026-11-21T10:02:00.000Z", "number": 3, "behind": ("a", "b")},
]


def test_until() -> None:
    """An hour of this clock is the next one; a while counts from now; what is over is refused."""
    at = datetime.fromtimestamp(Until().convert("18:00", None, None) / 1000)
    assert (at.hour, at.minute) == (18, 0)
    assert 0 < at.timestamp() - time.time() <= 86_400 + 3_600
    assert abs(Until().convert("2h", None, None) / 1000 - time.time() - 7_200) < 60
    assert Until().convert(5, None, None) == 5
    for wrong in ("2020-01-01", "25:00", "soon"):
        with pytest.raises(click.BadParameter):
            Until().convert(wrong, None, None)


def test_choose() -> None:
    """By type, by time and by id; what stands before and was not chosen is known."""
    before = int(datetime.fromisoformat("2026-11-21T10:02:00Z").timestamp() * 1000)
    chosen = held_events.choose(ITEMS, "", before, ())
    assert [one["id"] for one in chosen] == ["a", "b"]
    assert held_events.ahead_of(ITEMS, chosen) == []
    paid = held_events.choose(ITEMS, "order.paid", 0, ())
    assert [one["id"] for one in paid] == ["a", "c"]
    assert [one["id"] for one in held_events.ahead_of(ITEMS, paid)] == ["b"]
    assert [one["id"] for one in held_events.choose(ITEMS, "", 0, ("b",))] == ["b"]
    assert [(one["type"], one["count"]) for one in held_events.group("shop", paid, "")] == [("order.paid", 2)]
