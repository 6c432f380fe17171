"""SeminarDesk: seminar houses' bookings, invoices, profiles and programme.

Comes in: an envelope with a batch of notifications, each `{action, payload}`. Goes out: one item per notification, and
the answer that the official receiver gives: 200 with one status per notification.

Tolerant where the vendor's own documents disagree: actions in any case, `invoice.post` and `invoice.posted`, times as
number or text, an invoice without its envelope. Shapes: the vendor's OpenAPI files webhook-specs and private-api-specs
on GitHub, main and next; docs/sources/seminardesk.md says what is documented and what is not known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, identity
from receiver.sources import base
from receiver.sources.base import Batch, NotReadable, SourceItem, SourceType, Unfit
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.base import EventData, from_epoch
from rules.event_types.booking import BookingDeleted
from rules.event_types.invoice import Invoice
from rules.event_types.profile import ProfileGone

NAME = "seminardesk"

#: The vendor's noun -> ours, and what happens to it. SeminarDesk's "events" are seminars.
NOUNS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "event": ("seminar", ("created", "updated", "deleted")),
    "eventdate": ("seminar_date", ("created", "updated", "deleted")),
    "facilitator": ("facilitator", ("created", "updated", "deleted")),
    "labelgroup": ("label_group", ("created", "updated", "deleted")),
    "profile": ("profile", ("created", "updated", "deleted", "merged")),
    "booking": ("booking", ("created", "status_changed", "deleted")),
    "invoice": ("invoice", ("posted", "canceled")),
}

#: What happens, as the vendor writes it: invoices are `post` in one list of it and `posted` in another.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "created": ("create", "created"),
    "updated": ("update", "updated"),
    "deleted": ("delete", "deleted"),
    "merged": ("merge", "merged"),
    "status_changed": ("statuschanged", "statuschange", "status_changed"),
    "posted": ("post", "posted"),
    "canceled": ("cancel", "canceled", "cancelled"),
}

#: Action in lower case -> our type.
ACTIONS: Mapping[str, str] = {
    f"{vendor}.{spelling}": f"{noun}.{word}"
    for vendor, (noun, words) in NOUNS.items()
    for word in words
    for spelling in SPELLINGS[word]
}

#: Our noun -> what the vendor calls it, for subjects and answers.
VENDOR_NOUNS = {"seminar": "event", "seminar_date": "eventDate", "label_group": "labelGroup"}

NO_PAYLOAD = Unfit("payload", "must be an object")

#: The answer repeats an action; what is longer than any of them is cut.
LONGEST_ACTION = 100


class SeminarDeskSourceOptions(base.NoSourceOptions):
    """What a SeminarDesk source needs beside what every source has."""

    tenant: str | None = Field(
        None,
        pattern=r"^[a-z0-9_-]{1,40}$",
        description="Which SeminarDesk it is, where there are several: each counts its profiles from 1, so profile 12 "
        "of two of them is two people. Sources of one SeminarDesk have the same name here.",
    )


KIND = SourceKind(
    name=NAME,
    about="SeminarDesk: bookings, invoices, profiles, seminars and their dates, in batches, with HTTP Basic.",
    options=SeminarDeskSourceOptions,
    types=frozenset(ACTIONS.values()),
)


def _rename(type: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with our names where the vendor's name means something else with us."""
    noun = type.partition(".")[0]
    if noun == "booking" and isinstance(payload.get("guests"), list):
        guests = [_rename_keys(each, {"event": "seminar", "eventDate": "seminarDate"}) for each in payload["guests"]]
        return {**payload, "guests": guests}
    if noun == "seminar_date":
        payload = _rename_keys(payload, {"eventId": "seminarId"})
    if noun == "seminar":
        payload = _rename_keys(payload, {"infoBoardLoding": "infoBoardLodging"})
    if noun == "invoice" and isinstance(payload.get("items"), list):
        items = [_rename_keys(each, {"eventDateName": "seminarDateName"}) for each in payload["items"]]
        return {**payload, "items": items}
    return payload


def _rename_keys(fields: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return fields with some names changed; what is no object stays as it is, and its model will say so."""
    if not isinstance(fields, dict) or names.keys().isdisjoint(fields):
        return fields
    renamed = {names[name]: value for name, value in fields.items() if name in names}
    # Where both names are there, ours holds the value: the other one may be a slip in the vendor's list of fields.
    return renamed | {name: value for name, value in fields.items() if name not in names}


def _find_identities(type: str, model: EventData, tenant: str) -> tuple[str, ...]:
    """Return who and what it is about; the first one is the order key.

    A person is named by the profile's id, never by the address: bookings carry no address, and a booking must not
    overtake the profile that it belongs to. `tenant`: in which SeminarDesk.
    """

    def identify_profile(key: int | str) -> str:
        return identity.thing(tenant, "profile", key)

    if isinstance(model, BookingDeleted):
        people = [model.booker] if model.booker else []
        people += [guest.guest.profile for guest in model.guests or () if guest.guest and guest.guest.profile]
        return base.drop_repeated(identify_profile(each.id) for each in people) or (
            identity.thing(tenant, "booking", model.id),
        )
    if isinstance(model, Invoice):
        if model.recipient is None:
            return (identity.thing(tenant, "invoice", model.id),)
        address = model.billing_address.email if model.billing_address else None
        return base.drop_repeated((identify_profile(model.recipient.id), *base.identify_emails([address])))
    if isinstance(model, ProfileGone):
        billing = model.billing_address.email if model.billing_address else None
        told = base.identify_emails((model.email, model.alternative_email, billing))
        return base.drop_repeated((identify_profile(model.id), *told))
    key: int | str = model.id  # type: ignore[attr-defined]
    return (identity.thing(tenant, type.partition(".")[0], key),)


def _read_instant(milliseconds: Any) -> str | None:
    """Return an epoch time in milliseconds, number or text, as we write times; None where it is none."""

    try:
        return from_epoch(int(milliseconds))
    except (TypeError, ValueError, OverflowError):
        return None


class SeminarDeskSource(SourceType):
    """Reads what SeminarDesk sends, and answers as its official receiver does."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Split the envelope."""
        (envelope, notifications), unread = bodies.parse_json(bodies.json_text(request), _read_envelope)
        sender_id = envelope.get("id", envelope.get("requestId"))
        sender_id = str(sender_id) if isinstance(sender_id, str | int) and sender_id != "" else None
        properties = envelope.get("properties")
        stamp = properties.get("timestamp") if isinstance(properties, dict) else envelope.get("timestamp")
        time = _read_instant(stamp)
        named = options.tenant if isinstance(options, SeminarDeskSourceOptions) else None
        tenant = f"{NAME}:{named}" if named else NAME
        items = [
            _make_item(position, value, each, sender_id, time, tenant)
            for position, (value, each) in enumerate(notifications)
        ]
        if unread:
            for item in items:
                item.unread += unread
        return Batch(items, {"requestId": sender_id, "attempt": envelope.get("attempt")})

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one notification."""
        payload = base.parse_object(body).get("payload")
        if not isinstance(payload, dict):
            raise NotReadable(str(NO_PAYLOAD))
        return base.read_data(type, _rename(type, payload), "camelCase")

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes]:
        """Return one status per notification, in their order, as the official receiver does."""
        told = {
            "message": "webhook response",
            **batch.context,
            "notifications": [_describe_item(item, each) for item, each in zip(batch.items, ids, strict=True)],
            "events": base.list_events(ids),
        }
        return 200, to_json(told)


def _read_envelope(text: str) -> tuple[dict[str, Any], list[tuple[Any, str]]]:
    envelope: dict[str, Any] = {}
    notifications: list[tuple[Any, str]] | None = None
    if text.lstrip()[:1] != "{":
        raise errors.NotParseable("not_an_object", "the body must be the object that holds the notifications")
    walk = bodies.members(text)
    try:
        name, at = next(walk)
        while True:
            if name == "notifications" and text[at : at + 1] == "[":
                notifications, end = bodies.elements(text, at)
            else:
                envelope[name], end = bodies.value_at(text, at)
            name, at = walk.send(end)
    except StopIteration:
        pass
    if notifications is None and isinstance(envelope.get("action"), str) and "payload" in envelope:
        # The vendor's document of invoices shows them without an envelope.
        notifications = [(envelope, text)]
    if not notifications:
        raise errors.NotParseable("no_notifications", "the body holds no notifications: no SeminarDesk webhook")
    return envelope, notifications


def _make_item(
    position: int, notification: Any, text: str, sender_id: str | None, time: str | None, tenant: str
) -> SourceItem:
    action = notification.get("action") if isinstance(notification, dict) else None
    name = action[:LONGEST_ACTION] if isinstance(action, str) else ""
    type = ACTIONS.get(name.lower())
    item = SourceItem(position, text.encode(), type, sender_id=sender_id, name=name, time=time)
    if type is None:
        return item
    payload = notification.get("payload")
    if not isinstance(payload, dict):
        item.identity, item.invalid = type, NO_PAYLOAD
        return item
    # Not its position: a second attempt may send fewer items.
    item.identity = f"{type}\0{payload.get('id')}"
    model = base.fit_item(item, _rename(type, payload), "camelCase")
    if model is None:
        return item
    item.key = model.id  # type: ignore[attr-defined]
    noun = type.partition(".")[0]
    item.subject = f"{VENDOR_NOUNS.get(noun, noun)}/{item.key}"
    item.identities = _find_identities(type, model, tenant)
    item.order_key = item.identities[0]
    if isinstance(model, ProfileGone):
        item.names = tuple(base.identify_emails([model.email]))
        numbers = (model.private_phone_number, model.alternative_phone_number, model.work_phone_number)
        item.phones = tuple(filter(None, numbers))
    return item


def _describe_item(item: SourceItem, event_id: str | None) -> dict[str, Any]:
    if item.type is None:
        why = f"action {item.name} not supported" if item.name else "a notification needs an action"
        return {"status": 400, "message": why, "action": item.name}
    noun = item.type.partition(".")[0]
    vendor = VENDOR_NOUNS.get(noun, noun)
    key = f"{vendor}Id" if vendor in ("event", "eventDate", "facilitator", "labelGroup") else "id"
    message = "kept" if item.invalid is None else f"kept for inspection, not as expected: {item.invalid.field}"
    return {"status": 200, "message": message, "action": item.name, key: item.key}


SOURCE = SeminarDeskSource()
