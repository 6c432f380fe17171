from typing import Any

import pytest

from sandbox.server import Running
from tests.sandbox.conftest import SandboxAnswer, Send, send

EVA: dict[str, Any] = {
    "version": 0,
    "roles": {"customer": {}},
    "person": {"firstName": "Eva", "lastName": "Muster"},
    "emailAddresses": {"private": ["Eva_M@example.org"]},
}
DAY = "2026-11-29T00:00:00.000+01:00"


def ask(sandbox: Running, method: str, path: str, sent: object = None, **headers: str) -> SandboxAnswer:
    told = {"Authorization": f"Bearer {sandbox.world.accounts.lexware_api_key}"} | headers
    return send(f"{sandbox.base('lexware')}{path}", method, headers=told, sent=sent)


def made(sandbox: Running, **more: object) -> str:
    answer = ask(sandbox, "POST", "/contacts", EVA | more)
    assert answer.status == 201, answer.text
    return str(answer.json()["id"])


def document(contact: str, **more: object) -> dict[str, Any]:
    price = {"currency": "EUR", "netAmount": 100, "taxRatePercentage": 19}
    line = {"type": "custom", "name": "Kurs", "quantity": 2, "unitName": "Stück", "unitPrice": price}
    return {
        "voucherDate": DAY,
        "address": {"contactId": contact},
        "lineItems": [line],
        "totalPrice": {"currency": "EUR"},
        "taxConditions": {"taxType": "net"},
        "shippingConditions": {"shippingType": "none"},
        "remark": "Ref. SD-1",
        **more,
    }


def test_contact(sandbox: Running) -> None:
    """A create answers little; a second one with the address is a second contact; a filter finds parts of it."""
    answer = ask(sandbox, "POST", "/contacts", EVA)
    assert set(answer.json()) == {"id", "resourceUri", "createdDate", "updatedDate", "version"}
    assert answer.headers["content-type"] == "application/json"
    made(sandbox)
    for wanted, hits in (("va_m@EXAMPLE", 2), ("eva%25org", 2), ("evaxm%40", 0), ("eva%5C_m", 2), ("eva%5C%25", 0)):
        assert ask(sandbox, "GET", f"/contacts?email={wanted}").json()["totalElements"] == hits, wanted
    assert ask(sandbox, "GET", "/contacts?email=ev").status == 400


def test_contact_is_replaced(sandbox: Running) -> None:
    """An update replaces the whole record with its version; a stale one is 406 and names the version."""
    id = made(sandbox)
    contact = ask(sandbox, "GET", f"/contacts/{id}").json()
    del contact["emailAddresses"]
    assert ask(sandbox, "PUT", f"/contacts/{id}", contact).json()["version"] == 2
    stale = ask(sandbox, "PUT", f"/contacts/{id}", contact)
    assert (stale.status, stale.json()["IssueList"][0]["source"]) == (406, "version")
    now = ask(sandbox, "GET", f"/contacts/{id}").json()
    assert "emailAddresses" not in now
    two = now | {"addresses": {"billing": [{"countryCode": "DE"}, {"countryCode": "AT"}]}}
    assert ask(sandbox, "PUT", f"/contacts/{id}", two).json()["IssueList"][0]["source"] == "addresses.billing.size"


def test_invoice(sandbox: Running) -> None:
    """An invoice is issued at creation or never; it is neither changed nor deleted, and two are two."""
    contact = made(sandbox)
    draft = ask(sandbox, "POST", "/invoices", document(contact)).json()["id"]
    final = ask(sandbox, "POST", "/invoices?finalize=true", document(contact)).json()["id"]
    shown = [ask(sandbox, "GET", f"/invoices/{id}").json() for id in (draft, final)]
    assert [(each["voucherStatus"], each["voucherNumber"]) for each in shown] == [("draft", None), ("open", "RE0001")]
    assert shown[1]["totalPrice"]["totalGrossAmount"] == 238.0
    assert {ask(sandbox, method, f"/invoices/{draft}", {}).status for method in ("PUT", "DELETE")} == {405}
    assert ask(sandbox, "GET", f"/payments/{final}").json()["openAmount"] == 238.0
    sandbox.world.lexware.pay(final)
    assert ask(sandbox, "GET", f"/payments/{final}").json()["paymentStatus"] == "balanced"


def test_voucherlist(sandbox: Running) -> None:
    """The list wants type and status, filters by contact, ignores what it does not know, and shows no remark."""
    contact, other = made(sandbox), made(sandbox)
    for each in (contact, other, contact):
        ask(sandbox, "POST", "/invoices", document(each))
    assert ask(sandbox, "GET", "/voucherlist?voucherType=invoice").status == 400
    asked = "/voucherlist?voucherType=invoice&voucherStatus=any&sort=createdDate,DESC"
    assert ask(sandbox, "GET", f"{asked}&remark=SD-1").json()["totalElements"] == 3
    page = ask(sandbox, "GET", f"{asked}&contactId={contact}&size=1").json()
    assert (page["totalElements"], page["last"], page["content"][0]["contactId"]) == (2, False, contact)
    assert "remark" not in page["content"][0]
    assert ask(sandbox, "GET", f"{asked},x").status == 400


def test_credit_note(sandbox: Running) -> None:
    """A credit note is tied to its invoice, which shows it; a draft is not credited."""
    contact = made(sandbox)
    body = {name: value for name, value in document(contact).items() if name != "shippingConditions"}
    draft = ask(sandbox, "POST", "/invoices", document(contact)).json()["id"]
    assert ask(sandbox, "POST", f"/credit-notes?precedingSalesVoucherId={draft}", body).status == 406
    final = ask(sandbox, "POST", "/invoices?finalize=true", document(contact)).json()["id"]
    credit = ask(sandbox, "POST", f"/credit-notes?precedingSalesVoucherId={final}&finalize=true", body).json()["id"]
    related = ask(sandbox, "GET", f"/invoices/{final}").json()["relatedVouchers"]
    assert related == [{"id": credit, "voucherNumber": "GS0001", "voucherType": "creditnote"}]
    assert ask(sandbox, "GET", f"/invoices/{credit}").status == 404


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"voucherDate": "2026-11-29"}, 400, None),
        ({"address": {"contactId": "x"}}, 406, "address.contactId"),
        ({"totalPrice": {"currency": "CHF"}}, 406, "totalPrice.currency"),
        ({"shippingConditions": None}, 406, "shippingConditions"),
        ({"lineItems": []}, 406, "lineItems"),
        ({"lineItems": [{"type": "custom", "name": "x"}]}, 406, "lineItems[0].quantity"),
        ({"xRechnung": {}}, 501, None),
    ],
)
def test_bad_invoice(sandbox: Running, more: dict[str, Any], status: int, field: str | None) -> None:
    """What is wrong is 406 with the fields in `details`; what is not modelled is 501; nothing is kept."""
    answer = ask(sandbox, "POST", "/invoices", document(made(sandbox), **more))
    assert answer.status == status
    assert field in [each["field"] for each in answer.json().get("details", [{"field": None}])]
    assert sandbox.world.lexware.documents == {}


def test_door(sandbox: Running, control: Send) -> None:
    """A wrong key is 401, another type than JSON 415, an unknown route 501; too many requests have no Retry-After."""
    assert ask(sandbox, "GET", "/profile", Authorization="Bearer no").json() == {"message": "Unauthorized"}
    assert ask(sandbox, "POST", "/contacts", EVA, **{"Content-Type": "text/plain"}).status == 415
    assert ask(sandbox, "GET", "/countries").status == 501
    control("POST", "/faults", sent={"vendor": "lexware", "rate": {"requests": 1, "per": 60}})
    limited = [ask(sandbox, "GET", "/profile") for _ in range(2)][1]
    assert (limited.status, {name.lower() for name in limited.headers} & {"retry-after"}) == (429, set())


def test_lag(sandbox: Running, control: Send) -> None:
    """Where it is told to lag, search and list do not show what is new; by its id it is there."""
    control("POST", "/faults", sent={"vendor": "lexware", "find_lag": 60})
    id = made(sandbox)
    assert ask(sandbox, "GET", "/contacts?email=eva").json()["totalElements"] == 0
    assert ask(sandbox, "GET", f"/contacts/{id}").status == 200
    assert control("POST", "/faults", sent={"vendor": "lexware", "unique": "id"}).status == 400
