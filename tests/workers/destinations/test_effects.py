"""Each action of each kind at its stand-in: twice is one effect, and so is a write whose answer never came.

What cannot be found again is held or sent again, as the kind says. A new action is an entry in EXAMPLES of the contract
and, if it needs something that is there already, in BEFORE. Tryton has no stand-in: tests/tryton has the same.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.destinations.test_contract import CUSTOMER, EMAIL, EXAMPLES, KINDS, LINES
from workers.destinations.base import UNRESOLVED
from workers.outcome import Failed

Steps = tuple[tuple[str, Mapping[str, Any]], ...]

INVOICE = {"reference": "SD-1"} | CUSTOMER | LINES
FINAL: Steps = (("create_invoice", INVOICE | {"finalise": True}),)
LEAD: Steps = (("create_lead", EMAIL | {"reference": "call-1", "title": "Call"}),)
PERSON: Steps = (("upsert_contact", EMAIL | {"first_name": "Eva"}),)
SUBSCRIBED: Steps = (("subscribe", EMAIL | {"consent": {"newsletter": True}}),)

#: Kind and action -> what is done before.
BEFORE: Mapping[tuple[str, str], Steps] = {
    ("activetrail", "add_to_group"): PERSON,
    ("activetrail", "remove_from_group"): (*PERSON, ("add_to_group", EMAIL | {"group": "Newsletter"})),
    ("activetrail", "unsubscribe"): SUBSCRIBED,
    ("hubspot", "move_deal"): LEAD,
    ("hubspot", "link"): PERSON,
    ("lexware", "cancel_invoice"): FINAL,
    ("lexware", "create_credit_note"): FINAL,
    ("maileon", "update"): SUBSCRIBED,
    ("maileon", "unsubscribe"): SUBSCRIBED,
    ("maileon", "send_transaction"): SUBSCRIBED,
    ("pipedrive", "set_consent"): PERSON,
    ("pipedrive", "add_label"): PERSON,
    ("pipedrive", "remove_label"): (*PERSON, ("add_label", EMAIL | {"label": "Kunde"})),
    ("pipedrive", "link"): PERSON,
    ("rest", "set_consent"): PERSON,
    ("rest", "add_label"): PERSON,
    ("rest", "remove_label"): (*PERSON, ("add_label", EMAIL | {"label": "Kurs"})),
    ("rest", "move_deal"): LEAD,
    ("rest", "cancel_invoice"): FINAL,
    ("rest", "create_credit_note"): FINAL,
    ("rest", "record_payment"): FINAL,
}

#: Other arguments than in the contract's example, for what the stand-in has.
ARGUMENTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("maileon", "send_transaction"): EMAIL | {"type": "booking_confirmed", "content": {"booking_id": "7"}},
    ("activetrail", "add_to_group"): EMAIL | {"group": "Newsletter"},
    ("activetrail", "remove_from_group"): EMAIL | {"group": "Newsletter"},
    ("seminardesk", "set_booking_status"): {"booking": 1, "status": "no_show"},
}

#: Not to be had at the stand-in: opt-in mails are sent again after days, and a lead of Pipedrive has no stage.
LEFT_OUT = {("maileon", "resend_opt_in"), ("pipedrive", "move_deal")}

#: What may differ although nothing was done twice: times, versions, how often something came, and ids.
VOLATILE = re.compile(
    r"(?i)updat|creat|chang|modif|_at$|^at$|^came$|version|time|date|last|revision"
    r"|^id$|^contactId$|resourceUri"
)

READS = ("GET", "HEAD")

ACTIONS = [
    (name, action)
    for name, kind in sorted(KINDS.items())
    if kind.stand_in is not None
    for action in kind.actions
    if not kind.actions[action].look_up and (name, action) not in LEFT_OUT
]


@pytest.fixture(autouse=True)
def in_a_sandbox(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `relais up --sandbox` has it."""
    monkeypatch.setenv("RELAIS_SANDBOX", sandbox.url)


def make(sandbox: Running, kind: str, action: str) -> Desk:
    """Return the destination, led to its stand-in where everything is as the action needs it."""

    def insert(told: Any) -> Any:
        if isinstance(told, Mapping):
            return {name: insert(value) for name, value in told.items()}
        if not isinstance(told, str):
            return told
        keys = vars(sandbox.world.accounts)
        return re.sub(r"\$\{SANDBOX_(\w+)\}", lambda found: keys[found[1].lower()], told).replace(
            "{sandbox}", sandbox.url
        )

    sandbox.world.reset()
    stand_in = KINDS[kind].stand_in
    assert stand_in is not None
    kept = {name: value for name, value in EXAMPLES[kind][0].items() if name in stand_in.keeps}
    desk = Desk(kind, insert(stand_in.options) | kept)
    firm = {"name": "Muster GmbH"}
    sandbox.world.pipedrive._keep(sandbox.world.pipedrive.organizations, dict(firm))
    sandbox.world.hubspot.objects["companies"]["901"] = {"id": "901", "properties": firm, "associations": []}
    sandbox.world.hubspot._made["901"] = 0.0
    for number, (name, given) in enumerate(BEFORE.get((kind, action), ())):
        desk.deliver(name, given, id=f"before{number}")
    return desk


def arguments(kind: str, action: str) -> Mapping[str, Any]:
    """Return what the action is asked for."""
    return ARGUMENTS.get((kind, action)) or EXAMPLES[kind][1][action]


def held(sandbox: Running) -> Any:
    """Return what the vendors hold, without what may differ."""

    def strip(value: Any) -> Any:
        if isinstance(value, Mapping):
            if "unsubscriptions" in value:  # the requests, of which each is one, as Maileon takes them
                value = {**value, "unsubscriptions": sorted({each["email"] for each in value["unsubscriptions"]})}
            return {name: strip(each) for name, each in value.items() if not VOLATILE.search(name)}
        return [strip(each) for each in value] if isinstance(value, list | tuple) else value

    return strip(sandbox.world.holds())


def list_writes(sandbox: Running, *, after: int) -> list[tuple[str, str, str]]:
    """Return vendor, method and path of what was written since a place in the log."""
    entries = list(sandbox.world.journal.entries())[after:]
    return [(each.vendor, each.call.method, each.call.path) for each in entries if each.call.method not in READS]


@pytest.mark.parametrize(("kind", "action"), ACTIONS)
def test_twice_is_once(sandbox: Running, kind: str, action: str) -> None:
    """The same once more, by another delivery, changes nothing at the vendor, where something makes the two one."""
    desk = make(sandbox, kind, action)
    before = held(sandbox)
    desk.deliver(action, arguments(kind, action), id="d1")
    once = held(sandbox)
    assert once != before, "the example does nothing"
    desk.deliver(action, arguments(kind, action), id="d2")
    assert (held(sandbox) == once) is (KINDS[kind].actions[action].once_by is not None)


@pytest.mark.parametrize(("kind", "action"), [each for each in ACTIONS if each[0] != "mail"])
def test_lost_answer(sandbox: Running, kind: str, action: str) -> None:
    """Killed between any of its writes and the answer: the next attempt leaves what one attempt would have left.

    Where the kind says that a doubt is held, the attempt after the write that makes something sends nothing more.
    """
    known = KINDS[kind].actions[action]
    desk = make(sandbox, kind, action)
    seen = len(list(sandbox.world.journal.entries()))
    desk.deliver(action, arguments(kind, action))
    once, written = held(sandbox), list_writes(sandbox, after=seen)
    assert written
    for number in range(len(written)):
        desk = make(sandbox, kind, action)
        vendor, method, path = written[number]
        for _ in range(written[:number].count(written[number])):
            order(sandbox, vendor=vendor, method=method, path=path, delay=0.001)
        order(sandbox, vendor=vendor, method=method, path=path, after_effect=True, reset=True)
        doubt = attempt(desk, kind, action, 1)
        stored = held(sandbox)
        if doubt is not None:  # else it was asked for again on a fresh connection
            assert doubt.failure in ("ambiguous", "transient")
            doubt = attempt(desk, kind, action, 2 if doubt.failure == "ambiguous" else 1)
        if doubt is not None:
            assert (known.on_doubt, doubt.code) == ("held", UNRESOLVED)
        assert held(sandbox) == (once if doubt is None else stored), f"after write {number + 1}: {method} {path}"


def attempt(desk: Desk, kind: str, action: str, number: int) -> Failed | None:
    """Deliver, as the attempt with a number; return how it failed."""
    try:
        desk.deliver(action, arguments(kind, action), attempt=number)
    except Failed as failed:
        return failed
    return None
