"""What stands around a router or a courier where a test needs no store: a context, an outbox that only collects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from mailroom import Lease, Settlement
from receiver import sources
from rules.rulebook import Rulebook
from workers.destinations.base import Attempt
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.plan import FreshDelivery
from workers.outcome import Done, Failed


class NoteArguments(BaseModel):
    """Arguments of the one action that the stub's destination has."""

    email: str
    text: str = ""


class ClientStub:
    """Answers as the test says: with the next of these, the last one again and again."""

    def __init__(self, *answers: Done | Exception) -> None:
        self.answers = list(answers) or [Done(status=200)]
        self.asked: list[tuple[str, Any, Attempt]] = []

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        self.asked.append((action, arguments, delivery))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class ContextStub:
    """A worker's context without a store."""

    def __init__(self, book: Rulebook | None = None, *, creates: bool = True, **clients: ClientStub) -> None:
        self.clients = clients
        self.unusable: dict[str, str] = {}
        self.read = sources.read
        self.creates = creates
        self.kinds: Mapping[str, type[BaseModel]] = {"add_note": NoteArguments}
        self.books = SimpleNamespace(current=book, by_version=self._by_version, shadow=None)
        self.told: list[tuple[str, str, str]] = []
        self.alerts = SimpleNamespace(tell=self._tell)
        self.failed: list[Any] = []
        self.cases = SimpleNamespace(note=self.failed.append)
        self.turns: list[str] = []
        #: Events by id, and (event, destination) whose `in_order` action died.
        self.records: dict[str, bytes] = {}
        self.died: set[tuple[str, str]] = set()
        self.mailroom = SimpleNamespace(
            record=self._record,
            died_in_order=self._died_in_order,
            remember_death_in_order=self._remember,
            hash=lambda name: f"#{name}",
            hash_sender_id=lambda id: f"#sender:{id}",
            list_who=lambda head: [f"#{head['key']}"] if "key" in head else [],
            meet=self._meet,
            rest=self._rest,
            newest=self._newest,
        )
        #: Rooms of leases that asked nobody.
        self.unsent: list[str] = []
        self.quotas = SimpleNamespace(note_unsent=self.unsent.append)
        #: What is newest of each type, and whose names were asked about.
        self.newest: dict[str, str] = {}
        self.asked_newest: list[tuple[str, ...]] = []
        #: Which destinations asked to be left alone, and for how long.
        self.rests: list[tuple[str, float]] = []
        #: What `meet` answers, and what it was asked.
        self.meets = "go"
        self.met: list[tuple[Any, ...]] = []

    async def _newest(self, names: Sequence[str], types: Sequence[str]) -> dict[str, str]:
        self.asked_newest.append((*names, *types))
        return {type: at for type, at in self.newest.items() if type in types}

    async def _meet(self, *about: Any) -> str:
        self.met.append(about)
        return self.meets

    async def _rest(self, room: str, seconds: float) -> None:
        self.rests.append((room, seconds))

    async def _by_version(self, version: str) -> Rulebook | None:
        book: Rulebook | None = self.books.current
        return book if book is not None and book.version == version else None

    async def _record(self, event: str) -> bytes | None:
        return self.records.get(event)

    async def _died_in_order(self, event: str, destination: str) -> bool:
        return (event, destination) in self.died

    async def _remember(self, event: str, destination: str) -> None:
        self.died.add((event, destination))

    def _tell(self, code: str, text: str, *, destination: str) -> None:
        self.told.append((code, text, destination))

    def kind(self, destination: str, action: str) -> Any:
        arguments = self.kinds.get(action)
        return None if arguments is None else SimpleNamespace(arguments=arguments, creates=self.creates)

    @contextlib.asynccontextmanager
    async def turn(self, destination: str) -> AsyncIterator[None]:
        self.turns.append(destination)
        yield


class OutboxStub:
    """Collects what is to be written."""

    def __init__(self) -> None:
        self.settled: list[Settlement] = []
        self.fresh: dict[str, FreshDelivery] = {}
        self.given_back: list[LeaseProgress] = []
        self.let_go_of: list[Lease] = []

    def settle_soon(self, settlement: Settlement, fresh: Mapping[str, FreshDelivery] | None = None) -> None:
        self.settled.append(settlement)
        self.fresh.update(fresh or {})

    def let_go(self, lease: Lease) -> None:
        self.let_go_of.append(lease)

    def give_back(self, progress: LeaseProgress) -> None:
        self.given_back.append(progress)


def clock() -> LeaseClock:
    """Return a clock by which everything may begin."""
    return LeaseClock(asyncio.Event(), budget=60, dead_after=45, longest_request=30)


def refused(code: str = "invalid") -> Failed:
    """Return a refusal for good."""
    return Failed("permanent", code, status=422, hint="it said no")
