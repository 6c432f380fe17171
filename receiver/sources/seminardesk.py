"""SeminarDesk: seminar houses' bookings, invoices, profiles and programme.

Comes in: an envelope with a batch of notifications, each `{action, payload}`. Goes out: one item per notification, and
the answer that the official receiver gives: 200 with one status per notification.

Tolerant where the vendor's own documents disagree: actions in any case, `invoice.post` and `invoice.posted`, times as
number or text, an invoice without its envelope. Shapes: the vendor's OpenAPI files webhook-specs and private-api-specs
on GitHub, main and next; docs/sources/seminardesk.md says what is documented and what is not known.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, identity, vendor_api
from receiver.sources import base
from receiver.sources.base import (
    Batch,
    NotReadable,
    PullOptions,
    PullSettings,
    PullWindow,
    SourceItem,
    SourceType,
    Unfit,
)
from receiver.vendor_api import ApiAddress, ApiFailed, VendorApi
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.base import EventData, from_epoch, rfc3339
from rules.event_types.booking import Booking, BookingDeleted
from rules.event_types.invoice import Invoice
from rules.event_types.profile import Profile, ProfileGone
from rules.event_types.seminar import SeminarDate
from rules.source.units import LONGEST

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

#: Records of a page of the Private API, which is the most there; pages of one list.
PAGE, MOST_PAGES = 100, 10_000
#: When a record was made and changed; by what a webhook and a list tell the same of a profile.
INFO = ("createdAt", "changedAt")
COMPARED = ("name", "email", "first_name", "last_name", "is_subscribed_to_newsletter")

#: The answer repeats an action; what is longer than any of them is cut.
LONGEST_ACTION = 100


class SeminarDeskPull(PullOptions):
    """How bookings, profiles, invoices and dates are compared with the Private API, when a person asks."""

    #: `https://TENANT.seminardesk.de/private-api`
    base: ApiAddress
    #: Which lists are compared: bookings, profiles, invoices; dates, which need the vendor's module for events.
    lists: Annotated[tuple[Literal["bookings", "profiles", "invoices", "dates"], ...], Field(min_length=1)] = (
        "bookings",
        "profiles",
        "invoices",
    )
    #: In which language the list of dates has its texts: webhooks have them by language, the API does not say which.
    language: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "DE"


class SeminarDeskSourceOptions(base.NoSourceOptions):
    """What a SeminarDesk source needs beside what every source has."""

    tenant: str | None = Field(
        None,
        pattern=r"^[a-z0-9_-]{1,40}$",
        description="Which SeminarDesk it is, where there are several: each counts its profiles from 1, so profile 12 "
        "of two of them is two people. Sources of one SeminarDesk have the same name here.",
    )
    pull: SeminarDeskPull | None = None


KIND = SourceKind(
    name=NAME,
    about="SeminarDesk: bookings, invoices, profiles, seminars and their dates, in batches, with HTTP Basic.",
    options=SeminarDeskSourceOptions,
    types=frozenset(ACTIONS.values()),
    told_apart_by="tenant",
    stand_in={
        "pull": {"base": "{sandbox}/seminardesk/private-api", "api_key": "${SANDBOX_SEMINARDESK_API_KEY}"},
    },
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
        tenant = _tenant_of(options)
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

    def pull_settings(self, options: BaseModel) -> PullSettings | None:
        """Return how lists are compared, where the book says so.

        They know no filter by time (private-api.json), so whatever time is asked for, each is read whole, once.
        """
        if not isinstance(options, SeminarDeskSourceOptions) or options.pull is None:
            return None
        said = options.pull
        return PullSettings(said.lists, said.api_key, said.quota, every=None, step=LONGEST)

    async def pull(self, options: BaseModel, window: PullWindow, api: VendorApi) -> AsyncIterator[Batch]:
        """Yield what was made or changed in a window, a page of 100 records at a time, as webhooks would tell it."""
        if not isinstance(options, SeminarDeskSourceOptions) or options.pull is None:
            return
        said, tenant = options.pull, _tenant_of(options)
        headers = {"X-API-Key": window.key, "Accept": "application/json"}
        for page in range(1, MOST_PAGES + 1):
            asked = {"page[number]": str(page), "page[size]": str(PAGE)}
            if window.stream == "dates":  # of others no webhook tells
                asked["filter[onlyPublished]"] = "true"
            url = vendor_api.build_url(said.base, f"/{window.stream}", asked)
            answer = await api.request("GET", url, headers=headers, allow_private=said.allow_private)
            found = vendor_api.read_json(answer)
            rows = found.get("data") if isinstance(found, dict) else None
            if not isinstance(rows, list):
                raise ApiFailed("bad_answer", "the answer has no list under data")
            told = [each for row in rows if isinstance(row, dict) for each in _tell_of(window, row, said.language)]
            yield Batch([_make_fetched(position, *each, tenant) for position, each in enumerate(told)])
            if len(rows) < PAGE:
                return
        raise ApiFailed("too_many_pages", f"there are more than {MOST_PAGES} pages")

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes]:
        """Return one status per notification, in their order, as the official receiver does."""
        told = {
            "message": "webhook response",
            **batch.context,
            "notifications": [_describe_item(item, each) for item, each in zip(batch.items, ids, strict=True)],
            "events": base.list_events(ids),
        }
        return 200, to_json(told)


def _tenant_of(options: BaseModel) -> str:
    named = options.tenant if isinstance(options, SeminarDeskSourceOptions) else None
    return f"{NAME}:{named}" if named else NAME


def _find_states(type: str, model: EventData, key: int | str | None) -> tuple[tuple[str, str], ...]:
    """Return what an event tells of its object as far as a list of the Private API tells the same; of others nothing.

    Of a booking that is its status, of a profile whom it names, of an invoice what was done with it, of a date when it
    is and how it stands. A seminar has another id there, and nothing else that says which one it is.
    """
    noun, _, what = type.partition(".")
    if noun not in ("booking", "profile", "invoice", "seminar_date"):
        return ()
    state = what
    if isinstance(model, Booking):
        state = model.status
    elif isinstance(model, Profile):
        state = "\0".join(str(getattr(model, name)) for name in COMPARED)
    elif isinstance(model, SeminarDate):
        status = model.status.name if model.status else None
        state = f"{model.begin_date.timestamp():.0f}\0{model.end_date.timestamp():.0f}\0{status}"
    now = (f"{noun}/{key}", state)
    return ((f"{noun}/{key} created", ""), now) if what == "created" else (now,)


def _tell_of(window: PullWindow, record: dict[str, Any], language: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield action, time and payload of what a record of a list says of a window.

    The list shows how things stand, not what happened: that something was made, and that it is as it is now.
    """
    info = record.get("objectInfo")
    made, changed = (_read_moment(info.get(name) if isinstance(info, dict) else None) for name in INFO)
    changed = changed or made
    if window.stream == "invoices":
        action = {"POSTED": "invoice.post", "CANCELED": "invoice.cancel"}.get(str(record.get("status")).upper())
        actions = [(action, changed)] if action else []
    elif window.stream == "bookings":
        actions = [("booking.create", made), ("booking.statuschanged", changed)]
    elif window.stream == "dates":
        canceled = isinstance(status := record.get("status"), dict) and status.get("isCanceled") is True
        record = _date_as_webhook(record, language)
        actions = [("eventDate.create", made), ("eventDate.update", changed)]
        if canceled:
            actions = [("eventDate.delete", changed)]
    else:
        record = _as_webhook(record)
        actions = [("profile.create", made), ("profile.update", changed)]
    if len(actions) > 1 and made == changed:
        del actions[1]
    for action, at in actions:
        if at is not None and window.since <= at < window.until:
            yield action, rfc3339(at), record


def _read_moment(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _as_webhook(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile of the Private API as a webhook writes it, where the two differ; what is not known stays."""
    kind = str(profile.get("objectType"))
    changed: dict[str, Any] = {"objectType": "ORGANIZATION" if kind.startswith("Organization") else "PERSON"}
    if isinstance(salutation := profile.get("salutation"), dict):
        changed["salutation"] = salutation.get("name")
    if isinstance(address := profile.get("billingAddress"), dict):
        changed["billingAddress"] = {"name": address.get("nameOrCompany"), **address}
    return {**profile, **changed}


#: Names of a date in the Private API -> those of its webhook: of the date, of its publishing settings, of its venue.
DATE_NAMES = {
    "id": "id",
    "begin": "beginDate",
    "end": "endDate",
    "status": "status",
    "attendanceType": "attendanceType",
    "number": "number",
    "externalReferences": "externalReferences",
}
PUBLISHING_NAMES = {
    "status": "bookingPageStatus",
    "registrationPeriodBegin": "registrationStart",
    "registrationPeriodEnd": "registrationEnd",
    "publishingPeriodBegin": "publishedFrom",
    "publishingPeriodEnd": "publishedUntil",
    **{name: name for name in ("allowFlexibleAttendance", "attendanceStartUntil", "attendanceEndFrom")},
    **{name: name for name in ("minAttendanceLength", "maxAttendanceLength")},
}
FACILITATOR_NAMES = {"id": "id", "name": "name"}
VENUE_NAMES = {
    **{name: name for name in ("id", "name", "city", "country", "phone", "email", "directionMapUrl", "remarks")},
    "streetAddress": "street1",
    "streetAddress2": "street2",
    "zipCode": "zip",
    "website": "weblink",
}


def _date_as_webhook(date: dict[str, Any], language: str) -> dict[str, Any]:
    """Return a date of the Private API as a webhook writes it, as far as both have it.

    What the house keeps for itself (costs, internal remarks) is left away. The number of its seminar there is another
    id than webhooks have, so it has another name.
    """

    def localise(text: Any) -> Any:
        return [{"language": language, "value": text}] if isinstance(text, str) else None

    settings = date.get("publishingSettings")
    published: dict[str, Any] = settings if isinstance(settings, dict) else {}
    facilitators = date.get("facilitators")
    return {
        **_pick(date, DATE_NAMES),
        **_pick(published, PUBLISHING_NAMES),
        "title": localise(published.get("title") or date.get("name")),
        "priceInfo": localise(published.get("priceInfo")),
        "additionalInfo": localise(date.get("additionalInfo")),
        "venue": _pick(date["venue"], VENUE_NAMES) if isinstance(date.get("venue"), dict) else None,
        "facilitators": [
            {
                **_pick(each["profile"], FACILITATOR_NAMES),
                "additionalInfo": localise(each.get("additionalInfo")),
            }
            for each in (facilitators if isinstance(facilitators, list) else ())
            if isinstance(each, dict) and isinstance(each.get("profile"), dict)
        ],
        "privateApiEventId": date.get("eventId"),
    }


def _pick(fields: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: fields[theirs] for theirs, ours in names.items() if theirs in fields}


def _make_fetched(position: int, action: str, time: str, payload: dict[str, Any], tenant: str) -> SourceItem:
    """Return the item of something that a list told. Its id is made of what it is about and when it was changed."""
    notification = {"action": action, "payload": payload}
    sender_id = f"{action}/{payload.get('id')}/{time}"
    return _make_item(position, notification, to_json(notification).decode(), sender_id, time, tenant)


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
    item.tells = _find_states(type, model, item.key)
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
