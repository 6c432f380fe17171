from urllib.parse import urlsplit

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import Send, send


def test_key(sandbox: Running, seminardesk: Send) -> None:
    """No key or a wrong one is 401 as `{status, message, code}`, with the header as the specification spells it."""
    answer = seminardesk("GET", "/persons/4711", key="wrong")
    assert answer.json() == {"status": 401, "message": "The API key is missing or invalid", "code": "UNAUTHORIZED"}
    assert "www_authenticate" in {name.lower() for name in answer.headers}
    assert send(f"{sandbox.base('seminardesk')}/persons/4711").status == 401


def test_key_that_may_only_read(sandbox: Running, seminardesk: Send) -> None:
    """Keys have permissions: one that may read is 403 when it writes."""
    key = sandbox.world.accounts.seminardesk_api_key_read_only
    assert seminardesk("GET", "/persons/4711", key=key).status == 200
    answer = seminardesk("POST", "/invoices/5001/external-references", key=key, sent={})
    assert (answer.status, answer.json()["code"]) == (403, "FORBIDDEN")


def test_person(seminardesk: Send) -> None:
    """A person has e-mail and newsletter consent, which bookings do not carry; as a profile she is the same."""
    person = seminardesk("GET", "/persons/4711").json()
    assert (person["firstName"], person["email"], person["isSubscribedToNewsletter"]) == (
        "Ada",
        "ada@example.org",
        True,
    )
    assert person["salutation"] == {"name": "Frau", "gender": "FEMALE"}
    assert seminardesk("GET", "/profiles/4711").json() == person


def test_person_of_any_number(seminardesk: Send) -> None:
    """An id that nobody named is somebody made up, always the same; from 900000 on it is 404."""
    assert seminardesk("GET", "/persons/123456").json()["email"] == "person-123456@example.org"
    for unknown in ("900000", "0", "-1", "abc", "%C2%B2"):
        answer = seminardesk("GET", f"/persons/{unknown}")
        assert (answer.status, answer.json()["code"]) == (404, "NOT_FOUND")


def test_create_and_update_person(seminardesk: Send) -> None:
    """POST answers 201 with the person, PATCH 204; without a last name it is 400."""
    assert seminardesk("POST", "/persons", sent={"firstName": "Lea"}).status == 400
    made = seminardesk("POST", "/persons", sent={"firstName": "Lea", "lastName": "Neu"})
    assert made.status == 201
    number = made.json()["id"]
    assert seminardesk("PATCH", f"/persons/{number}", sent={"email": "lea@example.org"}).status == 204
    shown = seminardesk("GET", f"/persons/{number}").json()
    assert (shown["name"], shown["email"]) == ("Lea Neu", "lea@example.org")


def test_paging(seminardesk: Send) -> None:
    """A list comes in pages whose links are absolute and lead from the first to the last."""
    seen: list[int] = []
    path: str | None = "/persons?page%5Bsize%5D=2"
    while path:
        answer = seminardesk("GET", path).json()
        assert answer["meta"]["totalCount"] == 5
        seen += [person["id"] for person in answer["data"]]
        link = answer["meta"]["nextPage"]
        path = f"/persons?{urlsplit(link).query}" if link else None
    assert seen == [4711, 4712, 4713, 4714, 4715]
    assert answer["meta"]["totalPages"] == answer["meta"]["page"] == 3
    assert answer["meta"]["previousPage"].startswith("http://")


@pytest.mark.parametrize("query", ["page%5Bsize%5D=101", "page%5Bsize%5D=0", "page%5Bnumber%5D=x"])
def test_paging_has_bounds(seminardesk: Send, query: str) -> None:
    """A page has 1 to 100 items, and pages count from 1."""
    assert seminardesk("GET", f"/persons?{query}").status == 400


def test_filter(seminardesk: Send) -> None:
    """Persons are filtered by newsletter consent and customer number, everything by external reference."""
    listed = seminardesk("GET", "/persons?filter%5BisSubscribedToNewsletter%5D=true").json()["data"]
    assert [person["id"] for person in listed] == [4711, 4714]
    listed = seminardesk("GET", "/persons?filter%5BcustomerNumber%5D=K-4712").json()["data"]
    assert [person["id"] for person in listed] == [4712]


def test_external_reference(seminardesk: Send, control: Send) -> None:
    """A reference is 201 with its id and the system's name, stands at the invoice, and is found by its external id."""
    answer = seminardesk("POST", "/invoices/5001/external-references", sent={"system": {"id": 1}, "externalId": "C-7"})
    assert answer.status == 201
    reference = {"id": 1, "system": {"id": 1, "name": "CRM"}, "externalId": "C-7", "url": None}
    assert answer.json() == reference
    assert seminardesk("GET", "/invoices/5001").json()["externalReferences"] == [reference]
    for wanted in ("C-7", "1:C-7"):
        listed = seminardesk("GET", f"/invoices?filter%5BexternalReferenceId%5D={wanted}").json()["data"]
        assert [invoice["id"] for invoice in listed] == [5001]
    assert control("GET", "/state/seminardesk").json()["external_references"] == [{"invoice": 5001, **reference}]


@pytest.mark.parametrize(
    "sent",
    [
        {"externalId": "C-7"},
        {"system": {"id": 99}, "externalId": "C-7"},
        {"system": {"id": 1}},
        {"system": {"id": 1}, "externalId": ""},
        {"system": {"id": 1}, "externalId": "x" * 256},
        {"system": {"id": 1}, "externalId": 7},
        [],
    ],
)
def test_bad_external_reference(seminardesk: Send, sent: object) -> None:
    """A reference needs a known system and an external id of at most 255 characters."""
    answer = seminardesk("POST", "/invoices/5001/external-references", sent=sent)
    assert (answer.status, answer.json()["code"]) == (400, "BAD_REQUEST")


def test_external_reference_of_no_invoice(seminardesk: Send) -> None:
    """An invoice that does not exist is 404."""
    sent = {"system": {"id": 1}, "externalId": "C-7"}
    assert seminardesk("POST", "/invoices/900001/external-references", sent=sent).status == 404


def test_invoice_is_canceled_once(seminardesk: Send) -> None:
    """Canceling makes a document of its own; a second time is 400, and a posted invoice cannot be deleted."""
    assert seminardesk("DELETE", "/invoices/5001").status == 409
    answer = seminardesk("PUT", "/invoices/5001/cancel", sent={}).json()
    assert answer["originalInvoice"]["status"] == "CANCELED"
    assert answer["cancelationInvoice"]["type"] == "CANCELATION_INVOICE"
    assert seminardesk("PUT", "/invoices/5001/cancel", sent={}).status == 400


def test_booking(seminardesk: Send) -> None:
    """A booking names its booker by id only, and is listed under the profile."""
    booking = seminardesk("GET", "/bookings/9001").json()
    assert set(booking["booker"]) == {"id", "name"}
    listed = seminardesk("GET", f"/profiles/{booking['booker']['id']}/bookings").json()["data"]
    assert 9001 in [one["id"] for one in listed]


def test_module_not_enabled(seminardesk: Send) -> None:
    """A module that the tenant has not got is 501."""
    answer = seminardesk("GET", "/certificates/1")
    assert (answer.status, answer.json()["code"]) == (501, "NOT_IMPLEMENTED")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 501), ("POST", "/invoices", 501)])
def test_no_route(seminardesk: Send, method: str, path: str, status: int) -> None:
    """There is no way to make an invoice, as with the vendor; what is not modelled is refused."""
    assert seminardesk(method, path).status == status
