"""cmxOrganize: somebody ticked the newsletter box while registering for a course.

Comes in: eight fields as JSON or form, with cmx's German labels or ours. Goes out: one `newsletter.signup` each. What
cmx sends is forgotten there at once, so it is kept here before it is answered.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from receiver import body as bodies
from receiver import errors, field_names
from receiver.sources import base
from receiver.sources.base import Batch, SourceItem, SourceType
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.newsletter import Signup

NAME = "cmxorganize"
TYPE = "newsletter.signup"
#: What may stand in the URL; it need not.
EVENTS = frozenset({"newsletter", "newslettersignup", "signup"})

#: Squashed label -> our field; other fields are kept in snake_case.
LABELS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in Signup.model_fields},
    "emailadresse": "email",
    "anrede": "salutation",
    "namenspraefix": "title",
    "titel": "title",
    "name": "last_name",
    "nachname": "last_name",
    "vorname": "first_name",
    "berufsundamtsbezeichnung": "profession",
    "berufsamtsbezeichnung": "profession",
    "berufsbezeichnung": "profession",
    "autowertdeseinkaufs": "purchase_id",
    "autowert": "purchase_id",
    "einzelnutzertracking": "single_user_tracking",
    "einzelnutzertrackingjanein": "single_user_tracking",
}

_names = field_names.Names(LABELS)

KIND = SourceKind(
    name=NAME,
    about="cmxOrganize: newsletter sign-ups from course registrations, with or without single-user tracking.",
    options=base.NoSourceOptions,
    types=frozenset({TYPE}),
    # Whoever is a customer without consent comes along, too: nobody asked us to keep those.
    retain_unmatched=0,
)


class CmxOrganize(SourceType):
    """Reads what cmxOrganize sends."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per sign-up."""
        if event and field_names.squash(event) not in EVENTS:
            raise errors.NotFound("unknown_event", "cmxOrganize sends newsletter sign-ups only; end the URL before")
        return Batch([_make_item(position, each) for position, each in enumerate(bodies.records(request, _names))])

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one sign-up."""
        return base.read_data(type, field_names.looked_up(base.parse_object(body), _names), "snake_case")


def _make_item(position: int, record: bodies.BodyRecord) -> SourceItem:
    item = base.make_item(record, position, TYPE)
    if item.invalid is not None:
        return item
    try:
        signup, unread = base.fit_model(TYPE, field_names.looked_up(record.fields, _names), "snake_case")
    except ValidationError as exc:
        item.invalid = base.describe_unfit(exc)
        return item
    item.unread += unread
    if isinstance(signup, Signup):
        item.identities = base.drop_repeated(base.identify_emails([signup.email]))
        item.order_key = item.identities[0]
        item.subject = f"purchase/{signup.purchase_id}" if signup.purchase_id else None
    return item


SOURCE = CmxOrganize()
