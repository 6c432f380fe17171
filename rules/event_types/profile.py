"""A person or an organization that a seminar house knows."""

from typing import Annotated, Any, Literal

from rules.event_types.base import (
    Day,
    EventData,
    ExternalReference,
    Label,
    Localized,
    MayHaveEmail,
    NumericId,
    PostalAddress,
    Word,
    lower,
)


class BankAccount(EventData):
    """Where money is drawn from. Personal data of the sharpest kind."""

    bank_name: str | None = None
    iban: str | None = None
    bic: str | None = None
    account_holder: str | None = None


class ProfileGone(MayHaveEmail):
    """A profile that was deleted or merged into another one; often only its id is told."""

    id: NumericId
    object_type: Annotated[Literal["person", "organization"], lower] | None = None
    name: str | None = None
    salutation: str | None = None
    #: Persons: title, names, profession, phones, the newsletter flag.
    title: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    additional_title: str | None = None
    #: Organizations.
    additional_name: str | None = None
    date_of_birth: Day | None = None
    profession: str | None = None
    #: formal, informal
    salutation_type: Word | None = None
    language: str | None = None
    alternative_email: str | None = None
    website: str | None = None
    private_phone_number: str | None = None
    alternative_phone_number: str | None = None
    work_phone_number: str | None = None
    fax_number: str | None = None
    preferred_address: Word | None = None
    preferred_email: Word | None = None
    preferred_phone_number: Word | None = None
    primary_address: PostalAddress | None = None
    billing_address_active: bool | None = None
    billing_address: PostalAddress | None = None
    is_subscribed_to_newsletter: bool | None = None
    is_facilitator: bool | None = None
    is_blocked: bool | None = None
    blocked_reason: str | None = None
    bank_account_data: BankAccount | None = None
    tax_number: str | None = None
    vat_id: str | None = None
    customer_number: str | None = None
    labels: list[Label] | None = None
    remarks: str | None = None
    information: str | None = None
    #: By the names that the house gave them; the names stay as they are.
    additional_fields: dict[str, Any] | list[dict[str, Any]] | None = None
    external_references: list[ExternalReference] | None = None


class Profile(ProfileGone):
    """A profile as it stands now."""

    name: str


class FacilitatorGone(ProfileGone):
    """Somebody who leads seminars no more."""

    about: Localized | None = None
    picture_url: str | None = None


class Facilitator(FacilitatorGone):
    """Somebody who leads seminars."""

    name: str


TYPES: dict[str, type[EventData]] = {
    "profile.created": Profile,
    "profile.updated": Profile,
    "profile.deleted": ProfileGone,
    "profile.merged": ProfileGone,
    "facilitator.created": Facilitator,
    "facilitator.updated": Facilitator,
    "facilitator.deleted": FacilitatorGone,
}
