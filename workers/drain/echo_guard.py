"""The echo guard: what comes back by webhook because Relais itself wrote it is known for what it is.

Comes in: a delivery that is about to be sent to a destination with a pair, an event of a source with one. Goes out: a
mark in the store before the write; of an event the delivery that it is the echo of. Never decides what follows.

An event is an echo if each field that it carries and that was written has the value that was written. A write is told
once: the first event that fits takes its mark. The same content comes again as an echo, too, until something else of
the object is told; then it is a change of its own, as when somebody undoes what he did. What tells nothing of the
written fields (an address alone) is like any other such event: it is an echo once, and only where the book says
`echoes:`.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mailroom import StoreFull
from mailroom.echoes import EchoClaim, EchoMark, EchoMemory
from rules.catalogue import ActionKind
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.rulebook import Destination, Rulebook
from workers import echo, store_outage
from workers.context import WorkerContext
from workers.delivery import Delivery

log = logging.getLogger("relais.drain")

_Written = TypeVar("_Written")

#: Milliseconds by which the clock of another host of ours may be behind. The platform's own is not asked: a time that
#: it writes without its zone would be hours off.
CLOCKS_APART = 5_000


@dataclass(frozen=True, slots=True)
class MarkedWrite:
    """A mark, and where it stands."""

    sources: tuple[str, ...]
    names: tuple[str, ...]
    mark: EchoMark


class EchoGuard:
    """Marks writes, and finds the echoes among events."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    # -- before a write

    async def mark(self, delivery: Delivery, model: BaseModel | None) -> MarkedWrite | None:
        """Remember a delivery that is about to be sent; None: nothing comes back of it. `model`: its arguments."""
        book = self._context.books.current
        destination = book.destinations.get(delivery.destination) if book is not None else None
        if destination is None or not destination.echoes:
            return None
        kind = self._context.kind(delivery.destination, delivery.action)
        if kind is None or not kind.echoes:
            return None
        try:
            if model.__class__ is not kind.arguments:
                model = kind.arguments.model_validate(delivery.arguments)
        except ValidationError:
            return None  # It is not sent, either.
        try:
            marked = self._describe(delivery, destination, kind, model)
        except Exception:  # What is not marked goes round once more; it is sent all the same.
            log.exception("echo.bug delivery_id=%s", delivery.id)
            return None
        if marked is not None:
            await _write(lambda: self._memory.mark(marked.sources, marked.names, marked.mark), None)
        return marked

    async def unmark(self, marked: MarkedWrite | None) -> None:
        """Forget a write that did not happen."""
        if marked is not None:
            await store_outage.retry_until_answered(
                lambda: self._memory.unmark(marked.sources, marked.names, marked.mark)
            )

    def _describe(
        self, delivery: Delivery, destination: Destination, kind: ActionKind, model: Any
    ) -> MarkedWrite | None:
        leaves = kind.leaves(model)
        types = {pair.source: pair.find_types(kind, leaves=leaves) for pair in destination.echoes}
        sources = tuple(source for source, its in types.items() if its)
        if not sources:
            return None
        strong = kind.list_strong_names(model)
        now = int(time.time() * 1000)
        mark = EchoMark(
            delivery.id,
            tuple(sorted(frozenset().union(*types.values()))),
            now,
            now + destination.echo_within,
            {
                name: self._hash(name, echo.normalize(name, value))
                for name, value in echo.list_written(model, self._their_names(destination.name)).items()
            },
            tuple({echo.squash(name.kind) for name in strong}),
        )
        return MarkedWrite(sources, tuple(self._context.mailroom.hash(name.key) for name in strong), mark)

    def _their_names(self, destination: str) -> Mapping[str, str]:
        client = self._context.clients.get(destination)
        return client.field_names() if client is not None else {}

    # -- when an event is routed

    async def find(self, event: Event, names: Sequence[str], book: Rulebook) -> str:
        """Return the delivery that an event is the echo of; empty: of none. `names`: of whom it is about, hashed."""
        if event.type not in book.echo_types.get(event.source, ()):
            return ""
        marks = await store_outage.retry_until_answered(lambda: self._memory.marks(event.source, names))
        possible = [mark for mark in marks if event.type in mark.types and _is_in_time(event, mark)]
        if not possible:
            return ""
        said = await store_outage.retry_until_answered(lambda: self._context.mailroom.fate(event.id))
        if said is not None and said.echo_of:
            return ""  # It was one, and a person lets it be routed all the same.
        try:
            return await self._decide(event, possible, book)
        except Exception:  # It is routed, as if there were no guard.
            log.exception("echo.bug event_id=%s", event.id)
            return ""

    async def _decide(self, event: Event, possible: Sequence[EchoMark], book: Rulebook) -> str:
        carried = self._carried(event, book)
        source, type, memory = event.source, event.type, self._memory
        deliveries = list(dict.fromkeys(mark.delivery for mark in possible))
        claims = await store_outage.retry_until_answered(lambda: memory.claims(source, type, deliveries))
        content = self._hash("", echo.tell_content(event.data))
        found = ""
        for mark in possible:
            claim = claims.get(mark.delivery)
            fits, speaks = _fits(mark, carried)
            if claim is None and fits and (speaks or (source in book.said_echoes and not found)):
                claim = claims[mark.delivery] = await self._claim(event, mark, content)
            if claim is None:
                continue
            if claim.event == event.id or (fits and speaks and claim.content == content):
                found = found or mark.delivery
            elif claim.content:
                await self._close(event, mark, claim)
                claims[mark.delivery] = EchoClaim(claim.event, "")
        return found

    async def _claim(self, event: Event, mark: EchoMark, content: str) -> EchoClaim:
        mine = EchoClaim(event.id, content)
        return await _write(lambda: self._memory.claim(event.source, event.type, mark, mine), mine)

    async def _close(self, event: Event, mark: EchoMark, claim: EchoClaim) -> None:
        await _write(lambda: self._memory.close(event.source, event.type, mark, claim.event), None)

    def _carried(self, event: Event, book: Rulebook) -> Mapping[str, frozenset[str]]:
        """Return name of a field -> the hashes of its values."""
        country = book.sources[event.source].country
        return {
            name: frozenset(self._hash(name, echo.normalize(name, value, country)) for value in values)
            for name, values in echo.list_carried(event.data).items()
        }

    def _hash(self, name: str, value: str) -> str:
        return self._context.mailroom.hash(f"echo|{name}|{value}")

    @property
    def _memory(self) -> EchoMemory:
        return EchoMemory(self._context.mailroom)


async def _write(call: Callable[[], Awaitable[_Written]], otherwise: _Written) -> _Written:
    """Write down something in the store; `otherwise` where it is full: what waits is still sent, which empties it."""

    async def ask() -> _Written:
        try:
            return await call()
        except StoreFull:
            return otherwise

    return await store_outage.retry_until_answered(ask)


def _is_in_time(event: Event, mark: EchoMark) -> bool:
    """Say whether an event came after a write, and within its time."""
    return from_epoch(mark.since - CLOCKS_APART) <= event.received_at <= from_epoch(mark.until)


def _fits(mark: EchoMark, carried: Mapping[str, Any]) -> tuple[bool, bool]:
    """Say whether an event carries no other value than was written, and whether it tells more than whom it is about."""
    both = [name for name in mark.fields if name in carried]
    fits = all(mark.fields[name] in carried[name] for name in both)
    return fits, not set(mark.names).issuperset(both)
