import json
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply
from workers.destinations.base import UNRESOLVED
from workers.destinations.rest import RestOptions

EVA = {"email": "eva@example.org"}
INVOICE = {
    "reference": "SD-9001",
    "customer": {"email": "eva@example.org", "name": "Eva Muster"},
    "lines": [{"text": "Kursgebühr", "quantity": 2, "unit_price": "120.10", "tax_rate": 0.19}],
    "due": "2026-12-01",
}
CANCEL = {"reference": "SD-9001", "customer": {"email": "eva@example.org"}}
KIM = {"email": "kim@example.org"}
NOTHING = reply(200, '{"data": []}')
OK = reply(200, "{}")


@pytest.fixture
def crm(sandbox: Running) -> Desk:
    """A CRM."""
    return Desk("rest", {"base": sandbox.base("crm"), "auth": {"bearer": sandbox.world.accounts.crm_token}})


def invoicing(sandbox: Running, **options: Any) -> Desk:
    """Return an invoicing system."""
    auth = {"bearer": sandbox.world.accounts.invoicing_token}
    return Desk("rest", {"base": sandbox.base("invoicing"), "auth": auth} | options)


def contacts(sandbox: Running) -> list[dict[str, Any]]:
    """Return what the CRM holds."""
    return sandbox.world.crm.contacts.all()


def invoices(sandbox: Running) -> list[dict[str, Any]]:
    """Return what the invoicing system holds."""
    return sandbox.world.invoicing.invoices.all()


def methods(sandbox: Running) -> list[str]:
    """Return what was asked, in order."""
    return [f"{entry.call.method} {entry.call.path}" for entry in sandbox.world.journal.entries()]


# Contacts


def test_upsert_creates(crm: Desk, sandbox: Running) -> None:
    """A contact nobody knows is made with what is given, custom fields and address nested."""
    done = crm.deliver(
        "upsert_contact",
        {
            "email": "Eva@example.org",
            "first_name": "Eva",
            "last_name": None,
            "address": {"city": "Ulm"},
            "custom": {"source": "cmx", "empty": None},
        },
    )
    (contact,) = contacts(sandbox)
    assert contact["email"] == "eva@example.org"
    assert (contact["address"], contact["custom"]) == ({"city": "Ulm"}, {"source": "cmx"})
    assert "last_name" not in contact
    assert done.result == {"id": contact["id"], "created": True}
    assert methods(sandbox) == ["GET /contacts", "POST /contacts"]


@pytest.mark.parametrize(("options", "empty"), [({}, ""), ({"contacts": {"null_clears": True}}, None)])
def test_d11c_clearing(sandbox: Running, options: dict[str, Any], empty: str | None) -> None:
    """D11c: an empty text clears a field, as null where the CRM wants null; what is not given is left alone."""
    auth = {"bearer": sandbox.world.accounts.crm_token}
    crm = Desk("rest", {"base": sandbox.base("crm"), "auth": auth} | options)
    address = {"address": {"city": "Ulm"}}
    crm.deliver("upsert_contact", EVA | {"first_name": "Eva", "last_name": "Muster", "custom": {"n": 1}} | address)
    emptied = {"last_name": "", "address": {"city": ""}, "custom": {"n": "", "zero": 0, "no": False}}
    crm.deliver("upsert_contact", EVA | emptied, id="d2")
    written = list(sandbox.world.journal.entries())[-1].call.json()
    assert written == {"last_name": empty, "address": {"city": empty}, "custom": {"n": empty, "zero": 0, "no": False}}


def test_upsert_updates(crm: Desk, sandbox: Running) -> None:
    """A second upsert writes what is given and blanks nothing, and needs no search."""
    crm.deliver("upsert_contact", EVA | {"first_name": "Eva", "last_name": "Muster"})
    done = crm.deliver("upsert_contact", EVA | {"first_name": None, "last_name": "Neu"}, id="d2")
    (contact,) = contacts(sandbox)
    assert (contact["first_name"], contact["last_name"]) == ("Eva", "Neu")
    assert done.result == {"id": contact["id"], "created": False}
    assert methods(sandbox)[2:] == [f"PATCH /contacts/{contact['id']}"]


def test_upsert_finds(crm: Desk, sandbox: Running) -> None:
    """What the memory has forgotten is found by its e-mail."""
    crm.deliver("upsert_contact", EVA)
    crm.memory.values.clear()
    crm.deliver("upsert_contact", EVA | {"first_name": "Eva"}, id="d2")
    assert [contact["first_name"] for contact in contacts(sandbox)] == ["Eva"]


def test_upsert_by_external_id(crm: Desk, sandbox: Running) -> None:
    """The external id finds the contact, and its e-mail is written."""
    crm.deliver("upsert_contact", {"external_id": 4711, "email": "old@example.org"})
    crm.memory.values.clear()
    crm.deliver("upsert_contact", {"external_id": "4711", "email": "new@example.org"}, id="d2")
    assert [contact["email"] for contact in contacts(sandbox)] == ["new@example.org"]


def test_upsert_of_the_address(crm: Desk, sandbox: Running) -> None:
    """A changed e-mail is one action on the old contact, which is found by the new one from then on."""
    crm.deliver("upsert_contact", EVA)
    crm.deliver("upsert_contact", EVA | {"new_email": "eva.neu@example.org"}, id="d2")
    crm.deliver("upsert_contact", {"email": "eva.neu@example.org", "first_name": "Eva"}, id="d3")
    assert [(one["email"], one["first_name"]) for one in contacts(sandbox)] == [("eva.neu@example.org", "Eva")]


def test_two_people(crm: Desk, sandbox: Running) -> None:
    """What is remembered about one contact is never used for another."""
    first, second = crm.deliver("upsert_contact", EVA), crm.deliver("upsert_contact", KIM, id="d2")
    crm.deliver("upsert_contact", KIM | {"first_name": "Kim"}, id="d3")
    crm.deliver("set_consent", EVA | {"newsletter": True}, id="d4")
    crm.deliver("add_note", KIM | {"text": "Please call back."}, id="d5")
    assert first.result["id"] != second.result["id"]
    eva, kim = contacts(sandbox)
    assert (eva["newsletter"], eva.get("first_name")) == (True, None)
    assert (kim["first_name"], kim.get("newsletter")) == ("Kim", None)
    assert [note["contact_id"] for note in sandbox.world.crm.notes.all()] == [kim["id"]]


def test_upsert_names_nobody(crm: Desk) -> None:
    """An upsert needs an e-mail or an external id."""
    with pytest.raises(ValidationError, match="email or external_id"):
        crm.deliver("upsert_contact", {"first_name": "Eva"})


def test_upsert_of_a_name_alone(crm: Desk, sandbox: Running) -> None:
    """Who is known, and of whom nothing is told, is not written; the story says so."""
    assert crm.deliver("upsert_contact", EVA).note == ""
    asked = len(methods(sandbox))
    assert crm.deliver("upsert_contact", EVA, id="d2").note == "nothing_to_write"
    assert len(methods(sandbox)) == asked


def test_stale_id(crm: Desk, sandbox: Running) -> None:
    """An id of a contact that was deleted is forgotten, and the contact made anew."""
    crm.deliver("upsert_contact", EVA)
    sandbox.world.crm.contacts.records.clear()
    done = crm.deliver("upsert_contact", EVA | {"first_name": "Eva"}, id="d2")
    assert done.result["created"] is True
    assert [contact["first_name"] for contact in contacts(sandbox)] == ["Eva"]
    assert crm.deliver("upsert_contact", EVA, id="d3").result == {"id": done.result["id"], "created": False}


@pytest.mark.parametrize("status", [404, 410])
def test_contact_that_is_gone(status: int) -> None:
    """A remembered contact that is gone, not found or deleted, is searched and made anew."""
    with RawServer(NOTHING, reply(201, '{"id": 7}'), reply(status), NOTHING, reply(201, '{"id": 8}')) as server:
        desk = Desk("rest", {"base": server.url})
        desk.deliver("upsert_contact", EVA)
        again = desk.deliver("upsert_contact", EVA | {"first_name": "Eva"}, id="d2")
    assert again.result == {"id": "8", "created": True}
    assert [request.method for request in server.requests] == ["GET", "POST", "PATCH", "GET", "POST"]


def test_caller_is_remembered_by_the_number() -> None:
    """A caller who was made for a note is known by the number: many systems cannot search for it."""
    with RawServer(reply(201, '{"id": 7}')) as server:
        desk = Desk("rest", {"base": server.url, "contacts": {"find": {"email": "email"}}})
        for n in range(2):
            desk.deliver("add_note", {"phone": "+4930123", "text": "Please call back."}, id=f"d{n}")
    assert [request.target for request in server.requests] == ["/contacts", *["/contacts/7/notes"] * 2]


def test_caller_is_remembered_in_any_spelling() -> None:
    """The number of a caller is remembered by its key, and written and searched as that key."""
    with RawServer(NOTHING, reply(201, '{"id": 7}'), reply(201, '{"id": "n1"}')) as server:
        desk = Desk("rest", {"base": server.url})
        for n, number in enumerate(("+49 (0)30 123456", "tel:+49-30-123456", "+4930123456")):
            desk.deliver("add_note", {"phone": number, "text": "Please call back."}, id=f"d{n}")
    notes = ["/contacts/7/notes"] * 3
    assert [request.target for request in server.requests] == ["/contacts?phone=%2B4930123456", "/contacts", *notes]
    assert server.requests[1].json() == {"phone": "+4930123456"}


@pytest.mark.parametrize("fault", [{"reset": True}, {"status": 500}, {"status": 504, "body": "<html>"}])
def test_lost_answer_makes_no_second_contact(crm: Desk, sandbox: Running, fault: dict[str, Any]) -> None:
    """A create whose answer was lost is ambiguous; the next attempt finds the contact."""
    order(sandbox, vendor="crm", method="POST", after_effect=True, **fault)
    assert crm.fail("upsert_contact", EVA).failure == "ambiguous"
    assert crm.deliver("upsert_contact", EVA, attempt=2).result["created"] is False
    assert len(contacts(sandbox)) == 1


def test_fuzzy_search(sandbox: Running) -> None:
    """Of what a search answers, only the exact e-mail counts."""
    found = reply(
        200, '{"data": [{"id": 1, "email": "eva@example.org.example"}, {"id": 2, "email": "EVA@example.org"}]}'
    )
    with RawServer(found, reply(200, "{}")) as server:
        Desk("rest", {"base": server.url}).deliver("upsert_contact", EVA | {"first_name": "Eva"})
    assert server.requests[1].target == "/contacts/2"


def test_search_that_answers_404() -> None:
    """An API that answers a search with 404 where nothing is found is understood: the contact is made."""
    with RawServer(reply(404, "no such contact"), reply(201, '{"id": 7}')) as server:
        done = Desk("rest", {"base": server.url}).deliver("upsert_contact", EVA)
    assert done.result == {"id": "7", "created": True}
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_search_at_a_wrong_address() -> None:
    """A page for people says that there is no such address, not that nothing is found, and the delivery dies."""
    page = "<!DOCTYPE html><title>404 Not Found</title>"
    with RawServer(*[reply(404, page, "text/html")] * 2) as server:
        desk = Desk("rest", {"base": server.url})
        failed = [desk.fail("upsert_contact", EVA), desk.fail("set_consent", EVA | {"newsletter": True})]
    assert [(each.failure, each.code) for each in failed] == [("permanent", "not_found")] * 2


def test_search_without_list() -> None:
    """A search that answers something else than a list creates nothing."""
    with RawServer(reply(200, "<html>Login</html>", "text/html")) as server:
        failed = Desk("rest", {"base": server.url}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("transient", "bad_answer")
    assert [request.method for request in server.requests] == ["GET"]


def test_search_with_the_list_elsewhere() -> None:
    """A search whose list is not where the book says tells where it was looked for, and the key that names it."""
    with RawServer(reply(200, "[]")) as server:
        failed = Desk("rest", {"base": server.url}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("transient", "bad_answer")
    assert "no list at data; say under list:" in failed.hint


def test_create_without_id() -> None:
    """A create that answers without an id is looked up, and ambiguous when it cannot be found."""
    with RawServer(NOTHING, reply(201), NOTHING) as server:
        failed = Desk("rest", {"base": server.url}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("ambiguous", "no_id")


def test_set_consent(crm: Desk, sandbox: Running) -> None:
    """Consent is written at the contact, what is not said stays."""
    crm.deliver("upsert_contact", EVA)
    crm.deliver("set_consent", EVA | {"newsletter": False})
    (contact,) = contacts(sandbox)
    assert contact["newsletter"] is False
    assert "tracking" not in contact


def test_set_consent_at_a_stale_id() -> None:
    """Where the remembered contact is gone the next attempt searches: consent is never counted as written before."""
    eva = '{"id": 8, "email": "eva@example.org", "newsletter": true}'
    found = reply(200, f'{{"data": [{eva}]}}')
    with RawServer(NOTHING, reply(201, '{"id": 7}'), reply(404), found, reply(200, eva)) as server:
        desk = Desk("rest", {"base": server.url})
        desk.deliver("upsert_contact", EVA)
        failed = desk.fail("set_consent", EVA | {"newsletter": True}, id="d2")
        desk.deliver("set_consent", EVA | {"newsletter": True}, id="d2", attempt=2)
    assert (failed.failure, failed.code) == ("transient", "stale_id")
    assert (server.requests[-1].method, server.requests[-1].target) == ("PATCH", "/contacts/8")


def test_set_consent_of_nobody(crm: Desk, sandbox: Running) -> None:
    """Nobody is added to have a consent."""
    assert crm.deliver("set_consent", EVA | {"newsletter": False}).note == "no_such_contact"
    assert contacts(sandbox) == []


def test_add_note(crm: Desk, sandbox: Running) -> None:
    """A note hangs on the contact; a caller nobody knows becomes a bare one."""
    done = crm.deliver("add_note", {"phone": "+4930123", "text": "Please call back."})
    assert [contact["phone"] for contact in contacts(sandbox)] == ["+4930123"]
    assert sandbox.world.crm.notes.all()[0]["contact_id"] == done.result["contact"]
    crm.deliver("add_note", {"phone": "+4930123", "text": "Again."}, id="d2")
    assert (len(contacts(sandbox)), len(sandbox.world.crm.notes.all())) == (1, 2)


def test_doubtful_note_is_held(crm: Desk, sandbox: Running) -> None:
    """A note that may have been written waits for a person, since notes cannot be searched."""
    order(sandbox, vendor="crm", path="*/notes", reset=True, after_effect=True)
    assert crm.fail("add_note", EVA | {"text": "x"}).failure == "ambiguous"
    assert crm.fail("add_note", EVA | {"text": "x"}, doubtful=True).code == UNRESOLVED
    assert len(sandbox.world.crm.notes.all()) == 1


@pytest.mark.parametrize(
    ("options", "notes"),
    [({"idempotency_header": "Idempotency-Key"}, 1), ({"contacts": {"note_on_doubt": "resend"}}, 2)],
)
def test_doubtful_note_is_sent_again(sandbox: Running, options: dict[str, Any], notes: int) -> None:
    """With an idempotency key it is repeated without harm, and with resend at the price of a double."""
    auth = {"bearer": sandbox.world.accounts.crm_token}
    desk = Desk("rest", {"base": sandbox.base("crm"), "auth": auth} | options)
    order(sandbox, vendor="crm", path="*/notes", reset=True, after_effect=True)
    desk.fail("add_note", EVA | {"text": "x"})
    desk.deliver("add_note", EVA | {"text": "x"}, doubtful=True)
    assert len(sandbox.world.crm.notes.all()) == notes


# Invoices


def test_create_invoice(sandbox: Running) -> None:
    """An invoice is a draft for a customer who is made where there is none."""
    done = invoicing(sandbox).deliver("create_invoice", INVOICE)
    (invoice,) = invoices(sandbox)
    assert (invoice["reference"], invoice["due"], invoice["currency"]) == ("SD-9001", "2026-12-01", "EUR")
    assert invoice["lines"] == [{"text": "Kursgebühr", "quantity": 2.0, "unit_price": 120.1, "tax_rate": 0.19}]
    assert invoice["customer_id"] == sandbox.world.invoicing.customers.all()[0]["id"]
    assert sandbox.world.invoicing.customers.all()[0]["name"] == "Eva Muster"
    assert done.result == {"id": invoice["id"], "number": None, "status": "draft", "created": True}


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ({"street": "Hauptstr. 1", "postal_code": "89073", "city": "Ulm", "country": "DE"}, {"city", "country"}),
        ({"city": "Ulm", "street": None}, {"city"}),
        ({}, None),
        (None, None),
    ],
)
def test_address_of_a_new_customer(place: dict[str, Any] | None, sent: set[str] | None) -> None:
    """A customer is made with the parts of the address that are given, under their names; nothing is sent as null."""
    made = reply(201, '{"id": 5}')
    fields = {"address.city": "place.city", "address.country": "place.country", "name": "title"}
    names = fields | {"address.street": "", "address.postal_code": ""}
    invoice = INVOICE | {"customer": {"email": "eva@example.org", "name": "Eva Muster", "address": place}}
    with RawServer(NOTHING, NOTHING, made, made) as server:
        Desk("rest", {"base": server.url, "customers": {"fields": names}}).deliver("create_invoice", invoice)
    customer = server.requests[2].json()
    assert (customer["email"], customer["title"]) == ("eva@example.org", "Eva Muster")
    assert (set(customer["place"]) if "place" in customer else None) == sent
    assert customer.get("place", {}).get("city", "Ulm") == "Ulm"


@pytest.mark.parametrize(("id", "sent"), [("5", 5), ('"5"', 5), ('"007"', "007"), ('"c-5"', "c-5")])
def test_customer_is_remembered(id: str, sent: int | str) -> None:
    """A customer is looked for once; a number stays a number in the invoice, and what only looks like one a text.

    What an invoice says of a customer who is known is written.
    """
    made = reply(201, f'{{"id": {id}}}')
    with RawServer(NOTHING, NOTHING, made, made, NOTHING, OK, made) as server:
        desk = Desk("rest", {"base": server.url})
        for n in (1, 2):
            desk.deliver("create_invoice", INVOICE | {"reference": f"SD-{n}"}, id=f"d{n}")
    targets = [f"{request.method} {request.target.partition('?')[0]}" for request in server.requests]
    assert targets[:4] == ["GET /invoices", "GET /customers", "POST /customers", "POST /invoices"]
    known = id.strip('"')
    assert targets[4:] == ["GET /invoices", f"PATCH /customers/{known}", "POST /invoices"]
    assert server.requests[5].json() == {"name": "Eva Muster"}
    assert [server.requests[n].json()["customer_id"] for n in (3, 6)] == [sent, sent]


def test_number_of_an_invoice_is_text() -> None:
    """A number that comes as a number is a text for the rules, as every number of an invoice."""
    found = reply(200, '{"data": [{"id": 1, "reference": "SD-9001", "number": 4711, "status": "final"}]}')
    with RawServer(found) as server:
        done = Desk("rest", {"base": server.url}).deliver("create_invoice", INVOICE)
    assert done.result == {"id": "1", "number": "4711", "status": "final", "created": False}


def test_finalise_where_no_status_is_told() -> None:
    """Where invoices show no status, what was finalised is remembered, and not finalised twice."""
    made, found = reply(201, '{"id": 1}'), reply(200, '{"id": 1, "reference": "SD-9001"}')
    with RawServer(NOTHING, NOTHING, made, made, reply(200), found, found) as server:
        desk = Desk("rest", {"base": server.url, "invoices": {"finalise": True}})
        for n in (1, 2):
            desk.deliver("create_invoice", INVOICE, id=f"d{n}")
    assert [request.target for request in server.requests].count("/invoices/1/finalise") == 1
    assert len(server.requests) == 7  # it was looked at once, whether it shows more


def test_two_customers(sandbox: Running) -> None:
    """Each customer and each reference is its own, also where drafts are finalised."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    kim = INVOICE | {"reference": "SD-9002", "customer": {"email": "kim@example.org"}}
    desk.deliver("create_invoice", INVOICE)
    desk.deliver("create_invoice", kim, id="d2")
    eva, other = sandbox.world.invoicing.customers.all()
    assert (eva["email"], other["email"]) == ("eva@example.org", "kim@example.org")
    assert [(one["customer_id"], one["number"]) for one in invoices(sandbox)] == [
        (eva["id"], "R-00001"),
        (other["id"], "R-00002"),
    ]


def test_one_reference_is_one_invoice(sandbox: Running) -> None:
    """The same reference again finds the invoice, with an empty memory too, and makes no second customer."""
    desk = invoicing(sandbox)
    first = desk.deliver("create_invoice", INVOICE)
    desk.memory.values.clear()
    again = desk.deliver("create_invoice", INVOICE, id="d2")
    assert (again.note, again.result["id"], again.result["created"]) == ("already_there", first.result["id"], False)
    other = desk.deliver("create_invoice", INVOICE | {"reference": "SD-9002"}, id="d3")
    assert other.result["id"] != first.result["id"]
    assert len(sandbox.world.invoicing.customers.all()) == 1


def test_finalise(sandbox: Running) -> None:
    """With `finalise` the draft gets its number, in a step of its own, once."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    done = desk.deliver("create_invoice", INVOICE)
    assert (done.result["status"], done.result["number"]) == ("final", "R-00001")
    assert desk.deliver("create_invoice", INVOICE, id="d2").result["number"] == "R-00001"
    assert methods(sandbox).count("POST /invoices/i1/finalise") == 1


def test_finalise_after_trouble(sandbox: Running) -> None:
    """When the finalising failed, the next attempt finds the draft and goes on from there."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    order(sandbox, vendor="invoicing", path="*/finalise", status=503)
    assert desk.fail("create_invoice", INVOICE).failure == "transient"
    done = desk.deliver("create_invoice", INVOICE, attempt=2)
    assert [invoice["status"] for invoice in invoices(sandbox)] == ["final"]
    assert done.result["number"] == "R-00001"


def test_finalise_that_was_done(sandbox: Running) -> None:
    """When only the answer of the finalising was lost, the next attempt finds the final invoice."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    order(sandbox, vendor="invoicing", path="*/finalise", reset=True, after_effect=True)
    assert desk.fail("create_invoice", INVOICE).failure == "ambiguous"
    assert desk.deliver("create_invoice", INVOICE, attempt=2).result["number"] == "R-00001"


@pytest.mark.parametrize("path", ["/customers", "/invoices"])
def test_lost_answer_makes_no_second_invoice(sandbox: Running, path: str) -> None:
    """Customer and invoice are one each, whichever answer is lost."""
    desk = invoicing(sandbox)
    order(sandbox, vendor="invoicing", method="POST", path=path, reset=True, after_effect=True)
    assert desk.fail("create_invoice", INVOICE).failure == "ambiguous"
    desk.deliver("create_invoice", INVOICE, attempt=2)
    assert (len(invoices(sandbox)), len(sandbox.world.invoicing.customers.all())) == (1, 1)


def test_idempotency_key_per_create(sandbox: Running) -> None:
    """Each create of a delivery has a key of its own, the same at every attempt; a search has none."""
    made = reply(201, '{"id": 5}')
    with RawServer(NOTHING, NOTHING, made, made) as server:
        Desk("rest", {"base": server.url, "idempotency_header": "Idempotency-Key"}).deliver("create_invoice", INVOICE)
    keys = [request.headers.get("idempotency-key") for request in server.requests]
    assert keys == [None, None, "d1-customer", "d1"]


def test_cancel_nothing(sandbox: Running) -> None:
    """Cancelling an invoice that does not exist is done, with a note."""
    assert invoicing(sandbox).deliver("cancel_invoice", CANCEL).note == "nothing_to_cancel"


def test_cancel_draft(sandbox: Running) -> None:
    """A draft is deleted."""
    desk = invoicing(sandbox)
    desk.deliver("create_invoice", INVOICE)
    assert desk.deliver("cancel_invoice", CANCEL, id="d2").note == "draft_deleted"
    assert invoices(sandbox) == []


@pytest.mark.parametrize("status", [404, 410])
def test_cancel_draft_that_is_gone(status: int) -> None:
    """A draft that somebody else has deleted meanwhile is deleted."""
    found = reply(200, '{"data": [{"id": 1, "reference": "SD-9001", "status": "draft"}]}')
    with RawServer(found, reply(status)) as server:
        assert Desk("rest", {"base": server.url}).deliver("cancel_invoice", CANCEL).note == "draft_deleted"


def test_cancel_final(sandbox: Running) -> None:
    """A final invoice gets one cancellation document, however often it is cancelled."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    desk.deliver("create_invoice", INVOICE)
    desk.deliver("cancel_invoice", CANCEL | {"reason": "moved"}, id="d2")
    assert desk.deliver("cancel_invoice", CANCEL, id="d3").note == "already_cancelled"
    assert [(one["type"], one["status"]) for one in invoices(sandbox)] == [
        ("invoice", "canceled"),
        ("cancellation", "final"),
    ]
    assert invoices(sandbox)[1]["reason"] == "moved"


def test_cancel_finds_the_invoice_and_not_its_cancellation() -> None:
    """A cancellation document with the same reference is never cancelled itself, in whatever order they are listed."""
    found = reply(
        200,
        '{"data": [{"id": 2, "reference": "SD-9001", "type": "cancellation", "status": "final"},'
        ' {"id": 1, "reference": "SD-9001", "type": "invoice", "status": "canceled"}]}',
    )
    with RawServer(found) as server:
        assert Desk("rest", {"base": server.url}).deliver("cancel_invoice", CANCEL).note == "already_cancelled"


# Options


def test_paths_and_names_are_options() -> None:
    """Paths, names of fields, the place of lists and ids, and headers are what the options say."""
    options = {
        "auth": {"header": {"name": "X-Api-Token", "value": "t"}},
        "headers": {"X-Tenant": "nord"},
        "contacts": {
            "path": "/v2/persons",
            "list": "data.items",
            "id": "data.id",
            "update": "PUT",
            "find": {"email": "term"},
            "fields": {"email": "emails.primary", "first_name": "", "custom": ""},
        },
    }
    with RawServer(reply(200, '{"data": {"items": []}}'), reply(201, '{"data": {"id": 9}}'), reply(200)) as server:
        desk = Desk("rest", {"base": server.url} | options)
        desk.deliver("upsert_contact", EVA | {"external_id": "4711", "first_name": "Eva", "custom": {"vip": True}})
        desk.deliver("upsert_contact", EVA | {"last_name": "Muster"}, id="d2")
    search, create, update = server.requests
    assert search.target == "/v2/persons?term=eva%40example.org"
    assert create.json() == {"external_id": "4711", "emails": {"primary": "eva@example.org"}, "vip": True}
    assert (create.headers["x-api-token"], create.headers["x-tenant"]) == ("t", "nord")
    assert (update.method, update.target) == ("PUT", "/v2/persons/9")


def test_errors_and_success_are_options() -> None:
    """What an answer means can be told."""
    options = {
        "errors": [{"status": [400], "contains": "must be unique", "is": "transient", "code": "racing"}],
        "success": {"path": "success", "equals": True},
    }
    lists = reply(200, '{"success": true, "data": []}')
    with RawServer(
        lists, reply(400, "the party code must be unique"), lists, reply(200, '{"success": false}')
    ) as server:
        desk = Desk("rest", {"base": server.url} | options)
        racing, refused = desk.fail("upsert_contact", EVA), desk.fail("upsert_contact", EVA, id="d2")
    assert (racing.failure, racing.code) == ("transient", "racing")
    assert (refused.failure, refused.code) == ("permanent", "refused_in_body")


@pytest.mark.parametrize(("lag", "right"), [(-0.1, False), (0, True), (3600, True), (3600.5, False)])
def test_bounds_of_find_lag(lag: float, right: bool) -> None:
    """A search may lag by an hour at most."""
    options = {"base": "https://crm.example.org", "find_lag": lag}
    if right:
        assert RestOptions.model_validate(options).find_lag == lag
        return
    with pytest.raises(ValidationError):
        RestOptions.model_validate(options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"base": "crm.example.org"}, "must be an address"),
        ({"base": "https://u:p@crm.example.org"}, "without user"),
        ({"auth": {}}, "exactly one of"),
        ({"auth": {"bearer": "a", "basic": {"user": "b", "password": "c"}}}, "exactly one of"),
        ({"contacts": {"fields": {"e_mail": "email"}}}, "no field of ours"),
        ({"contacts": {"find": {"name": "name"}}}, "no field of ours"),
        ({"invoices": {"line_fields": {"price": "price"}}}, "no field of ours"),
        ({"bas": "https://crm.example.org"}, "Extra inputs"),
    ],
)
def test_bad_options(options: dict[str, Any], why: str) -> None:
    """Options that cannot work are refused, and the refusal shows no value."""
    with pytest.raises(ValidationError, match=why) as caught:
        RestOptions.model_validate({"base": "https://crm.example.org"} | options)
    assert "u:p" not in str(caught.value)


# OAuth


def oauth(tokens: RawServer, **more: Any) -> dict[str, Any]:
    """Return `auth` of a destination whose tokens a server gives."""
    return {"oauth": {"token_url": tokens.url, "client_id": "us", "client_secret": "s3cret", **more}}


def given(token: str) -> bytes:
    """Return the answer that gives a token."""
    return reply(200, json.dumps({"access_token": token, "expires_in": 3600}))


def test_oauth() -> None:
    """Every request carries the token; who we are goes to the server of tokens alone."""
    with RawServer(given("t-1")) as tokens, RawServer(NOTHING, reply(201, '{"id": 1}')) as api:
        Desk("rest", {"base": api.url, "auth": oauth(tokens, scope="crm")}).deliver("upsert_contact", EVA)
    assert [seen.headers["authorization"] for seen in api.requests] == ["Bearer t-1"] * 2
    assert len(tokens.requests) == 1
    assert b"scope=crm" in tokens.requests[0].body


def test_oauth_token_that_ended() -> None:
    """A token that the API refuses is replaced, and the request, which did nothing, is sent again, even a create."""
    with (
        RawServer(given("t-1"), given("t-2"), given("t-3")) as tokens,
        RawServer(NOTHING, reply(401, "{}"), reply(201, '{"id": 1}')) as api,
    ):
        done = Desk("rest", {"base": api.url, "auth": oauth(tokens)}).deliver("upsert_contact", EVA)
    assert done.result == {"id": "1", "created": True}
    assert [seen.headers["authorization"] for seen in api.requests] == ["Bearer t-1", "Bearer t-1", "Bearer t-2"]
    assert len(tokens.requests) == 2


def test_oauth_refused() -> None:
    """A new token that is refused, too, is a refused key, and asked for no third time."""
    with RawServer(given("t-1"), given("t-2")) as tokens, RawServer(reply(401, "{}")) as api:
        failed = Desk("rest", {"base": api.url, "auth": oauth(tokens)}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("credential", "unauthorised")
    assert (len(api.requests), len(tokens.requests)) == (2, 2)


def test_oauth_without_token() -> None:
    """Where no token is given the API is asked nothing."""
    with RawServer(reply(401, '{"error": "invalid_client"}')) as tokens, RawServer(OK) as api:
        failed = Desk("rest", {"base": api.url, "auth": oauth(tokens)}).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == ("credential", "token_refused")
    assert api.connections == 0


def test_one_way_to_be_known() -> None:
    """A destination is known in one way."""
    with pytest.raises(ValidationError, match="exactly one of bearer, basic, header, oauth"):
        RestOptions.model_validate({"base": "https://crm.example.org", "auth": {}})


# Labels, tasks, leads, the look-up of a contact


def test_labels(crm: Desk, sandbox: Running) -> None:
    """A label is put beside the others and taken off again; what is so already is not written, and says so."""
    crm.deliver("upsert_contact", EVA | {"custom": {"a": "b"}})
    assert crm.deliver("add_label", EVA | {"label": "Kurs"}, id="d2").note == ""
    assert crm.deliver("add_label", EVA | {"label": "VIP"}, id="d3").note == ""
    assert crm.deliver("add_label", EVA | {"label": "VIP"}, id="d4").note == "already_there"
    (contact,) = contacts(sandbox)
    assert contact["labels"] == ["Kurs", "VIP"]
    assert crm.deliver("remove_label", EVA | {"label": "Kurs"}, id="d5").result == {"id": contact["id"]}
    assert crm.deliver("remove_label", EVA | {"label": "Kurs"}, id="d6").note == "not_there"
    assert contact["labels"] == ["VIP"]
    assert crm.deliver("add_label", KIM | {"label": "VIP"}, id="d7").note == "no_such_contact"


def test_labels_that_are_not_shown() -> None:
    """Where a contact shows no labels, none is written: that would take away the others."""
    eva = '{"id": 1, "email": "eva@example.org"}'
    with RawServer(reply(200, f'{{"data": [{eva}]}}'), reply(200, eva)) as server:
        failed = Desk("rest", {"base": server.url}).fail("add_label", EVA | {"label": "VIP"})
    assert (failed.failure, failed.code) == ("permanent", "labels_unreadable")
    assert "contacts.fields" in failed.hint


def test_label_that_does_not_stick() -> None:
    """A label that the contact does not show afterwards is tried again."""
    eva = '{"id": 1, "email": "eva@example.org", "labels": []}'
    with RawServer(reply(200, f'{{"data": [{eva}]}}'), *[reply(200, eva)] * 3) as server:
        failed = Desk("rest", {"base": server.url}).fail("add_label", EVA | {"label": "VIP"})
    assert (failed.failure, failed.code) == ("transient", "not_in_force")


def test_task(crm: Desk, sandbox: Running) -> None:
    """A task lies at its contact, which is made for a caller nobody knows; one in doubt waits for a person."""
    done = crm.deliver("add_task", {"phone": "+4930123456", "subject": "Call back", "due": "2026-12-01"})
    (task,) = sandbox.world.crm.tasks.all()
    (contact,) = contacts(sandbox)
    assert (task["subject"], task["due"], task["contact_id"]) == ("Call back", "2026-12-01", contact["id"])
    assert done.result == {"id": task["id"], "contact": contact["id"]}
    assert crm.fail("add_task", EVA | {"subject": "x"}, doubtful=True, id="d2").code == UNRESOLVED


def test_lead(crm: Desk, sandbox: Running) -> None:
    """A lead is made once for its contact, and moved to a stage once."""
    lead = EVA | {"reference": "call-7", "title": "Missed call", "amount": "120.5", "custom": {"source": "mg"}}
    made = crm.deliver("create_lead", lead)
    (contact,) = contacts(sandbox)
    (stored,) = sandbox.world.crm.leads.all()
    assert (stored["title"], stored["amount"], stored["contact_id"]) == ("Missed call", 120.5, contact["id"])
    assert stored["custom"] == {"source": "mg"}
    assert made.result == {"id": stored["id"], "contact": contact["id"], "created": True}
    crm.memory.values.clear()
    assert crm.deliver("create_lead", lead, id="d2").note == "already_there"
    move = {"reference": "call-7", "stage": "won"}
    assert crm.deliver("move_deal", move, id="d3").note == ""
    assert crm.deliver("move_deal", move, id="d4").note == "already_there"
    assert [each["stage"] for each in sandbox.world.crm.leads.all()] == ["won"]
    assert crm.deliver("move_deal", move | {"reference": "call-8"}, id="d5").note == "no_such_lead"


def test_lead_whose_answer_was_lost(crm: Desk, sandbox: Running) -> None:
    """A lead whose answer was lost is found, not made again."""
    order(sandbox, vendor="crm", method="POST", path="*/leads", reset=True, after_effect=True)
    lead = EVA | {"reference": "call-7", "title": "Missed call"}
    assert crm.fail("create_lead", lead).failure == "ambiguous"
    assert crm.deliver("create_lead", lead, doubtful=True).note == "already_there"
    assert len(sandbox.world.crm.leads.all()) == 1


def test_contact_is_looked_up(crm: Desk) -> None:
    """A look-up tells a contact by our names and by the CRM's, and says where there is none."""
    crm.deliver("upsert_contact", EVA | {"first_name": "Eva", "phone": "+4930123456", "custom": {"age": 7}})
    told = crm.deliver("contact", {"phone": "+49 30 123456"}, id="l1").result
    assert {name: told[name] for name in ("found", "email", "first_name", "last_name", "custom")} == {
        "found": True,
        "email": "eva@example.org",
        "first_name": "Eva",
        "last_name": None,
        "custom": {"age": 7},
    }
    assert crm.deliver("contact", KIM, id="l2").result == {"found": False}


# Customers, credit notes, payments, the look-up of an invoice


def test_known_customer_gets_the_address(sandbox: Running) -> None:
    """The name and address of a customer who is known are written where they differ, and not again."""
    desk = invoicing(sandbox)
    desk.deliver("create_invoice", INVOICE)
    told = {"email": "eva@example.org", "name": "Eva Neu", "address": {"city": "Ulm"}}
    desk.deliver("create_invoice", INVOICE | {"reference": "SD-2", "customer": told}, id="d2")
    (customer,) = sandbox.world.invoicing.customers.all()
    assert (customer["name"], customer["address"]) == ("Eva Neu", {"city": "Ulm"})
    desk.memory.values.clear()
    before = len(methods(sandbox))
    assert desk.deliver("upsert_customer", told, id="d3").result == {"id": customer["id"], "created": False}
    assert methods(sandbox)[before:] == ["GET /customers"]


def test_customer_is_made(sandbox: Running) -> None:
    """A customer nobody knows is made, without an invoice."""
    made = invoicing(sandbox).deliver("upsert_customer", {"email": "kim@example.org", "name": "Kim"})
    (customer,) = sandbox.world.invoicing.customers.all()
    assert made.result == {"id": customer["id"], "created": True}
    assert invoices(sandbox) == []


def test_finalise_of_the_rule(sandbox: Running) -> None:
    """A rule says whether an invoice is final, whatever the destination says of others."""
    invoicing(sandbox).deliver("create_invoice", INVOICE | {"finalise": True})
    final = invoicing(sandbox, invoices={"finalise": True})
    final.deliver("create_invoice", INVOICE | {"reference": "SD-2", "finalise": False}, id="d2")
    assert [each["status"] for each in invoices(sandbox)] == ["final", "draft"]


def test_t8_cancelled_reference(sandbox: Running) -> None:
    """T8: the reference of a cancelled invoice is not taken for the new one's, nor given to a second invoice."""
    desk = invoicing(sandbox, invoices={"finalise": True})
    desk.deliver("create_invoice", INVOICE)
    desk.deliver("cancel_invoice", CANCEL, id="d2")
    failed = desk.fail("create_invoice", INVOICE, id="d3")
    assert (failed.failure, failed.code) == ("permanent", "was_cancelled")
    assert "a reference of its own" in failed.hint
    assert [each["type"] for each in invoices(sandbox)] == ["invoice", "cancellation"]


def test_credit_note(sandbox: Running) -> None:
    """A final invoice is credited once, all of it or some lines; a draft and one that is not there are refused."""
    desk = invoicing(sandbox)
    credit = {"reference": "G-1", "invoice": "SD-9001", "customer": INVOICE["customer"], "finalise": True}
    assert desk.fail("create_credit_note", credit).code == "no_such_invoice"
    desk.deliver("create_invoice", INVOICE, id="d2")
    assert desk.fail("create_credit_note", credit, id="d3").code == "not_final"
    desk.deliver("create_invoice", INVOICE | {"finalise": True}, id="d4")
    made = desk.deliver("create_credit_note", credit, id="d5")
    (note,) = sandbox.world.invoicing.credit_notes.all()
    assert (note["gross"], note["status"], made.result["number"]) == (-285.84, "final", note["number"])
    desk.memory.values.clear()
    assert desk.deliver("create_credit_note", credit, id="d6").note == "already_there"
    part = credit | {"reference": "G-2", "lines": [{"text": "Kursgebühr", "unit_price": 10}]}
    desk.deliver("create_credit_note", part, id="d7")
    assert [each["gross"] for each in sandbox.world.invoicing.credit_notes.all()] == [-285.84, -10.0]


def test_payment(sandbox: Running) -> None:
    """A payment is written once, also when its answer was lost; the invoice then tells that it is paid."""
    desk = invoicing(sandbox)
    paid = {"reference": "P-1", "invoice": "SD-9001", "amount": "285.84", "paid_on": "2026-11-28", "method": "card"}
    desk.deliver("create_invoice", INVOICE | {"finalise": True})
    assert desk.deliver("invoice_status", {"reference": "SD-9001"}).result["state"] == "open"
    order(sandbox, vendor="invoicing", method="POST", path="*/payments", reset=True, after_effect=True)
    assert desk.fail("record_payment", paid, id="d2").failure == "ambiguous"
    assert desk.deliver("record_payment", paid, id="d2", doubtful=True).note == "already_there"
    assert desk.deliver("record_payment", paid, id="d3").note == "already_there"
    (payment,) = sandbox.world.invoicing.payments.all()
    assert (payment["amount"], payment["paid_on"], payment["method"]) == (285.84, "2026-11-28", "card")
    told = desk.deliver("invoice_status", {"reference": "SD-9001"}).result
    assert (told["state"], told["total"], told["due_amount"]) == ("paid", 285.84, 0.0)
    assert desk.deliver("invoice_status", {"reference": "SD-7"}).result == {"found": False}
