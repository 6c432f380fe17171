import pytest

from tests.sandbox.conftest import SandboxAnswer, Send

LINES = [
    {"text": "Kursgebühr", "quantity": 2, "unit_price": 100.0, "tax_rate": 0.19},
    {"text": "Rabatt", "unit_price": -10},
]


def draft(invoicing: Send, **more: object) -> SandboxAnswer:
    if not invoicing("GET", "/customers?email=ada%40example.org").json()["data"]:
        invoicing("POST", "/customers", sent={"email": "ada@example.org", "name": "Ada Beispiel"})
    return invoicing("POST", "/invoices", sent={"reference": "SD-9001", "customer_id": "k1", "lines": LINES, **more})


def test_draft(invoicing: Send) -> None:
    """A new invoice is a draft without a number, and knows its sums."""
    answer = draft(invoicing, due="2026-12-01")
    invoice = answer.json()
    assert (answer.status, invoice["status"], invoice["number"]) == (201, "draft", None)
    assert (invoice["net"], invoice["gross"], invoice["currency"]) == (190.0, 228.0, "EUR")
    assert invoicing("GET", "/invoices?reference=SD-9001").json()["data"] == [invoice]


def test_reference_is_not_unique(invoicing: Send) -> None:
    """A second invoice with the same reference is accepted."""
    assert [draft(invoicing).json()["id"] for _ in range(2)] == ["i1", "i2"]


def test_finalise(invoicing: Send) -> None:
    """A final invoice has a number, and is neither finalised again nor deleted."""
    draft(invoicing)
    answer = invoicing("POST", "/invoices/i1/finalise")
    assert (answer.status, answer.json()["status"], answer.json()["number"]) == (200, "final", "R-00001")
    assert invoicing("POST", "/invoices/i1/finalise").status == 409
    assert invoicing("DELETE", "/invoices/i1").status == 409


def test_draft_is_deleted(invoicing: Send) -> None:
    """A draft is deleted, not canceled."""
    draft(invoicing)
    assert invoicing("POST", "/invoices/i1/cancel").status == 409
    assert invoicing("DELETE", "/invoices/i1").status == 204
    assert invoicing("GET", "/invoices/i1").status == 404


def test_cancel(invoicing: Send) -> None:
    """Canceling a final invoice makes a numbered document with the opposite sums, once."""
    draft(invoicing)
    invoicing("POST", "/invoices/i1/finalise")
    answer = invoicing("POST", "/invoices/i1/cancel", sent={"reason": "ill"})
    document = answer.json()
    assert (answer.status, document["type"], document["cancels"]) == (201, "cancellation", "i1")
    assert (document["number"], document["gross"], document["reason"]) == ("R-00002", -228.0, "ill")
    original = invoicing("GET", "/invoices/i1").json()
    assert (original["status"], original["canceled_by"]) == ("canceled", document["id"])
    for number in ("i1", document["id"]):
        assert invoicing("POST", f"/invoices/{number}/cancel").status == 409


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"reference": ""}, "reference"),
        ({"customer_id": "k9"}, "customer_id"),
        ({"lines": []}, "lines"),
        ({"lines": [{"unit_price": 1}]}, "lines[0].text"),
        ({"lines": [{"text": "x"}]}, "lines[0].unit_price"),
        ({"lines": [{"text": "x", "unit_price": "1"}]}, "lines[0].unit_price"),
        ({"lines": [{"text": "x", "unit_price": 1, "tax_rate": 19}]}, "lines[0].tax_rate"),
        ({"due": "1.12.2026"}, "due"),
        ({"currency": "Euro"}, "currency"),
    ],
)
def test_bad_invoice(invoicing: Send, control: Send, more: dict[str, object], field: str) -> None:
    """What is wrong with an invoice is 422 and names the field; nothing is stored."""
    answer = draft(invoicing, **more)
    assert (answer.status, answer.json()["error"]["field"]) == (422, field)
    assert control("GET", "/state/invoicing").json()["invoices"] == []


def test_customers(invoicing: Send) -> None:
    """Customers are found by e-mail, changed, and need an identity."""
    assert invoicing("POST", "/customers", sent={"name": "Nobody"}).status == 422
    invoicing("POST", "/customers", sent={"email": "ada@example.org"})
    assert invoicing("PATCH", "/customers/k1", sent={"name": "Ada B."}).json()["name"] == "Ada B."
    assert invoicing("GET", "/customers?email=ADA%40example.org").json()["data"][0]["id"] == "k1"


def test_object_is_the_customer(invoicing: Send, control: Send) -> None:
    """In the log an invoice's requests stand under the customer, so that their order can be checked."""
    draft(invoicing)
    invoicing("POST", "/invoices/i1/finalise")
    logged = control("GET", "/requests?vendor=invoicing&object=email%3Aada%40example.org").json()["requests"]
    assert [(one["method"], one["path"]) for one in logged] == [
        ("GET", "/customers"),
        ("POST", "/customers"),
        ("POST", "/invoices"),
        ("POST", "/invoices/i1/finalise"),
    ]
