"""An invoice that the platform posted or canceled."""

from typing import Annotated, Literal

from rules.event_types.base import (
    Day,
    EventData,
    ExternalReference,
    Instant,
    Key,
    Money,
    Note,
    NumericId,
    ObjectInfo,
    PostalAddress,
    Reference,
    Task,
    Texts,
    Word,
    lower,
)
from rules.event_types.booking import TaxRate


class Organization(EventData):
    """Who bills."""

    code: str | None = None
    name: str | None = None


class Recipient(EventData):
    """Who is billed."""

    id: NumericId
    name: str | None = None
    customer_number: str | None = None
    #: person, organization
    type: Word | None = None


class Period(EventData):
    """From which day to which the service was given."""

    begin: Day | None = None
    end: Day | None = None


class OriginalInvoice(EventData):
    """The invoice that this one corrects or cancels."""

    id: Key | None = None
    number: str | None = None
    date: Day | None = None


class RevenueShare(EventData):
    """A part of a line's amount, as the bookkeeping has it."""

    cost_center: str | None = None
    name: str | None = None
    amount: Money | None = None
    booking_account: str | None = None
    tax_rate: TaxRate | None = None
    cost_type: str | None = None
    invoice_text: str | None = None


class InvoiceItem(EventData):
    """One line of it."""

    number: int | None = None
    text: str | None = None
    period_of_service: Period | None = None
    gross_amount: Money | None = None
    net_amount: Money | None = None
    discount_amount: Money | None = None
    tax_rate: TaxRate | None = None
    seminar_date_name: str | None = None
    guest_name: str | None = None
    sources: list[Reference] | None = None
    revenue_split_items: list[RevenueShare] | None = None


class Invoice(EventData):
    """An invoice as it stands now."""

    id: NumericId
    status: Annotated[Literal["draft", "posted", "canceled"], lower] | None = None
    #: invoice, credit_invoice, cancelation_invoice
    type: Word | None = None
    number: str | None = None
    date: Day | None = None
    due_date: Day | None = None
    organization: Organization | None = None
    period_of_service: Period | None = None
    original_invoice: OriginalInvoice | None = None
    recipient: Recipient | None = None
    recipient_name: str | None = None
    billing_address: PostalAddress | None = None
    billing_address_formatted: str | None = None
    template: str | None = None
    introduction_text: str | None = None
    closing_text: str | None = None
    is_split_invoice: bool | None = None
    total_amount: Money | None = None
    payment_amount_at_creation: Money | None = None
    current_payment_amount: Money | None = None
    last_payment_at: Day | None = None
    balance_at_creation: Money | None = None
    current_balance: Money | None = None
    last_email_sent_at: Instant | None = None
    reference_numbers: Texts | None = None
    items: list[InvoiceItem] | None = None
    external_references: list[ExternalReference] | None = None
    notes: list[Note] | None = None
    tasks: list[Task] | None = None
    object_info: ObjectInfo | None = None


TYPES: dict[str, type[EventData]] = {"invoice.posted": Invoice, "invoice.canceled": Invoice}
