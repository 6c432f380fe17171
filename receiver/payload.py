"""A payload without a request: what rule tests, fixtures and replays feed into the same code as a webhook.

Comes in: a source, a body (bytes, or JSON values as a book's test writes them) and the event's name of the URL. Goes
out: the Events a webhook would have made, with their data. Never verifies: the payload lies on our own disk.
"""

import json
from collections.abc import Sequence
from typing import Any

from receiver import errors, intake, sources, verification
from receiver.request import RawRequest
from receiver.sources.base import SourceItem
from rules.event import Event
from rules.rulebook import Source


def read_payload(source: Source, body: Any, name: str | None = None) -> Sequence[Event]:
    """Return the events of a body. Raises RequestRefused, also for what a webhook would have quarantined.

    Bytes that begin like JSON are JSON, other bytes are a form. No test should pass with a payload that does not fit.
    """
    if isinstance(body, bytes):
        kind = b"application/json" if body.lstrip()[:1] in (b"{", b"[") else b"application/x-www-form-urlencoded"
    else:
        kind, body = b"application/json", json.dumps(body, ensure_ascii=False, default=str).encode()
    request = verification.trusted(RawRequest(body, headers=((b"content-type", kind),)))
    batch = sources.SOURCES[source.kind].unpack(request, source.options, name)
    received_at = intake.format_now()
    return [_build_event(item, source, received_at) for item in batch.items]


def _build_event(item: SourceItem, source: Source, received_at: str) -> Event:
    if item.type is None:
        raise errors.Invalid("action", f"{source.kind} knows no {item.name or 'notification without an action'}")
    if item.invalid is not None:
        raise errors.Invalid(item.invalid.field, item.invalid.why)
    return intake.build_event(item, source, received_at, data=sources.read(source.kind, item.type, item.body))
