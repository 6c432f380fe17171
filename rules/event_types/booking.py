"""A booking: who books which seminar dates for which guests, and what it costs.

The platform sends no sum and no invoice lines: both are derived here from guests and items. Canceled guests and items
cost nothing.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

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
    Ratio,
    Reference,
    Task,
    Texts,
    Word,
    cents,
    lower,
)

Status = Annotated[Literal["pending", "confirmed", "wait_list", "canceled", "wait_list_canceled", "no_show"], lower]

#: Nobody pays for these.
CANCELED = frozenset({"canceled", "wait_list_canceled"})


def _or_pending(value: object) -> object:
    return "pending" if value is None else value


class TaxRate(EventData):
    """A tax rate as a share of 1."""

    #: 0.19 is 19 %.
    value: Ratio | None = None
    name: str | None = None


class ItemType(EventData):
    """What kind of thing is paid for."""

    #: event, accommodation, meals, misc, rent, credit, payment_fee
    type: Word | None = None
    logical_type: Word | None = None


class RoomAssignment(EventData):
    """In which room somebody sleeps."""

    room_name: str | None = None
    room_type_code: str | None = None
    room_type_name: str | None = None
    begin: Instant | None = None
    end: Instant | None = None
    is_single_use: bool | None = None
    is_prepared: bool | None = None
    is_final: bool | None = None


class BookingItem(EventData):
    """One thing that a guest pays for."""

    id: Key | None = None
    type: ItemType | None = None
    status: Status | None = None
    begin: Instant | None = None
    end: Instant | None = None
    text: str | None = None
    price_list: Reference | None = None
    price_list_item_id: Key | None = None
    #: By price list, for one piece.
    calculated_price: Money | None = None
    #: Set by a person instead of the calculated one.
    actual_price: Money | None = None
    tax_rate: TaxRate | None = None
    quantity: Ratio | None = None
    room_assignment: RoomAssignment | None = None

    @property
    def price(self) -> Decimal:
        """What one piece costs: the price set by a person, else the calculated one."""
        if self.actual_price is not None:
            return self.actual_price
        return self.calculated_price if self.calculated_price is not None else Decimal("0.00")


class BookingPerson(EventData):
    """The one who comes: a known profile or just a name."""

    profile: Reference | None = None
    name: str | None = None
    age: int | None = None
    gender: Word | None = None


class GuestType(EventData):
    """In which role a guest comes."""

    id: Key | None = None
    name: str | None = None
    #: participant, facilitator, assistant, companion
    type: Word | None = None


class FormField(EventData):
    """What somebody wrote into a field that the house added to its booking form."""

    field: Reference | None = None
    value: Any = None
    source: str | None = None
    object_info: ObjectInfo | None = None


class Guest(EventData):
    """One guest at one seminar date."""

    id: NumericId | None = None
    seminar_date: Reference | None = None
    seminar: Reference | None = None
    guest: BookingPerson | None = None
    status: Status | None = None
    guest_type: GuestType | None = None
    price_level: Reference | None = None
    remarks: str | None = None
    special_requests: list[Reference] | None = None
    teaching_units: int | None = None
    marker: str | None = None
    #: online, on_site
    attendance_type: Word | None = None
    items: list[BookingItem] | None = None
    begin: Instant | None = None
    end: Instant | None = None
    voucher_code: str | None = None
    additional_field_values: list[FormField] | None = None


class BookingLine(EventData):
    """A line for an invoice."""

    text: str
    quantity: Ratio
    unit_price: Money
    #: As a share of 1; null where the platform names none.
    tax_rate: Ratio | None = None


class PaymentMethod(EventData):
    """How a payment is made."""

    id: Key | None = None
    code: str | None = None
    name: str | None = None


class Payment(EventData):
    """Money that came in or went back."""

    id: Key | None = None
    amount: Money | None = None
    method: PaymentMethod | None = None
    date: Day | None = None
    remarks: str | None = None
    payment_reference_id: str | None = None


class BookingLabel(EventData):
    """A tag that people put on a booking. It has no `name`: one is for the house, the other for its guests."""

    id: Key | None = None
    abbreviation: str | None = None
    internal_name: str | None = None
    external_name: str | None = None
    external_description: str | None = None
    image_url: str | None = None
    color: str | None = None
    order: int | None = None
    label_group: Reference | None = None


def lines(guests: list[Guest]) -> list[BookingLine]:
    """Return what is to be paid, in the order of guests and items."""
    return [
        BookingLine(
            text=item.text or _name(guest.seminar_date) or _name(guest.seminar) or "Booking",
            quantity=Decimal(1) if item.quantity is None else item.quantity,
            unit_price=item.price,
            tax_rate=item.tax_rate.value if item.tax_rate else None,
        )
        for guest in guests
        if guest.status not in CANCELED
        for item in guest.items or ()
        if item.status not in CANCELED
    ]


def _name(reference: Reference | None) -> str | None:
    return reference.name if reference else None


def total(of: list[BookingLine]) -> Decimal:
    """Return the sum of lines."""
    return cents(sum((line.quantity * line.unit_price for line in of), Decimal(0)))


class BookingDeleted(EventData):
    """A booking that is gone; often only its id is told."""

    read_whole = ("guests.items", "guests.status")

    id: NumericId
    status: Status | None = None
    #: Who booked: name and profile, never an address. `look_up` finds the person.
    booker: Reference | None = None
    guests: list[Guest] | None = None
    #: Derived: the sum of `lines`.
    total: Money | None = None
    #: Derived from guests and items.
    lines: list[BookingLine] | None = None
    reference_numbers: Texts | None = None
    external_references: list[ExternalReference] | None = None
    external_identifier: str | None = None
    voucher_code: str | None = None
    marker: str | None = None
    labels: list[BookingLabel] | None = None
    special_requests_price_list: Reference | None = None
    payment_method: PaymentMethod | None = None
    payments: list[Payment] | None = None
    online_payment_status: Word | None = None
    open_balance: Money | None = None
    number_of_invoices: int | None = None
    external_remarks: str | None = None
    internal_remarks: str | None = None
    additional_field_values: list[FormField] | None = None
    notes: list[Note] | None = None
    tasks: list[Task] | None = None
    object_info: ObjectInfo | None = None

    def derive(self) -> None:
        """Set total and lines, unless the platform sent them."""
        if self.guests is None:
            return
        if "lines" not in self.model_fields_set:
            self.lines = lines(self.guests)
        if "total" not in self.model_fields_set:
            self.total = total(self.lines or [])


class Booking(BookingDeleted):
    """A booking as it stands now.

    The vendor's schema demands nothing of it. We demand the id, and of booker, guests and status that they fit if they
    are there: all that follows hangs on them.
    """

    never_left_out = frozenset({"booker", "guests", "status"})

    #: The platform's own default where it says null or nothing.
    status: Annotated[Status, BeforeValidator(_or_pending)] = "pending"
    guests: Annotated[list[Guest], Field(min_length=1)] | None = None

    def derive(self) -> None:
        """Set the status, too, where the platform said none."""
        super().derive()
        if "status" not in self.model_fields_set:
            self.status = "pending"


TYPES: dict[str, type[EventData]] = {
    "booking.created": Booking,
    "booking.status_changed": Booking,
    "booking.deleted": BookingDeleted,
}
