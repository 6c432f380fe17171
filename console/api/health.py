"""Whether everything is there that an event needs on its way, and in words what is not.

Comes in: the mailroom, what the watch sees, the folders of book and spool. Goes out: one Check per need. Never mends
anything.
"""

import asyncio
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import redis.exceptions

from console.api import standstill
from console.api.watcher import Watch
from console.checks import spool, store
from console.checks.store import StoreCheck, Strict
from console.render.tables import duration
from mailroom import Mailroom, StoreUnavailable
from rules.catalogue import Catalogue
from rules.compiler import loader

#: Seconds that a verdict on the book holds: health checks come often, compiling thousands of rules takes a second.
BOOK_AGAIN = 2.0


@dataclass(frozen=True)
class ReadinessReport:
    """All needs at one moment."""

    checks: tuple[StoreCheck, ...]

    @property
    def ready(self) -> bool:
        """True when an event can go all the way."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON; what is not ready comes first."""
        ordered = sorted(self.checks, key=lambda check: check.ok)
        return {"ready": self.ready, "checks": [{k: v for k, v in asdict(c).items() if v != ""} for c in ordered]}


class Readiness:
    """Looks at everything on demand."""

    def __init__(
        self,
        mailroom: Mailroom,
        watch: Watch,
        book: Path,
        catalogue: Catalogue,
        *,
        spool: str = "",
        strict: Strict = "",
        replicas: int = 0,
    ) -> None:
        #: Folder of the spool of this host, empty: there is none.
        self.spool = spool
        self.strict: Strict = strict
        #: How many replicas must have each event.
        self.replicas = replicas
        self.mailroom = mailroom
        self.watch = watch
        self.book = book
        self.catalogue = catalogue
        self._book_check: StoreCheck | None = None
        self._book_at = 0.0

    async def look(self) -> ReadinessReport:
        """Return the verdict of this moment."""
        return ReadinessReport(
            (*await self._store(), *await self._spool(), self._drains(), await self._book(), *await self._stuck())
        )

    async def _store(self) -> tuple[StoreCheck, ...]:
        try:
            found = await store.examine(self.mailroom.store, self.replicas)
        except redis.exceptions.RedisError as exc:
            return (
                StoreCheck(
                    "store", False, f"the store does not answer: {type(exc).__name__}", "start it, or mend REDIS_URL"
                ),
            )
        if found.meets(self.strict):
            return found.checks
        says = f"{found.says}; RELAIS_STRICT={self.strict} asks for more"
        return tuple(StoreCheck("kept", False, says, found.mend) if c.name == "kept" else c for c in found.checks)

    async def _spool(self) -> list[StoreCheck]:
        found = [await asyncio.to_thread(spool.check, self.spool)]
        if aside := await asyncio.to_thread(spool.aside, self.spool):
            found.append(replace(aside, ok=True))  # it waits for a person, and everything else goes on
        return found

    async def _stuck(self) -> list[StoreCheck]:
        """What waits for a person is a note: everything else goes on."""
        try:
            rooms = await self.mailroom.rooms()
            dead = await self.mailroom.dead_count()
        except StoreUnavailable:
            return []
        found = []
        if held := sum(room.held for room in rooms):
            oldest = duration(max(room.held_for for room in rooms))
            found.append(
                StoreCheck(
                    "held", True, f"{held} boxes are held for a person, the first for {oldest}", "relais boxes list"
                )
            )
        if dead:
            found.append(StoreCheck("dead", True, f"{dead} dead letters are kept for a person", "relais dead list"))
        for room in rooms:
            if room.unusable:
                says = f"nothing is sent to {room.name}: it cannot be served"
                found.append(StoreCheck(f"unusable {room.name}", True, says, "relais rooms list"))
            if paused := standstill.pause(room):
                word = "down" if paused.by == "breaker" else "paused"
                says = f"nothing is sent to {room.name}: it {paused.says}"
                found.append(StoreCheck(f"{word} {room.name}", True, says, "relais rooms list"))
        return found

    def _drains(self) -> StoreCheck:
        live = self.watch.drains
        if live:
            return StoreCheck("drains", True, f"{live} alive")
        return StoreCheck("drains", False, "no drain is alive, so events wait", "start workers: relais work")

    async def _book(self) -> StoreCheck:
        now = asyncio.get_running_loop().time()
        if self._book_check is None or now - self._book_at > BOOK_AGAIN:
            self._book_check = await asyncio.to_thread(self._read_book)
            self._book_at = now
        return self._book_check

    def _read_book(self) -> StoreCheck:
        checked = loader.check(self.book, self.catalogue)
        errors = [problem for problem in checked.problems if problem.severity == "error"]
        if errors or checked.book is None:
            first = str(errors[0]) if errors else f"there is no book at {self.book}"
            return StoreCheck(
                "book", False, f"{len(errors)} errors, the book before stays in force; {first}", "relais rules check"
            )
        return StoreCheck("book", True, f"version {checked.book.version}, {len(checked.book.rules)} rules")
