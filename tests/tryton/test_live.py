import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console import book
from console.checks import keys
from mailroom.sentences import say
from tests.conftest import GENEROUS
from tests.tryton.conftest import Tryton
from tests.tryton.proxy import Proxy
from tests.workers.destinations.conftest import Desk
from workers.destinations import tryton as adapter
from workers.http import Http, build_url

pytestmark = pytest.mark.tryton

LINES = [
    {"text": "Kursgebühr", "quantity": 2, "unit_price": "120.10", "tax_rate": 0.19},
    {"text": "Spende", "unit_price": 10},
]


@pytest.fixture
def proxy(tryton: Tryton) -> Iterator[Proxy]:
    """The way to Tryton, on which answers can be lost."""
    with Proxy(tryton.url) as proxy:
        yield proxy


@pytest.fixture
def desk(tryton: Tryton, proxy: Proxy) -> Desk:
    """Tryton as a destination that makes drafts."""
    return make(tryton, proxy)


def make(tryton: Tryton, proxy: Proxy, **options: Any) -> Desk:
    """Return Tryton as a destination."""
    usual = {"base": proxy.url, "database": tryton.database, "key": tryton.key}
    return Desk("tryton", usual | {"invoices": {"taxes": {0.19: 1}}} | options)


def posting(tryton: Tryton, proxy: Proxy) -> Desk:
    """Return Tryton as a destination that posts its invoices."""
    return make(tryton, proxy, invoices={"taxes": {0.19: 1}, "post": True})


def ask(tryton: Tryton, model: str, domain: list[Any], *fields: str) -> list[Any]:
    """Ask Tryton itself, past the destination."""

    async def main() -> Any:
        headers = {"Authorization": f"bearer {tryton.key}", "X-Tryton-Context": adapter.encode({"company": 1})}
        query = [("d", adapter.encode(domain)), *(("f", field) for field in fields)]
        async with Http() as http:
            url = build_url(tryton.url, "/shop/rest/model/{model}", query, model=model)
            exchange = http.bind(timeout=GENEROUS, allow_private=True).exchange()
            return (await exchange.request("GET", url, headers=headers)).json()

    found: list[Any] = asyncio.run(main())
    return found


def change(tryton: Tryton, id: str, values: dict[str, Any]) -> None:
    """Change a party in Tryton itself, as a clerk does."""

    async def main() -> str:
        headers = {"Authorization": f"bearer {tryton.key}", "X-Tryton-Context": adapter.encode({"company": 1})}
        async with Http() as http:
            url = build_url(tryton.url, "/shop/rest/model/party.party/{id}", id=id)
            exchange = http.bind(timeout=10, allow_private=True).exchange()
            answer = await exchange.request("PUT", url, headers=headers, json=values)
            return answer.text if answer.status != 200 else ""

    assert asyncio.run(main()) == ""


def parties(tryton: Tryton, email: str, *fields: str) -> list[Any]:
    """Return the parties with an e-mail address."""
    return ask(tryton, "party.party", [["contact_mechanisms.value", "=", email]], *fields)


def invoices(tryton: Tryton, reference: str) -> list[Any]:
    """Return the invoices whose reference begins so."""
    fields = ("reference", "state", "number", "total_amount", "lines.quantity")
    return ask(tryton, "account.invoice", [["reference", "like", f"{reference}%"]], *fields)


def invoice(reference: str, email: str) -> dict[str, Any]:
    """Return arguments for an invoice."""
    return {"reference": reference, "customer": {"email": email, "name": "Eva Muster"}, "lines": LINES}


def test_upsert(desk: Desk, tryton: Tryton) -> None:
    """A party is made with e-mail, phone, address and external id; a second upsert writes what is given."""
    email = "upsert@example.org"
    first = desk.deliver(
        "upsert_contact",
        {
            "email": email,
            "external_id": "seminardesk:profile:4711",
            "first_name": "Eva",
            "last_name": "Muster",
            "phone": "+493012345678",
            "address": {"street": "Musterweg 1", "postal_code": "10115", "city": "Berlin", "country": "de"},
        },
    )
    second = desk.deliver("upsert_contact", {"email": email, "address": {"city": "Potsdam"}}, id="d2")
    (party,) = parties(tryton, email, "name", "addresses.city", "addresses.postal_code", "identifiers.code")
    assert (first.result["created"], second.result) == (True, {"id": first.result["id"], "created": False})
    assert party["name"] == "Eva Muster"
    places = [(one["city"], one["postal_code"]) for one in party["addresses"]]
    assert places == [("Potsdam", None), ("Berlin", "10115")]
    assert [one["code"] for one in party["identifiers"]] == ["seminardesk:profile:4711"]


def test_upsert_finds(desk: Desk, tryton: Tryton) -> None:
    """Without its memory the destination finds a party by external id, and by e-mail however it is written."""
    first = desk.deliver("upsert_contact", {"email": "find_me@example.org", "external_id": "find:1"})
    desk.deliver("upsert_contact", {"email": "findXme@example.org"}, id="other")
    desk.memory.values.clear()
    second = desk.deliver("upsert_contact", {"email": "FIND_ME@example.org", "external_id": "find:2"}, id="d2")
    desk.memory.values.clear()
    third = desk.deliver("upsert_contact", {"external_id": "find:2", "first_name": "A", "last_name": "B"}, id="d3")
    assert first.result["id"] == second.result["id"] == third.result["id"]
    assert [party["name"] for party in parties(tryton, "find_me@example.org", "name")] == ["A B"]


def test_upsert_of_the_address(desk: Desk, tryton: Tryton) -> None:
    """A new e-mail address replaces the old one at the same party."""
    made = desk.deliver("upsert_contact", {"email": "old@example.org", "first_name": "A", "last_name": "B"})
    desk.deliver("upsert_contact", {"email": "old@example.org", "new_email": "new@example.org"}, id="d2")
    assert parties(tryton, "old@example.org") == []
    assert [str(party["id"]) for party in parties(tryton, "new@example.org")] == [made.result["id"]]


def test_party_that_is_gone(desk: Desk, tryton: Tryton) -> None:
    """An id that is remembered for a party that is gone is forgotten."""
    desk.memory.values["email:gone@example.org"] = "99999"
    assert desk.deliver("upsert_contact", {"email": "gone@example.org"}).result["created"] is True
    assert len(parties(tryton, "gone@example.org")) == 1


def test_address_that_a_clerk_moved(desk: Desk, tryton: Tryton) -> None:
    """A note to an address that a clerk took from one party and gave to another lies at the other one."""
    first = desk.deliver("upsert_contact", {"email": "moved@example.org"}).result["id"]
    second = desk.deliver("upsert_contact", {"external_id": "moved:2"}, id="d2").result["id"]
    (party,) = parties(tryton, "moved@example.org", "contact_mechanisms.id")
    change(tryton, first, {"contact_mechanisms": [["delete", [party["contact_mechanisms"][0]["id"]]]]})
    change(tryton, second, {"contact_mechanisms": [["create", [{"type": "email", "value": "moved@example.org"}]]]})
    note = desk.deliver("add_note", {"email": "moved@example.org", "text": "Please call back."}, id="d3")
    assert note.result["contact"] == second
    assert desk.deliver("upsert_contact", {"email": "moved@example.org"}, id="d4").result["id"] == second


@pytest.mark.parametrize("merged", [True, False])
def test_party_that_is_not_in_use(desk: Desk, tryton: Tryton, merged: bool) -> None:
    """A party that was merged is its successor, one that was deactivated is made anew; neither is a dead letter."""
    person = {"email": f"unused{merged}@example.org", "first_name": "A", "last_name": "B"}
    first = desk.deliver("upsert_contact", person).result["id"]
    second = desk.deliver("upsert_contact", {"external_id": f"unused:{merged}"}, id="d2").result["id"]
    change(tryton, first, {"active": False})
    if merged:
        change(tryton, second, {"contact_mechanisms": [["create", [{"type": "email", "value": person["email"]}]]]})
        # Tryton's own wizard writes this; nobody else may.
        with contextlib.closing(sqlite3.connect(tryton.file, timeout=10)) as tables, tables:
            tables.execute("UPDATE party_party SET replaced_by = ? WHERE id = ?", (int(second), int(first)))
    done = desk.deliver("upsert_contact", person | {"last_name": "C"}, id="d3")
    assert done.result["created"] is not merged
    assert (done.result["id"] == second) is merged
    assert done.result["id"] != first


def test_two_parties_with_one_address(desk: Desk, tryton: Tryton) -> None:
    """One address at two parties waits for a person."""
    desk.deliver("upsert_contact", {"email": "twice@example.org"})
    second = desk.deliver("upsert_contact", {"external_id": "twice:2"}, id="d2").result["id"]
    change(tryton, second, {"contact_mechanisms": [["create", [{"type": "email", "value": "twice@example.org"}]]]})
    desk.memory.values.clear()
    assert desk.fail("add_note", {"email": "twice@example.org", "text": "x"}, id="d3").code == "several_objects"


def test_lost_answer_makes_no_second_party(desk: Desk, tryton: Tryton, proxy: Proxy) -> None:
    """A create whose answer was lost is ambiguous, and found by the next attempt."""
    proxy.lose = lambda method, path: method == "POST"
    assert desk.fail("upsert_contact", {"email": "lost@example.org"}).failure == "ambiguous"
    assert desk.deliver("upsert_contact", {"email": "lost@example.org"}, attempt=2).result["created"] is False
    assert len(parties(tryton, "lost@example.org")) == 1


def test_note(desk: Desk, tryton: Tryton, proxy: Proxy) -> None:
    """A note on a caller nobody knows makes a party; a note whose answer was lost is found."""
    note = {"phone": "+4930999", "text": "Please call back."}
    proxy.lose = lambda method, path: path.endswith("/ir.note") and method == "POST"
    assert desk.fail("add_note", note).failure == "ambiguous"
    desk.memory.values.clear()
    done = desk.deliver("add_note", note, attempt=2)
    assert done.note == "already_there"
    notes = ask(tryton, "ir.note", [["resource", "=", f"party.party,{done.result['contact']}"]], "message")
    assert [one["message"] for one in notes] == ["Please call back."]


def test_draft(desk: Desk, tryton: Tryton) -> None:
    """An invoice is a draft with its lines and taxes; the same reference makes no second one."""
    done = desk.deliver("create_invoice", invoice("SD-1001", "draft@example.org"))
    assert done.result == {"id": done.result["id"], "number": None, "status": "draft", "created": True}
    desk.memory.values.clear()
    again = desk.deliver("create_invoice", invoice("SD-1001", "draft@example.org"), id="d2")
    assert (again.note, again.result["id"]) == ("already_there", done.result["id"])
    (made,) = invoices(tryton, "SD-1001")
    assert made["total_amount"]["decimal"] == "295.84"  # 240.20 and 19 %, and 10.00 without
    assert len(parties(tryton, "draft@example.org")) == 1


def test_post(tryton: Tryton, proxy: Proxy) -> None:
    """With `post` the invoice gets its number, once, also when the answer to the posting was lost."""
    desk = posting(tryton, proxy)
    proxy.lose = lambda method, path: path.endswith("/post")
    assert desk.fail("create_invoice", invoice("SD-1002", "post@example.org")).failure == "ambiguous"
    done = desk.deliver("create_invoice", invoice("SD-1002", "post@example.org"), attempt=2)
    assert done.result["status"] == "posted"
    assert done.result["number"].startswith("RE")
    assert [one["number"] for one in invoices(tryton, "SD-1002")] == [done.result["number"]]
    assert sum(line.endswith("/post") for line in proxy.seen) == 1


def test_lost_answer_makes_no_second_invoice(desk: Desk, tryton: Tryton, proxy: Proxy) -> None:
    """An invoice whose answer was lost is found."""
    proxy.lose = lambda method, path: path.endswith("/account.invoice") and method == "POST"
    assert desk.fail("create_invoice", invoice("SD-1003", "lost@example.org")).failure == "ambiguous"
    assert desk.deliver("create_invoice", invoice("SD-1003", "lost@example.org"), attempt=2).note == "already_there"
    assert len(invoices(tryton, "SD-1003")) == 1


def test_customer_without_address(desk: Desk, tryton: Tryton) -> None:
    """A party without an address, which Tryton writes no invoice for, gets one."""
    desk.deliver("upsert_contact", {"email": "bare@example.org"})
    desk.deliver("create_invoice", invoice("SD-1004", "bare@example.org"), id="d2")
    assert len(invoices(tryton, "SD-1004")) == 1


def test_cancel(tryton: Tryton, proxy: Proxy) -> None:
    """Nothing is done, a draft is deleted, a posted invoice gets one cancellation document, whatever gets lost."""
    desk = make(tryton, proxy)

    def cancel(**more: Any) -> Any:
        return {"reference": "SD-1005", "customer": {"email": "cancel@example.org"}, **more}

    assert desk.deliver("cancel_invoice", cancel()).note == "nothing_to_cancel"
    desk.deliver("create_invoice", invoice("SD-1005", "cancel@example.org"))
    assert desk.deliver("cancel_invoice", cancel()).note == "draft_deleted"
    assert invoices(tryton, "SD-1005") == []
    posting(tryton, proxy).deliver("create_invoice", invoice("SD-1005", "cancel@example.org"))
    proxy.lose = lambda method, path: method == "POST"
    assert desk.fail("cancel_invoice", cancel(reason="moved")).failure == "ambiguous"
    assert desk.fail("cancel_invoice", cancel(reason="moved"), attempt=2).failure == "ambiguous"
    proxy.lose = lambda method, path: False
    assert desk.deliver("cancel_invoice", cancel(), attempt=3).note == "already_cancelled"
    made = sorted(
        (one["reference"], one["state"], one["total_amount"]["decimal"]) for one in invoices(tryton, "SD-1005")
    )
    assert made == [("SD-1005", "posted", "295.84"), ("SD-1005/C", "posted", "-295.84")]
    # T9: both stay open, as the page says: REST may not reconcile them.
    still_open = ask(tryton, "account.invoice", [["reference", "like", "SD-1005%"]], "amount_to_pay")
    assert sorted(one["amount_to_pay"]["decimal"] for one in still_open) == ["-295.84", "295.84"]


def test_t6_address_and_day_are_written(desk: Desk, tryton: Tryton) -> None:
    """T6: an invoice has the address and the day that it was given, also for a customer who is known."""
    known = {"email": "t6@example.org", "address": {"street": "Alte Gasse 1", "postal_code": "52062", "city": "Aachen"}}
    desk.deliver("upsert_contact", known | {"name": "T6 GmbH"})
    place = {"street": "Neuer Weg 2", "postal_code": "53111", "city": "Bonn", "country": "DE"}
    for number in (1, 2):
        told = invoice(f"SD-6-{number}", "t6@example.org") | {"due": "2027-01-31"}
        told["customer"] = {"email": "t6@example.org", "address": place}
        desk.deliver("create_invoice", told, id=f"d{number}")
    fields = ("payment_term_date", "invoice_address.city", "invoice_address.street_unstructured", "party.name")
    found = ask(tryton, "account.invoice", [["reference", "like", "SD-6-%"]], *fields)
    assert [(each["payment_term_date"]["year"], each["payment_term_date"]["month"]) for each in found] == [
        (2027, 1)
    ] * 2
    assert [each["invoice_address"]["city"] for each in found] == ["Bonn"] * 2
    (party,) = parties(tryton, "t6@example.org", "addresses.city", "name")
    assert ([each["city"] for each in party["addresses"]], party["name"]) == (["Bonn", "Aachen"], "T6 GmbH")


def test_t7_a_posted_invoice_keeps_its_address(tryton: Tryton, proxy: Proxy) -> None:
    """T7: a person who moves gets another address; what was posted to the old one shows the old one."""
    desk = posting(tryton, proxy)
    old = {"street": "Kanzlei 1", "postal_code": "53111", "city": "Bonn"}
    desk.deliver(
        "create_invoice", invoice("SD-70", "t7@example.org") | {"customer": {"email": "t7@example.org", "address": old}}
    )
    desk.deliver("upsert_contact", {"email": "t7@example.org", "address": {"city": "Köln"}}, id="d2")
    (made,) = ask(tryton, "account.invoice", [["reference", "=", "SD-70"]], "invoice_address.city")
    (party,) = parties(tryton, "t7@example.org", "addresses.city", "addresses.postal_code")
    assert made["invoice_address"]["city"] == "Bonn"
    assert [(each["city"], each["postal_code"]) for each in party["addresses"]] == [("Köln", None), ("Bonn", "53111")]


def test_t8_cancelled_reference(tryton: Tryton, proxy: Proxy) -> None:
    """T8: a booking that was cancelled and is made again under its old reference says so, and makes nothing."""
    desk = posting(tryton, proxy)
    desk.deliver("create_invoice", invoice("SD-80", "t8@example.org"))
    desk.deliver("cancel_invoice", {"reference": "SD-80", "customer": {"email": "t8@example.org"}}, id="d2")
    assert desk.deliver("invoice_status", {"reference": "SD-80"}, id="l1").result["state"] == "cancelled"
    failed = desk.fail("create_invoice", invoice("SD-80", "t8@example.org"), id="d3")
    assert (failed.failure, failed.code) == ("permanent", "was_cancelled")
    assert sorted(each["reference"] for each in invoices(tryton, "SD-80")) == ["SD-80", "SD-80/C"]


def test_t11_companies(desk: Desk, tryton: Tryton) -> None:
    """T11: a company has a name of its own, and is renamed."""
    for number, name in enumerate(("Müller & Söhne GmbH", "Müller & Töchter GmbH")):
        desk.deliver("upsert_contact", {"email": "t11@example.org", "name": name}, id=f"d{number}")
    assert [party["name"] for party in parties(tryton, "t11@example.org", "name")] == ["Müller & Töchter GmbH"]


def test_credit_note(tryton: Tryton, proxy: Proxy) -> None:
    """A posted invoice is credited, all of it or some lines, once; a draft is refused; its status can be asked."""
    customer = {"email": "credit@example.org"}
    credit = {"reference": "G-1", "invoice": "SD-90", "customer": customer}
    draft, final = make(tryton, proxy), posting(tryton, proxy)
    assert draft.fail("create_credit_note", credit).code == "no_such_invoice"
    draft.deliver("create_invoice", invoice("SD-90", "credit@example.org"))
    assert draft.fail("create_credit_note", credit, id="d2").code == "not_final"
    assert draft.deliver("create_invoice", invoice("SD-90", "credit@example.org") | {"finalise": True}, id="d3").result[
        "number"
    ]
    assert draft.deliver("create_credit_note", credit, id="d4").result["number"] is None
    part = credit | {"reference": "G-2", "lines": [{"text": "Kursgebühr", "unit_price": 10, "tax_rate": 0.19}]}
    made = final.deliver("create_credit_note", part, id="d5")
    assert final.deliver("create_credit_note", part, id="d6").note == "already_there"
    assert made.result["number"]
    totals = {one["reference"]: one["total_amount"]["decimal"] for one in invoices(tryton, "G-")}
    assert totals == {"G-1": "-295.84", "G-2": "-11.90"}
    told = draft.deliver("invoice_status", {"reference": "SD-90"}, id="l1").result
    assert (told["state"], told["total"], told["due_amount"]) == ("open", 295.84, 295.84)


def test_labels_and_look_up(desk: Desk, tryton: Tryton) -> None:
    """A label is a category of the party, put on and taken off; a party can be looked up."""
    eva = {"email": "label@example.org"}
    desk.deliver("upsert_contact", eva | {"name": "Label", "phone": "+493099999", "external_id": "l:1"})
    for number, note in enumerate(("", "already_there")):
        assert desk.deliver("add_label", eva | {"label": "Newsletter"}, id=f"d{number}").note == note
    desk.deliver("add_label", eva | {"label": "VIP"}, id="d3")
    assert desk.deliver("remove_label", eva | {"label": "Newsletter"}, id="d4").note == ""
    assert desk.deliver("remove_label", eva | {"label": "Newsletter"}, id="d5").note == "not_there"
    (party,) = parties(tryton, "label@example.org", "categories.name")
    assert [each["name"] for each in party["categories"]] == ["VIP"]
    told = desk.deliver("contact", {"phone": "+49 30 99999"}, id="l1").result
    assert told == {
        "found": True,
        "id": str(party["id"]),
        "name": "Label",
        "email": "label@example.org",
        "phone": "+493099999",
        "external_id": "l:1",
    }
    assert desk.deliver("contact", {"email": "nobody@example.org"}, id="l2").result == {"found": False}


def test_unknown_field_is_permanent(desk: Desk) -> None:
    """A field that Tryton does not have is a 500 in HTML, and yet final."""
    failed = desk.fail("upsert_contact", {"email": "field@example.org", "custom": {"no_such_field": 1}})
    assert (failed.failure, failed.code, failed.status) == ("permanent", "unknown_name", 500)


def test_refused_value_is_permanent(tryton: Tryton, proxy: Proxy) -> None:
    """A value that Tryton refuses, such as an account of another kind, is final."""
    desk = make(tryton, proxy, invoices={"taxes": {0.19: 1}, "revenue_account": 1})
    failed = desk.fail("create_invoice", invoice("SD-1008", "value@example.org"))
    assert (failed.failure, failed.status) == ("permanent", 400)


def test_unknown_tax(desk: Desk, tryton: Tryton) -> None:
    """A tax rate nobody has said the tax for makes no invoice."""
    lines = [{"text": "x", "unit_price": 1, "tax_rate": 0.07}]
    failed = desk.fail("create_invoice", invoice("SD-1006", "tax@example.org") | {"lines": lines})
    assert (failed.failure, failed.code) == ("permanent", "unknown_tax")
    assert parties(tryton, "tax@example.org") == []


def test_unknown_currency(desk: Desk) -> None:
    """A currency that is not set up is final."""
    failed = desk.fail("create_invoice", invoice("SD-1007", "chf@example.org") | {"currency": "CHF"})
    assert (failed.failure, failed.code) == ("permanent", "unknown_code")


@pytest.mark.parametrize(
    ("options", "failure"), [({"key": "wrong"}, "credential"), ({"database": "none"}, "permanent")]
)
def test_wrong_set_up(tryton: Tryton, proxy: Proxy, options: dict[str, str], failure: str) -> None:
    """A wrong key pauses the destination; a database that does not exist is final."""
    assert make(tryton, proxy, **options).fail("upsert_contact", {"email": "x@example.org"}).failure == failure


def test_doctor_tries_the_key(tryton: Tryton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`relais doctor --keys` tells a key that Tryton takes from one that it does not."""
    monkeypatch.setenv("RIGHT", tryton.key)
    monkeypatch.setenv("WRONG", "another")
    options = f"kind: tryton, base: '{tryton.url}', database: shop, allow_private: true"
    lines = [f"  {name.lower()}: {{{options}, key: '${{{name}}}'}}" for name in ("RIGHT", "WRONG")]
    (tmp_path / "book.yaml").write_text("\n".join(["destinations:", *lines, ""]))
    right, wrong = keys.check(book.load(tmp_path))
    assert (right.ok, right.says) == (True, say("key_reads"))
    assert (wrong.ok, "unauthorised" in wrong.says) == (False, True)
