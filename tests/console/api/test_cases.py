"""Cases over the private port and by the command line."""

import json
import time

from mailroom import Mailroom, cases
from mailroom.cases import FailureCause
from tests.conftest import PrivateValkey
from tests.console.api.console_process import with_mailroom
from tests.console.api.stuck_things import StuckConsole

CONTACTS = FailureCause("crm", "invalid", "paid orders")


def test_cases(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A case is listed, known, muted for a while, unmuted and solved, with who and why."""

    async def fail(mailroom: Mailroom) -> None:
        await cases.note(mailroom, {CONTACTS: 2}, int(time.time() * 1000))

    assert "No failures" in relais("cases", "list")
    with_mailroom(valkey, fail)
    assert "paid orders" in relais("cases", "list", "--state", "new")
    for verb, more, state in (
        ("know", (), "known"),
        ("mute", ("--until", "2h"), "muted"),
        ("unmute", (), "known"),
        ("solve", (), "solved"),
    ):
        relais("cases", verb, *CONTACTS, *more, "--reason", f"to {verb}")
        [case] = json.loads(relais("cases", "list", "--json"))
        assert (case["state"], case["why"], case["count"]) == (state, f"to {verb}", 2)
        assert (case["until"] is not None) == (verb == "mute")
        assert case["by"]
    with_mailroom(valkey, fail)
    assert "came_back" in relais("cases", "list")
    assert "unknown_case" in relais("cases", "solve", "crm", "invalid", "none", status=1)
    assert "unknown_case" in relais("cases", "solve", "crm", "timeout", status=1)
    relais("cases", "solve", "crm", "invalid", "--reason", "whatever rule")
    assert json.loads(relais("cases", "list", "--json"))[0]["state"] == "solved"
    verbs = [line["verb"] for line in json.loads(relais("audit", "list", "--json"))]
    assert verbs == ["solve_case", "solve_case", "solve_case", "solve_case", "unmute_case", "mute_case", "know_case"]
