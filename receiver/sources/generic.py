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
from typing import Annotated, Any, Literal, Self
from unicodedata import normalize
from urllib.parse import unquote
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
from receiver import errors, field_names, identity, places, presets
from receiver.body import BodyRecord
from receiver.places import Find
from receiver.sources import base
from receiver.sources.base import Batch, SourceAnswer, SourceItem, SourceType, Unfit
from receiver.verification import VerifiedRequest
from rules import addresses, event_types
from rules.catalogue import SourceKind
from rules.event_types.base import Instant, rfc3339, spell_out
from rules.snake_case import TYPE, spell_type
from rules.source.units import Zone
from rules.verify import Verify

NAME = "generic"
#: Type of an item whose body names none; it is quarantined, since no rule could match it.
NO_TYPE = "unknown"
#: Longest text that is taken as an order key.
LONGEST_KEY = 255
#: What is sent back of a handshake: no sign of HTML, no line end, no quote. Microsoft's words have blanks and colons.
SAFE_WORD = re.compile(r"[A-Za-z0-9 ._~:/+=,;@|-]{1,512}\Z")
ORIGIN = re.compile(r"(\*|[A-Za-z0-9.:-]{1,253})\Z")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")

_instant: TypeAdapter[Any] = TypeAdapter(Instant)
#: No webhook told anything before: such a time is a clock that was not set, and would make an event stale.
OLDEST = 2000


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


def _are_places(value: Any) -> Any:
    """Check one place, or several that belong together: what is no such text gets one message, not one of each kind."""
    if isinstance(value, str):
        return _is_place(value)
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a place in the request, or a list of places: body.…, item.…, header.… or query.…")
    return tuple(map(_is_place, value))


def _is_type_or_places(value: Any) -> Any:
    if not isinstance(value, str) or places.is_place(value):
        return _are_places(value)
    if not TYPE.match(value):
        raise ValueError("must be a dotted name in lower case, or a place: body.…, header.… or query.…")
    return _is_type(value)


def _is_type(value: str) -> str:
    if not TYPE.match(value):
        raise ValueError("must be a dotted name in lower case: invoice.deleted")
    if value.partition(".")[0] in ("data", "raw", "headers", "url"):
        raise ValueError(f"looks like a place, and there is none such: write body.{value.partition('.')[2] or 'type'}")
    return value


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
Places = str | tuple[str, ...]


class ReadPlaces(BaseModel):
    """Where things stand in a request."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The platform's message id: one place, or several that name the message together. Without it only what repeats the
    #: latest body within a minute counts as sent twice.
    id: Annotated[Places, BeforeValidator(_are_places)] | None = None
    #: Places in the body that change when the platform repeats a message (its counter of attempts).
    ignore: tuple[InBody, ...] = ()
    #: The event's type: a place, several whose texts are joined by dots, or the one type that this source sends.
    #: Without it the URL tells.
    type: Annotated[Places, BeforeValidator(_is_type_or_places)] | None = None
    #: What must stay in order, best the person's e-mail.
    order_key: Place | None = None
    subject: Place | None = None
    time: Place | None = None


def _is_origin(value: str) -> str:
    if not ORIGIN.match(value):
        raise ValueError("must be an origin such as eventgrid.azure.net, or *")
    return value.lower()


class AnswerOptions(BaseModel):
    """What is answered when the events of a request are kept, for platforms that expect a certain answer."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The status, 200 to 299.
    status: Annotated[int, Field(ge=200, le=299)] = 200
    #: The body. Without it the ids of the events, JSON.
    body: Annotated[str, Field(max_length=2_000)] | None = None
    #: The type of the body.
    type: Literal["text/plain", "application/json", "text/xml", "application/xml"] = "text/plain"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.status in (204, 205) and self.body:
            raise ValueError(f"has a body, and {self.status} means that there is none")
        if self.type == "application/json" and self.body:
            try:
                json.loads(self.body)
            except ValueError:
                raise ValueError("says application/json, and the body is none") from None
        return self


class HandshakeOptions(BaseModel):
    """What a platform asks before it sends events. All of it is off where it is not written."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: GET is answered with 200 and nothing else.
    get: bool = False
    #: HEAD is answered with 200.
    head: bool = False
    #: Where the word stands that is sent back as text: query.hub.challenge, query.validationToken, body.challenge,
    #: header.X-Okta-Verification-Challenge. Letters, digits and a few signs only, 512 at the most.
    echo: Place | None = None
    #: The method of the request with that word. Without it POST where it is in the body, else GET.
    method: Literal["GET", "POST"] | None = None
    #: The word is sent back as JSON under this name: verification.
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    #: Who may send CloudEvents: OPTIONS with WebHook-Request-Origin is answered for these, or for all (*).
    origins: Annotated[tuple[Annotated[str, AfterValidator(_is_origin)], ...], Field(max_length=50)] = ()

    @property
    def echo_method(self) -> str:
        """The method of the request with the word that is sent back; empty without one."""
        return self.method or (
            "" if self.echo is None else "POST" if places.parse(self.echo)[0] in ("body", "item") else "GET"
        )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.get or self.head or self.echo or self.origins):
            raise ValueError("says nothing: write get:, head:, echo: or origins:")
        if self.echo is None and (self.key or self.method):
            raise ValueError("key: and method: belong to echo:, and that is not there")
        if self.echo and self.echo_method == "GET" and places.parse(self.echo)[0] in ("body", "item"):
            raise ValueError("can never be found: a GET has no body")
        return self


class GenericOptions(BaseModel):
    """What ops write under a generic source."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

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
    zone: Zone | None = None
    #: Whether the attributes of a CloudEvent that stand in headers (ce-id, ce-type) are read as an envelope around the
    #: body: body.id, body.type, body.data. Those in the body are there already.
    cloudevents: bool = False
    #: Whether a GET is an event, too, with the parameters of the URL as its fields. Programs that only look at an
    #: address send GET as well, so it is off where it is not written.
    get_is_event: bool = False
    #: What is answered where the platform expects a certain status or body; without it 202 and the events' ids.
    answer: AnswerOptions | None = None
    #: What is answered before the first event, where the platform asks for it.
    handshake: HandshakeOptions | None = None

    @model_validator(mode="after")
    def _find_what_never_counts(self) -> Self:
        read = self.read
        if self.zone and not read.time:
            raise ValueError("zone: is for the time at read: time:, and that names no place")
        if self.types and isinstance(read.type, str) and not places.is_place(read.type):
            raise ValueError("types: is for types that the platform names, and read: type: is a fixed one")
        if self.get_is_event and self.handshake and (self.handshake.get or self.handshake.echo_method == "GET"):
            raise ValueError("get_is_event: and a handshake by GET: a GET is one or the other")
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


def find_secret_places(options: GenericOptions, verify: Verify) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the places of the options at which a secret stands: it is never part of an event, nor sent back."""
    named = [
        (("read", name), each) for name in ReadPlaces.model_fields for each in _listed(getattr(options.read, name))
    ]
    if options.handshake and options.handshake.echo:
        named.append((("handshake", "echo"), options.handshake.echo))
    for loc, place in named:
        part, _, name = place.partition(".")
        if (part == "query" and name in verify.secret_parameters) or (
            part == "header" and name.lower() in verify.secret_headers
        ):
            yield loc, f"nothing is ever found at {place}: verify: says it is a secret", "name another place"
    if verify.handshake and not options.handshake:
        yield (), "verify: handshake: verifies nothing without handshake:", "write handshake:, or take it out"


KIND = SourceKind(
    name=NAME,
    about="Any platform that posts JSON or forms and signs them; the book says where id, type and order key stand.",
    options=GenericOptions,
    types=frozenset(),
    event_from_url=lambda options: options.read.type is None,
    check=find_secret_places,
    presets=presets.find_sources,
)


class Generic(SourceType):
    """Reads what the platforms of the book send."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per object."""
        if not isinstance(options, GenericOptions):
            options = GenericOptions()
        reader = options.reader
        if (word := reader.read_posted_word(request)) is not None:
            return Batch([], {"answer": _echo(word, options.handshake)})
        return Batch(reader.read(request, event), reader.context)

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes] | SourceAnswer:
        """Return what the book says, or the events' ids."""
        told = batch.context.get("answer")
        if told is None:
            return base.accept(ids)
        if isinstance(told, SourceAnswer):
            return told
        return told, base.accept(ids)[1]

    def takes_get(self, options: BaseModel) -> bool:
        """Say whether the book wants GET as an event."""
        return isinstance(options, GenericOptions) and options.get_is_event

    def greets(self, options: BaseModel) -> bool:
        """Say whether the book has a handshake for this source."""
        return isinstance(options, GenericOptions) and options.handshake is not None

    def greet(
        self, method: str, request: VerifiedRequest, options: BaseModel, event: str | None = None
    ) -> SourceAnswer | None:
        """Answer what the book says. Raises NotParseable: the word that is to be sent back is none that may be."""
        handshake = options.handshake if isinstance(options, GenericOptions) else None
        if handshake is None:
            return None
        if method == "GET" and handshake.echo and handshake.echo_method == "GET":
            word = places.compile_place(handshake.echo)(request, {}, {})
            if word is not None or not handshake.get:
                return _echo(word, handshake)
        if (method == "GET" and handshake.get) or (method == "HEAD" and handshake.head):
            return SourceAnswer(200, b"", (PLAIN,))
        if method == "OPTIONS" and handshake.origins:
            return _allow(request, handshake.origins)
        return None

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
        #: Further places that are counted where nothing stands at them, by the name under which they are.
        self._watched = {f"read.ignore {each}": places.compile_place(each) for each in read.ignore}
        if read.subject:
            self._watched["read.subject"] = places.compile_place(read.subject)
        if isinstance(read.id, tuple):
            self._watched |= {f"read.id {each}": places.compile_place(each) for each in read.id}
        self._items = places.parse(options.items)[1] if options.items else ()
        self._data = places.parse(options.data)[1] if options.data else ()
        self._where = {"items": options.items, "data": options.data}
        self._zone = ZoneInfo(options.zone) if options.zone else None
        self._cloudevents = options.cloudevents
        #: What the answer is made of, the same for each request.
        self.context = {"answer": _fixed_answer(options.answer)} if options.answer else {}
        handshake = options.handshake
        #: Finds the word of a posted handshake; None where the platform has none.
        self._posted_echo = (
            places.compile_place(handshake.echo)
            if handshake and handshake.echo and handshake.echo_method == "POST"
            else None
        )
        self._id_in_body = _compile_all(tuple(each for each in _listed(read.id) if places.parse(each)[0] == "body"))
        named = (*_listed(read.id), *_listed(read.type), read.order_key, read.subject)
        #: Whether a place is a parameter of the URL, so that a request without a body says something, too.
        self._looks_into_query = options.get_is_event or any(each and each.startswith("query.") for each in named)

    def read(self, request: VerifiedRequest, event: str | None) -> list[SourceItem]:
        """Return the items of a request. Raises RequestRefused."""
        alone = self._looks_into_query and bool(request.raw.query_string) and request.body.strip() in (b"", b"{}")
        records = bodies.records(request, merge_query=alone)
        if self._cloudevents and not request.kept and request.raw.header("ce-specversion") is not None:
            records = [_wrap(each, request) for each in records]
        if not self._items:
            return [self._make_item(at, each, each.fields, request, event) for at, each in enumerate(records)]
        entries = [(entry, record.fields) for record in records for entry in self._split(record, request)]
        return [self._make_item(at, entry, whole, request, event) for at, (entry, whole) in enumerate(entries)]

    def read_posted_word(self, request: VerifiedRequest) -> Any:
        """Return what a posted handshake wants sent back; None: it is no handshake."""
        if self._posted_echo is None:
            return None
        fields: Any = {}
        if request.body.strip():
            fields = bodies.records(request, merge_query=False)[0].fields
        if self._id_in_body and all(find(request, fields, fields) is not None for find in self._id_in_body):
            return None  # It has an id, so it is an event that happens to have such a field.
        return self._posted_echo(request, fields, fields)

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
        if item.sender_id is not None or request.kept:
            item.content = self._find_content(entry, item)
        item.subject = places.as_text(self._subject(request, whole, entry)) if self._subject else None
        if self._time:
            told = places.as_text(self._time(request, whole, entry))
            if told and str(self._read.time).startswith("query."):
                told = bodies.restore_zone(told)
            item.time = _read_time(told, self._zone)
        if not request.kept:  # else these are known from when it was received
            if self._watched:
                item.empty = tuple(
                    [name for name, find in self._watched.items() if find(request, whole, entry) is None]
                )
            if self._id and item.sender_id is None:
                item.unread += ("read.id",)
            if self._time and item.time is None:
                item.unread += ("read.time",)
        self._identify(item, record.fields, request, whole, entry)
        if type is None:
            item.invalid = Unfit("type", why)
            if self._type and not any(places.as_text(find(request, whole, entry)) for find in self._type):
                item.empty += ("read.type",)
        elif type in event_types.TYPES:
            base.fit_item(item, field_names.ours(record.fields))
        return item

    def _identify(self, item: SourceItem, data: Any, request: VerifiedRequest, whole: Any, entry: Any) -> None:
        """Say whom the item is about."""
        key = places.as_text(self._order_key(request, whole, entry)) if self._order_key else None
        if key and len(key) <= LONGEST_KEY:
            if str(self._read.order_key).startswith("query."):
                key = addresses.restore_plus(key)
            item.order_key = identity.email(key) or f"id:{key}"
        elif self._order_key and not request.kept:
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
        if (type := spell_type(told)) is not None:
            return type, ""
        where = f"at {where}" if found else "in the URL"
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


def _fixed_answer(answer: AnswerOptions) -> SourceAnswer | int:
    """Return the answer of a book; the status alone where the events' ids are the body."""
    if answer.body is None and answer.status not in (204, 205):
        return answer.status
    kind = answer.type.encode() + (b"; charset=utf-8" if answer.type.startswith("text/") else b"")
    return SourceAnswer(answer.status, (answer.body or "").encode(), ((b"content-type", kind),))


def _echo(word: Any, handshake: HandshakeOptions | None) -> SourceAnswer:
    """Return the answer that sends a word back. Raises NotParseable where it is none that may be."""
    text = str(word) if isinstance(word, str | int) and not isinstance(word, bool) else ""
    if handshake is None or not SAFE_WORD.match(text):
        raise errors.NotParseable(
            "bad_challenge",
            "what is to be sent back must be 1 to 512 letters, digits, blanks or . _ ~ : / + = , ; @ | -",
        )
    if handshake.key:
        return SourceAnswer(200, to_json({handshake.key: text}))
    return SourceAnswer(200, text.encode(), (PLAIN, NO_SNIFFING))


def _allow(request: VerifiedRequest, origins: Sequence[str]) -> SourceAnswer | None:
    """Return the answer to CloudEvents' question whether an origin may send; None where it may not."""
    asked = (request.raw.header("webhook-request-origin") or b"").decode("latin-1").lower()
    allowed = "*" if "*" in origins else asked if asked in origins else None
    if not asked or allowed is None:
        return None
    headers = [(b"allow", b"POST"), (b"webhook-allowed-origin", allowed.encode())]
    if request.raw.header("webhook-request-rate") is not None:
        headers.append((b"webhook-allowed-rate", b"*"))
    return SourceAnswer(200, b"", (PLAIN, *headers))


def _wrap(record: BodyRecord, request: VerifiedRequest) -> BodyRecord:
    """Return a CloudEvent whose attributes stand in headers as the one that has them in its body."""
    attributes = {
        name[len(b"ce-") :].decode("latin-1"): unquote(value.decode("latin-1"))
        for name, value in request.raw.headers
        if name.startswith(b"ce-")
    }
    attributes = bodies.clean(attributes)
    body = to_json(attributes)[:-1] + b',"data":' + record.body + b"}"
    return record._replace(body=body, fields={**attributes, "data": record.fields})


def _listed(of: str | tuple[str, ...] | None) -> Sequence[str]:
    return of if isinstance(of, tuple) else [of] if of else []


def _compile_all(of: str | tuple[str, ...] | None) -> Sequence[Find]:
    return [places.compile_place(each) for each in _listed(of)]


def _read_time(told: str | None, zone: ZoneInfo | None) -> str | None:
    if told is None:
        return None
    try:
        moment: datetime = _instant.validate_python(spell_out(told))
    except (ValidationError, OverflowError):
        return None
    if moment.year < OLDEST:
        return None
    return rfc3339(moment.replace(tzinfo=zone) if zone is not None and moment.tzinfo is None else moment)


SOURCE = Generic()
