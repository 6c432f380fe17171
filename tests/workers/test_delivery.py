import json
from dataclasses import replace

from workers import delivery
from workers.delivery import Delivery

DELIVERY = Delivery(
    "e1.0",
    "e1",
    "2026-11-21",
    "crm",
    "upsert_contact",
    "customer",
    (0, 1),
    "abc",
    {"email": "eva@example.org", "last_name": "Müller"},
    "box",
    1000,
    {"booker": {"id": 4711}},
    True,
    1_795_000_000_000,
    300_000,
)


def test_round_trip() -> None:
    """A delivery reads back as it was written."""
    assert delivery.decode(DELIVERY.encode()) == DELIVERY


def test_readable() -> None:
    """Across Redis goes JSON that a person can read, and nothing that is not needed."""
    plain = Delivery("e1.0", "e1", "2026-11-21", "crm", "add_note", "r", (0,), "abc", {"text": "Müller"}, "box")
    assert json.loads(plain.encode()) == {
        "id": "e1.0",
        "event": "e1",
        "day": "2026-11-21",
        "to": "crm",
        "action": "add_note",
        "rule": "r",
        "path": [0],
        "book": "abc",
        "box": "box",
        "args": {"text": "Müller"},
    }
    assert "Müller" in plain.encode().decode()
    assert delivery.decode(plain.encode()) == plain


def test_said_at_the_head() -> None:
    """What the mailroom must know stands first: it may have been sent, its person leaves, or it ends when they do."""
    waits = replace(DELIVERY, doubtful=False, waits=True)
    assert waits.encode().startswith(b'{"waits":true,"id":')
    assert replace(waits, leaves=True).encode().startswith(b'{"leaves":true,"id":')
    assert replace(waits, doubtful=True).encode().startswith(b'{"doubtful":true,"waits":true,"id":')
    assert replace(waits, waits=False).encode().startswith(b'{"id":')
    for one in (waits, replace(DELIVERY, leaves=True)):
        assert delivery.decode(one.encode()) == one
