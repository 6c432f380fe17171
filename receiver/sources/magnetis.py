"""Magnetis: calls, e-mails and leads of a call-tracking account.

Comes in: what its webhooks post (`{"data": {…}}`, the bare object, arrays of either, or the older form
`calltracking_event[…]`). Goes out: one item each. Only the first three fields of a body have been published, so names
are read in any case and punctuation, likely ones are known by several names, and the book may say where the others
stand. docs/sources/magnetis.md says what is documented, inferred and unknown.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, field_names, identity, places, vendor_api
from receiver.body import BodyRecord
from receiver.field_names import Names
from receiver.sources import base
from receiver.sources.base import Batch, Every, PullOptions, PullSettings, PullWindow, SourceItem, SourceType
from receiver.vendor_api import ApiAddress, ApiFailed, VendorApi
from receiver.verification import VerifiedRequest
from rules import event_types
from rules.catalogue import SourceKind
from rules.event_types.base import EventData, rfc3339
from rules.event_types.call import PhoneCall
from rules.event_types.lead import Lead, ReceivedEmail
from rules.quota import Quota
from rules.source.units import DAY, HOUR, MINUTE, Duration, Zone

NAME = "magnetis"

#: What stands in the URL (or where the book says) -> our type. The vendor writes `call:completed`.
EVENTS: Mapping[str, str] = {
    "call_completed": "call.completed",
    "call_missed": "call.missed",
    "call_ringing": "call.ringing",
    "email_received": "email.received",
    "lead_created": "lead.created",
}
_EVENTS = {field_names.squash(name): type for name, type in EVENTS.items()}

#: Entries of a page, which is the most there; pages of one window; how `from` and `to` are written.
PAGE, MOST_PAGES, API_TIME = 250, 1_000, "%Y%m%d%H%M%S"

#: What holds the event's object, today and in the older format.
ENVELOPES = ("data", "calltracking_event")

_ORIGIN: Mapping[str, str] = {
    "trackednumber": "tracked_number",
    "trackingnumber": "tracked_number",
    "channelname": "channel",
}
#: Squashed name of a field -> ours, by the first word of the type. `idcall`, `accountname`, `trackednumber`,
#: `channelname` and `date` are documented for the older format, all others inferred.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "call": {
        **_ORIGIN,
        **dict.fromkeys(("callid", "idcall"), "id"),
        **dict.fromkeys(("callernumber", "callingnumber", "from", "fromnumber", "phonenumber"), "caller"),
        **dict.fromkeys(("callednumber", "called", "to", "tonumber", "destinationnumber"), "callee"),
        **dict.fromkeys(("startat", "start", "date", "calldate", "datetime"), "started_at"),
        **dict.fromkeys(("answerat", "pickupat"), "answered_at"),
        **dict.fromkeys(("endat", "end"), "ended_at"),
        **dict.fromkeys(("callduration", "durationseconds"), "duration"),
    },
    "lead": {
        **_ORIGIN,
        **dict.fromkeys(("leadid", "idlead"), "id"),
        **dict.fromkeys(("emailaddress", "mail"), "email"),
        **dict.fromkeys(("phonenumber", "telephone", "tel", "mobile"), "phone"),
        **dict.fromkeys(("date", "createat"), "created_at"),
        "fullname": "name",
    },
    "email": {
        **_ORIGIN,
        **dict.fromkeys(("emailid", "idemail"), "id"),
        **dict.fromkeys(("from", "fromemail", "fromaddress", "sender", "senderemail", "emailaddress"), "email"),
        **dict.fromkeys(("fromname",), "sender_name"),
        **dict.fromkeys(("to", "toemail", "toaddress", "recipientemail"), "recipient"),
        **dict.fromkeys(("date", "createdat"), "received_at"),
    },
}
_MODELS: Mapping[str, type[EventData]] = {"call": PhoneCall, "lead": Lead, "email": ReceivedEmail}
_names: Mapping[str, Names] = {
    topic: Names({**{field_names.squash(name): name for name in _MODELS[topic].model_fields}, **table})
    for topic, table in FIELDS.items()
}
#: Fields that are one text here and might be an object there, with what that object would call it.
_INSIDE = {"caller": "number", "callee": "number", "tracked_number": "number", "channel": "name"}
#: Fields that hold a moment. Magnetis writes `2026-11-28 10:00:00`, without a zone.
_TIMES_OF_EVENTS = ("started_at", "created_at", "received_at")
_TIMES = frozenset({"started_at", "answered_at", "ended_at", "created_at", "received_at"})


def _is_event_place(value: str) -> str:
    if places.parse(value)[0] not in ("header", "body"):
        raise ValueError("must be header.NAME or body.NAME; without event: the end of the URL tells what happened")
    return value


def _is_in_item(value: str) -> str:
    if places.parse(value)[0] != "item":
        raise ValueError("must be a place in the call, lead or e-mail: item.caller.number")
    return value


def _or_off(value: Any) -> Any:
    if value is False or value == "off":
        return ""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be a path such as /calls, or off")
    return value


def _are_our_fields(value: Mapping[str, str]) -> Mapping[str, str]:
    known = {name for model in _MODELS.values() for name in model.model_fields}
    if strange := sorted(set(value) - known):
        raise ValueError(f"{strange[0]} is no field of ours; there are {', '.join(sorted(known))}")
    return value


class MagnetisPull(PullOptions):
    """How calls and leads are fetched. The key is one of the API, or its sandbox key, which returns sample data."""

    #: Where the API is.
    base: ApiAddress = "https://api.magnetis.io"
    #: Where calls and leads are; off: not fetched. The address of leads is not documented.
    calls: Annotated[str, BeforeValidator(_or_off)] = "/calls"
    #: As `calls`.
    leads: Annotated[str, BeforeValidator(_or_off)] = "/leads"
    #: How often; off: only when a person asks.
    every: Every = 5 * MINUTE
    #: Asked for again each time: a call may appear only when it has ended.
    overlap: Annotated[Duration, Field(le=DAY)] = HOUR
    #: How far back the first time.
    first: Duration = DAY
    quota: Quota | None = Quota(limit="5000/day", reserve=500)
    #: The field that says how a call ended, and the words for missed. Without it a call of no duration was missed.
    outcome: Annotated[str, AfterValidator(_is_in_item)] | None = None
    #: Words of `status` that say: missed.
    missed: tuple[str, ...] = ("missed", "no_answer", "unanswered", "busy", "abandoned", "manque")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.calls or self.leads):
            raise ValueError("fetches nothing: calls and leads are off")
        return self


class MagnetisOptions(BaseModel):
    """What ops write under a Magnetis source."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: Where the event's name stands, if not at the end of the URL: header.X-Event, body.event.
    event: Annotated[str, AfterValidator(_is_event_place)] | None = None
    #: Our field -> where it stands in a call, lead or e-mail, if not found by its name: caller: item.contact.phone.
    map: Annotated[Mapping[str, Annotated[str, AfterValidator(_is_in_item)]], AfterValidator(_are_our_fields)] = Field(
        default_factory=dict
    )
    #: The zone of times that come without one.
    zone: Zone = "UTC"
    pull: MagnetisPull | None = None


KIND = SourceKind(
    name=NAME,
    about="Magnetis: calls completed, missed and ringing, e-mails and leads of call tracking; signed with HMAC-SHA1.",
    options=MagnetisOptions,
    types=frozenset(EVENTS.values()),
    # Where the book names another place, what stands there counts first.
    event_from_url=lambda options: True,
    stand_in={"pull": {"base": "{sandbox}/magnetis", "api_key": "${SANDBOX_MAGNETIS_API_KEY}"}},
)


class MagnetisSource(SourceType):
    """Reads what Magnetis sends."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per call, e-mail or lead."""
        if not isinstance(options, MagnetisOptions):
            options = MagnetisOptions()
        find = places.compile_place(options.event) if options.event else None
        items: list[SourceItem] = []
        for record in bodies.records(request, merge_query=False):
            told = places.as_text(find(request, record.fields, None)) if find is not None else None
            for each in _split(record):
                items.append(make_item(each, len(items), told or event, options))
        return Batch(items)

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one call, e-mail or lead."""
        return base.read_data(type, _read_fields(type, base.parse_object(body)), "snake_case")

    def pull_settings(self, options: BaseModel) -> PullSettings | None:
        """Return how calls and leads are fetched, where the book says so."""
        if not isinstance(options, MagnetisOptions) or options.pull is None:
            return None
        said = options.pull
        streams = tuple(name for name, path in (("calls", said.calls), ("leads", said.leads)) if path)
        return PullSettings(streams, said.api_key, said.quota, said.every, said.overlap, said.first)

    async def pull(self, options: BaseModel, window: PullWindow, api: VendorApi) -> AsyncIterator[Batch]:
        """Yield the calls or leads of a window, 250 a page, until `links.next` is null or a page is empty.

        `from` and `to` are `yyyyMMddHHmmss` in UTC (eight published scripts agree).
        """
        if not isinstance(options, MagnetisOptions) or options.pull is None:
            return
        said = options.pull
        path = said.calls if window.stream == "calls" else said.leads
        asked = {"from": f"{window.since:{API_TIME}}", "to": f"{window.until:{API_TIME}}", "limit": str(PAGE)}
        headers = {"x-api-key": window.key, "Accept": "application/json"}
        for page in range(1, MOST_PAGES + 1):
            url = vendor_api.build_url(said.base, path, {**asked, "page": str(page)})
            answer = await api.request("GET", url, headers=headers, allow_private=said.allow_private)
            found = vendor_api.read_json(answer)
            rows = found.get("data") if isinstance(found, dict) else None
            if not isinstance(rows, list):
                raise ApiFailed("bad_answer", "the answer has no list under data")
            items: list[SourceItem] = []
            for row in rows:
                fields = row if isinstance(row, dict) else {}
                record = BodyRecord(to_json(row), fields, "" if isinstance(row, dict) else "must be an object")
                event = "lead_created" if window.stream == "leads" else _how_it_ended(fields, said)
                items.append(make_item(record, len(items), event, options))
            yield Batch(items)
            if not rows or not places.find_at(found, ("links", "next")):
                return
        raise ApiFailed("too_many_pages", f"there are more than {MOST_PAGES} pages; pull more often")


def _how_it_ended(call: dict[str, Any], said: MagnetisPull) -> str:
    if said.outcome is not None:
        words = {field_names.squash(word) for word in said.missed}
        return (
            "call_missed"
            if field_names.squash(str(places.find_at(call, _steps(said.outcome)))) in words
            else "call_completed"
        )
    return "call_missed" if str(_read_fields("call", call).get("duration")) in ("0", "0.0") else "call_completed"


@lru_cache(maxsize=256)
def _steps(place: str) -> tuple[str, ...]:
    return places.parse(place)[1]


def _split(record: BodyRecord) -> Iterator[BodyRecord]:
    """Yield a record for each object of an envelope that holds a list; any other record as it is."""
    inner = record.fields.get("data")
    if record.unfit or not isinstance(inner, list):
        yield record
        return
    for each in inner:
        if isinstance(each, dict):
            yield BodyRecord(to_json(each), each, unread=record.unread)
        else:
            yield BodyRecord(to_json(each), {}, "must be an object, as every element of data", record.unread)


def _inner(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the object of the event, which may stand in an envelope."""
    for name in ENVELOPES:
        if isinstance(found := fields.get(name), dict):
            return found
    return fields


def _read_fields(type: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what a body says in our names."""
    fields = field_names.looked_up(_inner(body), _names[type.partition(".")[0]])
    for name, theirs in _INSIDE.items():
        if isinstance(found := fields.get(name), dict) and theirs in found:
            fields[name] = found[theirs]
    return fields


def find_type(event: str | None) -> str | None:
    """Return our type for an event's name: `call:completed`; None: we take none of that name. Raises NotFound."""
    if not event:
        raise errors.NotFound("missing_event", f"the URL must end with what happened: {', '.join(EVENTS)}")
    return _EVENTS.get(field_names.squash(event))


def make_item(record: BodyRecord, position: int, event: str | None, options: MagnetisOptions) -> SourceItem:
    """Return the item of a call, e-mail or lead that came by webhook or was fetched. Raises NotFound.

    A call ends once: completed or missed, and however often it is told it is one event. So its id is the whole of its
    name, and its content is not.
    """
    type = find_type(event)
    if type is None:
        if options.event is None:
            raise errors.NotFound("unknown_event", f"the URL must end with one of {', '.join(EVENTS)}")
        return SourceItem(position, record.body, None, name=bodies.told(event or ""))
    if not record.unfit and (options.map or options.zone != "UTC"):
        record = _rewritten(type, record, options)
    item = base.make_item(record, position, type)
    model = base.fit_item(item, _read_fields(type, record.fields))
    if model is not None:
        _name(item, type, model)
    return item


def _rewritten(type: str, record: BodyRecord, options: MagnetisOptions) -> BodyRecord:
    """Return a record with our fields where the book says they stand, and times with their zone.

    What came stays beside them: read once more with the same book it is the same.
    """
    inner = _inner(record.fields)
    ours = {our: found for our, at in options.map.items() if (found := places.find_at(inner, _steps(at))) is not None}
    ours = {our: found for our, found in ours.items() if our in event_types.TYPES[type].model_fields}
    times = _read_fields(type, ours | {name: value for name, value in inner.items() if name not in ours})
    for name in _TIMES & times.keys():
        if zoned := _in_zone(times[name], options.zone):
            ours[name] = zoned
    fields = ours | {name: value for name, value in inner.items() if name not in ours}
    return BodyRecord(to_json(fields), fields, unread=record.unread)


def _in_zone(value: Any, zone: str) -> str | None:
    """Return a text that is a time without a zone, with it; None: it is none, or has one."""
    try:
        time = datetime.fromisoformat(value)
        return None if time.tzinfo is not None else time.replace(tzinfo=ZoneInfo(zone)).isoformat()
    except (TypeError, ValueError):
        return None


def _name(item: SourceItem, type: str, model: EventData) -> None:
    """Say whom an item is about, and what makes it the same event when it comes again."""
    topic = type.partition(".")[0]
    identities: list[str | None] = []
    if isinstance(model, Lead | ReceivedEmail) and model.email:
        identities.append(identity.email(model.email, clean=True))
    id = getattr(model, "id", None)
    if id is not None:
        identities.append(identity.thing(NAME, topic, id))
        item.sender_id = str(id)
        item.identity = "ringing" if type == "call.ringing" else topic
        item.content = b""
        item.subject = f"{topic}/{id}"
    item.identities = tuple([each for each in identities if each])
    if isinstance(model, PhoneCall) and model.caller:
        item.phones = (model.caller,)
    elif isinstance(model, Lead) and model.phone:
        item.phones = (model.phone,)
    item.order_key = item.identities[0] if item.identities else None
    happened = next((at for name in _TIMES_OF_EVENTS if (at := getattr(model, name, None))), None)
    item.time = rfc3339(happened) if happened else None
    if isinstance(model, Lead | ReceivedEmail):
        item.names = item.identities[1:]


SOURCE = MagnetisSource()
