"""A payload without a request: what rule tests, fixtures and replays feed into the same code as a webhook.

Comes in: a source, a body (bytes, or JSON values as a book's test writes them) and the event's name of the URL. Goes
out: the Events a webhook would have made, with their data. Never verifies: the payload lies on our own disk.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver import errors, intake, sources, verification
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from receiver.sources.generic import NO_TYPE
from rules.event import Event
from rules.rulebook import Source


def read_payload(source: Source, body: Any, name: str | None = None) -> Sequence[Event]:
    """Return the events of a body. Raises RequestRefused, also for what a webhook would have quarantined.

    Bytes are JSON or a form, by how they begin. No test should pass with a payload that does not fit.
    """
    if isinstance(body, bytes):
        kind = _find_type(body)
    else:
        kind, body = b"application/json", json.dumps(body, ensure_ascii=False, default=str).encode()
    received_at = intake.format_now()
    items = _unpack(source, ((b"content-type", kind),), body, name)
    return [_build_event(item, source, received_at) for item in items]


def _find_type(body: bytes) -> bytes:
    """Return what the label of a body without one would be."""
    if body.startswith(b"--"):
        return b'multipart/form-data; boundary="%s"' % body.partition(b"\n")[0].strip()[2:]
    if body.lstrip()[:1] in (b"{", b"[") or b"=" not in body:
        return b"application/json"
    return b"application/x-www-form-urlencoded"


def read_kept(source: Source, id: str, head: Mapping[str, Any], body: bytes) -> tuple[Event, str]:
    """Return an event that lies aside as the book reads its body now, and the id under which it would come again.

    `head`: what its record says beside the body. What stood around the item in its request (the sender's id, its
    place in the batch) is what the receiver made of it. Raises RequestRefused, ValueError.
    """
    # Without a type of its own an event may have got one by the mended book.
    name = head["type"] if _takes_name(source) and head["type"] != NO_TYPE else None
    items = _unpack(source, ((b"content-type", b"application/json"),), body, name, kept=True)
    if len(items) != 1:
        raise ValueError("the kept body is no single event any more")
    (item,) = items
    item.sender_id = head.get("sender") or item.sender_id
    item.position = head.get("pos", 0)
    item.time = item.time or head.get("time")
    item.subject = item.subject or head.get("subject")
    item.order_key = item.order_key or head.get("key")
    if head["kind"] != source.kind:
        raise errors.Invalid("kind", "the source is of another kind now")
    event = _build_event(item, source, head["at"])
    return replace(event, id=id), event.id if item.sender_id else ""


def read_refused(
    source: Source, headers: Mapping[str, str], body: bytes, name: str | None, received_at: str
) -> Sequence[Event]:
    """Return the events of a refused request as the book reads it now. Raises RequestRefused."""
    sent = [(each.encode("latin-1"), value.encode("latin-1")) for each, value in headers.items()]
    return [_build_event(item, source, received_at) for item in _unpack(source, sent, body, name)]


def _takes_name(source: Source) -> bool:
    kind = sources.SOURCES[source.kind].kind
    return not kind.types or kind.event_from_url(source.options)


def _unpack(
    source: Source, headers: Iterable[tuple[bytes, bytes]], body: bytes, name: str | None, *, kept: bool = False
) -> list[SourceItem]:
    request = verification.trusted(RawRequest(body, headers=tuple(headers)), kept=kept)
    return sources.SOURCES[source.kind].unpack(request, source.options, name).items


def _build_event(item: SourceItem, source: Source, received_at: str) -> Event:
    if item.type is None:
        raise errors.Invalid("action", f"{source.kind} knows no {item.name or 'notification without an action'}")
    if item.invalid is not None:
        raise errors.Invalid(item.invalid.field, item.invalid.why)
    return intake.build_event(item, source, received_at, data=sources.read(source.kind, item.type, item.body))
