"""The actions of any invoicing system: make an invoice, cancel it.

Comes in: what rules say. Goes out: validated arguments and the names of what each action touches.
Never says how a system does it: that is the file of each kind.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer

from rules.catalogue import ActionKind, Name
from workers.destinations.base import ActionArguments, ActionResult, Email, Id, Text, list_names
from workers.destinations.contacts import ContactAddress

#: An amount, in JSON a number.
Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]


class Customer(ActionArguments):
    """Who the invoice is for."""

    email: Email
    name: Text | None = None
    address: ContactAddress | None = None


class InvoiceLine(ActionArguments):
    """One line of an invoice. A key that it does not know is refused: `tax` for `tax_rate` would drop the tax."""

    text: Text
    quantity: Money = Decimal(1)
    unit_price: Money
    tax_rate: Money | None = Field(default=None, ge=0, lt=1, description="A fraction: 0.19.")


class CreateInvoice(ActionArguments):
    """Make an invoice, a draft unless the destination finalises. One reference is one invoice."""

    reference: Id = Field(description="Your own number of it, such as SD-9001; it is searched for before one is made.")
    customer: Customer
    lines: Sequence[InvoiceLine] = Field(min_length=1)
    due: date | None = None
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")


class CancelInvoice(ActionArguments):
    """Undo an invoice: a draft is deleted, a final one gets its cancellation document, none at all is done already."""

    reference: Id
    customer: Customer
    reason: Text | None = None


class InvoiceDone(ActionResult):
    """What `next:` may read after `create_invoice`."""

    id: str = Field(description="The invoicing system's id of it.")
    number: str | None = Field(default=None, description="Its number; a draft has none.")
    status: str | None = Field(default=None, description="In the system's own words: draft, posted …")
    created: bool = Field(description="True if it was not there before.")


class CancelDone(ActionResult):
    """What `next:` may read after `cancel_invoice`."""

    id: str | None = Field(default=None, description="The invoicing system's id of the invoice that was cancelled.")


def _names(arguments: CreateInvoice | CancelInvoice) -> tuple[Name, ...]:
    return list_names(("invoice", arguments.reference), ("email", arguments.customer.email))


CREATE_INVOICE = ActionKind(
    name="create_invoice",
    about="Make an invoice for a customer, a draft unless the destination finalises.",
    arguments=CreateInvoice,
    touches=_names,
    touches_about="reference, customer's e-mail",
    once_by=lambda arguments: f"invoice:{arguments.reference}",
    once_by_about="reference",
    result=InvoiceDone,
    creates=True,
    owed=True,
)

CANCEL_INVOICE = ActionKind(
    name="cancel_invoice",
    about="Delete a draft, cancel a final invoice; where there is none, it is done.",
    arguments=CancelInvoice,
    touches=_names,
    touches_about="reference, customer's e-mail",
    once_by=lambda arguments: f"invoice:{arguments.reference} cancelled",
    once_by_about="reference",
    result=CancelDone,
    keep_always=True,
    creates=True,
    owed=True,
)
