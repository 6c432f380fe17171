"""Events that came in, read back from the store with their payloads, for preview and explain.

Comes in: a span of time or an event's id. Goes out: Events as the workers would see them, and how many payloads are
gone. Asks the store itself, since the console shows no values of a person. Never writes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from console import catalogue, settings
from console.checks import doctor
from console.errors import SAID_NO, UserError
from mailroom import Mailroom, StoreUnavailable, history
from receiver import sources
from rules import event as events
from rules.compiler import loader
from rules.event import Event
from rules.rulebook import Rulebook

Answer = TypeVar("Answer")

#: Events that one preview reads at the most: some 100 MB of ordinary webhooks, and a minute or two.
MOST_EVENTS = 100_000


@dataclass
class RecordedEvents:
    """What the store still knows of the events of a span."""

    events: list[Event] = field(default_factory=list)
    #: Events whose payload is erased, because they were settled; those that cannot be read, or not by their model.
    gone: int = 0
    unreadable: int = 0
    #: Whether there were more than a preview takes.
    cut: bool = False


def since(milliseconds: int) -> RecordedEvents:
    """Return the events of the last so many milliseconds. Raises UserError."""
    found = RecordedEvents()

    async def read(mailroom: Mailroom) -> None:
        start = datetime.now(UTC) - timedelta(milliseconds=milliseconds)
        async with contextlib.aclosing(history.since(mailroom, start)) as reading:
            async for name, record in reading:
                if len(found.events) == MOST_EVENTS:
                    found.cut = True
                    break
                _add(found, name, record)

    asyncio.run(_with_store(read))
    return found


def book_in_force() -> Rulebook:
    """Return the book that the workers act by. Raises UserError."""
    return asyncio.run(_with_store(_in_force))


def one(name: str) -> Event:
    """Return an event. Raises UserError where its payload is gone or the store away."""
    found = RecordedEvents()

    async def read(mailroom: Mailroom) -> None:
        _add(found, name, await mailroom.record(name))

    asyncio.run(_with_store(read))
    if found.gone:
        raise UserError(
            "its payload is erased, as it is once an event is settled",
            mend="take a recorded body, or keep those to come: retain: at their source",
            status=SAID_NO,
        )
    if found.unreadable:
        raise UserError(
            "its payload cannot be read: it is in quarantine, or its source has changed",
            mend=f"see which: relais events show {name}",
            status=SAID_NO,
        )
    return found.events[0]


def _add(found: RecordedEvents, name: str, record: bytes | None) -> None:
    if record is None:
        found.gone += 1
        return
    try:
        found.events.append(events.decode(name, record, sources.read))
    except Exception:  # whatever an adapter says of a body that it does not understand any more
        found.unreadable += 1


async def _in_force(mailroom: Mailroom) -> Rulebook:
    files = await mailroom.kept_book()
    if files is None:
        raise UserError("no book is in force yet", mend="say which to compare with: --book FOLDER", status=SAID_NO)
    checked = await asyncio.to_thread(loader.check_texts, files, catalogue.build())
    if checked.book is None:
        raise UserError(
            f"this program cannot read the book in force: {checked.errors[0]}",
            mend="say which to compare with: --book FOLDER",
        )
    return checked.book


async def _with_store(read: Callable[[Mailroom], Awaitable[Answer]]) -> Answer:
    found = settings.load(doctor.DoctorSettings)
    async with Mailroom.connect(found.url) as mailroom:
        try:
            return await read(mailroom)
        except StoreUnavailable as exc:
            raise UserError(
                f"{exc}, so no recorded events can be read",
                mend="run this where `relais up` runs, or set REDIS_URL as the workers have it",
            ) from exc
