"""A house whose store is several: receiver, workers, stores and Sentinels, each where it is told to be.

Comes in: where everybody is, and how many replicas count. Goes out: Facts for the checker. The load goes on whatever
happens.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp

from tests.chaos.checker import RunFacts
from tests.chaos.processes import StormProcesses, free_port
from tests.hosts.stores import HostPlace, Keepers


class HostsStage(StormProcesses):
    """One run. Use it as a `with` block."""

    def __init__(
        self,
        replicas: int,
        *,
        stores: Sequence[HostPlace] = (),
        sentinels: Sequence[HostPlace] = (),
        places: Mapping[str, HostPlace] | None = None,
        settings: str = "",
        seed: int = 1,
        far: str = "127.0.0.1",
    ) -> None:
        super().__init__(environ={"RELAIS_REPLICAS": str(replicas)})
        stores = stores or [HostPlace("127.0.0.1", free_port()) for _ in range(2)]
        sentinels = sentinels or [HostPlace("127.0.0.1", free_port()) for _ in range(3)]
        self.keepers = Keepers(self.folder, stores, sentinels, settings)
        #: Where receiver and workers are.
        self.places = dict(places or {})
        self.far = far
        if "receive" in self.places:
            self.host, self.port = self.places["receive"].host, self.places["receive"].port
        self._random = random.Random(seed)

    @property
    def url(self) -> str:
        return self.keepers.url

    def start(self, name: str) -> None:
        """Start `receive` or `work` where it is."""
        self.within = self.places[name].within if name in self.places else ()
        super().start(name)

    async def open(self) -> None:
        """Start everything and wait until it works."""
        await asyncio.to_thread(self.keepers.start)
        self.start("receive")
        self.start("work")
        await self.until_up()

    def __exit__(self, *words: object) -> None:
        self.keepers.stop()
        super().__exit__(*words)

    @contextlib.asynccontextmanager
    async def load(self, *, keys: int, rate: float) -> AsyncIterator[None]:
        """Send at a rate while the block runs, of one person only after the last event was answered."""
        over = asyncio.Event()
        loading = asyncio.create_task(self._load(over, keys, rate))
        try:
            yield
        finally:
            over.set()
            await loading

    async def _load(self, over: asyncio.Event, keys: int, rate: float) -> None:
        busy: set[str] = set()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:
            sending: set[asyncio.Task[None]] = set()

            async def one(key: str) -> None:
                try:
                    await self.send(session, key)
                finally:
                    busy.discard(key)

            began, planned = time.monotonic(), 0
            while not over.is_set():
                while planned < (time.monotonic() - began) * rate:
                    planned += 1
                    key = f"p{self._random.randrange(keys)}@example.org"
                    if key not in busy:
                        busy.add(key)
                        task = asyncio.create_task(one(key))
                        sending.add(task)
                        task.add_done_callback(sending.discard)
                await asyncio.sleep(0.01)
            if sending:
                await asyncio.wait(sending)

    async def acknowledged(self, more: int, seconds: float = 120) -> float:
        """Wait until so many more events are acknowledged; return how many seconds it took. Raises TimeoutError."""
        began, goal = time.monotonic(), self.report.acknowledged + more
        while self.report.acknowledged < goal:
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"not {more} more acknowledged within {seconds:g} s\n{self.logs()}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def outcome(self, patience: float = 180) -> RunFacts:
        """Wait until nothing waits anywhere, and gather what came of it."""
        return await self.facts(await self.settle(patience))
