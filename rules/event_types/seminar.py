"""What is taught and when: seminars (SeminarDesk's "events"), their dates, and the groups of labels on them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rules.event_types.base import (
    Day,
    EventData,
    ExternalReference,
    Instant,
    Key,
    Label,
    Localized,
    NumericId,
    Texts,
    Word,
    Wording,
)


class FacilitatorReference(EventData):
    """Who leads it."""

    id: NumericId
    name: str | None = None
    additional_info: Localized | None = None
    order: int | None = None


class ContactPerson(EventData):
    """Who answers questions about it."""

    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    email: str | None = None


class AdditionalField(EventData):
    """A field that the house added."""

    id: Key | None = None
    name: str | None = None
    value: Any = None
    description: str | None = None
    is_used: bool | None = None
    order: int | None = None


class Picture(EventData):
    """A picture, with what is said about it in each language."""

    url: Localized | None = None
    alternative_text: Localized | None = None
    title: Localized | None = None
    caption: Localized | None = None
    #: In pixels.
    width: int | None = None
    height: int | None = None
    #: In bytes.
    file_size: int | None = None


SeminarId = Annotated[str, Field(min_length=1, max_length=255)]


class SeminarGone(EventData):
    """A seminar that is published no more; often only its id is told."""

    id: SeminarId
    title: Localized | None = None
    subtitle: Localized | None = None
    teaser: Localized | None = None
    description: Localized | None = None
    header_picture_url: Localized | None = None
    teaser_picture_url: Localized | None = None
    header_picture: Picture | None = None
    teaser_picture: Picture | None = None
    booking_page_url: Localized | None = None
    info_dates_prices: Localized | None = None
    info_board_lodging: Localized | None = None
    info_misc: Localized | None = None
    facilitators: list[FacilitatorReference] | None = None
    contact_persons: list[ContactPerson] | None = None
    registration_available: bool | None = None
    detailpage_available: bool | None = None
    preview_available: bool | None = None
    dates_are_coherent: bool | None = None
    #: until_before_first_date, until_after_first_date, until_before_last_date, until_after_last_date
    availability: Word | None = None
    children_allowed: bool | None = None
    show_attendance_fees: bool | None = None
    only_board_and_lodging: bool | None = None
    show_facilitators: bool | None = None
    show_newsletter_checkbox: bool | None = None
    allow_voucher: bool | None = None
    require_online_payment: bool | None = None
    labels: list[Label] | None = None
    additional_fields: list[AdditionalField] | None = None
    external_references: list[ExternalReference] | None = None


class Seminar(SeminarGone):
    """A seminar as it is published."""

    title: Localized


def _status(value: Any) -> Any:
    """Until 2023 the status was one word."""
    return {"name": value} if isinstance(value, str) else value


class DateStatus(EventData):
    """How a date stands, in the words of the house."""

    name: str | None = None
    booking_allowed: bool | None = None
    is_canceled: bool | None = None


class Venue(EventData):
    """Where it takes place."""

    id: Key | None = None
    name: str | None = None
    street1: str | None = None
    street2: str | None = None
    zip: str | None = None
    city: str | None = None
    country: Any = None
    weblink: str | None = None
    phone: str | None = None
    email: str | None = None
    direction_map_url: str | None = None
    remarks: str | None = None


class SeminarDateGone(EventData):
    """A date that is published no more; often only its id is told."""

    id: NumericId
    seminar_id: SeminarId | None = None
    status: Annotated[DateStatus, BeforeValidator(_status)] | None = None
    #: available, limited, fully_booked, wait_list, just_on_list, canceled
    booking_page_status: Word | None = None
    begin_date: Instant | None = None
    end_date: Instant | None = None
    registration_start: Instant | None = None
    registration_end: Instant | None = None
    published_from: Instant | None = None
    published_until: Instant | None = None
    title: Localized | None = None
    price_info: Localized | None = None
    venue: Venue | None = None
    labels: list[Label] | None = None
    additional_fields: list[AdditionalField] | None = None
    allow_flexible_attendance: bool | None = None
    attendance_start_until: Day | None = None
    attendance_end_from: Day | None = None
    min_attendance_length: int | None = None
    max_attendance_length: int | None = None
    #: 0 to 3, as the platform counts them.
    early_arrival_mode: int | None = None
    late_departure_mode: int | None = None
    #: online, on_site, selectable
    attendance_type: Word | None = None
    facilitators: list[FacilitatorReference] | None = None
    number: str | None = None
    additional_info: Localized | None = None
    reference_numbers: Texts | None = None
    external_references: list[ExternalReference] | None = None


class SeminarDate(SeminarDateGone):
    """A date as it is published. Fetched by the Private API it has no `seminar_id`."""

    begin_date: Instant
    end_date: Instant
    title: Localized


class LabelGroupGone(EventData):
    """A group of labels that was deleted."""

    id: NumericId
    name: str | None = None
    abbreviation: str | None = None
    description: Wording | None = None
    picture_url: Wording | None = None
    labels: list[Label] | None = None


class LabelGroup(LabelGroupGone):
    """A group of labels with the labels in it."""

    name: str


TYPES: dict[str, type[EventData]] = {
    "seminar.created": Seminar,
    "seminar.updated": Seminar,
    "seminar.deleted": SeminarGone,
    "seminar_date.created": SeminarDate,
    "seminar_date.updated": SeminarDate,
    "seminar_date.deleted": SeminarDateGone,
    "label_group.created": LabelGroup,
    "label_group.updated": LabelGroup,
    "label_group.deleted": LabelGroupGone,
}
