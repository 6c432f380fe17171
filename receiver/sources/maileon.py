"""Maileon (XQueue): confirmed opt-ins, unsubscriptions, bounces and what else happens to contacts of its mailings.

Comes in: by default a POST without a body whose parameters of the URL say all, JSON where the webhook was set up so;
what happened is told by the end of the URL (`/in/mailing/unsubscription`). Goes out: one item per contact. The token in
the URL is never part of an event. docs/sources/maileon.md says what is documented, inferred and unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, field_names, identity
from receiver.sources import base
from receiver.sources.base import Batch, SourceItem, SourceType
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.contact import Contact, ContactFieldChange

NAME = "maileon"

#: The vendor's event, which stands in the URL -> our type.
EVENTS: Mapping[str, str] = {
    "doi": "contact.opted_in",
    "unsubscription": "contact.unsubscribed",
    "bounce": "contact.bounced",
    "filtered": "contact.mail_filtered",
    "contact_field_change": "contact.field_changed",
}
_EVENTS = {field_names.squash(name): type for name, type in EVENTS.items()}

#: Squashed name of a parameter or field -> ours: the vendor's standard and event fields.
FIELDS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in ContactFieldChange.model_fields},
    "contactid": "id",
    "maileonid": "id",
    "externalid": "external_id",
    "msgid": "mailing_id",
    "timestamp": "happened_at",
    "firstname": "first_name",
    "lastname": "last_name",
    "address": "street",
    "zip": "zip_code",
}
_names = field_names.Names(FIELDS)

KIND = SourceKind(
    name=NAME,
    about="Maileon: confirmed opt-ins, unsubscriptions, bounces; one address per event, a token in the URL.",
    options=base.NoSourceOptions,
    types=frozenset(EVENTS.values()),
    event_from_url=lambda options: True,
)


class MaileonSource(SourceType):
    """Reads what Maileon sends."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per contact."""
        type = _EVENTS.get(field_names.squash(event or ""))
        if type is None:
            code = "unknown_event" if event else "missing_event"
            raise errors.NotFound(code, f"the URL must end with one of {', '.join(EVENTS)}")
        return Batch(
            [_make_item(position, each, type) for position, each in enumerate(bodies.records(request, _names))]
        )

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one contact."""
        return base.read_data(type, field_names.looked_up(base.parse_object(body), _names), "snake_case")

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes]:
        """Return 200: nothing says that Maileon takes another 2xx for an answer."""
        return 200, to_json({"events": base.list_events(ids)})


def _make_item(position: int, record: bodies.BodyRecord, type: str) -> SourceItem:
    item = base.make_item(record, position, type)
    if item.invalid is not None:
        return item
    try:
        contact, unread = base.fit_model(type, field_names.looked_up(record.fields, _names), "snake_case")
    except ValidationError as exc:
        item.invalid = base.describe_unfit(exc)
        return item
    item.unread += unread
    if isinstance(contact, Contact):
        told = [identity.email(contact.email, clean=True)] if contact.email else []
        if contact.id is not None:
            told.append(identity.thing(NAME, "contact", contact.id))
        if contact.external_id:
            told.append(identity.thing(NAME, "external", contact.external_id))
        item.identities = tuple([each for each in told if each])
        item.order_key = item.identities[0] if item.identities else None
        item.names = item.identities[1:]
        item.subject = f"contact/{contact.id}" if contact.id is not None else None
        if contact.happened_at is not None:
            # Maileon names no message. What happened to one contact in one moment is one event.
            item.sender_id = f"{type}/{contact.happened_at.isoformat()}"
            item.identity = item.order_key or ""
    return item


SOURCE = MaileonSource()
