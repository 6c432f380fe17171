"""A sandbox for the destinations, and one short way to deliver to any address."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from rules.secret import Secret
from sandbox import faults, server
from sandbox.server import Running
from tests.conftest import GENEROUS
from workers.destinations import DESTINATIONS
from workers.destinations.base import Attempt, LeaseGivenBack
from workers.http import Http
from workers.outcome import Done, Failed


class InMemory:
    """The memory of a destination; days are written down and never pass, an id is as old as a test makes it."""

    def __init__(self) -> None:
        #: Marks by their keys, and ids by the names of their objects.
        self.values: dict[str, str] = {}
        #: Key -> for how many days it was remembered last.
        self.days: dict[str, int] = {}
        #: Seconds since objects were seen with their names. What is learned is new.
        self.ages: dict[str, int] = {}
        #: What was learned: names, kind, id, and the names that are gone.
        self.learned: list[tuple[list[str], str, str, list[str]]] = []

    async def get(self, key: str) -> str | None:
        """Return what was remembered."""
        return self.values.get(key)

    async def set(self, key: str, value: str, days: int) -> None:
        """Remember; an empty value forgets."""
        assert days > 0
        self.days[key] = days
        if value:
            self.values[key] = value
        else:
            self.values.pop(key, None)

    async def ids(self, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return the ids that are known, and how old that is."""
        return {name: (self.values[name], self.ages.get(name, 0)) for name in names if name in self.values}

    async def learn(self, names: Sequence[str], kind: str, id: str, *, gone: Sequence[str] = ()) -> None:
        """Remember the names of an object."""
        self.learned.append((list(names), kind, id, list(gone)))
        for name in names:
            self.values[name] = id
            self.ages.pop(name, None)
        for name in gone:
            if self.values.get(name) == id:
                del self.values[name]

    async def forget_names(self, names: Sequence[str]) -> None:
        """Forget the objects that have one of these names."""
        ids = {self.values[name] for name in names if name in self.values}
        self.values = {key: value for key, value in self.values.items() if value not in ids or ":" not in key}

    def age(self, seconds: int) -> None:
        """Let time pass for all names."""
        self.ages = dict.fromkeys(self.values, seconds)


class Desk:
    """One destination of the book, as a test uses it."""

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.kind = DESTINATIONS[kind].kind
        self.options = self.kind.options.model_validate(options)
        self.memory = InMemory()
        #: What was said of the objects that were found: names, kind and id.
        self.met: list[tuple[list[str], str, str]] = []
        #: True: others come first, and the lease is given back.
        self.gives_way = False
        #: The latest client, to look for leaks.
        self.client: Any = None

    def deliver(
        self,
        action: str,
        arguments: Mapping[str, Any],
        *,
        id: str = "d1",
        doubtful: bool = False,
        attempt: int = 1,
        timeout: float = GENEROUS,
    ) -> Done:
        """Deliver once, in a process of its own as it were: only the memory stays."""
        validated = self.kind.actions[action].arguments.model_validate(arguments)

        async def main() -> Done:
            async with Http() as http:
                bound = http.bind(timeout=timeout, allow_private=True)
                self.client = DESTINATIONS[self.kind.name].client("it", self.options, reveal, bound, self.memory)
                delivery = Attempt(id, doubtful=doubtful or attempt > 1, attempt=attempt, meeting=self._meet)
                done: Done = await self.client.deliver(action, validated, delivery)
                return done

        return asyncio.run(main())

    async def _meet(self, names: Sequence[str], kind: str, id: str) -> None:
        self.met.append((list(names), kind, id))
        if self.gives_way:
            raise LeaseGivenBack

    def fail(self, action: str, arguments: Mapping[str, Any], **more: Any) -> Failed:
        """Deliver what must fail."""
        with pytest.raises(Failed) as caught:
            self.deliver(action, arguments, **more)
        return caught.value


def reveal(secret: Secret) -> str:
    """Return a literal secret."""
    return secret.resolve({})


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """A sandbox for all tests of this process."""
    with server.in_thread() as one:
        yield one


@pytest.fixture
def sandbox(running: Running) -> Running:
    """The sandbox, empty."""
    running.world.reset()
    return running


def order(sandbox: Running, **fault: Any) -> None:
    """Tell the sandbox to fail at the next request that fits."""
    sandbox.world.faults.add(faults.read(fault, frozenset(sandbox.world.vendors)))
