"""An act on many things while it is carried out: how far it is, how each ended, and how it is stopped.

Comes in: items, and what is done to each. Goes out: progress to look at. One console's: it ends with the process, and
what was not reached by then is untouched. The intent is its name: the same form sent twice is one act.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from console.web.piles import PileItem
from mailroom import StoreUnavailable

log = logging.getLogger("relais.console")

#: Works that are remembered; the oldest goes first.
MOST = 200
#: Items of which it is said by name that nothing was done about them.
NAMED = 100
#: Times that an item is asked for that is being routed just now, and seconds between.
BUSY_TRIES, BUSY_AGAIN = 10, 0.5
#: Seconds before a store that is away is asked again.
AWAY_AGAIN = 1.0

Do = Callable[[PileItem], Awaitable[str]]


@dataclass
class ActWork:
    """One act."""

    intent: str
    #: Name of the act, who decided, and why.
    act: str
    by: str
    reason: str
    items: Sequence[PileItem] = field(repr=False)
    #: Items a second; 0: as fast as can be.
    rate: float = 0.0
    begun: int = field(default_factory=lambda: int(time.time() * 1000))
    done: int = 0
    #: How they ended: word -> number.
    words: Counter[str] = field(default_factory=Counter)
    #: Nothing was done about these: item, word.
    left: list[tuple[PileItem, str]] = field(default_factory=list)
    state: str = "running"

    @property
    def total(self) -> int:
        """How many it is about."""
        return len(self.items)

    async def carry_out(self, do: Do) -> None:
        """Do it, item by item, until it is stopped."""
        started = time.monotonic()
        for n, item in enumerate(self.items):
            if self.rate:
                await asyncio.sleep(max(0.0, started + n / self.rate - time.monotonic()))
            if self.state == "stopped":
                return
            word = await self._do_one(do, item)
            self.done += 1
            self.words[word] += 1
            if word != "done" and len(self.left) < NAMED:
                self.left.append((item, word))
        self.state = "done"

    async def _do_one(self, do: Do, item: PileItem) -> str:
        tries = 0
        while self.state != "stopped":
            try:
                word = await do(item)
            except StoreUnavailable:
                await asyncio.sleep(AWAY_AGAIN)
                continue
            tries += 1
            if word != "busy" or tries == BUSY_TRIES:
                return word
            await asyncio.sleep(BUSY_AGAIN)
        return "stopped"


class Works:
    """The acts of one console."""

    def __init__(self) -> None:
        self._works: dict[str, ActWork] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, intent: str) -> ActWork | None:
        """Return one by its intent."""
        return self._works.get(intent)

    def list(self) -> list[ActWork]:
        """Return them, newest first."""
        return list(reversed(self._works.values()))

    def begin(self, work: ActWork, do: Do) -> asyncio.Task[None]:
        """Begin one; it goes on whoever looks."""
        while len(self._works) >= MOST:
            del self._works[next(iter(self._works))]
        self._works[work.intent] = work
        task = asyncio.create_task(self._carry_out(work, do))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_out(self, work: ActWork, do: Do) -> None:
        try:
            await work.carry_out(do)
        except Exception:
            work.state = "stopped"
            log.exception("act.failed intent=%s act=%s", work.intent, work.act)
