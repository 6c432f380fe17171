from typing import Any

import pytest
from pydantic import ValidationError

from rules.catalogue import Name
from rules.errors import ValueFailed
from rules.event_types.booking import Booking
from rules.rule import validate_arguments
from workers.destinations.invoices import CANCEL_INVOICE, CREATE_INVOICE, CancelInvoice, CreateInvoice

INVOICE: dict[str, Any] = {
    "reference": "SD-1",
    "customer": {"email": "eva@example.org"},
    "lines": [{"text": "Seminar", "unit_price": 120.1}],
}


def test_keys() -> None:
    """Making and cancelling touch the same invoice and customer, so they keep their order; home is the reference."""
    made, cancelled = (
        CreateInvoice.model_validate(INVOICE),
        CancelInvoice.model_validate({"reference": "SD-1", "customer": {"email": "EVA@example.org"}}),
    )
    assert CREATE_INVOICE.once_by is not None
    assert CANCEL_INVOICE.once_by is not None
    names = (Name("invoice", "SD-1"), Name("email", "eva@example.org"))
    assert CREATE_INVOICE.touches(made) == CANCEL_INVOICE.touches(cancelled) == names
    assert CREATE_INVOICE.once_by(made) != CANCEL_INVOICE.once_by(cancelled)
    assert CANCEL_INVOICE.keep_always


def test_owed() -> None:
    """An invoice is owed whoever leaves, and cancelling one says of nobody that they leave."""
    assert CREATE_INVOICE.owed
    assert CANCEL_INVOICE.owed
    cancelled = CancelInvoice.model_validate({"reference": "SD-1", "customer": {"email": "eva@example.org"}})
    assert not CANCEL_INVOICE.leaves(cancelled)


def test_lines_of_a_booking_fit() -> None:
    """The lines that a booking derives can be passed on as they are."""
    item = {"text": "Kurs", "calculated_price": 120.1, "tax_rate": {"value": 0.19}, "quantity": 2}
    booking = Booking.model_validate(
        {"id": 1, "status": "confirmed", "booker": {"id": 2, "name": "Eva"}, "guests": [{"id": 3, "items": [item]}]}
    )
    lines = booking.data()["lines"]
    invoice = CreateInvoice.model_validate(INVOICE | {"lines": lines})
    assert invoice.model_dump(mode="json")["lines"] == [
        {"text": "Kurs", "quantity": 2.0, "unit_price": 120.1, "tax_rate": 0.19}
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": []},
        {"lines": [{"text": "x", "unit_price": 1, "tax_rate": 19}]},
        {"lines": [{"text": "x"}]},
        {"lines": [{"text": "x", "unit_price": 1, "tax": 19}]},
        {"lines": [{"text": "x", "unit_price": 1, "discount": 10}]},
        {"currency": "euro"},
        {"customer": {"name": "Eva"}},
        {"reference": ""},
        {"due": "soon"},
    ],
)
def test_refused(wrong: dict[str, Any]) -> None:
    """An invoice that cannot be one is refused before anything is sent."""
    with pytest.raises(ValidationError):
        CreateInvoice.model_validate(INVOICE | wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lines": [{"text": "Seminar", "unit_price": "39,90"}]}, "lines.0.unit_price: must be a number such as 19.99"),
        ({"lines": [{"text": "Seminar", "unit_price": None}]}, "lines.0.unit_price: must be a number such as 19.99"),
        ({"lines": [{"text": "Seminar", "unit_price": 1, "tax_rate": 19}]}, "lines.0.tax_rate: must be less than 1"),
        ({"lines": [{"text": "Seminar", "unit_price": 1, "tax": 1}]}, "lines.0.tax: is unknown here"),
        ({"lines": [{"unit_price": 1}]}, "lines.0.text: is missing"),
        ({"lines": []}, "lines: is empty"),
        ({"lines": "two"}, "lines: must be a list"),
        ({"lines": {"0": {}}}, "lines: must be a list"),
        ({"due": "31.12.2026"}, "due: must be a date such as 2026-01-31"),
        ({"currency": "Euro"}, "currency: must match pattern '^[A-Z]{3}$'"),
    ],
)
def test_what_does_not_fit_is_said_in_plain_words(given: dict[str, Any], said: str) -> None:
    """A dead letter tells operators what is wrong, not in the words of the library that found it."""
    with pytest.raises(ValueFailed) as caught:
        validate_arguments(CreateInvoice, INVOICE | given)
    assert f"{caught.value}" == said
