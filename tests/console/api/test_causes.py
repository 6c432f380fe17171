from typing import Any

from console.api import causes
from mailroom.operator import DeadLetterView
from tests.console.api.test_rooms import NOON


def letter(id: str, at: int, **more: str) -> DeadLetterView:
    usual = {"destination": "crm", "action": "add_note", "rule": "keep a note", "code": "invalid"}
    fields: dict[str, Any] = {**usual, "source": "shop", "event": id, "why": f"why of {id}", **more}
    return DeadLetterView(id=id, at=at, status=422, type="order.paid", received="", position=0, **fields)


def test_group() -> None:
    """Letters of one cause are one group: how many, from when to when, and the newest of them to look at."""
    [found] = causes.group([letter("b", NOON + 2_000), letter("c", NOON + 5_000), letter("a", NOON)], {})
    assert found == {
        "destination": "crm",
        "code": "invalid",
        "rule": "keep a note",
        "count": 3,
        "oldest": "2026-11-23T12:00:00.000Z",
        "newest": "2026-11-23T12:00:05.000Z",
        "sample": "c",
        "why": "why of c",
    }


def test_order() -> None:
    """Another destination, code or rule is another cause. The most frequent comes first, then by name."""
    found = causes.group(
        [
            letter("a", 1, destination="other"),
            letter("b", 2, code="forbidden"),
            letter("c", 3, rule="another"),
            letter("d", 4),
            letter("e", 5, rule="another"),
        ],
        {"another": "Nobody is forgotten."},
    )
    assert [(one["destination"], one["code"], one["rule"], one["count"]) for one in found] == [
        ("crm", "invalid", "another", 2),
        ("crm", "forbidden", "keep a note", 1),
        ("crm", "invalid", "keep a note", 1),
        ("other", "invalid", "keep a note", 1),
    ]
    assert [one.get("description") for one in found] == ["Nobody is forgotten.", None, None, None]
    assert causes.group([], {}) == []
