"""What the store said last: asked once for all who look within a second, and shown with its age while it is away.

Comes in: a question to the store, under a name. Goes out: its answer, or the last one there was. Never asks again
within two seconds a store that did not answer.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import Request

from mailroom import StoreUnavailable
from rules.rulebook import Rulebook

#: Seconds for which an answer counts as new, and in which a store that was away is left alone.
FRESH, LEFT_ALONE = 1.0, 2.0

T = TypeVar("T")


class Snapshots:
    """The last answers of one store, in one console."""

    def __init__(self) -> None:
        #: Name -> when it was asked (monotonic, wall clock in ms), and the answer.
        self._kept: dict[str, tuple[float, int, Any]] = {}
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failed = -LEFT_ALONE

    async def ask(self, request: Request, name: str, question: Callable[[], Awaitable[T]]) -> T:
        """Return an answer; one that is old is said on the page (`stale`). Raises StoreUnavailable where there is none.

        `name`: stands for one question, whoever asks; there are as many as there are kinds of page.
        """
        async with self._asking[name]:
            at, wall, answer = self._kept.get(name, (-FRESH, 0, None))
            if time.monotonic() - at >= FRESH:
                try:
                    answer = await self._ask_now(question, known=wall > 0)
                    self._kept[name] = (time.monotonic(), int(time.time() * 1000), answer)
                except StoreUnavailable:
                    if not wall:
                        raise
                    state = request.scope["state"]
                    state["stale"] = min(wall, state.get("stale") or wall)
            found: T = answer
        return found

    async def _ask_now(self, question: Callable[[], Awaitable[T]], *, known: bool) -> T:
        if known and time.monotonic() - self._failed < LEFT_ALONE:
            raise StoreUnavailable("the store did not answer just now")
        try:
            return await question()
        except StoreUnavailable:
            self._failed = time.monotonic()
            raise

    def expire(self) -> None:
        """Ask anew next time: somebody has changed something."""
        self._kept = {name: (-FRESH, wall, answer) for name, (_, wall, answer) in self._kept.items()}


async def ask(request: Request, name: str, question: Callable[[], Awaitable[T]]) -> T:
    """Return an answer of the store, through the snapshots of this console."""
    kept: Snapshots = request.app.state.snapshots
    return await kept.ask(request, name, question)


async def find_book(request: Request) -> Rulebook | None:
    """Return the book in force, as far as the store said which one."""
    found: Rulebook | None = await ask(request, "book", request.app.state.book_in_force.get)
    return found
