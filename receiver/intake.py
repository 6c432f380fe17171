"""An item of a request becomes an Event.

Comes in: what an adapter read, the source, the time. Goes out: the record for the mailroom. Never fills `data` by
itself: it is read from the body again when the event is routed, so the receiver need not write it out.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from receiver import identity
from receiver.sources.base import SourceItem
from rules.event import Event
from rules.rulebook import Source

#: W3C trace context, version 00.
TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def made(
    item: SourceItem,
    source: Source,
    received_at: str,
    *,
    traceparent: bytes | None = None,
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Return the event of an item that has a type."""
    return Event.of(
        id=identity.event_id(source.name, item.sender_id, item.identity, _content(item, source)),
        source=source.name,
        kind=source.kind,
        type=item.type or "",
        received_at=received_at,
        body=item.body,
        data=data or {},
        order_key=item.order_key,
        subject=item.subject,
        time=item.time,
        sender_id=item.sender_id[: identity.SENDER_ID_MAX] if item.sender_id else None,
        position=item.position,
        traceparent=traceparent.decode("ascii") if traceparent and TRACEPARENT.match(traceparent) else None,
        identities=item.identities,
        retain=source.retain,
    )


def _content(item: SourceItem, source: Source) -> bytes:
    if source.same_id == "same":
        return b""
    return item.body if item.content is None else item.content


def tell_apart(items: Sequence[SourceItem]) -> None:
    """Give equal items of one request names of their own: they are as many events as there are of them."""
    met: Counter[tuple[str | None, str, bytes]] = Counter()
    for item in items:
        same = (item.sender_id, item.identity, item.body if item.content is None else item.content)
        if met[same]:
            item.identity += f"\0{met[same]}"
        met[same] += 1
