from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply
from workers.destinations.base import ID_DAYS, UNRESOLVED

REFERENCE = {"invoice": 5001, "external_id": "i1"}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """A tenant whose key may do everything."""
    return make(sandbox, sandbox.world.accounts.seminardesk_api_key)


def make(sandbox: Running, key: str) -> Desk:
    """Return a tenant."""
    return Desk("seminardesk", {"base": sandbox.base("seminardesk"), "api_key": key, "system": 2})


def test_person(desk: Desk) -> None:
    """A person comes in our names, and what the model does not name is kept."""
    person = desk.deliver("person", {"id": 4711}).result
    assert (person["email"], person["first_name"], person["last_name"]) == ("ada@example.org", "Ada", "Beispiel")
    assert person["primary_address"]["zip_code"] == "10115"
    assert person["data_protection"]["legal_basis_entries"] == []


def test_result_fits_its_model(desk: Desk) -> None:
    """What a look-up answers is what its result model says, so rules are checked against the truth."""
    for name, id in (("person", 4711), ("profile", 4711), ("booking", 9001), ("guests", 9001), ("invoice", 5001)):
        model = desk.kind.actions[name].result
        assert model is not None
        model.model_validate(desk.deliver(name, {"id": str(id)}).result)


def test_booking(desk: Desk) -> None:
    """The status of a booking is written as in the events."""
    assert desk.deliver("booking", {"id": 9001}).result["status"] == "confirmed"


def test_unknown_person(desk: Desk) -> None:
    """A person that does not exist is a dead letter."""
    failed = desk.fail("person", {"id": 999999})
    assert (failed.failure, failed.code) == ("permanent", "not_found")


def test_person_is_no_object() -> None:
    """A look-up that answers something else is tried again later."""
    with RawServer(reply(200, "<html>Wartung</html>", "text/html")) as server:
        failed = Desk("seminardesk", {"base": server.url, "api_key": "k"}).fail("person", {"id": 1})
    assert (failed.failure, failed.code) == ("transient", "bad_answer")


def test_key_goes_into_its_header() -> None:
    """The key is sent as X-API-Key."""
    with RawServer(reply(200, '{"id": 1}')) as server:
        Desk("seminardesk", {"base": server.url, "api_key": "k-1"}).deliver("person", {"id": 1})
    assert (server.requests[0].target, server.requests[0].headers["x-api-key"]) == ("/persons/1", "k-1")


def test_module_not_enabled(desk: Desk, sandbox: Running) -> None:
    """501 means that the API is off: the destination is paused until somebody switches it on."""
    order(sandbox, vendor="seminardesk", status=501)
    failed = desk.fail("person", {"id": 4711})
    assert (failed.failure, failed.code) == ("credential", "api_not_active")
    assert "not switched on" in failed.hint


def test_look_ups(desk: Desk) -> None:
    """Whatever a rule looks up is there in the words of rules."""
    told = {action: desk.deliver(action, {"id": 9001}).result for action in ("organisation", "event", "guests", "date")}
    assert (told["organisation"]["object_type"], told["event"]["name"]) == ("OrganizationProfile", "Atem und Stille")
    assert told["guests"]["guests"][0]["event_date"]["id"] == 709
    assert (told["date"]["event_id"], told["date"]["attendance_type"]) == (88, "ON_SITE")


def test_add_external_reference(desk: Desk, sandbox: Running) -> None:
    """The id of another system is written at the invoice."""
    done = desk.deliver("add_external_reference", REFERENCE)
    (reference,) = sandbox.world.seminardesk.references
    assert (reference["invoice"], reference["system"]["id"], reference["externalId"]) == (5001, 2, "i1")
    assert done.result == {"id": reference["id"]}


def test_system_of_the_action(desk: Desk, sandbox: Running) -> None:
    """The action may name another system than the destination does."""
    desk.deliver("add_external_reference", REFERENCE | {"system": 1})
    assert sandbox.world.seminardesk.references[0]["system"]["name"] == "CRM"


def test_first_system(sandbox: Running) -> None:
    """Where nobody names a system it is the first one."""
    key = sandbox.world.accounts.seminardesk_api_key
    desk = Desk("seminardesk", {"base": sandbox.base("seminardesk"), "api_key": key})
    desk.deliver("add_external_reference", REFERENCE)
    assert sandbox.world.seminardesk.references[0]["system"]["id"] == 1


def test_reference_is_written_once(desk: Desk, sandbox: Running) -> None:
    """The same reference again is done already."""
    desk.deliver("add_external_reference", REFERENCE)
    assert desk.deliver("add_external_reference", REFERENCE, id="d2").note == "already_there"
    assert len(sandbox.world.seminardesk.references) == 1


@pytest.mark.parametrize("other", [{"invoice": 5002}, {"external_id": "i2"}, {"system": 1}])
def test_another_reference_is_another(desk: Desk, sandbox: Running, other: dict[str, Any]) -> None:
    """Another invoice, id or system is another reference, and each is written once."""
    for n, arguments in enumerate((REFERENCE, REFERENCE | other, REFERENCE, REFERENCE | other)):
        desk.deliver("add_external_reference", arguments, id=f"d{n}")
    assert len(sandbox.world.seminardesk.references) == 2
    assert set(desk.memory.days.values()) == {ID_DAYS}


def test_lost_answer_writes_no_second_reference(desk: Desk, sandbox: Running) -> None:
    """A reference whose answer was lost is found at the invoice."""
    order(sandbox, vendor="seminardesk", method="POST", reset=True, after_effect=True)
    assert desk.fail("add_external_reference", REFERENCE).failure == "ambiguous"
    assert desk.deliver("add_external_reference", REFERENCE, attempt=2).result == {"id": 1}
    assert len(sandbox.world.seminardesk.references) == 1


def test_doubt_about_what_was_not_done(desk: Desk, sandbox: Running) -> None:
    """A reference that is not at the invoice after a doubtful attempt is written."""
    desk.deliver("add_external_reference", REFERENCE | {"external_id": "other"})
    desk.deliver("add_external_reference", REFERENCE, id="d2", doubtful=True)
    assert [one["externalId"] for one in sandbox.world.seminardesk.references] == ["other", "i1"]


def test_key_that_may_only_read(sandbox: Running) -> None:
    """A key without the permission to write pauses the destination."""
    desk = make(sandbox, sandbox.world.accounts.seminardesk_api_key_read_only)
    assert desk.fail("add_external_reference", REFERENCE).failure == "credential"


def test_long_external_id(desk: Desk) -> None:
    """An id that SeminarDesk cannot take is refused before anything is sent."""
    with pytest.raises(ValidationError):
        desk.deliver("add_external_reference", REFERENCE | {"external_id": "x" * 256})


@pytest.mark.parametrize(
    ("status", "more", "word"),
    [
        ("canceled", {"reason": "ill"}, "CANCELED"),
        ("no_show", {}, "NO_SHOW"),
        ("wait_list", {"send_email": True}, "WAIT_LIST"),
    ],
)
def test_booking_status(desk: Desk, sandbox: Running, status: str, more: dict[str, Any], word: str) -> None:
    """A booking gets the status that a rule asks for, once, also when the answer was lost."""
    change = {"booking": 9001, "status": status} | more
    order(sandbox, vendor="seminardesk", method="PUT", reset=True, after_effect=True)
    assert desk.deliver("set_booking_status", change).note == "already_there"
    assert desk.deliver("set_booking_status", change, id="d1b").note == "already_there"
    assert sandbox.world.seminardesk.bookings.get(9001)["status"] == word
    assert desk.deliver("set_booking_status", {"booking": 9001, "status": "confirmed"}, id="d2").note == ""
    assert sandbox.world.seminardesk.bookings.get(9001)["status"] == "CONFIRMED"


def test_booking_that_is_cancelled_while_it_waits() -> None:
    """SeminarDesk has a word of its own for a booking that was cancelled on the waiting list."""
    with RawServer(reply(200, '{"id": 1, "status": "WAIT_LIST_CANCELED"}')) as server:
        desk = Desk("seminardesk", {"base": server.url, "api_key": "k"})
        done = desk.deliver("set_booking_status", {"booking": 1, "status": "canceled", "reason": "ill"})
    assert done.note == "already_there"


def test_status_that_does_not_stick() -> None:
    """A change that the booking does not show is tried again."""
    pending = reply(200, '{"id": 1, "status": "PENDING"}')
    with RawServer(pending, pending, pending) as server:
        desk = Desk("seminardesk", {"base": server.url, "api_key": "k"})
        failed = desk.fail("set_booking_status", {"booking": 1, "status": "confirmed"})
    assert (failed.failure, failed.code) == ("transient", "not_in_force")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "canceled"},
        {"status": "confirmed", "reason": "x"},
        {"status": "no_show", "send_email": True},
        {"status": "deleted"},
    ],
)
def test_status_that_cannot_be(desk: Desk, wrong: dict[str, Any]) -> None:
    """What SeminarDesk would refuse or drop is refused before anything is sent."""
    with pytest.raises(ValidationError):
        desk.deliver("set_booking_status", {"booking": 1} | wrong)


PAYMENT = {"invoice": 5001, "reference": "pi_1", "amount": "120.10", "method": "CARD", "paid_on": "2026-11-28"}


def test_payment(desk: Desk, sandbox: Running) -> None:
    """A payment is written once: by its reference, and by what the invoice says was paid after a lost answer."""
    order(sandbox, vendor="seminardesk", method="POST", reset=True, after_effect=True)
    assert desk.fail("add_payment", PAYMENT).failure == "ambiguous"
    assert desk.deliver("add_payment", PAYMENT, attempt=2).note == "already_there"
    assert desk.deliver("add_payment", PAYMENT, id="d2").note == "already_there"
    assert desk.deliver("add_payment", PAYMENT | {"reference": "pi_2"}, id="d3").result == {"id": 2}
    payments = sandbox.world.seminardesk.payments
    assert [(each["amount"], each["method"], each["date"]) for each in payments] == [
        (120.1, {"code": "CARD"}, "2026-11-28")
    ] * 2


def test_payment_that_was_not_written(desk: Desk, sandbox: Running) -> None:
    """A payment whose request was lost is written by the next attempt; one that nobody can tell apart is held."""
    order(sandbox, vendor="seminardesk", method="POST", reset=True)
    assert desk.fail("add_payment", PAYMENT).failure == "ambiguous"
    sandbox.world.seminardesk.invoices.get(5001)["currentPaymentAmount"] += 3
    assert desk.fail("add_payment", PAYMENT, attempt=2).code == UNRESOLVED
    sandbox.world.seminardesk.invoices.get(5001)["currentPaymentAmount"] -= 3
    assert desk.deliver("add_payment", PAYMENT, attempt=2).result == {"id": 1}


def test_activity(desk: Desk, sandbox: Running) -> None:
    """What happened is written at the profile; one that may have been written waits for a person."""
    activity = {"profile": 4711, "activity_type": 3, "title": "Call", "begin": "2026-11-28T10:00:00Z", "remarks": "x"}
    desk.deliver("add_activity", activity)
    (stored,) = sandbox.world.seminardesk.activities
    assert (stored["profile"], stored["activityType"], stored["title"]) == (4711, {"id": 3}, "Call")
    assert stored["begin"].startswith("2026-11-28T10:00:00")
    assert desk.fail("add_activity", activity, doubtful=True).code == UNRESOLVED
    assert len(sandbox.world.seminardesk.activities) == 1


def test_additional_field(desk: Desk, sandbox: Running) -> None:
    """One additional field is written; a field that does not exist is a dead letter; null empties it."""
    for value in ("VIP", None):
        desk.deliver("set_additional_field", {"profile": 4711, "field": 3, "value": value})
        assert sandbox.world.seminardesk.fields[4711] == {3: value}
    assert desk.fail("set_additional_field", {"profile": 4711, "field": 77, "value": 1}).code == "not_found"
    with pytest.raises(ValidationError):
        desk.deliver("set_additional_field", {"profile": 1, "event": 2, "field": 1, "value": 1})
