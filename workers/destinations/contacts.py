"""The actions of any CRM: contact, consent, label, note, task, lead, link; and the look-up of a contact.

Comes in: what rules say. Goes out: validated arguments and the names of the contact that each action touches.
Never says how a CRM does it: that is the file of each kind.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from rules import addresses
from rules.catalogue import ActionKind, Name
from workers.destinations.base import (
    ActionArguments,
    ActionResult,
    Email,
    Id,
    Money,
    Scalar,
    Text,
    drop_nulls,
    list_names,
)

#: The key of a telephone number, as in every identity: what is searched must be what is written. What has no country
#: stays as it was given.
_PHONE_KEY = AfterValidator(addresses.phone_key_or_text)


class ContactAddress(ActionArguments):
    """A postal address; only the parts that are given are written."""

    #: Street and number.
    street: Text | None = None
    #: As text, with leading zeros: 01067.
    postal_code: Text | None = None
    #: The town.
    city: Text | None = None
    country: Text | None = Field(default=None, description="As the CRM wants it, usually two letters: DE.")


class UpsertContact(ActionArguments):
    """Find the contact by external_id or email; create it where there is none, else write what is given."""

    email: Email | None = Field(default=None, description="Normalised e-mail. Needed unless external_id is given.")
    external_id: Id | None = Field(default=None, description="The id in another system, kept at the contact.")
    new_email: Email | None = Field(default=None, description="The address that replaces `email`.")
    name: Text | None = Field(default=None, description="The whole name, of a company or where its parts are unknown.")
    #: All first names.
    first_name: Text | None = None
    #: The family name.
    last_name: Text | None = None
    #: A telephone number, with its country or under `country:`.
    phone: Annotated[Text, _PHONE_KEY] | None = None
    #: Where the person or company is.
    address: ContactAddress | None = None
    custom: Mapping[str, Scalar] = Field(default_factory=dict, description="Fields of this CRM, by their own names.")

    @model_validator(mode="after")
    def _names_somebody(self) -> "UpsertContact":
        if self.email is None and self.external_id is None:
            raise ValueError("needs email or external_id")
        if self.name is not None and (self.first_name is not None or self.last_name is not None):
            raise ValueError("needs name, or first_name and last_name, and not both")
        return self


class SetConsent(ActionArguments):
    """Write down at the contact what the person agreed to. A contact that does not exist is not made for it."""

    #: Whose consent it is.
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


class ContactArguments(ActionArguments):
    """Whom an action is about: a contact by its external id or e-mail."""

    email: Email | None = Field(default=None, description="Needed unless external_id is given.")
    external_id: Id | None = Field(default=None, description="The id in another system, kept at the contact.")

    @model_validator(mode="after")
    def _names_somebody(self) -> "ContactArguments":
        if self.email is None and self.external_id is None:
            raise ValueError("needs email or external_id")
        return self


class CallerArguments(ActionArguments):
    """Whom an action is about, who may be a caller of whom only the number is known."""

    email: Email | None = Field(default=None, description="Needed unless external_id or phone is given.")
    external_id: Id | None = Field(default=None, description="The id in another system, kept at the contact.")
    #: Needed unless email or external_id is given.
    phone: Annotated[Id, _PHONE_KEY] | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> "CallerArguments":
        if self.email is None and self.external_id is None and self.phone is None:
            raise ValueError("needs email, external_id or phone")
        return self


class LabelContact(ContactArguments):
    """Put a label on the contact, or take it off. A contact that does not exist is not made for it."""

    label: Id = Field(description="The label, as the CRM's users see it.")


class AddTask(CallerArguments):
    """Give somebody something to do about the contact, making a bare one for a caller nobody knows."""

    subject: Text = Field(min_length=1, max_length=255, description="What is to be done, on one line.")
    text: Text | None = Field(default=None, description="More about it.")
    due: date | None = Field(default=None, description="The day by which it is to be done.")


class CreateLead(CallerArguments):
    """Make a lead for the contact, once, making a bare contact for one whom nobody knows."""

    reference: Id = Field(description="Your own id of it, such as a call's; it is searched for before one is made.")
    #: Its title, on one line.
    title: Text = Field(min_length=1, max_length=255)
    text: Text | None = Field(default=None, description="More about it.")
    amount: Money | None = Field(default=None, ge=0, description="What it is worth.")
    #: Three letters.
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    custom: Mapping[str, Scalar] = Field(default_factory=dict, description="Fields of this CRM, by their own names.")


class MoveDeal(ActionArguments):
    """Move a lead or deal to another stage. One that does not exist is not made for it."""

    reference: Id = Field(description="Your own id of it, as `create_lead` was given it.")
    stage: Id = Field(description="The stage, as the CRM's users see it.")


class Link(ContactArguments):
    """Tie the contact to a company or to a lead. What does not exist is not made for it."""

    company: Id | None = Field(default=None, description="The company, by its name. Needed unless lead is given.")
    lead: Id | None = Field(default=None, description="The lead, by the reference that `create_lead` was given.")

    @model_validator(mode="after")
    def _ties_to_one(self) -> "Link":
        if (self.company is None) == (self.lead is None):
            raise ValueError("needs company or lead, and not both")
        return self


class FoundContact(ActionResult):
    """A contact as the CRM has it now."""

    found: bool = Field(description="False if there is none; then nothing else is there.")
    id: str | None = Field(default=None, description="The CRM's id of the contact.")
    email: str | None = None
    external_id: str | None = None
    name: str | None = Field(default=None, description="The whole name, where the CRM has it in one.")
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None


class LabelDone(ActionResult):
    """What `next:` may read after `add_label` and `remove_label`."""

    id: str | None = Field(default=None, description="The CRM's id of the contact.")


class TaskDone(ActionResult):
    """What `next:` may read after `add_task`."""

    id: str | None = Field(default=None, description="The CRM's id of the task, where it names one.")
    contact: str = Field(description="The CRM's id of the contact.")


class LeadDone(ActionResult):
    """What `next:` may read after `create_lead` and `move_deal`."""

    id: str | None = Field(default=None, description="The CRM's id of the lead.")
    contact: str | None = Field(default=None, description="The CRM's id of its contact, where it is known.")
    created: bool = Field(default=False, description="True if it was not there before.")


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


def _contact_names(arguments: ContactArguments) -> tuple[Name, ...]:
    return list_names(("external_id", arguments.external_id), ("email", arguments.email))


def _caller_names(arguments: CallerArguments) -> tuple[Name, ...]:
    """As of a note: a telephone orders only where nothing else names the person."""
    strong = list_names(("external_id", arguments.external_id), ("email", arguments.email))
    return (strong or list_names(("phone", arguments.phone))) + list_names(("~phone", arguments.phone))


def _link_names(arguments: Link) -> tuple[Name, ...]:
    return (*_contact_names(arguments), *list_names(("company", arguments.company), ("lead", arguments.lead)))


def _one_contact(arguments: UpsertContact | ContactArguments) -> str:
    return f"email:{arguments.email}" if arguments.email else f"external_id:{arguments.external_id}"


def _email_and_values(arguments: SetConsent) -> str:
    values = drop_nulls(arguments.model_dump(mode="json", exclude={"email"}))
    return f"email:{arguments.email} {json.dumps(values, sort_keys=True)}"


def flatten(arguments: UpsertContact) -> dict[str, Any]:
    """Return what an upsert writes beside its custom fields, addresses flat: `address.city`. Nulls are left out."""
    values = drop_nulls(
        arguments.model_dump(mode="json", include={"email", "external_id", "name", "first_name", "last_name", "phone"})
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
    echoes=frozenset({"contact.changed", "contact.updated", "profile.created", "profile.updated"}),
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
    echoes=frozenset({"contact.changed", "contact.updated", "contact.unsubscribed", "profile.updated"}),
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

_CONTACT = "external_id, email"
_CALLER = "external_id, email, ~phone; without them phone, ~phone"

ADD_LABEL = ActionKind(
    name="add_label",
    about="Put a label on a contact.",
    arguments=LabelContact,
    touches=_contact_names,
    touches_about=_CONTACT,
    once_by=lambda arguments: f"{_one_contact(arguments)} +{arguments.label}",
    once_by_about="contact + label",
    result=LabelDone,
)

REMOVE_LABEL = ActionKind(
    name="remove_label",
    about="Take a label off a contact.",
    arguments=LabelContact,
    touches=_contact_names,
    touches_about=_CONTACT,
    once_by=lambda arguments: f"{_one_contact(arguments)} -{arguments.label}",
    once_by_about="contact + label",
    keep_always=True,
    result=LabelDone,
)

ADD_TASK = ActionKind(
    name="add_task",
    about="Give somebody something to do about a contact.",
    arguments=AddTask,
    touches=_caller_names,
    touches_about=_CALLER,
    once_by=None,
    once_by_about="delivery",
    result=TaskDone,
    creates=True,
)

CREATE_LEAD = ActionKind(
    name="create_lead",
    about="Make a lead for a contact.",
    arguments=CreateLead,
    touches=lambda arguments: list_names(("lead", arguments.reference)) + _caller_names(arguments),
    touches_about=f"reference, {_CALLER}",
    once_by=lambda arguments: f"lead:{arguments.reference}",
    once_by_about="reference",
    result=LeadDone,
    creates=True,
)

MOVE_DEAL = ActionKind(
    name="move_deal",
    about="Move a lead or deal to another stage.",
    arguments=MoveDeal,
    touches=lambda arguments: list_names(("lead", arguments.reference)),
    touches_about="reference",
    once_by=lambda arguments: f"lead:{arguments.reference} {arguments.stage}",
    once_by_about="reference + stage",
    result=LeadDone,
)

LINK = ActionKind(
    name="link",
    about="Tie a contact to a company or a lead.",
    arguments=Link,
    touches=_link_names,
    touches_about="external_id, email, company, lead",
    once_by=lambda arguments: f"{_one_contact(arguments)} company:{arguments.company} lead:{arguments.lead}",
    once_by_about="contact + company or lead",
)

CONTACT = ActionKind(
    name="contact",
    about="A contact as it is now: by external id, e-mail or, without them, by telephone.",
    arguments=CallerArguments,
    touches=_caller_names,
    touches_about="nothing",
    once_by=None,
    once_by_about="-",
    result=FoundContact,
    look_up=True,
)

#: What any CRM may be asked for. A driver takes what it can, and says of the rest why not (`cannot`).
CRM_ACTIONS = (
    UPSERT_CONTACT,
    SET_CONSENT,
    ADD_NOTE,
    ADD_LABEL,
    REMOVE_LABEL,
    CREATE_LEAD,
    MOVE_DEAL,
    ADD_TASK,
    LINK,
    CONTACT,
)
