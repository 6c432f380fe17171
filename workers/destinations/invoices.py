"""The actions of any invoicing system: customer, invoice, cancellation, credit note, payment, status of an invoice.

Comes in: what rules say. Goes out: validated arguments and the names of what each action touches.
Never says how a system does it: that is the file of each kind.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from rules.catalogue import ActionKind, Name
from workers.destinations.base import ActionArguments, ActionResult, Email, Id, Money, Text, list_names
from workers.destinations.contacts import ContactAddress, ContactDone
from workers.outcome import Failed


class Customer(ActionArguments):
    """Who the invoice is for."""

    #: By this address the customer is found.
    email: Email
    #: The name on the invoice: of a person or a company.
    name: Text | None = None
    #: The address on the invoice.
    address: ContactAddress | None = None


class InvoiceLine(ActionArguments):
    """One line of an invoice. A key that it does not know is refused: `tax` for `tax_rate` would drop the tax."""

    #: What is sold.
    text: Text
    #: How many.
    quantity: Money = Decimal(1)
    #: The price of one, before tax unless the destination says otherwise.
    unit_price: Money
    tax_rate: Money | None = Field(default=None, ge=0, lt=1, description="A fraction: 0.19.")


class CreateInvoice(ActionArguments):
    """Make an invoice, a draft unless the destination finalises. One reference is one invoice."""

    reference: Id = Field(description="Your own number of it, such as SD-9001; it is searched for before one is made.")
    #: Who pays.
    customer: Customer
    #: What is on it.
    lines: Sequence[InvoiceLine] = Field(min_length=1)
    #: The day by which it is to be paid.
    due: date | None = None
    #: Three letters.
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    finalise: bool | None = Field(
        default=None, description="Number it and make it final, or leave it a draft; absent: as the destination says."
    )


class UpsertCustomer(Customer):
    """Find the customer by e-mail; create it where there is none, else write what is given."""


class CreateCreditNote(ActionArguments):
    """Credit an invoice, all of it or some lines, once. An invoice that is no more than a draft cannot be credited."""

    reference: Id = Field(description="Your own number of the credit note; it is searched for before one is made.")
    invoice: Id = Field(description="The reference that the invoice was made with.")
    #: Who gets it.
    customer: Customer
    lines: Sequence[InvoiceLine] = Field(
        default=(), description="What is credited, with the prices of the invoice, not negative; absent: all of it."
    )
    #: Why, on the document.
    reason: Text | None = None
    finalise: bool | None = Field(
        default=None, description="Number it and make it final, or leave it a draft; absent: as the destination says."
    )


class RecordPayment(ActionArguments):
    """Write down at an invoice that it was paid, or a part of it."""

    reference: Id = Field(description="Your own id of the payment; it is searched for before one is written.")
    invoice: Id = Field(description="The reference that the invoice was made with.")
    #: How much was paid.
    amount: Money = Field(gt=0)
    #: Three letters.
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    paid_on: date | None = Field(default=None, description="The day; absent: the day on which it is written.")
    method: Text | None = Field(default=None, description="How it was paid, as the system calls it.")


class FindInvoice(ActionArguments):
    """Look an invoice up by its reference."""

    reference: Id = Field(description="The reference that the invoice was made with.")


class FoundInvoice(ActionResult):
    """An invoice as it is now."""

    found: bool = Field(description="False if there is none; then nothing else is there.")
    id: str | None = Field(default=None, description="The invoicing system's id of it.")
    number: str | None = Field(default=None, description="Its number; a draft has none.")
    state: Literal["draft", "open", "paid", "cancelled"] | None = Field(
        default=None, description="In our words, where the system's are known."
    )
    status: str | None = Field(default=None, description="In the system's own words: draft, posted …")
    total: float | None = Field(default=None, description="With taxes.")
    due_amount: float | None = Field(default=None, description="What is still to be paid.")


class CancelInvoice(ActionArguments):
    """Undo an invoice: a draft is deleted, a final one gets its cancellation document, none at all is done already."""

    #: The reference that the invoice was made with.
    reference: Id
    #: Who was to pay.
    customer: Customer
    #: Why, on the document.
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


class CreditNoteDone(ActionResult):
    """What `next:` may read after `create_credit_note`."""

    id: str = Field(description="The invoicing system's id of the credit note.")
    number: str | None = Field(default=None, description="Its number; a draft has none.")
    created: bool = Field(description="True if it was not there before.")


class PaymentDone(ActionResult):
    """What `next:` may read after `record_payment`."""

    id: str | None = Field(default=None, description="The invoicing system's id of the payment, where it names one.")
    created: bool = Field(description="True if it was not there before.")


def fail_no_invoice(status: int) -> Failed:
    """Return the failure of what is about an invoice that is not there."""
    return Failed("permanent", "no_such_invoice", status=status, hint="there is no invoice with this reference")


def fail_not_final(status: int) -> Failed:
    """Return the failure of what is about an invoice that is a draft still."""
    hint = "the invoice is a draft: finalise it there, then send this again"
    return Failed("permanent", "not_final", status=status, hint=hint)


def fail_reused(status: int) -> Failed:
    """Return the failure of an invoice whose reference a cancelled one has: one reference is never two invoices."""
    hint = "the invoice with this reference was cancelled: give the new one a reference of its own"
    return Failed("permanent", "was_cancelled", status=status, hint=hint)


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
    about="Delete a draft, cancel a final invoice. If no invoice has the reference, it succeeds and does nothing.",
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

UPSERT_CUSTOMER = ActionKind(
    name="upsert_customer",
    about="Find a customer by e-mail, create it or write what is given.",
    arguments=UpsertCustomer,
    touches=lambda arguments: list_names(("email", arguments.email)),
    touches_about="email",
    once_by=lambda arguments: f"email:{arguments.email}",
    once_by_about="email",
    result=ContactDone,
    creates=True,
)

CREATE_CREDIT_NOTE = ActionKind(
    name="create_credit_note",
    about="Credit a final invoice, all of it or some lines.",
    arguments=CreateCreditNote,
    touches=lambda arguments: list_names(
        ("credit_note", arguments.reference), ("invoice", arguments.invoice), ("email", arguments.customer.email)
    ),
    touches_about="reference, invoice, customer's e-mail",
    once_by=lambda arguments: f"credit_note:{arguments.reference}",
    once_by_about="reference",
    result=CreditNoteDone,
    keep_always=True,
    creates=True,
    owed=True,
)

RECORD_PAYMENT = ActionKind(
    name="record_payment",
    about="Write down that an invoice was paid, or a part of it.",
    arguments=RecordPayment,
    touches=lambda arguments: list_names(("payment", arguments.reference), ("invoice", arguments.invoice)),
    touches_about="reference, invoice",
    once_by=lambda arguments: f"payment:{arguments.reference}",
    once_by_about="reference",
    result=PaymentDone,
    keep_always=True,
    creates=True,
    owed=True,
)

INVOICE_STATUS = ActionKind(
    name="invoice_status",
    about="An invoice as it is now: its number, whether it is a draft, open, paid or cancelled.",
    arguments=FindInvoice,
    touches=lambda arguments: list_names(("invoice", arguments.reference)),
    touches_about="nothing",
    once_by=None,
    once_by_about="-",
    result=FoundInvoice,
    look_up=True,
)

#: What any invoicing system may be asked for. A driver takes what it can, and says of the rest why not (`cannot`).
INVOICING_ACTIONS = (
    UPSERT_CUSTOMER,
    CREATE_INVOICE,
    CANCEL_INVOICE,
    CREATE_CREDIT_NOTE,
    RECORD_PAYMENT,
    INVOICE_STATUS,
)
