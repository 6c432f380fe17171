"""The actions of any CRM: contact, consent, note.

Comes in: what rules say. Goes out: validated arguments and the names of the contact that each action touches.
Never says how a CRM does it: that is the file of each kind.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from rules import addresses
from rules.catalogue import ActionKind, Name
from workers.destinations.base import ActionArguments, ActionResult, Email, Id, Scalar, Text, drop_nulls, list_names

#: The key of a telephone number, as in every identity: what is searched must be what is written. What has no country
#: stays as it was given.
_PHONE_KEY = AfterValidator(addresses.phone_key_or_text)


class ContactAddress(ActionArguments):
    """A postal address; only the parts that are given are written."""

    street: Text | None = None
    postal_code: Text | None = None
    city: Text | None = None
    country: Text | None = Field(default=None, description="As the CRM wants it, usually two letters: DE.")


class UpsertContact(ActionArguments):
    """Find the contact by external_id or email; create it where there is none, else write what is given."""

    email: Email | None = Field(default=None, description="Normalised e-mail. Needed unless external_id is given.")
    external_id: Id | None = Field(default=None, description="The id in another system, kept at the contact.")
    new_email: Email | None = Field(default=None, description="The address that replaces `email`.")
    first_name: Text | None = None
    last_name: Text | None = None
    phone: Annotated[Text, _PHONE_KEY] | None = None
    address: ContactAddress | None = None
    custom: Mapping[str, Scalar] = Field(default_factory=dict, description="Fields of this CRM, by their own names.")

    @model_validator(mode="after")
    def _names_somebody(self) -> "UpsertContact":
        if self.email is None and self.external_id is None:
            raise ValueError("needs email or external_id")
        return self


class SetConsent(ActionArguments):
    """Write down at the contact what the person agreed to. A contact that does not exist is not made for it."""

    email: Email
    newsletter: bool | None = Field(default=None, description="May be sent newsletters.")
    tracking: bool | None = Field(default=None, description="May be followed as a single user.")


class AddNote(ActionArguments):
    """Add a note to the contact, making a bare one for a caller nobody knows."""

    email: Email | None = Field(default=None, description="Needed unless phone is given.")
    phone: Annotated[Id, _PHONE_KEY] | None = Field(default=None, description="Needed unless email is given.")
    text: Text = Field(default="", description="What the note says.")

    @model_validator(mode="after")
    def _names_somebody(self) -> "AddNote":
        if self.email is None and self.phone is None:
            raise ValueError("needs email or phone")
        return self


class ContactDone(ActionResult):
    """What `next:` may read after `upsert_contact`."""

    id: str = Field(description="The CRM's id of the contact.")
    created: bool = Field(description="True if it was not there before.")


class NoteDone(ActionResult):
    """What `next:` may read after `add_note`."""

    id: str | None = Field(default=None, description="The CRM's id of the note, where it names one.")
    contact: str = Field(description="The CRM's id of the contact.")


def _upsert_names(arguments: UpsertContact) -> tuple[Name, ...]:
    return list_names(
        ("external_id", arguments.external_id),
        ("email", arguments.email),
        ("email", arguments.new_email),
        ("~phone", (arguments.phone or "").strip()),
    )


def _note_names(arguments: AddNote) -> tuple[Name, ...]:
    """A telephone alone is both: notes of one caller keep their order, and no upsert with that number runs beside."""
    if arguments.email:
        return list_names(("email", arguments.email), ("~phone", arguments.phone))
    return list_names(("phone", arguments.phone), ("~phone", arguments.phone))


def _one_contact(arguments: UpsertContact) -> str:
    return f"email:{arguments.email}" if arguments.email else f"external_id:{arguments.external_id}"


def _email_and_values(arguments: SetConsent) -> str:
    values = drop_nulls(arguments.model_dump(mode="json", exclude={"email"}))
    return f"email:{arguments.email} {json.dumps(values, sort_keys=True)}"


def flatten(arguments: UpsertContact) -> dict[str, Any]:
    """Return what an upsert writes beside its custom fields, addresses flat: `address.city`. Nulls are left out."""
    values = drop_nulls(
        arguments.model_dump(mode="json", include={"email", "external_id", "first_name", "last_name", "phone"})
    )
    if arguments.new_email is not None:
        values["email"] = arguments.new_email
    if arguments.address is not None:
        values |= {f"address.{name}": value for name, value in drop_nulls(arguments.address.model_dump()).items()}
    return values


def _withdraws(arguments: SetConsent) -> bool:
    # What is decided at delivery is not known yet.
    return any(getattr(arguments, consent, None) is False for consent in ("newsletter", "tracking"))


UPSERT_CONTACT = ActionKind(
    name="upsert_contact",
    about="Find a contact by external_id or email, create it or write what is given.",
    arguments=UpsertContact,
    touches=_upsert_names,
    touches_about="external_id, email, new_email, ~phone",
    once_by=_one_contact,
    once_by_about="email, else external_id",
    result=ContactDone,
    creates=True,
)

SET_CONSENT = ActionKind(
    name="set_consent",
    about="Write down at the contact what the person agreed to, or no longer.",
    arguments=SetConsent,
    touches=lambda arguments: list_names(("email", arguments.email)),
    touches_about="email",
    once_by=_email_and_values,
    once_by_about="email + values",
    keep_always=True,
    leaves=_withdraws,
)

ADD_NOTE = ActionKind(
    name="add_note",
    about="Add a note to a contact.",
    arguments=AddNote,
    touches=_note_names,
    touches_about="email, ~phone; without email phone, ~phone",
    once_by=None,
    once_by_about="delivery",
    result=NoteDone,
    creates=True,
)
