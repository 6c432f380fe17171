import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from tests.workers.destinations.conftest import Desk
from tests.workers.wire import RawServer, Request, reply
from workers.destinations import tryton
from workers.destinations.contacts import UpsertContact
from workers.destinations.invoices import InvoiceLine

EVA: dict[str, Any] = {"email": "eva@example.org"}
NOTHING = reply(200, "[]")
MADE = reply(200, '{"id": 7, "addresses": [{"id": 8}]}')
PARTY = {
    "id": 7,
    "name": "Eva Muster",
    "addresses": [{"id": 8, "city": "Bonn", "street_unstructured": "", "country": None}],
    "contact_mechanisms": [
        {"id": 1, "type": "email", "value": "Eva@example.org"},
        {"id": 2, "type": "mobile", "value": "+49 170 123", "value_compact": "+49170123"},
    ],
    "identifiers": [{"code": "a:1"}],
}


def scripted(server: RawServer, **options: Any) -> Desk:
    """Return a Tryton that answers from a script."""
    return Desk("tryton", {"base": server.url, "database": "shop", "key": "k-1"} | options)


def domain(request: Request) -> Any:
    """Return what a search asked for."""
    return json.loads(base64.urlsafe_b64decode(parse_qs(urlsplit(request.target).query)["d"][0]))


def test_on_the_wire() -> None:
    """Requests carry key, language and company, and name database and model in the address."""
    with RawServer(NOTHING, NOTHING, MADE) as server:
        scripted(server, company=3).deliver("upsert_contact", EVA | {"external_id": "a:1"})
    assert urlsplit(server.requests[0].target).path == "/shop/rest/model/party.party"
    assert domain(server.requests[0]) == [["identifiers.code", "=", "a:1"]]
    assert server.requests[2].json()["identifiers"] == [["create", [{"type": None, "code": "a:1"}]]]
    headers = server.requests[0].headers
    assert (headers["authorization"], headers["accept-language"]) == ("bearer k-1", "en")
    assert json.loads(base64.urlsafe_b64decode(headers["x-tryton-context"])) == {"company": 3, "companies": [3]}


def test_two_parties() -> None:
    """Two people are two parties, each remembered by its own address and written where it is."""
    eva = json.dumps(PARTY)
    kim = json.dumps(PARTY | {"id": 9, "contact_mechanisms": [{"id": 3, "type": "email", "value": "kim@example.org"}]})
    with RawServer(
        NOTHING, reply(200, eva), NOTHING, reply(200, kim), reply(200, eva), reply(200, kim), MADE
    ) as server:
        desk = scripted(server)
        for n, email in enumerate(("eva@example.org", "kim@example.org", "eva@example.org")):
            desk.deliver("upsert_contact", {"email": email}, id=f"d{n}")
        done = desk.deliver("upsert_contact", {"email": "kim@example.org", "phone": "+4930123"}, id="d3")
    asked = [(request.method, urlsplit(request.target).path.rpartition("/")[2]) for request in server.requests]
    assert asked == [
        *[("GET", "party.party"), ("POST", "party.party")] * 2,
        *[("GET", "7"), ("GET", "9"), ("PUT", "9")],
    ]
    assert done.result == {"id": "9", "created": False}


def test_party_that_is_gone() -> None:
    """A remembered party that was deleted is forgotten and searched; of what is found the address must be its own."""
    other = json.dumps([PARTY | {"contact_mechanisms": [{"id": 3, "type": "email", "value": "eva@example.com"}]}])
    with RawServer(NOTHING, MADE, reply(404), reply(200, other), reply(200, '{"id": 10}')) as server:
        desk = scripted(server)
        desk.deliver("upsert_contact", EVA)
        assert desk.deliver("upsert_contact", EVA, id="d2").result == {"id": "10", "created": True}
    assert [request.method for request in server.requests] == ["GET", "POST", "GET", "GET", "POST"]
    assert desk.memory.values == {"email:eva@example.org": "10"}


def test_invoice_of_the_company() -> None:
    """An invoice is searched among those that the company sends, by its reference."""
    with RawServer(reply(200, '[{"id": 1, "state": "cancelled", "reference": "SD-1"}]')) as server:
        done = scripted(server, company=3).deliver("cancel_invoice", {"reference": "SD-1", "customer": EVA})
    assert done.note == "already_cancelled"
    assert domain(server.requests[0]) == [["type", "=", "out"], ["company", "=", 3], ["reference", "=", "SD-1"]]


def test_search_escapes_wildcards() -> None:
    """What stands for anything in a search stands for itself in an address."""
    assert tryton.party_domain("email", "a_b%@example.org") == [
        ["contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", "a\\_b\\%@example.org"]]]
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "failure", "code"),
    [
        ("<title>500</title><p>&#39;nope&#39;</p>", "text/html", 500, "permanent", "unknown_name"),
        ("<title>500</title><p>database is locked</p>", "text/html", 500, "ambiguous", "server_error"),
        ('{"message": "The code on party must be unique."}', "application/json", 400, "transient", "racing"),
        ('{"message": "The value is not valid."}', "application/json", 400, "permanent", "bad_request"),
        ("", "text/plain", 204, "ambiguous", "bad_answer"),
    ],
)
def test_status_lies(body: str, content_type: str, status: int, failure: str, code: str) -> None:
    """On a create the body says what the status does not."""
    with RawServer(NOTHING, reply(status, body, content_type)) as server:
        failed = scripted(server).fail("upsert_contact", EVA)
    assert (failed.failure, failed.code) == (failure, code)


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({}, {}),
        ({"last_name": "Neu"}, {}),
        ({"first_name": "Eva", "last_name": "Muster"}, {}),
        ({"first_name": "Eva", "last_name": "Neu"}, {"name": "Eva Neu"}),
        ({"phone": "+49170123", "external_id": "a:1"}, {}),
        ({"phone": "+4930"}, {"contact_mechanisms": [["create", [{"type": "phone", "value": "+4930"}]]]}),
        ({"external_id": "b:2"}, {"identifiers": [["create", [{"type": None, "code": "b:2"}]]]}),
        ({"new_email": "neu@example.org"}, {"contact_mechanisms": [["write", [1], {"value": "neu@example.org"}]]}),
        (
            {"email": "b@example.org"},
            {"contact_mechanisms": [["create", [{"type": "email", "value": "b@example.org"}]]]},
        ),
        (
            {"address": {"city": "Ulm", "street": None}},
            {"addresses": [["write", [8], {"sequence": 10}], ["create", [{"city": "Ulm", "sequence": 1}]]]},
        ),
        ({"address": {"city": "Bonn"}}, {}),
        ({"name": "Muster GmbH"}, {"name": "Muster GmbH"}),
        ({"custom": {"code": "K-1", "lang": None}}, {"code": "K-1"}),
    ],
)
def test_party_changes(given: dict[str, Any], changes: dict[str, Any]) -> None:
    """Only what differs is written; nothing is removed or doubled, and T7: no address is mixed of two."""
    assert tryton.party_changes(PARTY, UpsertContact.model_validate(EVA | given), None) == changes


@pytest.mark.parametrize(
    ("named", "given", "written", "has"),
    [
        ("Eva Muster", {"last_name": "Neu"}, None, False),
        ("Eva Muster", {"last_name": "Muster"}, None, True),
        ("eva@example.org", {"last_name": "Muster"}, "Muster", False),
        ("+49170123", {"first_name": "Eva"}, "Eva", False),
        ("a:1", {"last_name": "Muster"}, "Muster", False),
        (None, {"last_name": "Muster"}, "Muster", False),
        ("eva@example.org", {}, None, True),
        ("Eva Muster", {"name": "Muster GmbH"}, "Muster GmbH", True),
    ],
)
def test_name_of_one_part(named: str | None, given: dict[str, Any], written: str | None, has: bool) -> None:
    """One part of a name stands where there is none yet; it never replaces a name, and that is said."""
    party, arguments = PARTY | {"name": named}, UpsertContact.model_validate(EVA | given)
    assert tryton.party_changes(party, arguments, None).get("name") == written
    assert tryton.has_name(party, arguments) is has


def test_name_that_is_not_written() -> None:
    """A delivery that leaves a name as it is says so."""
    with RawServer(reply(200, json.dumps([PARTY]))) as server:
        done = scripted(server).deliver("upsert_contact", EVA | {"last_name": "Neu"})
    assert (done.note, [request.method for request in server.requests]) == ("name_not_written", ["GET"])


def test_credit_line() -> None:
    """The line that undoes a line has the same price and taxes, a negative quantity, and names its origin."""
    line = {"id": 5, "type": "line", "quantity": 2.0, "unit_price": {"decimal": "1.5"}, "account": 9, "taxes": [1]}
    assert tryton.credit_line(line, 3) == {
        "type": "line",
        "company": 3,
        "quantity": -2.0,
        "unit_price": {"decimal": "1.5"},
        "account": 9,
        "origin": "account.invoice.line,5",
        "taxes": [["add", [1]]],
    }


def test_not_set_up() -> None:
    """A company without accounts makes no invoice, and the hint says what is missing."""
    empty = reply(200, '{"id": 1}')
    arguments = {"reference": "SD-1", "customer": EVA, "lines": [{"text": "x", "unit_price": 1}]}
    with RawServer(NOTHING, NOTHING, MADE, empty, NOTHING) as server:
        failed = scripted(server).fail("create_invoice", arguments)
    assert (failed.failure, failed.code) == ("permanent", "not_set_up")
    assert "journal, receivable, revenue" in failed.hint


def test_caller_is_remembered_in_any_spelling() -> None:
    """A caller made for a note is the same party for the next note, however the number is written."""
    note = reply(200, '{"id": 1}')
    caller = PARTY | {"contact_mechanisms": [{"id": 1, "type": "phone", "value": "+49 30 123456"}]}
    with RawServer(NOTHING, MADE, note, reply(200, json.dumps(caller)), note) as server:
        desk = scripted(server)
        for n, number in enumerate(("+49 (0)30 123456", "tel:+49-30-123456")):
            done = desk.deliver("add_note", {"phone": number, "text": "Please call back."}, id=f"d{n}")
            assert done.result == {"id": "1", "contact": "7"}
    assert [request.method for request in server.requests] == ["GET", "POST", "POST", "GET", "POST"]
    wanted = [
        "contact_mechanisms",
        "where",
        [["type", "in", ["phone", "mobile"]], ["value_compact", "=", "+4930123456"]],
    ]
    assert domain(server.requests[0]) == [wanted]
    assert server.requests[1].json()["contact_mechanisms"] == [["create", [{"type": "phone", "value": "+4930123456"}]]]


@pytest.mark.parametrize(
    ("type", "theirs", "ours", "known"),
    [
        ("email", {"type": "email", "value": "Eva@Example.ORG "}, "eva@example.org", True),
        ("email", {"type": "email", "value": "eva@bücher.example"}, "eva@xn--bcher-kva.example", True),
        ("email", {"type": "email", "value": "eva+kurs@example.org"}, "eva@example.org", False),
        ("email", {"type": "email", "value": None}, "eva@example.org", False),
        ("email", {"type": "phone", "value": "eva@example.org"}, "eva@example.org", False),
        ("phone", {"type": "mobile", "value": "030 123456", "value_compact": "+4930123456"}, "+4930123456", True),
        ("phone", {"type": "phone", "value": "+49 (0)30 123456"}, "+4930123456", True),
        ("phone", {"type": "phone", "value": "+49 30 123456 x3"}, "+4930123456", False),
        ("phone", {"type": "phone", "value": "12"}, "12", True),
    ],
)
def test_spellings_of_mechanisms(type: str, theirs: dict[str, Any], ours: str, known: bool) -> None:
    """A party is known by an address or number however Tryton shows it."""
    assert tryton.has_mechanism({"contact_mechanisms": [theirs]}, type, ours) is known


@pytest.mark.parametrize(
    ("rate", "taxes"),
    [
        ({}, None),
        ({"tax_rate": 0}, [["add", [3]]]),
        ({"tax_rate": 0.19}, [["add", [1]]]),
    ],
)
def test_tax_of_a_line(rate: dict[str, Any], taxes: Any) -> None:
    """A line has the tax that is listed for its rate, be that rate zero; without a rate it has none."""
    assert sent_taxes(rate, {0: 3, 0.19: 1}) == taxes


def test_untaxed() -> None:
    """A rate of zero for which no tax is listed makes a line without tax."""
    assert sent_taxes({"tax_rate": 0}, {0.19: 1}) is None


def sent_taxes(rate: dict[str, Any], taxes: dict[float, int]) -> Any:
    """Return the taxes that are written at the one line of an invoice."""
    return sent_line(rate, invoices={"taxes": taxes}).get("taxes")


def sent_line(values: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return what is written as the one line of an invoice."""
    usual = {"base": "https://erp.example.org", "database": "shop", "key": "k-1"}
    line = InvoiceLine.model_validate({"text": "Seminar", "unit_price": 100} | values)
    return tryton.make_line(line, tryton.TrytonOptions.model_validate(usual | options))


def test_price_is_rounded() -> None:
    """A net price that was divided by 1.19 is rounded to what Tryton takes."""
    assert sent_line({"unit_price": 100 / 1.19})["unit_price"]["decimal"] == "84.0336"
    assert sent_line({"unit_price": "120.10"})["unit_price"]["decimal"] == "120.1000"


@pytest.mark.parametrize("rate", [19, 1, -0.19])
def test_tax_rate_is_a_fraction(rate: float) -> None:
    """A tax listed for 1900 % is a mistake of the book, not a rate that no line ever has."""
    with pytest.raises(ValidationError, match=r"less than 1|greater than or equal to 0"):
        tryton.InvoiceOptions.model_validate({"taxes": {rate: 1}})
