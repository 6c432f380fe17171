"""The ledger's lines, read back as one story."""

import json
from typing import Any

import pytest

from mailroom import ledger

HEAD = {
    "at": "2026-11-21T10:00:00.000Z",
    "source": "shop",
    "type": "order.placed",
    "received": "2026-11-21T09:59:59.000Z",
}
ROUTED: dict[str, Any] = {
    "t": "routed",
    **HEAD,
    "book": "b1",
    "fired": ["vip"],
    "missed": [["small", "data.total", "12 is not above 100"]],
    "made": [["e.0", "crm", "upsert_contact", "vip"]],
    "skipped": [],
}


def attempt(then: str, *, d: str = "e.0", n: int = 1, outcome: str = "done", code: str = "") -> dict[str, Any]:
    """Return the line of one attempt."""
    return {
        "t": "attempt",
        "d": d,
        "at": "",
        "n": n,
        "outcome": outcome,
        "code": code,
        "status": 200,
        "ms": 5,
        "then": then,
    }


def tell(*lines: dict[str, Any]) -> ledger.Fate:
    """Return the story of these lines."""
    return ledger.tell("e", [json.dumps(line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([], "waiting"),
        ([{**ROUTED, "fired": [], "made": []}], "unmatched"),
        ([ROUTED], "delivering"),
        ([ROUTED, attempt("wait", outcome="transient")], "delivering"),
        ([ROUTED, attempt("hold", outcome="ambiguous")], "delivering"),
        ([ROUTED, attempt("wait", outcome="transient"), attempt("done", n=2)], "delivered"),
        ([ROUTED, attempt("dead", outcome="permanent", code="refused")], "dead"),
        ([ROUTED, {"t": "once", "d": "e.0"}], "skipped"),
        ([ROUTED, {"t": "coalesced", "d": "e.0", "by": "f.0"}], "coalesced"),
        ([{**ROUTED, "made": [], "skipped": [["crm", "subscribe", "vip", "no_consent", "absent"]]}], "skipped"),
        ([{"t": "quarantined", **HEAD, "why": "data.email: missing"}], "quarantined"),
        ([{"t": "failed", **HEAD, "book": "b1", "code": "value_failed", "why": "then[0].note"}], "dead"),
        ([{"t": "failed", **HEAD, "book": "b1", "code": "x", "why": "y"}, ROUTED, attempt("done")], "delivered"),
    ],
)
def test_state(lines: list[dict[str, Any]], state: str) -> None:
    """The state follows from the lines, whatever went before."""
    assert tell(*lines).state == state


def test_settled() -> None:
    """An event is settled when nothing more happens by itself."""
    assert not tell(ROUTED).settled
    assert tell(ROUTED, attempt("done")).settled


def test_what_follows() -> None:
    """An event is under way as long as something that followed from a delivery is."""
    following = {"t": "next", "d": "e.0", "made": [["e.0.0", "crm", "note", "vip"]], "skipped": []}
    assert tell(ROUTED, attempt("done"), following).state == "delivering"
    assert tell(ROUTED, attempt("done"), following, attempt("done", d="e.0.0")).state == "delivered"
    assert tell(ROUTED, attempt("done"), following, attempt("dead", d="e.0.0", outcome="permanent")).state == "dead"


def test_rules() -> None:
    """Each rule is told with whether it matched, and where it did not."""
    assert tell(ROUTED).rules == [
        {"name": "vip", "matched": True},
        {"name": "small", "matched": False, "at": "data.total", "why": "12 is not above 100"},
    ]


def test_attempts() -> None:
    """Every attempt is told; the last one says why a delivery stopped."""
    story = tell(ROUTED, attempt("wait", outcome="transient", code="timeout"), attempt("dead", n=2, code="refused"))
    (delivery,) = story.deliveries
    assert [a["n"] for a in delivery.attempts] == [1, 2]
    assert (delivery.state, delivery.why) == ("dead", "refused")


def test_line_of_nobody() -> None:
    """A line about a delivery that no line made is passed over."""
    assert tell(ROUTED, attempt("dead", d="other.0")).state == "delivering"


def test_as_json() -> None:
    """The story is plain JSON."""
    told = tell(ROUTED, attempt("done")).as_json()
    assert json.loads(json.dumps(told)) == told
    assert (told["source"], told["type"], told["book"]) == ("shop", "order.placed", "b1")
