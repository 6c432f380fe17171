"""ActiveTrail: contacts of a mailing account, their groups and automations.

Comes in: a contact as JSON, form or parameters of the URL, or an array of contacts; what happened is told by the URL
only (`/in/at/unsubscribed`). Goes out: one item per contact. No authentic body has been published, so names of fields
are read in any case and punctuation, and a contact may stand under `contact`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from receiver import body as bodies
from receiver import errors, field_names, identity
from receiver.sources import base
from receiver.sources.base import Batch, SourceItem, SourceType
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.contact import AutomationStep, Contact, ContactInGroup

NAME = "activetrail"

#: What stands in the URL -> our type.
EVENTS: Mapping[str, str] = {
    "contact_changed": "contact.changed",
    "contact_edited": "contact.edited",
    "contact_updated": "contact.updated",
    "group_added": "contact.group_added",
    "group_removed": "contact.group_removed",
    "unsubscribed": "contact.unsubscribed",
    "automation_step": "automation.step",
}

#: Other spellings that people or the vendor may use, squashed.
OTHER_NAMES: Mapping[str, str] = {
    "contactchange": "contact_changed",
    "contactexternalchange": "contact_changed",
    "external": "contact_changed",
    "contactedit": "contact_edited",
    "contactmanualchange": "contact_edited",
    "manualcontactchange": "contact_edited",
    "manual": "contact_edited",
    "contactupdate": "contact_updated",
    "updated": "contact_updated",
    "contactaddedtogroup": "group_added",
    "addedtogroup": "group_added",
    "groupadd": "group_added",
    "contactremovedfromgroup": "group_removed",
    "removedfromgroup": "group_removed",
    "groupremove": "group_removed",
    "contactunsubscribed": "unsubscribed",
    "contactunsubscribe": "unsubscribed",
    "unsubscribe": "unsubscribed",
    "automation": "automation_step",
}

_NAMES = {**{field_names.squash(name): name for name in EVENTS}, **OTHER_NAMES}

#: Squashed name of a field -> ours; other fields are kept in snake_case.
FIELDS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in (ContactInGroup.model_fields | AutomationStep.model_fields)},
    "contactid": "id",
    "emailaddress": "email",
    "mobile": "sms",
    "mobilephone": "sms",
    "firstname": "first_name",
    "lastname": "last_name",
    "zip": "zip_code",
    "mailinggroupid": "group_id",
    "unsubscribereason": "reason",
}

_names = field_names.Names(FIELDS)

KIND = SourceKind(
    name=NAME,
    about="ActiveTrail: contacts changed, edited, unsubscribed, in groups; one address per event, a header token.",
    options=base.NoSourceOptions,
    types=frozenset(EVENTS.values()),
    event_from_url=lambda options: True,
)


def find_type(event: str | None) -> str:
    """Return our type for what stands in the URL. Raises NotFound."""
    known = ", ".join(EVENTS)
    if not event:
        raise errors.NotFound("missing_event", f"the URL must end with what happened: {known}")
    name = _NAMES.get(field_names.squash(event))
    if name is None:
        raise errors.NotFound("unknown_event", f"the URL must end with one of {known}")
    return EVENTS[name]


def read_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a contact's fields in our names."""
    inner = body.get("contact", body.get("Contact"))
    if isinstance(inner, dict):
        body = {**{name: value for name, value in body.items() if value is not inner}, **inner}
    return field_names.looked_up(body, _names)


class ActiveTrail(SourceType):
    """Reads what ActiveTrail sends."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per contact."""
        type = find_type(event)
        return Batch(
            [_make_item(position, each, type) for position, each in enumerate(bodies.records(request, _names))]
        )

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one contact."""
        return base.read_data(type, read_fields(base.parse_object(body)), "snake_case")


def _make_item(position: int, record: bodies.BodyRecord, type: str) -> SourceItem:
    item = base.make_item(record, position, type)
    if item.invalid is not None:
        return item
    try:
        contact, unread = base.fit_model(type, read_fields(record.fields), "snake_case")
    except ValidationError as exc:
        item.invalid = base.describe_unfit(exc)
        return item
    item.unread += unread
    if isinstance(contact, Contact):
        told = [identity.email(contact.email, clean=True)] if contact.email else []
        if contact.id is not None:
            told.append(identity.thing(NAME, "contact", contact.id))
        item.phones = tuple([each for each in (contact.sms, contact.phone1, contact.phone2) if each])
        item.identities = tuple([each for each in told if each])
        item.order_key = item.identities[0] if item.identities else None
        item.names = item.identities[1:]
        item.subject = f"contact/{contact.id}" if contact.id is not None else None
    return item


SOURCE = ActiveTrail()
