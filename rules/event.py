"""The Event, with CloudEvents' attribute names and our own event types, and its record in the store.

Comes in: what a source adapter read from a verified request. Goes out: the bytes that the mailroom keeps, and an Event
read back from such bytes. Never reads a clock, and does no I/O.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from json.encoder import encode_basestring as quote
from typing import Any

from pydantic_core import from_json, to_json

from rules import declared_fields
from rules.event_types.base import rfc3339

#: Derives `data` from a vendor's body: (kind of source, event type, body as JSON bytes) -> plain JSON values.
Reader = Callable[[str, str, bytes], Mapping[str, Any]]

#: Types of events that say that somebody wants less of us. They are served first, and so is what is made of them.
URGENT_TYPES = frozenset({"contact.unsubscribed", "contact.bounced", "profile.deleted"})
#: Of these, the types that say that a person leaves. A bounce is no wish: what waits of its person may still be wanted.
LEAVING_TYPES = URGENT_TYPES - {"contact.bounced"}


class EventDamaged(Exception):
    """A record in the store cannot be read as an event; `record` holds its bytes."""

    def __init__(self, why: str, record: bytes) -> None:
        super().__init__(why)
        self.record = record


@dataclass(frozen=True)
class Event:
    """One thing that happened at a platform. `body` and `data` are personal data: never log them."""

    #: Our id: a hash of source, sender's message id, item and content, so that a message that is sent twice has the
    #: same id. Random where the platform gives its messages no id.
    id: str
    #: The name of the source in the book (`sd_nord`), and its kind (`seminardesk`).
    source: str
    kind: str
    #: Our own dotted vocabulary, the same whoever sends: `booking.created`.
    type: str
    #: When the receiver took it, RFC 3339 in UTC with milliseconds.
    received_at: str
    #: The vendor's body unchanged, as JSON bytes; of a batch only the part of this item.
    body: bytes
    #: The same in our own model of the event type, as plain JSON values (instants are RFC 3339 texts, money is a
    #: number).
    data: Mapping[str, Any] = field(default_factory=dict)
    #: Events with the same key are routed in the order of arrival. It is the strongest identity of the person in the
    #: body (`email:eva@example.org`, `seminardesk:profile:4711`), else the entity. None: the order does not matter.
    order_key: str | None = None
    #: The thing the event is about, in the vendor's words: `booking/9001`.
    subject: str | None = None
    #: When it happened, if the platform says so, RFC 3339.
    time: str | None = None
    #: The platform's own message id, and the position in its batch.
    sender_id: str | None = None
    position: int = 0
    traceparent: str | None = None
    #: Every identity found in the body, normalised, in the form of `order_key`. Stored only as keyed hashes.
    identities: tuple[str, ...] = ()
    #: Further names of whom it is about, in the form of `order_key`: events that share one are routed in the order of
    #: arrival, whichever is the order key of each. Two at the most; stored only as keyed hashes.
    names: tuple[str, ...] = ()
    #: Milliseconds that the payload is kept after the event is settled (`retain:` of the source).
    retain: int = 0
    #: Fields that could not be read and were left out: `birthday`, `labels.id`; and what else was not read as it came.
    unread: tuple[str, ...] = ()
    #: The types that the book declared for fields of `data` when it was received: name -> word.
    types: Mapping[str, str] | None = None
    #: What it tells of objects at the platform: object -> state, first the one that it is about. A state is a word, or
    #: `@` and a time in ms. What is fetched is compared with it. Stored only as keyed hashes.
    tells: tuple[tuple[str, str], ...] = ()
    #: It was fetched: it is kept only if nobody has told the same of its first object before.
    fetched: bool = False
    #: What is the same for two messages of its source (`dedupe:`), and for how many ms the first one counts; empty: its
    #: id and content alone say whether it came before.
    same_as: str = ""
    same_for: int = 0
    #: Keyed hashes of its identities and names beside the order key, as its record has them. Empty before it is kept.
    who: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Event":
        """Create an event past the generated `__init__`, which sets fields one by one and takes ten times as long.

        `fields` is the event's from now on. Those with a default may be left out, but for `data`.
        """
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", fields)
        return event

    @cached_property
    def raw(self) -> Any:
        """The vendor's body, parsed."""
        return json.loads(self.body)

    @property
    def happened_at(self) -> str:
        """When it happened as far as anybody knows: its own time, else when it was received. UTC with milliseconds."""
        return moment(self.time) or self.received_at

    def encode(
        self,
        identity_hashes: Sequence[str] = (),
        name_hashes: Sequence[str] = (),
        tells: tuple[str, ...] = (),
    ) -> bytes:
        """Return the record that the mailroom keeps: one line of JSON, then the vendor's body as it came.

        `data` is not part of it, because it is derived from the body again when the event is routed; nor is the id,
        because it is part of the record's key in the store. `who`: the hashes of the identities, at least of those
        beside the order key, which stands there in clear, and beside `also`.
        """
        # The store's functions look for these two at the beginning, and take `tells` out.
        head = f'"tells":{_as_json(tells)},' if tells else ""
        if self.unread:
            head += f'"unread":{_as_json(self.unread)},'
        head += f'{_origin(self.source, self.kind, self.type)},"at":"{self.received_at}"'
        if self.order_key:
            head += f',"key":{quote(self.order_key)}'
        if self.subject:
            head += f',"subject":{quote(self.subject)}'
        if self.time:
            head += f',"time":{quote(self.time)}'
        if self.sender_id:
            head += f',"sender":{quote(self.sender_id)}'
        if self.position:
            head += f',"pos":{self.position}'
        if self.traceparent:
            head += f',"trace":"{self.traceparent}"'
        if identity_hashes:
            head += f',"who":["{SEPARATOR.join(identity_hashes)}"]'
        if name_hashes:
            head += f',"also":["{SEPARATOR.join(name_hashes)}"]'
        if self.retain:
            head += f',"retain":{self.retain}'
        if self.types:
            head += f',"types":{_as_json(self.types)}'
        return b"{%b}\n%b" % (head.encode(), self.body)


#: What stands between two texts of a list.
SEPARATOR = '","'


@lru_cache(maxsize=256)
def _origin(source: str, kind: str, type: str) -> str:
    return f'"source":{quote(source)},"kind":{quote(kind)},"type":{quote(type)}'


def _as_json(value: object) -> str:
    return to_json(value).decode()


def moment(text: str | None) -> str | None:
    """Return an instant as we write it, so that later ones are greater texts; None where it is none."""
    if text is None or (len(text) == 24 and text[19] == "." and text[23] == "Z"):  # as nearly all come
        return text
    try:
        return rfc3339(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def decode(event_id: str, record: bytes, read: Reader) -> Event:
    """Return the event of a record; `read` derives `data` from the body. Raises EventDamaged."""
    try:
        line, body = record.split(b"\n", 1)
        head = from_json(line)
        data = read(head["kind"], head["type"], body)
        if "types" in head:
            data, _ = declared_fields.convert(data, head["types"])
        return Event.of(
            {
                "id": event_id,
                "source": head["source"],
                "kind": head["kind"],
                "type": head["type"],
                "received_at": head["at"],
                "body": body,
                "data": data,
                "order_key": head.get("key"),
                "subject": head.get("subject"),
                "time": head.get("time"),
                "sender_id": head.get("sender"),
                "position": head.get("pos", 0),
                "traceparent": head.get("trace"),
                "identities": (),
                "retain": head.get("retain", 0),
                "unread": tuple(head.get("unread", ())),
                "types": head.get("types"),
                "who": (*head.get("also", ()), *head.get("who", ())),
            }
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise EventDamaged(f"not an event record: {exc.__class__.__name__}", record) from exc
