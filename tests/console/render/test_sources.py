"""Sources as people read them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from console.render import sources
from tests.console.render.test_rooms import ago, text


def source(**more: Any) -> dict[str, Any]:
    return {
        "source": "shop",
        "kind": "generic",
        "last_event": None,
        "last_event_seconds": None,
        "usual_gap_seconds": None,
        "today": {"taken": 0, "quarantined": 0, "refused": {}},
        "unread": {},
        "drift": 0,
        "empty_places": [],
        "quiet": False,
        "secrets": [{"name": "${SHOP_SECRET}", "last_verified": None}],
        "hold": None,
        **more,
    }


def test_nothing_odd() -> None:
    """A source that never sent is one short line, and its only secret is no news."""
    assert text(sources.draw([source()]), 80)[1].split() == ["shop", "generic", "never", "-", "0", "0"]
    assert len(text(sources.draw([source()]), 80)) == 2


def test_odd() -> None:
    """What is odd stands below, in whole sentences, and all fits 80 columns."""
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    one = source(
        source="a_source_of_some_length",
        last_event=ago(hours=3),
        last_event_seconds=3 * 3600,
        usual_gap_seconds=540,
        today={"taken": 1_234_567, "quarantined": 2, "refused": {"bad_json": 1, "wrong_signature": 3}},
        unread={"birthday": 4},
        drift=1,
        empty_places=[{"key": "id", "place": "body.id", "events": 1240, "since": "2026-11-28"}],
        quiet=True,
        secrets=[
            {"name": "${A}", "last_verified": ago(days=41, minutes=1)},
            {"name": "${B}", "last_verified": None},
        ],
        hold={"by": "eva", "until": later, "at": ago(), "why": "their archive"},
    )
    shown = text(sources.draw([one]), 80)
    assert shown[1].split() == [
        "a_source_of_some_length", "generic", "3", "h", "ago", "9", "min", "1234567", "4", "held",
    ]  # fmt: skip
    below = [line.removeprefix("a_source_of_some_length: ") for line in shown[2:]]
    assert below[0] == f"held by eva until {later[:16]}Z: their archive"[: len(below[0])]
    assert below[1].startswith("quiet: unusually long nothing came, since")
    assert "id: body.id found nothing in 1,240 of 1,240 events since 2026-11-28" in " ".join(below)
    assert "refused today: 3 wrong_signature, 1 bad_json" in below
    assert "2 in quarantine today (relais quarantine list)" in below
    assert "not read today: 4 birthday" in below
    assert "1 change in what it sends (relais sources drift" in " ".join(below)
    assert "${A} verified 41 d ago, ${B} verified never" in below


def test_drift() -> None:
    """What changed is a row each, against what it is compared is said; all fits 80 columns."""
    at = "2026-11-28T10:12:00.000Z"
    change = {"what": "gone", "type": "order.paid", "field": "customer.phone", "first": at, "last": at}
    one = {
        "source": "shop",
        "accepted": None,
        "left_out": 3,
        "types": [{"first": at}, {"first": None}],
        "changes": [{**change, "says": "in 98% once, not in the last 120"}],
    }
    shown = text(sources.draw_drift([one, {**one, "changes": [], "accepted": at, "left_out": 0}]), 80)
    assert shown[0] == "shop: 1 change, watched since 2026-11-28T10:12Z"
    assert "more names of fields than are kept" in shown[1]
    assert shown[3].split()[:3] == ["order.paid", "customer.phone", "gone"]
    assert shown[3].endswith("11-28 10:12  11-28 10:12")
    assert shown[-1] == "shop: 0 changes, accepted 2026-11-28T10:12Z"
    assert text(sources.draw_drift([{**one, "types": [], "changes": [], "left_out": 0}])) == ["shop: nothing came yet"]
    assert text(sources.draw_drift([])) == ["The book in force has no source."]
