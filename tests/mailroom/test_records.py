"""What the mailroom takes and returns."""

import json
from dataclasses import replace

from mailroom import DeadLetterInfo

INFO = DeadLetterInfo(
    "crm",
    "e1",
    "invalid",
    "it said no",
    box="b",
    delivery="e1.0",
    action="add_note",
    rule="keep a note",
    status=422,
    at=1_795_000_000_000,
)


def test_details_of_a_dead_letter() -> None:
    """The details are compact JSON, in the order in which a person reads them."""
    assert INFO.encode() == (
        '{"room":"crm","box":"b","event":"e1","delivery":"e1.0","action":"add_note","rule":"keep a note",'
        '"code":"invalid","why":"it said no","status":422,"at":1795000000000}'
    )


def test_what_is_not_known() -> None:
    """What is not known is left out; the room never is, because a retry begins with it, be it empty."""
    unknown = replace(INFO, room="", box="", delivery="", action="", rule="", status=0, at=0)
    assert json.loads(unknown.encode()) == {"room": "", "event": "e1", "code": "invalid", "why": "it said no"}
