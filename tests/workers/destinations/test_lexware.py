"""What is particular about Lexware Office, against the sandbox's imitation of it."""

from datetime import date
from typing import Any

import pytest

from console import catalogue
from rules.compiler import compilation
from sandbox.server import Running
from tests.workers.destinations.conftest import Desk, order
from tests.workers.wire import RawServer, reply
from workers.destinations import lexware
from workers.destinations.invoices import Customer
from workers.destinations.lexware import LexwareOptions

EVA = {"email": "eva@example.org"}
INVOICE: dict[str, Any] = {
    "reference": "SD-1",
    "customer": EVA | {"name": "Eva Muster", "address": {"street": "Weg 1", "postal_code": "10115", "city": "Berlin"}},
    "lines": [{"text": "Kurs", "quantity": 2, "unit_price": "100", "tax_rate": "0.19"}],
}


@pytest.fixture
def desk(sandbox: Running) -> Desk:
    """Lexware Office, as the book would have it."""
    return at(sandbox)


def at(sandbox: Running, **options: Any) -> Desk:
    key = sandbox.world.accounts.lexware_api_key
    return Desk("lexware", {"base": sandbox.base("lexware"), "api_key": key} | options)


def documents(sandbox: Running, kind: str = "invoice") -> list[dict[str, Any]]:
    return [each for each in sandbox.world.lexware.documents.values() if each["voucherType"] == kind]


def sent(sandbox: Running, method: str = "") -> list[str]:
    return [each.call.path for each in sandbox.world.journal.entries("lexware") if method in ("", each.call.method)]


def test_invoice(sandbox: Running, desk: Desk) -> None:
    """An invoice is a draft for a customer who is made for it, and has its reference in the remark."""
    done = desk.deliver("create_invoice", INVOICE | {"due": date.max.isoformat()})
    [invoice] = documents(sandbox)
    assert done.result == {"id": invoice["id"], "number": None, "status": "draft", "created": True}
    assert (invoice["remark"], invoice["totalPrice"]["totalGrossAmount"]) == ("Ref. SD-1", 238.0)
    assert invoice["address"] | {"contactId": ""} == {
        "contactId": "",
        "name": "Eva Muster",
        "street": "Weg 1",
        "zip": "10115",
        "city": "Berlin",
        "countryCode": "DE",
    }
    assert desk.deliver("create_invoice", INVOICE, id="d2").note == "already_there"
    assert len(documents(sandbox)) == 1


def test_issued_at_creation(sandbox: Running, desk: Desk) -> None:
    """What the action says of finalising goes before what the destination says; a draft is never copied to issue it."""
    done = desk.deliver("create_invoice", INVOICE | {"finalise": True})
    assert (done.result["number"], done.result["status"]) == ("RE0001", "open")
    desk.deliver("create_invoice", INVOICE | {"reference": "SD-2"}, id="d2")
    failed = desk.fail("create_invoice", INVOICE | {"reference": "SD-2", "finalise": True}, id="d3")
    assert (failed.failure, failed.code) == ("permanent", "draft_stays")
    assert at(sandbox, finalise=True).deliver("create_invoice", INVOICE | {"reference": "SD-3"}).result["number"]
    assert len(documents(sandbox)) == 3


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 504}, {"reset": True}, {"status": 200, "body": "<html>"}]
)
def test_doubtful_invoice(sandbox: Running, desk: Desk, fault: dict[str, Any]) -> None:
    """An invoice whose answer was lost is found by reading the customer's invoices, also by a worker without memory."""
    order(sandbox, vendor="lexware", method="POST", path="/invoices", after_effect=True, **fault)
    failed = desk.fail("create_invoice", INVOICE)
    assert failed.failure == "ambiguous"
    done = at(sandbox).deliver("create_invoice", INVOICE, doubtful=True)
    assert (done.note, len(documents(sandbox))) == ("already_there", 1)
    again = desk.deliver("create_invoice", INVOICE, attempt=2, doubtful=True)
    assert again.result["id"] == done.result["id"]


def test_invoice_that_was_not_made(sandbox: Running, desk: Desk) -> None:
    """An invoice whose answer was lost and that is not there is made."""
    order(sandbox, vendor="lexware", method="POST", path="/invoices", status=500)
    assert desk.fail("create_invoice", INVOICE).failure == "ambiguous"
    assert desk.deliver("create_invoice", INVOICE, doubtful=True).result["created"]
    assert len(documents(sandbox)) == 1


def test_references_are_whole(sandbox: Running, desk: Desk) -> None:
    """SD-1 is not SD-10, and each invoice that was read is not read again."""
    for n, reference in enumerate(("SD-10", "SD-11", "SD-1/C")):
        desk.deliver("create_invoice", INVOICE | {"reference": reference}, id=f"d{n}")
    other = at(sandbox)
    sandbox.world.journal.clear()
    assert other.deliver("create_invoice", INVOICE, id="d4").result["created"]
    assert len([path for path in sent(sandbox, "GET") if path.startswith("/invoices/")]) == 4
    sandbox.world.journal.clear()
    assert other.deliver("create_invoice", INVOICE | {"reference": "SD-11"}, id="d5").note == "already_there"
    assert len([path for path in sent(sandbox, "GET") if path.startswith("/invoices/")]) == 1


def test_many_invoices(sandbox: Running, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one attempt cannot read all invoices of a customer, the next one reads on; nothing is made meanwhile."""
    for n in range(4):
        desk.deliver("create_invoice", INVOICE | {"reference": f"SD-1{n}"}, id=f"d{n}")
    monkeypatch.setattr(lexware, "MOST_READ", 2)
    other = at(sandbox)
    failed = other.fail("create_invoice", INVOICE | {"reference": "SD-10"})
    assert (failed.failure, failed.code, failed.status) == ("limited", "reading_on", 0)
    assert other.deliver("create_invoice", INVOICE | {"reference": "SD-10"}).note == "already_there"
    assert len(documents(sandbox)) == 4


def test_draft_with_another_remark(sandbox: Running, desk: Desk) -> None:
    """A clerk who takes the reference out of a draft does not get a second one."""
    desk.deliver("create_invoice", INVOICE)
    documents(sandbox)[0]["remark"] = "Danke!"
    assert desk.deliver("create_invoice", INVOICE, id="d2").note == "already_there"


def test_cancel(sandbox: Running, desk: Desk) -> None:
    """A final invoice is cancelled by one final credit note over all of it, whatever is lost on the way."""
    desk.deliver("create_invoice", INVOICE | {"finalise": True})
    order(sandbox, vendor="lexware", method="POST", path="/credit-notes", status=504, after_effect=True)
    cancel = {"reference": "SD-1", "customer": EVA, "reason": "krank"}
    assert desk.fail("cancel_invoice", cancel).failure == "ambiguous"
    for n, each in enumerate((desk, at(sandbox), desk)):
        assert each.deliver("cancel_invoice", cancel, id=f"d{n}", doubtful=True).note == "already_cancelled"
    [credit] = documents(sandbox, "creditnote")
    assert (credit["voucherNumber"], credit["remark"], credit["introduction"]) == ("GS0001", "Ref. SD-1/C", "krank")
    assert credit["totalPrice"]["totalGrossAmount"] == 238.0
    found = desk.deliver("invoice_status", {"reference": "SD-1"}).result
    assert (found["state"], found["status"]) == ("cancelled", "open")


def test_cancel_what_is_not_final(sandbox: Running, desk: Desk) -> None:
    """Without an invoice there is nothing to cancel; a draft has to be deleted by a person."""
    assert desk.deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA}).note == "nothing_to_cancel"
    desk.deliver("create_invoice", INVOICE)
    assert desk.fail("cancel_invoice", {"reference": "SD-1", "customer": EVA}).code == "draft_stays"
    assert sent(sandbox, "DELETE") == []


def test_cancel_what_a_clerk_credited(sandbox: Running, desk: Desk) -> None:
    """What a clerk has credited is not credited again; of a part a person decides."""
    invoice = desk.deliver("create_invoice", INVOICE | {"finalise": True}).result["id"]
    line = INVOICE["lines"][0] | {"quantity": 1}
    credit: dict[str, Any] = {"reference": "G-1", "invoice": "SD-1", "customer": EVA, "finalise": True}
    desk.deliver("create_credit_note", credit | {"lines": [line]})
    assert desk.fail("cancel_invoice", {"reference": "SD-1", "customer": EVA}, id="d2").code == "partly_credited"
    desk.deliver("create_credit_note", credit | {"reference": "G-2", "lines": [line]}, id="d3")
    done = desk.deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA}, id="d4")
    assert (done.note, done.result) == ("already_cancelled", {"id": invoice})


def test_credit_note(sandbox: Running, desk: Desk) -> None:
    """A credit note is made once for its reference, a draft unless it is to be final; a draft is not credited."""
    credit: dict[str, Any] = {"reference": "G-1", "invoice": "SD-1", "customer": EVA}
    assert desk.fail("create_credit_note", credit).code == "not_found"
    desk.deliver("create_invoice", INVOICE)
    assert desk.fail("create_credit_note", credit).code == "not_final"
    desk.deliver("create_invoice", INVOICE | {"reference": "SD-2", "finalise": True}, id="d2")
    done = desk.deliver("create_credit_note", credit | {"invoice": "SD-2"}, id="d3")
    assert (done.result["created"], done.result["number"]) == (True, None)
    assert desk.deliver("create_credit_note", credit | {"invoice": "SD-2"}, id="d4").note == "already_there"
    failed = desk.fail("create_credit_note", credit | {"invoice": "SD-2", "finalise": True}, id="d5")
    assert failed.code == "draft_stays"
    assert len(documents(sandbox, "creditnote")) == 1


def test_status(sandbox: Running, desk: Desk) -> None:
    """The look-up tells number, state and what is still to be paid."""
    assert desk.deliver("invoice_status", {"reference": "SD-1"}).result == {"found": False}
    id = desk.deliver("create_invoice", INVOICE | {"finalise": True}).result["id"]
    open_ = {"found": True, "id": id, "number": "RE0001", "state": "open", "status": "open", "total": 238.0}
    assert desk.deliver("invoice_status", {"reference": "SD-1"}).result == open_ | {"due_amount": 238.0}
    sandbox.world.lexware.pay(id)
    paid = open_ | {"state": "paid", "status": "paid", "due_amount": 0.0}
    assert desk.deliver("invoice_status", {"reference": "SD-1"}).result == paid


def test_customer(sandbox: Running, desk: Desk) -> None:
    """A customer is made, then written as a whole with its version, and only where something differs."""
    created = desk.deliver("upsert_customer", EVA)
    assert created.result["created"]
    done = desk.deliver("upsert_customer", EVA | {"name": "Eva Neu", "address": {"city": "Ulm"}}, id="d2")
    [contact] = sandbox.world.lexware.contacts.values()
    assert done.result == {"id": created.result["id"], "created": False}
    assert (contact["person"], contact["version"]) == ({"lastName": "Eva Neu"}, 2)
    assert contact["addresses"]["billing"] == [{"city": "Ulm", "countryCode": "DE"}]
    desk.deliver("upsert_customer", EVA | {"name": "Eva Neu"}, id="d3")
    assert len(sent(sandbox, "PUT")) == 1


def test_customer_is_searched_exactly(sandbox: Running, desk: Desk) -> None:
    """A filter finds parts of addresses, and `_` stands for any letter: whose address it is not is nobody."""
    for n, email in enumerate(("xeva_m@example.org", "evaxm@example.org")):
        desk.deliver("upsert_customer", {"email": email}, id=f"d{n}")
    assert desk.deliver("upsert_customer", {"email": "eva_m@example.org"}, id="d3").result["created"]
    assert len(sandbox.world.lexware.contacts) == 3


def test_two_customers(sandbox: Running) -> None:
    """Two contacts with one address are a person's to merge, unless one is archived or no customer."""
    for n in range(2):
        at(sandbox).deliver("upsert_customer", {"email": f"e{n}@example.org"})
    first, second = sandbox.world.lexware.contacts.values()
    second["emailAddresses"] = first["emailAddresses"]
    assert at(sandbox).fail("upsert_customer", {"email": "e0@example.org"}).code == "several_objects"
    second["archived"] = True
    assert at(sandbox).deliver("upsert_customer", {"email": "e0@example.org"}).result["id"] == first["id"]


def test_stale_version(sandbox: Running, desk: Desk) -> None:
    """A contact that was changed meanwhile is read again by the next attempt; other refusals name their fields."""
    desk.deliver("upsert_customer", EVA)
    issue = '{"IssueList": [{"i18nKey": "invalid_value", "source": "%s", "type": "validation_failure"}]}'
    for status, source, failure, code in (
        (406, "version", "transient", "stale_version"),
        (409, "", "transient", "stale_version"),
        (406, "addresses.billing.size", "permanent", "invalid"),
    ):
        told = {"status": status, "body": issue % source, "content_type": "application/json"}
        order(sandbox, vendor="lexware", method="PUT", **told)
        failed = desk.fail("upsert_customer", EVA | {"name": "Eva Neu"}, id="d2")
        assert (failed.failure, failed.code) == (failure, code)
    assert failed.hint == "Lexware refuses addresses.billing.size invalid_value"
    assert desk.deliver("upsert_customer", EVA | {"name": "Eva Neu"}, id="d2").result["created"] is False


def test_contact_that_is_gone(sandbox: Running, desk: Desk) -> None:
    """An invoice for a contact that the id map still knows, and that is gone, is made for a new one."""
    desk.deliver("upsert_customer", EVA)
    sandbox.world.lexware.contacts.clear()
    assert desk.fail("create_invoice", INVOICE).code == "stale_id"
    assert desk.deliver("create_invoice", INVOICE, attempt=2).result["created"]
    [invoice] = documents(sandbox)
    assert invoice["address"]["contactId"] in sandbox.world.lexware.contacts


def test_limit_dressed_as_an_error(sandbox: Running, desk: Desk) -> None:
    """A 500 that may be the limit is one where nothing is made; of what makes something nobody knows."""
    body = '{"message": "Internal server error or rate limit exceeded"}'
    for method, failure in (("GET", "limited"), ("POST", "ambiguous")):
        order(sandbox, vendor="lexware", method=method, status=500, body=body, content_type="application/json")
        assert desk.fail("upsert_customer", EVA).failure == failure


def test_what_lexware_cannot_have(desk: Desk) -> None:
    """Another currency, and a tax rate where prices have no tax, are refused before anything is sent."""
    assert desk.fail("create_invoice", INVOICE | {"currency": "CHF"}).code == "unknown_code"
    options = {"base": "http://127.0.0.1:1", "api_key": "k", "tax_type": "vatfree"}
    assert Desk("lexware", options).fail("create_invoice", INVOICE).code == "unknown_tax"


def test_rows_of_others(sandbox: Running) -> None:
    """A list that ignores the filter shows documents of others, which are not read."""
    contact = '{"id": "c1", "archived": false, "roles": {"customer": {}}, "emailAddresses": {"a": ["eva@example.org"]}}'
    rows = '{"content": [{"id": "i1", "contactId": "c2"}, {"id": "i2"}], "last": true}'
    with RawServer(reply(200, f'{{"content": [{contact}]}}'), reply(200, rows)) as server:
        options = {"base": server.url, "api_key": "k"}
        assert Desk("lexware", options).deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA}).note
    assert len(server.requests) == 2


def test_book() -> None:
    """A book that says no limit gets the vendor's; what the API cannot do does not compile."""
    text = "destinations:\n  it: {kind: lexware, api_key: '${KEY}'%s}\n"
    for more, limit in (("", "78/m"), (", limit: 1/s", "1/s")):
        book = compilation.compile_book({"book.yaml": (text % more).encode()}, catalogue.build()).book
        assert book is not None
        assert str(book.destinations["it"].limit) == limit
    rule = """
sources: {shop: {kind: generic, verify: {none: a test}, read: {type: paid}}}
rules:
  - name: paid
    when: {source: shop}
    then: [{it.record_payment: {reference: a, invoice: b, amount: 1}}]
"""
    checked = compilation.compile_book({"book.yaml": (text % "" + rule).encode()}, catalogue.build())
    assert any("reads payments and writes none" in str(problem) for problem in checked.problems)


def test_change_contact() -> None:
    """What a clerk has written as first and last name stays where the name is the same; the rest of a record too."""
    options = LexwareOptions.model_validate({"api_key": "k"})
    contact = {
        "id": "c1",
        "version": 3,
        "roles": {"customer": {"number": 1}},
        "person": {"salutation": "Frau", "firstName": "Eva", "lastName": "Muster"},
        "addresses": {"billing": [{"street": "Weg 1", "countryCode": "AT"}], "shipping": [{"countryCode": "CH"}]},
        "note": "mag Tee",
    }
    same = Customer.model_validate(EVA | {"name": "Eva Muster"})
    assert lexware.change_contact(contact, same, options) == {}
    moved = Customer.model_validate(EVA | {"name": "Eva Neu", "address": {"street": "Weg 2"}})
    assert lexware.change_contact(contact, moved, options) == contact | {
        "person": {"salutation": "Frau", "lastName": "Eva Neu"},
        "addresses": {"billing": [{"street": "Weg 2", "countryCode": "AT"}], "shipping": [{"countryCode": "CH"}]},
    }
    company = contact | {"person": None, "company": {"name": "Muster GmbH"}, "roles": {"vendor": {}}}
    assert lexware.change_contact(company, same, options) == company | {
        "company": {"name": "Eva Muster"},
        "roles": {"vendor": {}, "customer": {}},
    }
