"""The routes `/readyz` and `/healthz`: whether everything works that an event needs on its way, and what does not.

Comes in: the mailroom, what the watcher sees, the folders of book and spool. Goes out: one HealthCheck per need, with
its mend. Never mends anything.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis.exceptions
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api import quotas, rooms
from console.api.books import BookInForce
from console.api.watcher import MailroomWatcher
from console.checks import rights, schema, spool, store
from console.checks.store import HealthCheck, Strict
from console.render.tables import duration
from mailroom import Mailroom, RoomState, StoreUnavailable, errors
from mailroom.client import client
from mailroom.sentences import say, spell_out
from rules.catalogue import Catalogue
from rules.compiler import loader, reload
from rules.rulebook import Rulebook

#: Seconds after which the book is compiled anew: probes come often, and compiling thousands of rules takes a second.
BOOK_AGAIN = 2.0
#: Seconds that RQ's own store gets to answer: deliveries go on without it.
RQ_WITHIN = 1.0
#: Checks without which the store takes no event. The others say how long what it keeps lives, and how far it goes.
TO_KEEP = frozenset({"store", "persistence", "memory", "replicas", "rights"})


@dataclass(frozen=True)
class ReadinessReport:
    """All checks at one moment."""

    checks: tuple[HealthCheck, ...]
    #: Whether an event would be kept now: in the store, or in the spool of this host.
    taking: bool
    #: Destination -> why nothing is sent to it now; empty: it is served.
    destinations: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """True when an event can go all the way."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON; what is not ready comes first."""
        ordered = sorted(self.checks, key=lambda check: check.ok)
        return {
            "ready": self.ready,
            "taking": self.taking,
            "serving": {
                name: spell_out({"ok": False, "why": why}) if why else {"ok": True}
                for name, why in self.destinations.items()
            },
            "checks": [check.as_json() for check in ordered],
        }


class Readiness:
    """Runs the checks on demand."""

    def __init__(
        self,
        mailroom: Mailroom,
        watcher: MailroomWatcher,
        book: Path,
        catalogue: Catalogue,
        in_force: BookInForce,
        *,
        spool: str = "",
        strict: Strict = "",
        replicas: int = 0,
        rq_url: str = "",
    ) -> None:
        #: Folder of the spool of this host, empty: there is none.
        self.spool = spool
        self.strict: Strict = strict
        #: How many replicas must have each event.
        self.replicas = replicas
        #: Where RQ's queues are; empty: in the store.
        self.rq_url = rq_url
        self.mailroom = mailroom
        self.watcher = watcher
        self.book = book
        self.catalogue = catalogue
        self._in_force = in_force
        self._book_check: HealthCheck | None = None
        self._book_at = 0.0

    async def look(self) -> ReadinessReport:
        """Run all checks now."""
        kept = await self._store()
        taking = await self._keeps(kept) or await asyncio.to_thread(spool.takes, self.spool)
        drains = self._drains()
        states = await self._states()
        checks = (*kept, *await self._spool(), drains, await self._book(), *await self._stuck(states))
        served = {room.name: rooms.explain(room) or ("" if drains.ok else drains.says) for room in states or ()}
        return ReadinessReport(checks, taking, served)

    async def _keeps(self, checks: Sequence[HealthCheck]) -> bool:
        """Say whether the store would keep an event, whatever else is amiss."""
        amiss = {check.name for check in checks if not check.ok} & TO_KEEP
        if amiss != {"rights"}:
            return not amiss
        try:
            return await rights.may_keep(self.mailroom.store)
        except redis.exceptions.RedisError:
            return False

    async def _states(self) -> list[RoomState] | None:
        try:
            return await self.mailroom.rooms()
        except StoreUnavailable:
            return None

    async def _store(self) -> tuple[HealthCheck, ...]:
        try:
            found = await store.examine(self.mailroom.store, self.replicas)
        except redis.exceptions.RedisError as exc:
            return (store.away(errors.explained(exc)),)
        checks = found.checks
        if found.unfit is None:
            checks += (await self._rights(),)
        if found.meets(self.strict):
            return checks
        says = say("kept_too_little", kept=found.says, strict=self.strict)
        return tuple(HealthCheck("kept", False, says, found.mend) if c.name == "kept" else c for c in checks)

    async def _rights(self) -> HealthCheck:
        """Try what our processes do, with this process' user."""
        queues = client(self.rq_url, timeout=RQ_WITHIN) if self.rq_url else None
        try:
            return await rights.check(self.mailroom.store, queues)
        except redis.exceptions.RedisError as exc:
            return replace(rights.not_tried(exc), ok=not isinstance(exc, redis.exceptions.ResponseError), mend="")
        finally:
            if queues is not None:
                await queues.aclose()

    async def _spool(self) -> list[HealthCheck]:
        found = [await asyncio.to_thread(spool.check, self.spool)]
        if aside := await asyncio.to_thread(spool.aside, self.spool):
            found.append(replace(aside, ok=True))  # only these events wait for a person; all others go on
        return found

    async def _stuck(self, states: list[RoomState] | None) -> list[HealthCheck]:
        """Report what waits for a person, as checks that are ok: everything else goes on."""
        try:
            dead, spoken = await self.mailroom.dead_count(), await schema.check(self.mailroom)
        except StoreUnavailable:
            return []
        if states is None:
            return []
        found = [*spoken]
        if held := sum(room.held for room in states):
            since = duration(max(room.held_for for room in states))
            found.append(HealthCheck.of("held", True, "held_boxes", boxes=say("boxes", n=held), since=since))
        if dead:
            found.append(HealthCheck.of("dead", True, "dead", letters=say("dead_letters", n=dead)))
        for room in states:
            if room.unusable:
                found.append(HealthCheck.of(f"unusable {room.name}", True, "nothing_sent_unusable", room=room.name))
            if paused := rooms.read_pause(room):
                word = "down" if paused.by == "breaker" else "paused"
                told = HealthCheck.of(f"{word} {room.name}", True, "nothing_sent", room=room.name, why=paused.says)
                found.append(told)
            if room.quota is not None and (why := quotas.explain(room.quota)):
                found.append(HealthCheck.of(f"quota {room.name}", True, "quota_waits", room=room.name, why=why))
        return found

    def _drains(self) -> HealthCheck:
        live = self.watcher.drains
        if live:
            return HealthCheck.of("drains", True, "drains", n=live)
        return HealthCheck.of("drains", False, "no_drain")

    async def _book(self) -> HealthCheck:
        now = asyncio.get_running_loop().time()
        if self._book_check is None or now - self._book_at > BOOK_AGAIN:
            in_force = None
            with contextlib.suppress(StoreUnavailable):  # a check of its own says that the store is away
                in_force = await self._in_force.get()
            self._book_check = await asyncio.to_thread(self._read_book, in_force)
            self._book_at = now
        return self._book_check

    def _read_book(self, before: Rulebook | None) -> HealthCheck:
        checked = loader.check(self.book, self.catalogue)
        errors = [problem for problem in checked.problems if problem.severity == "error"]
        if errors or checked.book is None:
            first = str(errors[0]) if errors else say("no_book", folder=str(self.book))
            return HealthCheck.of("book", False, "book_wrong", errors=say("errors", n=len(errors)), first=first)
        waits = reload.judge(before, checked.book, approve_all=False) if before is not None else None
        if before is not None and waits is not None:
            return HealthCheck.of("book", True, "book_waits", version=before.version, waits=str(waits))
        rules = say("rules", n=len(checked.book.rules))
        return HealthCheck.of("book", True, "book", version=checked.book.version, rules=rules)


async def show_readiness(request: Request) -> Response:
    """Answer whether an event can go all the way now, and what is in its way."""
    report = await request.app.state.readiness.look()
    return JSONResponse(report.as_json(), 200 if report.ready else 503)


async def show_liveness(_: Request) -> Response:
    """Answer that this process lives."""
    return JSONResponse({"alive": True})


async def show_taking(request: Request) -> Response:
    """Answer whether an event would be kept now, whatever becomes of it later."""
    report = await request.app.state.readiness.look()
    return JSONResponse(report.as_json(), 200 if report.taking else 503)


ROUTES = (
    Route("/readyz", show_readiness),
    Route("/readyz/taking", show_taking),
    Route("/healthz", show_liveness),
)
