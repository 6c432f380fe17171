"""What a driver says of an action that it takes."""

from typing import Any

import pytest

from rules.catalogue import find_refused
from tests.rules.catalogue import REST

INVOICE = REST.actions["create_invoice"]


def test_adopt() -> None:
    """A driver's action is the shared one, with what it does on doubt, needs, is limited to and does not write."""
    taken = INVOICE.adopt("held", rights="invoices: write", limits="2 a second", refuses={"currency": "euros only"})
    assert (taken.name, taken.arguments, taken.touches) == (INVOICE.name, INVOICE.arguments, INVOICE.touches)
    assert (taken.on_doubt, taken.rights, taken.limits) == ("held", "invoices: write", "2 a second")
    assert list(find_refused(taken, {"currency": "CHF"})) == [(("currency",), "euros only")]
    assert INVOICE.on_doubt is None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, []),
        ({"customer": {"email": "a"}, "lines": [{"text": "x"}]}, []),
        ({"customer": {"tax_number": None}}, []),
        ({"customer": {"tax_number": "7"}}, [("customer", "tax_number")]),
        ({"lines": [{}, {"discount": 0}]}, [("lines", 1, "discount")]),
        ({"lines": "{{ data.lines }}", "customer": "{{ data.customer }}"}, []),
        ({"lines": [1, None, "discount"]}, []),
    ],
)
def test_refused(arguments: dict[str, Any], found: list[tuple[Any, ...]]) -> None:
    """An argument that cannot be written is found wherever it is given, in lists too; null is not given."""
    assert [at for at, _ in find_refused(INVOICE, arguments)] == found
