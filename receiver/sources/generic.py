"""Any other platform that signs its webhooks: where id, type and order key stand is told by the book.

Comes in: a JSON object, an array of them, a form, or parameters of the URL where the book looks for something there.
Goes out: one item each, or one for each entry of the list that `items:` names; with `data:` only what stands there is
the event. Data of a type that we know is checked against its model; of any other type it is the body with our spelling
of names. What the book says is compiled once.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Self
from unicodedata import normalize
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, field_names, identity, places
from receiver.body import BodyRecord
from receiver.places import Find
from receiver.sources import base
from receiver.sources.base import Batch, SourceItem, SourceType, Unfit
from receiver.verification import VerifiedRequest
from rules import addresses, event_types
from rules.catalogue import SourceKind
from rules.event_types.base import Instant, rfc3339

NAME = "generic"
#: Type of an item whose body names none; it is quarantined, since no rule could match it.
NO_TYPE = "unknown"
TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*\Z")
LONGEST_TYPE = 100
#: Longest text that is taken as an order key.
LONGEST_KEY = 255

_instant: TypeAdapter[Any] = TypeAdapter(Instant)
_datetime: TypeAdapter[datetime] = TypeAdapter(datetime)


def _is_place(value: str) -> str:
    places.parse(value)
    return value


def _is_in_body(value: str) -> str:
    if places.parse(value)[0] not in ("body", "item"):
        raise ValueError("must be a place in the body, body.…: headers and the URL are no part of the content")
    return value


def _is_in_whole_body(value: str) -> str:
    if places.parse(value)[0] != "body":
        raise ValueError("must be a place in the body: body.…")
    return value


def _is_type_or_place(value: str) -> str:
    return _is_place(value) if places.is_place(value) else _is_type(value)


def _is_type(value: str) -> str:
    if not TYPE.match(value):
        raise ValueError("must be a dotted name in lower case, or a place: body.…, header.… or query.…")
    return value


def _is_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, LookupError):
        raise ValueError("must be the name of a time zone, such as Europe/Berlin") from None


def _fold(word: str) -> str:
    """Return a vendor's word without case, and with one blank between its parts."""
    return " ".join(normalize("NFC", word).casefold().split())


def _as_words(value: Any) -> Any:
    """Take words that YAML reads as numbers: `1: order.paid`."""
    if not isinstance(value, dict):
        return value
    return {str(word) if isinstance(word, int | float) else word: type for word, type in value.items()}


Place = Annotated[str, AfterValidator(_is_place)]
InBody = Annotated[str, AfterValidator(_is_in_body)]
Places = Annotated[tuple[Place, ...], Field(min_length=1)]


class ReadPlaces(BaseModel):
    """Where things stand in a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The platform's message id: one place, or several that name the message together. Without it only what repeats the
    #: latest body within a minute counts as sent twice.
    id: Place | Places | None = None
    #: Places in the body that change when the platform repeats a message (its counter of attempts).
    ignore: tuple[InBody, ...] = ()
    #: The event's type: a place, several whose texts are joined by dots, or the one type that this source sends.
    #: Without it the URL tells.
    type: Annotated[str, AfterValidator(_is_type_or_place)] | Places | None = None
    #: What must stay in order, best the person's e-mail.
    order_key: Place | None = None
    subject: Place | None = None
    time: Place | None = None


class GenericOptions(BaseModel):
    """What ops write under a generic source."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    read: ReadPlaces = ReadPlaces()
    #: The list in the body of which each entry is an event: body.events. Places in an entry begin with item.
    items: Annotated[str, AfterValidator(_is_in_whole_body)] | None = None
    #: Where the person or thing stands that the event is about (body.data, item.payload); it becomes data. Without it
    #: all of the body does, or of the entry.
    data: InBody | None = None
    #: What the platform calls its events, by our types: "Rechnung gelöscht: invoice.deleted".
    types: Annotated[
        dict[str, Annotated[str, AfterValidator(_is_type)]], BeforeValidator(_as_words), Field(max_length=1_000)
    ] = {}
    #: The time zone of times that come without one: Europe/Berlin.
    zone: Annotated[str, AfterValidator(_is_zone)] | None = None

    @model_validator(mode="after")
    def _find_what_never_counts(self) -> Self:
        read = self.read
        if self.zone and not read.time:
            raise ValueError("zone: is for the time at read: time:, and that names no place")
        if self.types and isinstance(read.type, str) and not places.is_place(read.type):
            raise ValueError("types: is for types that the platform names, and read: type: is a fixed one")
        folded = [_fold(word) for word in self.types]
        if len(set(folded)) < len(folded):
            raise ValueError("types: has a word twice; case and the number of blanks make no difference")
        if self.items is not None:
            whole = [each for each in (self.data, *read.ignore) if each and places.parse(each)[0] == "body"]
            if whole:
                raise ValueError(f"{whole[0]} is outside the entries of items:, so it is none of theirs; write item.…")
        return self

    @cached_property
    def reader(self) -> "_ItemReader":
        """What reads by these options, compiled."""
        return _ItemReader(self)


KIND = SourceKind(
    name=NAME,
    about="Any platform that posts JSON or forms and signs them; the book says where id, type and order key stand.",
    options=GenericOptions,
    types=frozenset(),
    event_from_url=lambda options: options.read.type is None,
)


class Generic(SourceType):
    """Reads what the platforms of the book send."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per object."""
        if not isinstance(options, GenericOptions):
            options = GenericOptions()
        return Batch(options.reader.read(request, event))

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one object."""
        fields: dict[str, Any] = field_names.ours(base.parse_object(body))
        return base.read_data(type, fields, "snake_case") if type in event_types.TYPES else fields


class _ItemReader:
    """What one source of the book says, as functions."""

    def __init__(self, options: GenericOptions) -> None:
        read = options.read
        self._read = read
        self._id = _compile_all(read.id)
        self._fixed_type = read.type if isinstance(read.type, str) and not places.is_place(read.type) else None
        self._type = () if self._fixed_type else _compile_all(read.type)
        self._types = {_fold(word): type for word, type in options.types.items()}
        self._order_key, self._subject, self._time = (
            places.compile_place(each) if each else None for each in (read.order_key, read.subject, read.time)
        )
        self._ignore = [places.parse(each)[1] for each in read.ignore]
        self._items = places.parse(options.items)[1] if options.items else ()
        self._data = places.parse(options.data)[1] if options.data else ()
        self._where = {"items": options.items, "data": options.data}
        self._zone = ZoneInfo(options.zone) if options.zone else None
        named = (*_listed(read.id), *_listed(read.type), read.order_key, read.subject)
        #: Whether a place is a parameter of the URL, so that a request without a body says something, too.
        self._looks_into_query = any(each and each.startswith("query.") for each in named)

    def read(self, request: VerifiedRequest, event: str | None) -> list[SourceItem]:
        """Return the items of a request. Raises RequestRefused."""
        alone = self._looks_into_query and bool(request.raw.query_string) and not request.body.strip()
        records = bodies.records(request, merge_query=alone)
        if not self._items:
            return [self._make_item(at, each, each.fields, request, event) for at, each in enumerate(records)]
        entries = [(entry, record.fields) for record in records for entry in self._split(record, request)]
        return [self._make_item(at, entry, whole, request, event) for at, (entry, whole) in enumerate(entries)]

    def _split(self, record: BodyRecord, request: VerifiedRequest) -> Iterator[BodyRecord]:
        """Yield the entries of the list in a record; an object in its place is one."""
        text = None if record.unfit else bodies.cut(record.body.decode(), self._items)
        if text is None and request.kept:
            yield record
        elif text is None:
            yield record._replace(unfit=record.unfit or self._nothing_at("items", "list"))
        elif text[:1] != "[" or text[1:].lstrip()[:1] != "]":
            try:
                found = bodies.json_records(text)
            except errors.NotParseable as exc:
                found = [record._replace(unfit=exc.hint.replace("the body", str(self._where["items"])))]
            for each in found:
                yield each._replace(unread=tuple(dict.fromkeys((*record.unread, *each.unread))))

    def _cut_out(self, entry: BodyRecord, request: VerifiedRequest) -> tuple[BodyRecord, Any]:
        """Return what stands at `data:`, and the fields in which places are looked for."""
        text = bodies.cut(entry.body.decode(), self._data)
        if text is None and request.kept:
            fields: Any = entry.fields  # it was cut out when it was received
            for step in reversed(self._data):
                fields = [fields] if step == "0" else {step: fields}
            return entry, fields
        if text is None or text[:1] != "{":
            return entry._replace(unfit=self._nothing_at("data", "object")), entry.fields
        found = bodies.json_records(text)[0]
        return found._replace(unread=tuple(dict.fromkeys((*entry.unread, *found.unread)))), entry.fields

    def _nothing_at(self, what: str, kind: str) -> str:
        return f"there is no {kind} at {self._where[what]}; is {what}: in the book right?"

    def _make_item(
        self, position: int, record: BodyRecord, whole: Any, request: VerifiedRequest, event: str | None
    ) -> SourceItem:
        entry = record.fields
        if self._data and not record.unfit:
            cut_out, entry = self._cut_out(record, request)
            if request.kept:
                whole = entry
            record = cut_out
        type, why = self._read_type(request, whole, entry, event)
        item = base.make_item(record, position, type or NO_TYPE)
        item.sender_id = self._read_sender_id(request, whole, entry) or request.sender_id
        if item.invalid is not None:
            return item
        if item.sender_id is not None:
            item.content = self._find_content(entry, item)
        item.subject = places.as_text(self._subject(request, whole, entry)) if self._subject else None
        if self._time:
            item.time = _read_time(places.as_text(self._time(request, whole, entry)), self._zone)
        if self._id and item.sender_id is None:
            item.unread += ("read.id",)
        if self._time and item.time is None:
            item.unread += ("read.time",)
        self._identify(item, record.fields, request, whole, entry)
        if type is None:
            item.invalid = Unfit("type", why)
        elif type in event_types.TYPES:
            try:
                _, unread = base.fit_model(type, field_names.ours(record.fields), "snake_case")
                item.unread += unread
            except ValidationError as exc:
                item.invalid = base.describe_unfit(exc)
        return item

    def _identify(self, item: SourceItem, data: Any, request: VerifiedRequest, whole: Any, entry: Any) -> None:
        """Say whom the item is about."""
        key = places.as_text(self._order_key(request, whole, entry)) if self._order_key else None
        if key and len(key) <= LONGEST_KEY:
            if str(self._read.order_key).startswith("query."):
                key = addresses.restore_plus(key)
            item.order_key = identity.email(key) or f"id:{key}"
        elif self._order_key:
            item.unread += ("read.order_key",)
        texts = list(base.search_texts(data))
        item.identities = base.drop_repeated(
            (
                *([item.order_key] if item.order_key else []),
                *base.identify_emails([text for name, text in texts if "mail" in name]),
            )
        )
        item.phones = tuple(text for name, text in texts if "phone" in name or name in ("mobile", "sms"))
        if item.order_key is None and item.identities:
            item.order_key = item.identities[0]

    def _read_sender_id(self, request: VerifiedRequest, whole: Any, entry: Any) -> str | None:
        """Return the platform's message id: all of its places must be there."""
        told = [places.as_text(find(request, whole, entry)) for find in self._id]
        if not told or None in told:
            return None
        return to_json(told).decode() if len(told) > 1 else told[0]

    def _read_type(self, request: VerifiedRequest, whole: Any, entry: Any, event: str | None) -> tuple[str | None, str]:
        """Return the type in our spelling, or why there is none: `Order/Paid`, `order:paid` and `order.paid` are one.

        Of several places those count at which something stands.
        """
        if self._fixed_type:
            return self._fixed_type, ""
        found = [text for find in self._type if (text := places.as_text(find(request, whole, entry)))]
        told = ".".join(found) or event
        if told and self._types and (type := self._types.get(_fold(told))):
            return type, ""
        where = " and ".join(_listed(self._read.type))
        if not told:
            if not where:
                return None, "the URL names no type; end it with one such as order.paid, or say read: type: in the book"
            return None, f"there is no text at {where}, which should name the type; is read: type: in the book right?"
        parts = [field_names.snake(part.strip()) for part in re.split(r"[./:]", told)]
        type = ".".join(re.sub(r"[\s-]+", "_", part).lower() for part in parts)
        if TYPE.match(type) and len(type) <= LONGEST_TYPE:
            return type, ""
        where = f"at {where}" if where else "in the URL"
        return None, (
            f"the type {where} is {bodies.told(told)}; only letters a to z, digits and . _ - / : make one: "
            "say under types: in the book what it is"
        )

    def _find_content(self, entry: Any, item: SourceItem) -> bytes | None:
        """Return what makes two messages of one id the same; None: the item's body."""
        if not self._ignore:
            # Cut out of its envelope it no longer says what happened.
            return f"{item.type}\0".encode() + item.body if self._data else None
        kept = copy.deepcopy(entry)
        for steps in self._ignore:
            *above, last = steps
            at = places.find_at(kept, above)
            if isinstance(at, dict):
                at.pop(last, None)
        if self._data:
            kept = [item.type, places.find_at(kept, self._data)]
        text = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass")


def _listed(of: str | tuple[str, ...] | None) -> Sequence[str]:
    return of if isinstance(of, tuple) else [of] if of else []


def _compile_all(of: str | tuple[str, ...] | None) -> Sequence[Find]:
    return [places.compile_place(each) for each in _listed(of)]


def _read_time(told: str | None, zone: ZoneInfo | None) -> str | None:
    if told is None:
        return None
    try:
        moment: Any = told
        if zone is not None and (read := _datetime.validate_python(told)).tzinfo is None:
            moment = read.replace(tzinfo=zone)
        return rfc3339(_instant.validate_python(moment))
    except (ValidationError, OverflowError):
        return None


SOURCE = Generic()
