from typing import Any

from console.render import events
from tests.console.render.test_rooms import text

DELIVERY: dict[str, Any] = {
    "destination": "crm",
    "action": "add_note",
    "state": "waiting",
    "why": "crm is down",
    "attempts": [
        {"at": "2026-11-21T10:00:01.500Z", "n": 1, "outcome": "transient", "code": "timeout", "status": 0, "ms": 5000},
        {"at": "2026-11-21T10:00:31.750Z", "n": 2, "outcome": "done", "code": "", "status": 201, "ms": 12},
    ],
}
EVENT: dict[str, Any] = {
    "id": "e1",
    "received_at": "2026-11-21T10:00:00.250Z",
    "source": "shop",
    "type": "order.paid",
    "state": "delivering",
    "book": "v1",
    "rules": [
        {"name": "keep a note", "matched": True},
        {"name": "big orders", "matched": False, "at": "data.total", "why": "5 is not above 1000"},
        {"name": "other sources", "matched": False, "at": "", "why": "not of this source"},
    ],
    "deliveries": [DELIVERY, {**DELIVERY, "action": "set_consent", "state": "delivered", "attempts": []}],
}


def test_line() -> None:
    """An event on one line: the time, what came, and what became of each delivery."""
    assert text(events.line(EVENT)) == [
        "10:00:00.250 e1 shop order.paid delivering  crm.add_note waiting  crm.set_consent delivered"
    ]


def test_what_did_nothing() -> None:
    """A delivery that found nothing to do says so, also on one line and in the table."""
    idle = {**DELIVERY["attempts"][1], "code": "nothing_to_cancel"}
    event = {**EVENT, "deliveries": [{**DELIVERY, "state": "delivered", "attempts": [idle]}]}
    assert text(events.line(event))[0].endswith("crm.add_note delivered (nothing_to_cancel)")
    assert text(events.table([event]))[1].rstrip().endswith("crm.add_note delivered (nothing_to_cancel)")


def test_table() -> None:
    """An event as a row of a table, its deliveries with commas between."""
    row = text(events.table([EVENT]))[1]
    assert row.split() == [
        *("2026-11-21", "10:00:00", "e1", "shop", "order.paid", "delivering"),
        *("crm.add_note", "waiting,", "crm.set_consent", "delivered"),
    ]


def test_tree() -> None:
    """The whole story: rules that matched, those that did not and where, each attempt with its code and status."""
    assert [line.lstrip("├└─│ ").rstrip() for line in text(events.tree({**EVENT, "why": "a reason"}))] == [
        "e1  order.paid from shop  delivering",
        "received 2026-11-21T10:00:00.250Z",
        "because a reason",
        "rules (book v1)",
        "✓ keep a note",
        "· big orders  data.total: 5 is not above 1000",
        "· other sources  not of this source",
        "deliveries",
        "crm.add_note waiting  crm is down",
        "10:00:01.500  attempt 1: transient timeout, 5000 ms",
        "10:00:31.750  attempt 2: done, HTTP 201, 12 ms",
        "crm.set_consent delivered  crm is down",
    ]


def test_not_routed_yet() -> None:
    """An event that no rule was asked about yet says so, and gives no reason where there is none."""
    shown = text(events.tree({**EVENT, "book": "", "rules": [], "deliveries": []}))
    assert [line.lstrip("├└─ ") for line in shown[1:]] == [
        "received 2026-11-21T10:00:00.250Z",
        "rules (book not asked yet)",
        "deliveries",
    ]


def test_table_in_eighty_columns() -> None:
    """In 80 columns no id, type or action is cut: deliveries stand below each other."""
    delivery = {**DELIVERY, "destination": "invoicing", "action": "create_credit_note", "state": "delivered"}
    event = {
        **EVENT,
        "id": "tog4hh2prdbmiypy4p7ecis37i",
        "type": "facilitator.updated",
        "source": "seminardesk_north",
        "deliveries": [DELIVERY, {**delivery, "attempts": []}],
    }
    found = text(events.table([event], 80), 80)
    assert [line.rstrip() for line in found] == [
        "received        event                       what",
        "11-21 10:00:00  tog4hh2prdbmiypy4p7ecis37i  facilitator.updated from",
        "                                            seminardesk_north delivering",
        "                                            crm.add_note waiting",
        "                                            invoicing.create_credit_note",
        "                                            delivered",
    ]
