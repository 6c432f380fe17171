from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply
from workers.destinations.base import ID_DAYS

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
    for name in ("person", "profile", "booking"):
        model = desk.kind.actions[name].result
        assert model is not None
        model.model_validate(desk.deliver(name, {"id": "4711"}).result)


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
