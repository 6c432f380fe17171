"""What every source has to say about its platform.

Comes in: verified requests. Goes out: items (what becomes an event each), and the answer the platform expects. Never
stores, never verifies: the receiver does, the same for all.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from receiver import identity, plain_fields, unread_fields, vendor_api
from receiver.body import BodyRecord
from receiver.errors import RequestRefused
from receiver.field_names import looked_up, ours
from receiver.plain_fields import PlainReader
from receiver.request import Headers
from receiver.unread_fields import TYPE_NAME, Spelling
from receiver.vendor_api import ApiAddress, ApiFailed, VendorAnswer, VendorApi
from receiver.verification import Signed, VerifiedRequest
from rules import event_types
from rules.catalogue import SourceKind
from rules.event_types.base import EventData, MayHaveEmail
from rules.quota import Quota
from rules.secret import Secret
from rules.source.node import words_of
from rules.source.units import DAY, MINUTE, Duration

#: Values looked at when addresses are searched in data of unknown shape; a stranger may send any number of them.
MOST_VALUES_SEARCHED = 500


#: How JSON writes U+0000, which may stand nowhere as it is.
NUL = b"\\u0000"


class NoSourceOptions(BaseModel):
    """For kinds that need nothing beside what every source has."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass
class SourceItem:
    """One notification of a request: an event, an invalid one, or something we do not take."""

    position: int
    #: Its bytes as they stood in the request, JSON.
    body: bytes
    #: Ours (`booking.created`); None: the platform names something that we do not take.
    type: str | None
    #: What the platform itself calls the item within the message of `sender_id`: part of which event it is.
    identity: str = ""
    #: What makes two items of one name the same; None: the body, as it came.
    content: bytes | None = None
    sender_id: str | None = None
    order_key: str | None = None
    subject: str | None = None
    time: str | None = None
    identities: tuple[str, ...] = ()
    #: Whom it is about, beside the order key: the person's id at the platform and the primary e-mail. Events that share
    #: a name are routed in the order of arrival. Never a telephone or another address: a company's would chain its
    #: people.
    names: tuple[str, ...] = ()
    #: Telephone numbers as they came. They are identities where the country is known: of the source, or of the book.
    phones: tuple[str, ...] = ()
    #: Path of the field that makes it invalid, and why; without a value.
    invalid: "Unfit | None" = None
    #: Fields that could not be read and were left out: `birthday`, `labels.id`; and what else was not read as it came.
    unread: tuple[str, ...] = ()
    #: Places of the book at which nothing stands, which costs this item nothing: `read.subject`. Counted only.
    empty: tuple[str, ...] = ()
    #: What it tells of objects at the platform, so that what is fetched is known by it: object -> state, the one that
    #: it is about first. A state is a word, or `@` and a time in ms; `@` alone: when it was received.
    tells: tuple[tuple[str, str], ...] = ()
    #: It was fetched: it is kept only if nobody has told the same of its first object before.
    fetched: bool = False
    #: What the platform calls it, for the answer.
    name: str = ""
    #: Its id at the platform, for the answer.
    key: int | str | None = None

    @classmethod
    def of(cls, **fields: Any) -> "SourceItem":
        """Create an item past the generated `__init__`, as `Event.of`; fields with a default may be left out."""
        item = object.__new__(cls)
        item.__dict__ = fields
        return item


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an item does not fit its model."""

    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field}: {self.why}" if self.field else self.why


@dataclass(slots=True)
class Batch:
    """All items of one request."""

    items: list[SourceItem]
    #: What the answer repeats: the platform's id of the request, the attempt.
    context: Mapping[str, Any] = field(default_factory=dict)


class SourceAnswer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes
    #: Further headers; one that says the type of the body comes first, else it is JSON.
    headers: Headers = ()


class NotReadable(ValueError):
    """A body does not give the data of its type; the text names the field, never the value."""


def _or_never(value: Any) -> Any:
    return None if value is False or value == "off" else value


#: How often a source is pulled from; `off`: only when a person asks.
Every = Annotated[Annotated[Duration, Field(ge=MINUTE)] | None, BeforeValidator(_or_never)]


class PullOptions(BaseModel):
    """How a platform's API is asked for what no webhook brought. Each kind adds where that is, and what is asked."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: A key that may read what is asked for.
    api_key: Secret
    #: How many requests the key is good for a day or month, where the vendor says so; for all who use the key.
    quota: Quota | None = None
    #: True: its address may be in a private network.
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class PullSettings:
    """How a source is pulled from, beside its webhooks."""

    #: What is asked for separately, each up to a mark of its own: calls, leads.
    streams: tuple[str, ...]
    key: Secret
    #: None: the vendor names none, and nothing is counted.
    quota: Quota | None
    #: Ms between two rounds, ms before the mark that are asked for again, ms to begin with. `every` None: only when a
    #: person asks.
    every: int | None
    overlap: int = 0
    first: int = DAY
    #: The longest time that is asked for at once, in ms: what was missed for days comes in such steps.
    step: int = DAY


@dataclass(frozen=True, slots=True)
class PullWindow:
    """What is asked for, and with which key."""

    stream: str
    since: datetime
    until: datetime
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VendorHook:
    """A webhook as it is registered at a platform."""

    id: str
    #: The platform's word for what it tells.
    event: str
    #: Where it posts to, without parameters: these may hold a secret.
    url: str
    #: All that the platform says of it.
    raw: Mapping[str, Any] = field(repr=False, default_factory=dict)


class HooksOptions(BaseModel):
    """The account in which `relais hooks` registers webhooks. A platform adds where its API is, and which events."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: As the platform shows it.
    api_key: Secret
    base: ApiAddress
    #: True: its address may be in a private network.
    allow_private: bool = False


class HookRegistry(ABC):
    """The webhooks of one account at `/webhooks` of a platform's API. Each method that asks raises ApiFailed."""

    #: What stands at the end of our URL -> the platform's word for it.
    words: Mapping[str, str]
    #: The member of a webhook that holds that word.
    event_name: str

    def __init__(self, options: HooksOptions, authorization: str, api: VendorApi) -> None:
        self._api = api
        self._address = options.base
        self._headers = {"Authorization": authorization, "Accept": "application/json"}
        self._allow_private = options.allow_private

    async def list_hooks(self) -> list[VendorHook]:
        """Return all webhooks of the account, ours or not."""
        found = vendor_api.read_json(await self._ask("GET", "/webhooks"))
        if not isinstance(found, list):
            raise ApiFailed("bad_answer", "the platform's answer is no list of webhooks")
        rows = [row for row in found if isinstance(row, dict)]
        return [
            VendorHook(str(row.get("id")), str(row.get(self.event_name)), str(row.get("url")).partition("?")[0], row)
            for row in rows
        ]

    @abstractmethod
    def define(self, name: str, word: str, url: str, proof: Signed) -> dict[str, Any]:
        """Return the webhook that we want, as the platform writes it; `proof`: what it has to send along."""

    @abstractmethod
    def is_same(self, hook: VendorHook, wanted: Mapping[str, Any]) -> bool:
        """Say whether a webhook of that event and URL is as it is wanted, as far as the platform shows it."""

    async def save(self, wanted: Mapping[str, Any], id: str = "") -> None:
        """Make a webhook, or change the one of this id."""
        await self._ask("PUT" if id else "POST", f"/webhooks/{quote(id)}" if id else "/webhooks", wanted)

    async def remove(self, id: str) -> None:
        """Remove a webhook."""
        await self._ask("DELETE", f"/webhooks/{quote(id)}")

    async def _ask(self, method: str, path: str, json: Any = None) -> VendorAnswer:
        url = vendor_api.build_url(self._address, path)
        answer = await self._api.request(
            method, url, headers=self._headers, json=json, allow_private=self._allow_private
        )
        vendor_api.demand_success(answer)
        return answer


class SourceType(ABC):
    """One platform: how its requests become items. Its module binds the one instance to SOURCE."""

    #: Name, options and event types; told to the compiler of the rules.
    kind: SourceKind
    #: Makes what registers webhooks, of the `hooks:` options, their key and a client; None: the platform has no API.
    registry: Callable[[Any, str, VendorApi], HookRegistry] | None = None

    @abstractmethod
    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return the items of a request; `event` is what follows the source's name in the URL. Raises RequestRefused.

        `options` are the ones that ops wrote under the source, as the kind's model.
        """

    @abstractmethod
    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one item from its body. Pure. Raises NotReadable."""

    def pull_settings(self, options: BaseModel) -> PullSettings | None:
        """Return how the platform can be asked for events; None: it cannot, or the book does not want it."""
        return None

    def pull(self, options: BaseModel, window: PullWindow, api: VendorApi) -> AsyncIterator[Batch]:
        """Yield what happened in a window, page by page, as the platform tells it. Raises ApiFailed."""
        raise NotImplementedError

    def hooks(self, options: BaseModel, resolve: Callable[[Secret], str], api: VendorApi) -> HookRegistry | None:
        """Return the platform's webhooks; None: it has no API for them, or the book no key. Raises SecretMissing."""
        account = getattr(options, "hooks", None)
        if self.registry is None or not isinstance(account, HooksOptions):
            return None
        return self.registry(account, resolve(account.api_key), api)

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes] | SourceAnswer:
        """Return status and JSON body of the answer; `ids` are the events' ids, None for what was not taken."""
        return accept(ids)

    def takes_get(self, options: BaseModel) -> bool:
        """Say whether a GET is an event, its parameters the fields."""
        return False

    def greets(self, options: BaseModel) -> bool:
        """Say whether the source answers anything but POST."""
        return False

    def greet(
        self, method: str, request: VerifiedRequest, options: BaseModel, event: str | None = None
    ) -> SourceAnswer | None:
        """Return the answer to what is no POST (a handshake); None: this source has none. Raises RequestRefused."""
        return None

    def refuse(self, refused: RequestRefused, event: str | None) -> SourceAnswer | None:
        """Return how the platform is told that its request was refused; None: as all are told."""
        return None

    def hide_person(self, event: str) -> str:
        """Return the end of the URL as it may be kept beside a refused request: without what names a person."""
        return event


def list_events(ids: Iterable[str | None]) -> list[dict[str, str]]:
    """Return what every answer says: the ids under which the events are kept."""
    return [{"id": each} for each in ids if each is not None]


def accept(ids: Sequence[str | None]) -> tuple[int, bytes]:
    """Return the answer to platforms that expect nothing special."""
    if len(ids) == 1 and ids[0] is not None and ids[0].isalnum() and ids[0].isascii():  # as nearly all are
        return 202, b'{"events":[{"id":"%b"}]}' % ids[0].encode()
    return 202, to_json({"events": list_events(ids)})


def describe_unfit(error: ValidationError) -> Unfit:
    """Return the first thing that is wrong, in our names of fields."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ""
    for part in first["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not TYPE_NAME.match(part):
            path += f".{part}" if path else part
    return Unfit(path[:200], words_of(dict(first))[:200])


def make_item(record: BodyRecord, position: int, type: str) -> SourceItem:
    """Return the item of a record, invalid where that is no object."""
    # What most sources set is there from the beginning: adding it later costs more.
    item = SourceItem.of(
        position=position,
        body=record.body,
        type=type,
        unread=record.unread,
        order_key=None,
        subject=None,
        identities=(),
        names=(),
        phones=(),
        tells=(),
    )
    if record.unfit:
        item.invalid = Unfit("", record.unfit)
    return item


#: Reads fields that have our names.
_PLAIN = PlainReader()


def fit_fields(item: SourceItem, fields: dict[str, Any], reader: PlainReader) -> Mapping[str, Any] | None:
    """Return the fields of an item as its model has them; None where the item is invalid, which it says from now on.

    Of most items no model is made. A name that is not there has its default.
    """
    if item.invalid is not None or item.type is None:
        return None
    data = reader.read(event_types.TYPES[item.type], fields)
    if data is not None:
        return data
    model = _fit(item, look_up(fields, reader), "snake_case")
    return None if model is None else model.__dict__


def look_up(fields: dict[str, Any], reader: PlainReader) -> dict[str, Any]:
    """Return fields under our names."""
    return fields if reader.names is None else looked_up(fields, reader.names)


def fit_item(item: SourceItem, fields: Any, spelling: Spelling = "snake_case") -> EventData | None:
    """Return the model of an item's data; None where the item is invalid, which it says from now on."""
    if item.invalid is not None or item.type is None:
        return None
    kind = event_types.TYPES[item.type]
    if spelling == "snake_case" and (data := _PLAIN.read(kind, fields)) is not None:
        return plain_fields.make(kind, data)
    return _fit(item, fields, spelling)


def _fit(item: SourceItem, fields: Any, spelling: Spelling) -> EventData | None:
    if item.type is None:
        return None
    try:
        model, unread = fit_model(item.type, fields, spelling)
    except ValidationError as exc:
        item.invalid = describe_unfit(exc)
        return None
    item.unread += unread
    return model


def fit_model(type: str, fields: Any, spelling: Spelling) -> tuple[EventData, tuple[str, ...]]:
    """Return the model of a type's data, and the optional fields that could not be read.

    Raises ValidationError. Only one spelling of names is looked for.
    """
    kind = event_types.TYPES[type]
    unread: tuple[str, ...] = ()
    try:
        # What `model_validate` calls, which costs a sixth more.
        model: EventData = kind.__pydantic_validator__.validate_python(
            fields, by_alias=spelling == "camelCase", by_name=spelling == "snake_case"
        )
    except ValidationError as exc:
        model, unread = unread_fields.fit(kind, fields, spelling, exc)
    if isinstance(model, MayHaveEmail) and model.left_out:
        unread += tuple(model.left_out)
    return model, unread


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the object that an item's body holds. Raises NotReadable."""
    value = from_json(body)
    if not isinstance(value, dict):
        raise NotReadable("the body must be an object")
    return value


def read_named(type: str, fields: dict[str, Any], reader: PlainReader) -> dict[str, Any]:
    """Return data as rules see it, of fields as `fit_fields` takes them. Raises NotReadable."""
    plain = reader.read(event_types.TYPES[type], fields)
    return read_data(type, look_up(fields, reader), "snake_case") if plain is None else plain


def read_data(type: str, fields: Any, spelling: Spelling) -> dict[str, Any]:
    """Return data as rules see it. Raises NotReadable."""
    if spelling == "snake_case" and (plain := _PLAIN.read(event_types.TYPES[type], fields)) is not None:
        return plain
    try:
        model, _ = fit_model(type, fields, spelling)
    except ValidationError as exc:
        raise NotReadable(str(describe_unfit(exc))) from exc
    data: dict[str, Any] = ours(model.data())
    return data


def drop_nul(value: Any) -> Any:
    """Return a JSON value without U+0000 in its texts: no name has one, and data bases refuse it."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {name: drop_nul(each) for name, each in value.items()}
    return [drop_nul(each) for each in value] if isinstance(value, list) else value


def search_texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield name and text of the texts in a JSON value, names in lower case; not endlessly."""
    waiting: list[tuple[str, Any]] = [("", value)]
    for _ in range(MOST_VALUES_SEARCHED):
        if not waiting:
            return
        name, each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend((str(key).lower(), inner) for key, inner in each.items())
        elif isinstance(each, list):
            waiting.extend((name, inner) for inner in each)
        elif isinstance(each, str):
            yield name, each


def identify_emails(emails: Iterable[str | None]) -> Iterator[str]:
    """Yield the identities of addresses."""
    yield from (found for each in emails if each and (found := identity.email(each)))


def drop_repeated(identities: Iterable[str]) -> tuple[str, ...]:
    """Return each identity once, in order."""
    return tuple(dict.fromkeys(identities))
