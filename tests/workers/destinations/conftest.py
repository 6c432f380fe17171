"""A sandbox for the destinations, and one short way to deliver to any address."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rules.secret import Secret
from sandbox import faults, server
from sandbox.server import Running
from tests.conftest import GENEROUS
from workers.destinations import DESTINATIONS
from workers.destinations.base import Attempt
from workers.http import Http
from workers.outcome import Done, Failed


class InMemory:
    """The memory of a destination; days are written down and never pass."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        #: Key -> for how many days it was remembered last.
        self.days: dict[str, int] = {}

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


class Desk:
    """One destination of the book, as a test uses it."""

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.kind = DESTINATIONS[kind].kind
        self.options = self.kind.options.model_validate(options)
        self.memory = InMemory()
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
                delivery = Attempt(id, doubtful=doubtful or attempt > 1, attempt=attempt)
                done: Done = await self.client.deliver(action, validated, delivery)
                return done

        return asyncio.run(main())

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
