"""The one door to the mailroom: what a source's adapter has read is kept, whether it came by webhook or was fetched.

Comes in: a batch of items, and the source they are of. Goes out: the ids under which the events are on disk, or why
they are not. Knows nothing of HTTP. Never fills `data` by itself: it is read from the body again when the event is
routed, so the receiver need not write it out. Never says that anything is kept before all of the batch is.
"""

import asyncio
import functools
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from mailroom import Receipt, RefusedDetails, SourceNotes, StoreUnavailable
from receiver import errors, group_commit, identity, sources
from receiver.group_commit import GroupCommit
from receiver.source_tally import SourceTally
from receiver.sources.base import Batch, SourceItem
from rules import declared_fields
from rules.dedupe import DedupeOptions
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.rulebook import Source

log = logging.getLogger("relais.receiver")

#: W3C trace context, version 00.
TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")

#: Names of an event beside its order key.
MOST_FURTHER_NAMES = 2

#: One id for each item of the batch, None for items that we do not take.
Ids = list[str | None]
#: Called once with the ids when all events are on disk, or with the reason why they are not.
Done = Callable[[Ids | errors.RequestRefused], None]
#: Items that do not fit their model: position in the batch, event, reason.
Unfit = list[tuple[int, Event, str]]


class EventStore(Protocol):
    """What the receiver needs of the mailroom."""

    async def prepare(self) -> None:
        """Connect and agree on the schema. Raises StoreUnavailable, StoreDamaged."""
        ...

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        """Keep events. Raises StoreUnavailable."""
        ...

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        """Keep events that do not fit, each with the reason. Raises StoreUnavailable."""
        ...

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        """Keep a refused request for inspection. Raises StoreUnavailable."""
        ...

    async def approved_book(self) -> str:
        """Return the version of the book that a person approved last, '' for none. Raises StoreUnavailable."""
        ...

    async def say_process(self, name: str, pool: str, workers: int, turn: int, *, said: str = "") -> None:
        """Say that this process lives, and what it says of itself. Raises StoreUnavailable."""
        ...

    async def note_sources(self, notes: SourceNotes) -> None:
        """Write down what was seen of sources. Raises StoreUnavailable."""
        ...

    async def forget_spooled(self, process: str) -> None:
        """Erase what waits here of persons who were forgotten, and say so. Raises StoreUnavailable."""
        ...

    async def forget_process(self, name: str) -> None:
        """Say that this process ends. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Intake:
    """Keeps batches. Webhooks call `keep_soon`, which costs no task; whoever can wait awaits `keep`."""

    def __init__(self, mailroom: EventStore, most_waiting: int) -> None:
        """`most_waiting`: events that may wait for the store; beyond it a batch is refused as busy."""
        self._mailroom = mailroom
        self._commit = GroupCommit(mailroom, most_waiting)
        #: What is counted of each source, for people.
        self.tally = SourceTally()
        #: Quarantining under way.
        self._quarantining: set[asyncio.Task[None]] = set()

    async def keep(
        self, batch: Batch, source: Source, received_at: str | None = None, *, traceparent: bytes | None = None
    ) -> Ids:
        """Keep a batch and return the ids of its events. Raises Invalid, NotKept."""
        outcome: asyncio.Future[Ids | errors.RequestRefused] = asyncio.get_running_loop().create_future()

        def done(what: Ids | errors.RequestRefused) -> None:
            if not outcome.done():  # else the caller was cancelled
                outcome.set_result(what)

        self.keep_soon(batch, source, done, received_at or format_now(), traceparent)
        found = await outcome
        if isinstance(found, errors.RequestRefused):
            raise found
        return found

    def keep_soon(
        self, batch: Batch, source: Source, done: Done, received_at: str, traceparent: bytes | None = None
    ) -> None:
        """Keep a batch with the next group commit, and call `done`. Raises Invalid, NotKept; then nothing is kept."""
        positions: list[int] = []
        events: list[Event] = []
        unfit: Unfit = []
        if len(batch.items) > 1:
            tell_apart(batch.items)
        for at, item in enumerate(batch.items):
            if item.type is None:
                continue
            event = build_event(item, source, received_at, traceparent=traceparent)
            if item.invalid is None:
                positions.append(at)
                events.append(event)
            elif source.on_invalid == "refuse":
                raise errors.Invalid(item.invalid.field, item.invalid.why)
            else:
                unfit.append((at, event, str(item.invalid)))
        committed = functools.partial(self._committed, batch, source.name, positions, unfit, done)
        if events:
            self._commit.put(events, committed)
        else:
            committed([])

    async def drain(self) -> None:
        """Wait until `done` has been called for every batch."""
        await self._commit.drain()
        if self._quarantining:
            await asyncio.wait(self._quarantining)

    def _committed(
        self,
        batch: Batch,
        source: str,
        positions: list[int],
        unfit: Unfit,
        done: Done,
        receipts: list[Receipt] | errors.NotKept,
    ) -> None:
        """Go on with a batch whose fitting events are on disk, or could not be kept."""
        if isinstance(receipts, errors.NotKept):
            done(receipts)
            return
        ids: Ids = [None] * len(batch.items)
        try:
            for at, receipt in zip(positions, receipts, strict=True):
                ids[at] = receipt.id
        except ValueError as exc:
            done(errors.unforeseen(exc))
            return
        self.tally.take(source, batch)
        if not unfit:
            done(ids)
            return
        task = asyncio.create_task(self._quarantine(unfit, ids, done), name="quarantine")
        self._quarantining.add(task)
        task.add_done_callback(self._quarantining.discard)

    async def _quarantine(self, unfit: Unfit, ids: Ids, done: Done) -> None:
        """Keep the items that do not fit their model, and call `done`."""
        outcome: Ids | errors.RequestRefused = ids
        try:
            for _, event, why in unfit:
                log.error(
                    "receiver.quarantined source=%s type=%s event_id=%s why=%s", event.source, event.type, event.id, why
                )
            receipts = await self._mailroom.quarantine([(event, why) for _, event, why in unfit])
            for (at, _, _), receipt in zip(unfit, receipts, strict=True):
                ids[at] = receipt.id
        except StoreUnavailable as exc:
            outcome = group_commit.unavailable(exc)
        except Exception as exc:
            outcome = errors.unforeseen(exc)
        group_commit.notify(done, outcome)


def format_now() -> str:
    """Return the time of now as events carry it."""
    return format_time(time.time_ns() // 1_000_000)


@functools.lru_cache(maxsize=16)
def format_time(milliseconds: int) -> str:
    """Return a time as events carry it; many requests share a millisecond."""
    return from_epoch(milliseconds)


def build_event(
    item: SourceItem,
    source: Source,
    received_at: str,
    *,
    traceparent: bytes | None = None,
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Return the event of an item that has a type."""
    identities = item.identities
    for each in item.phones:
        number = identity.phone(each, source.country)
        if number and number not in identities:
            identities += (number,)
    unread = item.unread
    if source.fields and item.invalid is None and item.type:
        data, left_out = declared_fields.convert(data or sources.read(source.kind, item.type, item.body), source.fields)
        unread = tuple(dict.fromkeys((*unread, *left_out)))
    order_key, names, sender_id = item.order_key or (identities[0] if identities else None), item.names, item.sender_id
    if names and (order_key in names or len(names) > MOST_FURTHER_NAMES):
        names = tuple([name for name in names if name != order_key][:MOST_FURTHER_NAMES])
    fields: dict[str, Any] = {
        "id": identity.event_id(source.name, sender_id, item.identity, _content(item, source))
        if sender_id is not None
        else identity.random_id(),
        "source": source.name,
        "kind": source.kind,
        "type": item.type or "",
        "received_at": received_at,
        "body": item.body,
        "data": data or {},
        "order_key": order_key,
        "subject": item.subject,
        "identities": identities,
        "names": names,
        "retain": source.retain,
        "unread": unread,
    }
    # What most events do not have: its default costs nothing.
    if item.time:
        fields["time"] = item.time
    if sender_id:
        fields["sender_id"] = sender_id[: identity.SENDER_ID_MAX]
    if item.position:
        fields["position"] = item.position
    if traceparent and TRACEPARENT.match(traceparent):
        fields["traceparent"] = traceparent.decode("ascii")
    if source.fields:
        fields["types"] = source.fields
    # Who never compares pays nothing: what was fetched is compared only where `pull:` stands in the book.
    if item.tells and getattr(source.options, "pull", None) is not None:
        fields["tells"] = _tells(item, received_at)
    if item.fetched:
        fields["fetched"] = True
    event = Event.of(fields)
    return event if source.dedupe is None or item.invalid is not None else _mark(event, item, source, source.dedupe)


def _mark(event: Event, item: SourceItem, source: Source, dedupe: DedupeOptions) -> Event:
    """Return an event that says what is the same for two messages of its source, or that it lacks the key of it."""
    if dedupe.reads_data and not event.data:
        data = sources.read(source.kind, event.type, item.body)
        mark = dedupe.mark(replace(event, data=data), b"")
    else:
        mark = dedupe.mark(event, item.body if item.content is None else item.content)
    if not mark:
        item.empty += ("dedupe.key",)
        return replace(event, unread=(*event.unread, "dedupe.key"))
    return replace(event, same_as=mark, same_for=dedupe.window)


def _tells(item: SourceItem, received_at: str) -> tuple[tuple[str, str], ...]:
    """Return what an item tells; `@` alone is the moment at which it was received."""
    now = _moment(received_at)
    return tuple([(name, now if state == "@" else state) for name, state in item.tells])


@functools.lru_cache(maxsize=16)
def _moment(received_at: str) -> str:
    return f"@{round(datetime.fromisoformat(received_at).timestamp() * 1000)}"


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
