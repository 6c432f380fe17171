"""SeminarDesk: seminar houses' bookings, invoices, profiles and programme.

Comes in: an envelope with a batch of notifications, each `{action, payload}`. Goes out: one item per notification, and
the answer that the official receiver gives: 200 with one status per notification.

Tolerant where the vendor's own documents disagree: actions in any case, `invoice.post` and `invoice.posted`, times as
number or text, an invoice without its envelope.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
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

#: Action in lower case -> our type. SeminarDesk's "events" are seminars.
ACTIONS: Mapping[str, str] = {
    **{
        f"{vendor}.{action}": f"{noun}.{action}d"
        for vendor, noun in (
            ("event", "seminar"),
            ("eventdate", "seminar_date"),
            ("facilitator", "facilitator"),
            ("labelgroup", "label_group"),
            ("profile", "profile"),
        )
        for action in ("create", "update", "delete")
    },
    "profile.merge": "profile.merged",
    "booking.create": "booking.created",
    "booking.statuschanged": "booking.status_changed",
    "booking.delete": "booking.deleted",
    "invoice.post": "invoice.posted",
    "invoice.posted": "invoice.posted",
    "invoice.cancel": "invoice.canceled",
    "invoice.canceled": "invoice.canceled",
    "invoice.cancelled": "invoice.canceled",
}

#: Our noun -> what the vendor calls it, for subjects and answers.
VENDOR_NOUNS = {"seminar": "event", "seminar_date": "eventDate", "label_group": "labelGroup"}

NO_PAYLOAD = Unfit("payload", "must be an object")

#: The answer repeats an action; what is longer than any of them is cut.
LONGEST_ACTION = 100

KIND = SourceKind(
    name=NAME,
    about="SeminarDesk: bookings, invoices, profiles, seminars and their dates, in batches, with HTTP Basic.",
    options=base.NoSourceOptions,
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
    return {names.get(name, name): value for name, value in fields.items()}


def _identify_profile(key: int | str) -> str:
    return identity.thing(NAME, "profile", key)


def _find_identities(type: str, model: EventData) -> tuple[str, ...]:
    """Return who and what it is about; the first one is the order key.

    A person is named by the profile's id, never by the address: bookings carry no address, and a booking must not
    overtake the profile that it belongs to.
    """
    if isinstance(model, BookingDeleted):
        people = [model.booker] if model.booker else []
        people += [guest.guest.profile for guest in model.guests or () if guest.guest and guest.guest.profile]
        return base.drop_repeated(_identify_profile(each.id) for each in people) or (
            identity.thing(NAME, "booking", model.id),
        )
    if isinstance(model, Invoice):
        if model.recipient is None:
            return (identity.thing(NAME, "invoice", model.id),)
        address = model.billing_address.email if model.billing_address else None
        return base.drop_repeated((_identify_profile(model.recipient.id), *base.identify_emails([address])))
    if isinstance(model, ProfileGone):
        billing = model.billing_address.email if model.billing_address else None
        told = base.identify_emails((model.email, model.alternative_email, billing))
        return base.drop_repeated((_identify_profile(model.id), *told))
    key: int | str = model.id  # type: ignore[attr-defined]
    return (identity.thing(NAME, type.partition(".")[0], key),)


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
        items = [
            _make_item(position, value, each, sender_id, time) for position, (value, each) in enumerate(notifications)
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


def _make_item(position: int, notification: Any, text: str, sender_id: str | None, time: str | None) -> SourceItem:
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
    try:
        model, item.unread = base.fit_model(type, _rename(type, payload), "camelCase")
    except ValidationError as exc:
        item.invalid = base.describe_unfit(exc)
        return item
    item.key = model.id  # type: ignore[attr-defined]
    noun = type.partition(".")[0]
    item.subject = f"{VENDOR_NOUNS.get(noun, noun)}/{item.key}"
    item.identities = _find_identities(type, model)
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
