"""Where workers are tested: a store, a book, a far side, and a drain that runs in the test's own loop.

Comes in: rules as text, events. Goes out: fates. When work ends, nothing may be left: no lease, no beat, nothing in the
drain's own books.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from console import catalogue
from mailroom import Fate, Mailroom
from receiver import sources
from rules.compiler import loader
from rules.event import Event
from rules.event_types.base import rfc3339
from tests.conftest import wait_until_async
from tests.fake_destination import FakeDestination
from workers.context import WorkerContext
from workers.drain.loop import Drain
from workers.drain.summary import Summary
from workers.settings import WorkSettings

HEAD = """\
sources:
  shop:
    kind: generic
    verify:
      none: only a test posts here
    retain: {retain}
    api: desk
    read:
      type: body.event
destinations:
  crm:
    kind: rest
    base: {url}
    allow_private: true
    concurrency: {concurrency}
    timeout: {timeout}
    {more}
  desk:
    kind: seminardesk
    base: {url}
    api_key: ${{DESK_KEY}}
    allow_private: true
    timeout: {timeout}
    {desk}
  other:
    kind: rest
    base: {url}
    allow_private: true
    contacts:
      path: /others
    {other}
alerts:
  webhook: ${{ALERT_URL}}
{alerts}rules:
"""

#: One contact for each event.
UPSERT = """\
  - name: keep the contact
    when:
      source: shop
      type: person.changed
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
          last_name: "{{ data.name }}"
"""

#: One note for each event: an effect of its own, so that what is sent twice is seen.
NOTE = """\
  - name: keep a note
    when:
      source: shop
      type: person.changed
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: "{{ data.name }}"
"""


#: One note for each event, with what is looked up when it is due.
LATE_NOTE = """\
  - name: keep a late note
    when:
      source: shop
      type: person.changed
    look_up:
      booker:
        api.person:
          id: "{{ data.person }}"
        at: delivery
    delay: 1s
    then:
      - crm.add_note:
          email: "{{ data.email }}"
          text: "{{ data.name }} {{ booker.first_name }}"
        only_if:
          booker.first_name: {not: nobody}
"""

#: An option for the last rule.
HOLD = "    hold: until business hours\n"


def hours(*, open_now: bool) -> str:
    """Return business hours: at any time but today and the days around it (it may be midnight), or at any time."""
    today = datetime.now(UTC).date()
    free = [str(today + timedelta(days=n)) for n in (-1, 0, 1)] if not open_now else []
    return f"business_hours:\n  days: mon-sun\n  hours: 00:00-24:00\n  zone: UTC\n  free: {json.dumps(free)}\n"


def event(id: str, who: str = "eva", *, type: str = "person.changed", source: str = "shop", **more: Any) -> Event:
    """Return an event about a person at example.org; its `name` is the event's id."""
    email = f"{who}@example.org"
    body = {"event": type, "email": email, "name": id, **more}
    return Event(
        id=id,
        source=source,
        kind="generic",
        type=type,
        received_at=rfc3339(datetime.now(UTC)),
        body=json.dumps(body).encode(),
        order_key=f"email:{email}",
        sender_id=id,
    )


def write_book(folder: Path, url: str, rules: str = UPSERT, **more: Any) -> None:
    """Write the book, as an editor does: whole, under another name, then moved."""
    given = {"retain": 0, "concurrency": 50, "timeout": "2", "more": "", "desk": "", "other": "", "alerts": ""}
    text = HEAD.format(url=url, **(given | more)) + rules
    folder.mkdir(exist_ok=True)
    (folder / ".new").write_text(text, encoding="utf-8")
    (folder / ".new").replace(folder / "book.yaml")


class WorkerFixture:
    """Everything around a drain."""

    def __init__(self, url: str, folder: Path, far: FakeDestination, mailroom: Mailroom) -> None:
        self.url = url
        self.book = folder / "book"
        self.far = far
        self.mailroom = mailroom
        self.context: WorkerContext
        self.drain: Drain
        self.running: asyncio.Task[Summary]

    def write(self, rules: str = UPSERT, **more: Any) -> None:
        """Write the book."""
        write_book(self.book, self.far.url, rules, **more)

    async def rewrite(self, rules: str = UPSERT, **more: Any) -> None:
        """Write another book, and approve it: whatever it loses, it counts when it has stood still."""
        self.write(rules, **more)
        await self.approve()

    async def approve(self) -> None:
        """Approve the book as it lies on disk."""
        await self.mailroom.approve_book(loader.fingerprint(self.book))

    def settings(self, **more: Any) -> WorkSettings:
        return WorkSettings(**{"REDIS_URL": self.url, "book": self.book, "stop_seconds": 3.0, **more})

    @contextlib.asynccontextmanager
    async def work(self, *, budget: float = 60, clean: bool = True, **settings: Any) -> AsyncIterator[Drain]:
        """Let a drain work; afterwards nothing may be left of it."""
        async with WorkerContext(self.settings(**settings), catalogue.build(), sources.read) as self.context:
            self.drain = Drain(self.context, "w1.1", budget=budget)
            self.running = asyncio.create_task(self.drain.run())
            try:
                await self.until(lambda: self.context.books.version != "none" or self.context.books.problems, "a book")
                assert not self.context.books.problems
                yield self.drain
            finally:
                self.context.stop()
                await asyncio.wait_for(self.running, 60)
            if clean:
                await self.assert_clean()

    async def assert_clean(self) -> None:
        """Nothing is leased, no drain is known, and the drain's own books are empty."""
        assert [room.name for room in await self.mailroom.rooms() if room.leased] == []
        assert await self.mailroom.beats() == {}
        assert self.drain.clock.buried or self.books() == (0, 0, 0, 0)

    def books(self) -> tuple[int, int, int, int]:
        """Return how much the drain remembers; nothing when it has nothing to do."""
        drain = self.drain
        return len(drain._tasks), len(drain.leases), len(drain.outbox.fresh), len(drain.outbox.waiting)

    async def put(self, *events: Event) -> None:
        await self.mailroom.put(events)

    async def fate(self, id: str) -> Fate:
        found = await self.mailroom.fate(id)
        assert found is not None
        return found

    async def ended(self, *ids: str, seconds: float = 30) -> list[Fate]:
        """Wait until these events are settled; return their fates."""

        async def all_settled() -> bool:
            return all(fate is not None and fate.settled for fate in await self.mailroom.fates(ids))

        await wait_until_async(all_settled, f"settled: {', '.join(ids[:5])}", seconds)
        return [fate for fate in await self.mailroom.fates(ids) if fate is not None]

    async def idle(self, seconds: float = 30) -> None:
        """Wait until nothing waits anywhere."""

        async def is_empty() -> bool:
            return not any(r.ready + r.leased + r.waiting + r.suspect for r in await self.mailroom.rooms())

        async def is_idle() -> bool:
            # Twice: what moves on to a room that did not exist a moment ago is in none that the first look knew.
            return await is_empty() and await is_empty()

        await wait_until_async(is_idle, "nothing waits", seconds)

    async def until_true(self, ask: Callable[[], Awaitable[bool]], description: str, seconds: float = 30) -> None:
        """Wait for a fact that has to be asked for."""
        await wait_until_async(ask, description, seconds)

    async def until(self, fact: Any, description: str, seconds: float = 30) -> None:
        """Wait for a plain fact without stopping the loop."""

        async def ask() -> bool:
            return bool(fact())

        await wait_until_async(ask, description, seconds)


def names(seen: Sequence[Any]) -> list[str]:
    """Return the `name` that events wrote, in the order of arrival."""
    return [each.body.get("last_name") or each.body.get("text") for each in seen if each.body]
