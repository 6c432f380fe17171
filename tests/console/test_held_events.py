"""Choosing among the events of a held source."""

from datetime import datetime

from console import held_events

ITEMS = [
    {"id": "a", "type": "order.paid", "received": "2026-11-21T10:00:00.000Z", "number": 1, "behind": ()},
    {"id": "b", "type": "order.sent", "received": "2026-11-21T10:01:00.000Z", "number": 2, "behind": ("a",)},
    {"id": "c", "type": "order.paid", "received": "2026-11-21T10:02:00.000Z", "number": 3, "behind": ("a", "b")},
]


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
