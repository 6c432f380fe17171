"""Does what jobs order, at their rates: one task for each job that runs, in whichever console holds it.

Comes in: the board. Goes out: acts, and what came of them. Never begins a job that another console does: the store has
a lock for each, and what a console that died had not noted is done again, which changes nothing.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Self

from console.jobs.board import JobBoard
from console.jobs.desk import Act, JobDesk
from mailroom import Mailroom, StoreUnavailable
from mailroom.ledger import Decision

#: Items that are done before they are noted; a rate makes it fewer: those of a tenth of a second.
BATCH = 100
BEATS = 10
#: Seconds that a console holds a job without a word; then another one goes on with it.
HOLDS = 20
#: Seconds between two looks at what is there to do, and before a store that was away is asked again.
LOOK_AGAIN = 1.0
#: An item that a drain is routing just now (`busy`) is asked for this often, with so many seconds between.
BUSY_TRIES, BUSY_AGAIN = 10, 0.5

log = logging.getLogger("relais.console")


class JobRunner:
    """One for a whole console. Runs inside its `async with` block."""

    def __init__(self, mailroom: Mailroom, board: JobBoard, desk: JobDesk) -> None:
        self._mailroom = mailroom
        self._board = board
        self._desk = desk
        self._name = secrets.token_hex(8)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bell = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._watching, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ring(self) -> None:
        """Something is new on the board."""
        self._bell.set()

    async def _watch(self) -> None:
        while True:
            self._bell.clear()
            try:
                for id in await self._board.open():
                    if id not in self._tasks and await self._mailroom.hold(f"jobrun:{id}", self._name, HOLDS):
                        task = asyncio.create_task(self._run(id))
                        self._tasks[id] = task
                        task.add_done_callback(lambda _, id=id: self._tasks.pop(id, None))  # type: ignore[misc]
            except StoreUnavailable:
                pass  # It is asked again.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), LOOK_AGAIN)

    async def _run(self, id: str) -> None:
        try:
            await self._carry_out(id)
        except StoreUnavailable:
            log.info("job.waits id=%s why=store_away", id)
        except Exception:
            # It stays on the board, and is begun again: the log says what is wrong with us.
            log.exception("job.bug id=%s", id)
            await asyncio.sleep(HOLDS)
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._mailroom.release(f"jobrun:{id}", self._name)

    async def _carry_out(self, id: str) -> None:
        """Do a job until it has ended, somebody pauses or stops it, or another console has it."""
        job = await self._board.read(id)
        if job is None:
            await self._board.forget(id)
            return
        act = await self._desk.prepare(job.order, Decision(job.by, job.order.reason))
        if act is None:
            log.info("job.waits id=%s why=no_book", id)
            return
        begun, done, rate = time.monotonic(), 0, job.order.rate
        size = max(1, min(BATCH, int(rate / BEATS))) if rate else BATCH
        while job is not None and job.state == "running":
            items = await self._board.next(id, size)
            if not items:
                await self._board.finish(id)
                log.info("job.done id=%s", id)
                return
            left = begun + done / rate - time.monotonic() if rate else 0.0
            await asyncio.sleep(min(max(0.0, left), LOOK_AGAIN))
            if not await self._mailroom.hold(f"jobrun:{id}", self._name, HOLDS):
                return  # We were away for long, and another console has gone on.
            if left <= LOOK_AGAIN:
                results = await _act_on(act, items)
                await self._board.note(id, results, undoable=job.order.undoable)
                done += len(results)
            job = await self._board.read(id)


async def _act_on(act: Act, items: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return how items ended, as far as one got in a while."""
    begun, results = time.monotonic(), []
    for item in items:
        results.append((item, await _act_until_not_busy(act, item)))
        if time.monotonic() - begun > HOLDS / 3:
            break
    return results


async def _act_until_not_busy(act: Act, item: str) -> str:
    for _ in range(BUSY_TRIES - 1):
        word = await act(item)
        if word != "busy":
            return word
        await asyncio.sleep(BUSY_AGAIN)
    return await act(item)
