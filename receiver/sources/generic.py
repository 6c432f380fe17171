"""Any other platform that signs its webhooks: where id, type and order key stand is told by the book.

Comes in: a JSON object, an array of them, a form, or parameters of the URL where the book looks for something there.
Goes out: one item each. Data of a type that we know is checked against its
model; of any other type it is the body with our spelling of names.
"""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from receiver import body as bodies
from receiver import field_names, identity
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


#: What follows `body.`: names, and positions in lists (`entry[0].id`, `entry.0.id`).
IN_BODY = re.compile(r"[^.\[\]*\s]+(?:\[\d{1,4}\])*(?:\.[^.\[\]*\s]+(?:\[\d{1,4}\])*)*\Z")
#: The name of a header (RFC 9110).
HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+\Z", re.ASCII)


def _is_place(value: str) -> str:
    part, dot, rest = value.partition(".")
    if part not in ("body", "header", "query") or not dot or not rest:
        raise ValueError("must be a place in the request: body.…, header.… or query.…")
    if part == "body" and not IN_BODY.match(rest):
        raise ValueError(
            "can never be found: write names with dots between them, and positions as [0]: body.events[0].type"
        )
    if part == "header" and not HEADER_NAME.match(rest):
        raise ValueError("can never be found: no header has such a name")
    return value


Place = Annotated[str, AfterValidator(_is_place)]


def _is_in_body(value: str) -> str:
    if not value.startswith("body."):
        raise ValueError("must be a place in the body, body.…: headers and the URL are no part of the content")
    return value


def _is_type_or_place(value: str) -> str:
    return _is_place(value) if value.partition(".")[0] in ("body", "header", "query") else _is_type(value)


def _is_type(value: str) -> str:
    if not TYPE.match(value):
        raise ValueError("must be a dotted name in lower case, or a place: body.…, header.… or query.…")
    return value


class ReadPlaces(BaseModel):
    """Where things stand in a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The platform's message id: one place, or several that name the message together. Without it only what repeats the
    #: latest body within a minute counts as sent twice.
    id: Place | Annotated[tuple[Place, ...], Field(min_length=1)] | None = None
    #: Places in the body that change when the platform repeats a message (its counter of attempts).
    ignore: tuple[Annotated[Place, AfterValidator(_is_in_body)], ...] = ()
    #: The event's type: a place, or the one type that this source sends. Without it the URL tells.
    type: Annotated[str, AfterValidator(_is_type_or_place)] | None = None
    #: What must stay in order, best the person's e-mail.
    order_key: Place | None = None
    subject: Place | None = None
    time: Place | None = None


class GenericOptions(BaseModel):
    """What ops write under a generic source."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    read: ReadPlaces = ReadPlaces()

    def looks_into_query(self) -> bool:
        """Return whether a place is a parameter of the URL, so that a request without a body says something, too."""
        read = self.read
        ids = read.id if isinstance(read.id, tuple) else (read.id,)
        return any(place and place.startswith("query.") for place in (*ids, read.type, read.order_key, read.subject))


KIND = SourceKind(
    name=NAME,
    about="Any platform that posts JSON or forms and signs them; the book says where id, type and order key stand.",
    options=GenericOptions,
    types=frozenset(),
    event_from_url=lambda options: options.read.type is None,
)


def _find_text(place: str | None, request: VerifiedRequest, fields: Any) -> str | None:
    """Return the text at a place of the request; None where there is none."""
    if place is None:
        return None
    part, _, rest = place.partition(".")
    value: Any
    if part == "header":
        header = request.raw.header(rest)
        value = header.decode("utf-8", "replace") if header is not None else None
    elif part == "query":
        value = dict(request.query).get(rest)
    else:
        value = fields
        for step in _steps(rest):
            value = _at(value, step)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


@lru_cache(maxsize=1_024)
def _steps(place: str) -> tuple[str, ...]:
    return tuple(place.replace("[", ".").replace("]", "").split("."))


def _at(value: Any, step: str) -> Any:
    """Return a member of an object, or an element of a list; None where there is none."""
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def _find_sender_id(places: str | tuple[str, ...] | None, request: VerifiedRequest, fields: Any) -> str | None:
    """Return the platform's message id: all of its places must be there."""
    if isinstance(places, tuple):
        told = [_find_text(each, request, fields) for each in places]
        if None in told:
            return None
        return to_json(told).decode() if len(told) > 1 else told[0]
    return _find_text(places, request, fields)


def _drop_places(fields: dict[str, Any], places: Sequence[str]) -> bytes:
    """Return the values without some places, names sorted: what stays the same when a message is repeated."""
    kept = copy.deepcopy(fields)
    for place in places:
        *above, last = _steps(place)[1:]
        at: Any = kept
        for step in above:
            at = _at(at, step)
        if isinstance(at, dict):
            at.pop(last, None)
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _read_type(read: ReadPlaces, request: VerifiedRequest, fields: Any, event: str | None) -> tuple[str | None, str]:
    """Return the type in our spelling, or why there is none: `Order/Paid`, `order:paid` and `order.paid` are one."""
    if read.type and not read.type.startswith(("body.", "header.", "query.")):
        return read.type, ""
    told = _find_text(read.type, request, fields) or event
    if not told:
        if read.type is None:
            return None, "the URL names no type; end it with one such as order.paid, or say read: type: in the book"
        return None, f"there is no text at {read.type}, which should name the type; is read: type: in the book right?"
    parts = [field_names.snake(part.strip()) for part in re.split(r"[./:]", told)]
    type = ".".join(re.sub(r"[\s-]+", "_", part).lower() for part in parts)
    if TYPE.match(type) and len(type) <= LONGEST_TYPE:
        return type, ""
    where = f"at {read.type}" if read.type else "in the URL"
    return None, f"the type {where} is {bodies.told(told)}; only letters a to z, digits and . _ - / : make one"


class Generic(SourceType):
    """Reads what the platforms of the book send."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per object."""
        if not isinstance(options, GenericOptions):
            options = GenericOptions()
        read = options.read
        alone = bool(request.raw.query_string) and not request.body.strip() and options.looks_into_query()
        records = bodies.records(request, merge_query=alone)
        return Batch([_make_item(position, each, request, read, event) for position, each in enumerate(records)])

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one object."""
        fields: dict[str, Any] = field_names.ours(base.parse_object(body))
        return base.read_data(type, fields, "snake_case") if type in event_types.TYPES else fields


def _make_item(
    position: int, record: bodies.BodyRecord, request: VerifiedRequest, read: ReadPlaces, event: str | None
) -> SourceItem:
    fields = record.fields
    type, why = _read_type(read, request, fields, event)
    item = base.make_item(record, position, type or NO_TYPE)
    if item.invalid is not None:
        return item
    item.sender_id = _find_sender_id(read.id, request, fields) or request.sender_id
    if read.ignore and item.sender_id is not None:
        item.content = _drop_places(fields, read.ignore)
    item.subject = _find_text(read.subject, request, fields)
    item.time = _read_time(_find_text(read.time, request, fields))
    item.unread += _missing(read, item)
    key = _find_text(read.order_key, request, fields)
    if read.order_key and not (key and len(key) <= LONGEST_KEY):
        item.unread += ("read.order_key",)
    elif key:
        if read.order_key and read.order_key.startswith("query."):
            key = addresses.restore_plus(key)
        item.order_key = identity.email(key) or f"id:{key}"
    texts = list(base.search_texts(fields))
    item.identities = base.drop_repeated(
        (
            *([item.order_key] if item.order_key else []),
            *base.identify_emails([text for name, text in texts if "mail" in name]),
        )
    )
    item.phones = tuple(text for name, text in texts if "phone" in name or name in ("mobile", "sms"))
    if item.order_key is None and item.identities:
        item.order_key = item.identities[0]
    if type is None:
        item.invalid = Unfit("type", why)
    elif type in event_types.TYPES:
        try:
            _, unread = base.fit_model(type, field_names.ours(fields), "snake_case")
            item.unread += unread
        except ValidationError as exc:
            item.invalid = base.describe_unfit(exc)
    return item


def _missing(read: ReadPlaces, item: SourceItem) -> tuple[str, ...]:
    """Return the places of the book at which nothing stands that can be used: nobody would notice."""
    looked_for = (("id", read.id, item.sender_id), ("time", read.time, item.time))
    return tuple(f"read.{name}" for name, place, found in looked_for if place and found is None)


def _read_time(told: str | None) -> str | None:
    if told is None:
        return None
    try:
        return rfc3339(_instant.validate_python(told))
    except (ValidationError, OverflowError):
        return None


SOURCE = Generic()
