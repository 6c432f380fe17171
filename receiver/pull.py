"""Fetches events from the sources that can be asked, beside their webhooks: in `relais receive`, one process at a time.

Comes in: the book's sources whose kind says how to pull, the marks up to which each has come, back-fills that people
asked for. Goes out: batches to the intake, as webhooks bring them; a mark moves only when all before it is on disk.
Never asks a vendor without having spent a request of the key's quota, and never names a value of a person.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from mailroom import Mailroom, Spent, StoreUnavailable
from mailroom.pulls import PullBoard
from receiver import errors, intake
from receiver.intake import Intake
from receiver.rulebook import RulebookWatcher, SourceEntry
from receiver.sources.base import Batch, PullSettings, PullWindow, SourceItem
from receiver.vendor_api import ApiFailed, VendorAnswer, VendorApi
from rules.errors import SecretMissing
from rules.event import Event
from rules.quota import Quota
from rules.rulebook import Source

log = logging.getLogger("relais.receiver")

#: Seconds between two looks at what is due.
LOOK_EVERY = 1.0
#: Seconds that a request waits for its share of the quota without giving up what was begun.
WAIT_HERE = 20.0
#: Events that are kept with one call, and missing ones of which a comparison says what they are.
AT_ONCE, SHOWN = 100, 200
#: Seconds until a source is asked again that refused the key, or whose secret is missing.
MEND_WITHIN = 900.0
#: Codes of what only a person can mend.
FOR_PEOPLE = frozenset({"key_refused", "secret_missing", "not_found", "refused"})


class QuotaSpent(ApiFailed):
    """The key's quota has nothing left for this now."""

    def __init__(self, wait: float) -> None:
        super().__init__("quota", "the share of the day is used; it goes on by itself", wait=wait)


class BudgetedApi:
    """Sends requests after it has spent one of the key's quota for each."""

    def __init__(self, api: VendorApi, mailroom: Mailroom, key: str, settings: PullSettings, keep: int) -> None:
        self._api = api
        self._mailroom = mailroom
        self._key = key
        self._settings = settings
        self._keep = keep
        self.spent: Spent | None = None
        self.sent = 0

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], json: Any = None, allow_private: bool = False
    ) -> VendorAnswer:
        """Send a request. Raises QuotaSpent, ApiFailed, StoreUnavailable."""
        while (quota := self._settings.quota) is not None:
            name = " ".join(self._settings.key.names)
            self.spent = await self._mailroom.spend(self._key, quota, name=name, keep=self._keep, spread=True)
            if self.spent.granted:
                break
            if self.spent.wait > WAIT_HERE:
                raise QuotaSpent(self.spent.wait)
            await asyncio.sleep(self.spent.wait)
        self.sent += 1
        return await self._api.request(method, url, headers=headers, json=json, allow_private=allow_private)

    async def close(self) -> None:
        """Leave the connections open: they are the runner's."""


class PullRunner:
    """Pulls from all sources of the book that can be pulled from."""

    def __init__(self, book: RulebookWatcher, mailroom: Mailroom, taking: Intake, api: VendorApi) -> None:
        self._book = book
        self._mailroom = mailroom
        self._board = PullBoard(mailroom)
        self._intake = taking
        self._api = api
        self._name = f"receiver.{uuid4().hex}"
        self._under_way: dict[str, asyncio.Task[None]] = {}
        #: Whether the store has our functions, as far as this process knows.
        self._prepared = False

    async def run(self) -> None:
        """Pull what is due, until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                await self.look()
        finally:
            tasks = list(self._under_way.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._api.close()
            await self._mailroom.close()

    async def look(self) -> None:
        """Begin with what is due and nobody works on here."""
        able = {entry.source.name: entry for entry in self._book.entries if settings_of(entry) is not None}
        if not able:
            return
        try:
            if not self._prepared:
                await self._mailroom.prepare()
                self._prepared = True
            states, fills = await self._board.states(), await self._board.fills()
        except (StoreUnavailable, TimeoutError):
            return
        now = _now()
        for name, entry in able.items():
            settings = settings_of(entry)
            is_due = settings is not None and _is_due(settings, states.get(name, {}), now)
            due = is_due or _goes_on(fills.get(name), now)
            if due and (name not in self._under_way or self._under_way[name].done()):
                self._under_way[name] = asyncio.create_task(self._pull_alone(entry), name=f"pull {name}")

    async def _pull_alone(self, entry: SourceEntry) -> None:
        """Pull what is due from a source, if no other process does."""
        name = entry.source.name
        try:
            if await self._board.hold(name, self._name):
                try:
                    await self.pull(entry)
                finally:
                    await self._board.release(name, self._name)
        except (StoreUnavailable, TimeoutError):
            pass  # the mark stands where it stood
        except Exception:
            log.exception("pull.bug source=%s", name)

    async def pull(self, entry: SourceEntry) -> None:
        """Pull what is due from a source: what is new, then a step of its back-fill. Raises StoreUnavailable."""
        settings = settings_of(entry)
        if settings is None:
            return
        name = entry.source.name
        state = dict((await self._board.states()).get(name, {}))
        if _is_due(settings, state, _now()):
            await self._pull_new(entry, settings, state)
        fill = (await self._board.fills()).get(name)
        if fill is not None and _goes_on(fill, _now()):
            await self._fill(entry, settings, state, dict(fill))

    async def _pull_new(self, entry: SourceEntry, settings: PullSettings, state: dict[str, Any]) -> None:
        """Ask for what came since the mark of each stream, and move the marks."""
        now = _now()
        marks: dict[str, int] = state.setdefault("marks", {})
        state.update(at=now, next=now + (settings.every or 0), code="", why="")
        requests = fetched = new = 0
        for stream in settings.streams:
            mark = marks.get(stream, now - settings.first)
            until = min(now, mark + settings.step)
            reserve = settings.quota.reserve if settings.quota else 0
            try:
                api, items = await self._step(entry, settings, stream, mark - settings.overlap, until, reserve, state)
                fresh = await self.keep(items, entry.source)
            except (ApiFailed, errors.RequestRefused, SecretMissing) as exc:
                self._failed(entry.source.name, stream, state, exc, now)
                continue
            marks[stream] = until
            requests, fetched, new = requests + api.sent, fetched + len(items), new + fresh
            if until < now:
                state["next"] = now  # it is behind: go on at once
        state.update(requests=requests, fetched=fetched, new=new)
        await self._board.say(entry.source.name, state)
        log.info("pull.done source=%s fetched=%d new=%d code=%s", entry.source.name, fetched, new, state["code"])

    async def _fill(
        self, entry: SourceEntry, settings: PullSettings, state: dict[str, Any], fill: dict[str, Any]
    ) -> None:
        """Do one step of a back-fill, oldest first; what is new goes before it, also in the quota.

        A dry one keeps nothing: it says what is missing.
        """
        now = _now()
        marks: dict[str, int] = fill["marks"]
        open_streams = [each for each in settings.streams if marks.get(each, fill["since"]) < fill["until"]]
        stream = min(open_streams, key=lambda each: marks.get(each, fill["since"]), default=None)
        if stream is None:
            fill["ended"] = now
            await self._board.say_fill(entry.source.name, fill)
            return
        since = marks.get(stream, fill["since"])
        until = min(fill["until"], since + settings.step)
        fill.setdefault("began", now)
        fill.update(code="", why="")
        await self._board.say_fill(entry.source.name, fill)
        keep = _left_for_new(settings, state, now)
        try:
            api, items = await self._step(entry, settings, stream, since, until, keep, state, fill)
            if fill.get("dry"):
                missing = await self.find_missing(items, entry.source)
                fresh = len(missing)
                fill["missing"] = [*fill.get("missing", ()), *map(_describe_missing, missing)][:SHOWN]
            else:
                fresh = await self.keep(items, entry.source)
        except (ApiFailed, errors.RequestRefused, SecretMissing) as exc:
            self._failed(entry.source.name, stream, fill, exc, now)
        else:
            marks[stream] = until
            fill.update(
                next=now,
                requests=fill.get("requests", 0) + api.sent,
                fetched=fill.get("fetched", 0) + len(items),
                new=fill.get("new", 0) + fresh,
            )
            if all(marks.get(each, fill["since"]) >= fill["until"] for each in settings.streams):
                fill["ended"] = _now()
        await self._board.say_fill(entry.source.name, fill)
        await self._board.say(entry.source.name, state)

    async def _step(
        self,
        entry: SourceEntry,
        settings: PullSettings,
        stream: str,
        since: int,
        until: int,
        keep: int,
        state: dict[str, Any],
        fill: dict[str, Any] | None = None,
    ) -> tuple[BudgetedApi, list[SourceItem]]:
        """Fetch what happened in a window; a fill says meanwhile how many pages have come."""
        key = self._book.resolve(settings.key)
        api = BudgetedApi(self._api, self._mailroom, key, settings, keep)
        window = PullWindow(stream, _moment(since), _moment(until), key)
        items: list[SourceItem] = []
        try:
            async for batch in self._pages(entry, window, api):
                items += batch.items
                if fill is not None:
                    fill["pages"] = fill.get("pages", 0) + 1
                    await self._board.say_fill(entry.source.name, fill)
        finally:
            if api.spent is not None and settings.quota is not None:
                state["quota"] = _describe(api.spent, settings.quota)
        return api, items

    async def _pages(self, entry: SourceEntry, window: PullWindow, api: BudgetedApi) -> AsyncIterator[Batch]:
        async for batch in entry.adapter.pull(entry.source.options, window, api):
            # Who was away for longer than the lock lives goes on nevertheless: what is kept twice is recognised.
            await self._board.hold(entry.source.name, self._name)
            yield batch

    async def keep(self, items: Sequence[SourceItem], source: Source) -> int:
        """Keep what has not come before, in the order in which it happened; return how many that were.

        Raises RequestRefused, StoreUnavailable.
        """
        source = dataclasses.replace(source, on_invalid="keep")
        fresh = await self.find_missing(items, source)
        for at in range(0, len(fresh), AT_ONCE):
            await self._intake.keep(Batch(fresh[at : at + AT_ONCE]), source)
        return len(fresh)

    async def find_missing(self, items: Sequence[SourceItem], source: Source) -> list[SourceItem]:
        """Return what has not come before, whether by webhook or by pull, in the order in which it happened.

        That is what the ledger of the last 31 days knows by its id, and what tells nothing new of its object: two items
        may tell one thing, then it is the first. Raises StoreUnavailable.
        """
        received_at = intake.format_now()
        by_id: dict[str, tuple[SourceItem, Event]] = {}
        for item in sorted(items, key=lambda item: item.time or ""):
            item.fetched = True
            if item.type is not None:
                event = intake.build_event(item, source, received_at)
                by_id.setdefault(event.id, (item, event))
        before = await self._mailroom.met([event for _, event in by_id.values()])
        return [item for id, (item, _) in by_id.items() if id not in before]

    def _failed(
        self,
        source: str,
        stream: str,
        state: dict[str, Any],
        exc: ApiFailed | errors.RequestRefused | SecretMissing,
        now: int,
    ) -> None:
        """Write into a state why it did not get on, and when it is tried again."""
        code, why, wait = "secret_missing", str(exc), 0.0
        if isinstance(exc, ApiFailed):
            code, why, wait = exc.code, exc.hint, exc.wait
        elif isinstance(exc, errors.RequestRefused):
            code, why = exc.code, exc.hint
        if code in FOR_PEOPLE:
            wait = max(wait, MEND_WITHIN)
        if not state.get("code"):
            state.update(code=code, why=f"{stream}: {why}")
        state["next"] = max(state.get("next", 0), now + int(max(wait, 30) * 1000))
        (log.info if code == "quota" else log.warning)("pull.failed source=%s stream=%s code=%s", source, stream, code)


def settings_of(entry: SourceEntry) -> PullSettings | None:
    """Return how a source is pulled from; None where it is not."""
    return entry.adapter.pull_settings(entry.source.options)


def _goes_on(fill: Mapping[str, Any] | None, now: int) -> bool:
    return fill is not None and not fill.get("ended") and not fill.get("stopped") and now >= fill.get("next", 0)


def _is_due(settings: PullSettings, state: Mapping[str, Any], now: int) -> bool:
    return settings.every is not None and now >= int(state.get("next", 0))


def _left_for_new(settings: PullSettings, state: Mapping[str, Any], now: int) -> int:
    """Return how many requests of the quota a back-fill leaves to what is new, and to the reserve."""
    if settings.quota is None:
        return 0
    _, ends = settings.quota.page(now)
    rounds = (ends - now) // settings.every if settings.every else 0
    for_new = rounds * max(state.get("requests", 0), len(settings.streams))
    return int(min(settings.quota.reserve + for_new, settings.quota.number - 1))


def _describe(spent: Spent, quota: Quota) -> dict[str, Any]:
    return {"used": spent.used, "limit": spent.limit, "reserve": quota.reserve, "ends": spent.ends}


def _describe_missing(item: SourceItem) -> dict[str, Any]:
    """Return what is missing, without a value of a person."""
    return {"type": item.type, "subject": item.subject, "time": item.time}


def _now() -> int:
    return time.time_ns() // 1_000_000


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
