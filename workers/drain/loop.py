"""A drain: one run of a worker. It leases boxes, has events routed and deliveries sent, until its time is over.

Comes in: a WorkerContext. Goes out: a Summary. It is one asyncio loop: a slow destination occupies connections, not the
drain. Never holds state that a crash could lose: what it leased, the store knows.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from mailroom import CALL_TIMEOUT, INBOX, Lease, RoomRequest, StoreUnavailable, liveness
from mailroom.keys import BEAT, SCHEMA
from workers import store_outage
from workers.context import WorkerContext
from workers.drain.delivering import Courier
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.outbox import BEGUN_AT_ONCE, Outbox
from workers.drain.plan import FreshDelivery, PlanContext
from workers.drain.routing import Router
from workers.drain.summary import Summary
from workers.drain.suspects import SUSPECTS, SuspectTurns

log = logging.getLogger("relais.drain")

#: Boxes of the inbox in one take, and events of each: about what is routed in 10 ms.
INBOX_BOXES, INBOX_ITEMS = 128, 16
#: Boxes of one destination in one take.
ROOM_BOXES = 500
#: Seconds after which a call whose answer was lost can no longer reach the store.
LATE = 2 * CALL_TIMEOUT
#: Seconds of one blocking wait for the bell; shorter than the client's time-out.
LISTEN = 3.0
#: Seconds that an idle drain sleeps at the most; then it looks at the book again.
REST = 1.0
#: Seconds for giving back what was cancelled.
HANDING_BACK = 3.0


class Drain:
    """One run of a drain job."""

    def __init__(self, context: WorkerContext, name: str, *, budget: float) -> None:
        settings = context.settings
        self.context = context
        self.mailroom = context.mailroom
        self.name = name
        self.pool = settings.pool
        self.summary = Summary()
        self.clock = LeaseClock(
            context.stopping,
            budget=budget,
            dead_after=settings.dead_after,
            longest_request=settings.longest_request,
        )
        #: What the drain holds, by identity.
        self.leases: dict[int, Lease] = {}
        self._tasks: dict[asyncio.Task[None], LeaseProgress] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.outbox = Outbox(
            context,
            name,
            self.clock,
            self.summary,
            leases=self.leases,
            dispatch=self._dispatch,
            goes_on=self._goes_on,
            wake=self._wake,
        )
        plan_context = PlanContext(self.mailroom.hash, context.serves, self._free_for_new)
        self.courier = Courier(context, self.clock, self.outbox, self.summary, plan_context)
        self.router = Router(context, self.clock, self.outbox, self.courier, self.summary, plan_context, self._start)
        self._suspects = SuspectTurns()
        #: When to look once more for what the store carried out long after its answer was given up; 0: no need.
        self._look_again_at = 0.0
        self._replid = ""
        #: Counts the takes: each begins with another room.
        self._turn = 0
        self._parent = os.getppid()

    # -- the loop

    async def run(self) -> Summary:
        """Work until the budget is used, the worker is asked to stop, or somebody else took over."""
        await self.mailroom.prepare()
        await self.mailroom.beat(self.name, self.pool, register=True, said=f"{SCHEMA} {liveness.place()}")
        self.clock.beat_at = time.monotonic()
        self._replid = await self.mailroom.replication_id()
        self.context.may_send = self.clock.lease_is_good
        helpers = [
            asyncio.create_task(coroutine)
            for coroutine in (self._beat(), self.outbox.run(), self._listen(), self._watch_stop())
        ]
        for helper in helpers:
            helper.add_done_callback(self._note_bug)
        try:
            while not self.clock.over():
                busy, wait = await self._go_round()
                if not busy:
                    await self._rest(wait)
            await self._wind_down()
        finally:
            await _end([*helpers, *self._tasks])
        return self.summary

    async def _go_round(self) -> tuple[bool, float | None]:
        try:
            await self.context.look()
            return await self._take()
        except StoreUnavailable as exc:
            log.warning("drain.store_away why=%s", exc)
            self.outbox.unsure = True
        except Exception:
            log.critical("drain.bug", exc_info=True)
            self.clock.broken = True
        return False, store_outage.AWAY

    async def _rest(self, wait: float | None) -> None:
        """Sleep until the bell rings, an answer arrives, the time that `take` named, or the next look at the book."""
        seconds = min(REST if wait is None else wait, REST, max(0.0, self.clock.deadline - time.monotonic()))
        self._idle.set()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self._idle.clear()
            self._wake.clear()

    async def _watch_stop(self) -> None:
        await self.context.stopping.wait()
        self._wake.set()

    async def _listen(self) -> None:
        """Wait for the pool's bell while there is nothing to do, and wake the loop when it rings."""
        while True:
            await self._idle.wait()
            try:
                if await self.mailroom.hear(self.pool, LISTEN):
                    self._wake.set()
            except StoreUnavailable:
                await asyncio.sleep(store_outage.AWAY)

    async def _beat(self) -> None:
        """Report once a second that this drain lives, and what its rules did.

        Notice that it was declared dead, or that its parent died.
        """
        while True:
            await asyncio.sleep(BEAT)
            if os.getppid() != self._parent:
                self.context.stop()
            asked = time.monotonic()
            try:
                learned = self.context.quotas.take_learned()
                if not await self.mailroom.beat(self.name, self.pool, learned=learned):
                    log.error("drain.buried name=%s: another process took over what it held", self.name)
                    self.clock.buried = True
                    for task in self._tasks:
                        task.cancel()
                    self._wake.set()
                    return
                self.clock.beat_at = asked
            except StoreUnavailable:
                continue
            self.router.said.clear()
            await self.router.tally.write(self.mailroom)

    # -- taking

    async def _take(self) -> tuple[bool, float | None]:
        """Take and dispatch. Returns whether anything was taken, and the seconds after which something may be."""
        await self._return_strays()
        suspects = self._suspects.due()
        if not self.leases:
            self._suspects.under_way = False
        elif suspects or self._suspects.under_way:
            return False, None  # Boxes under suspicion are worked on alone: whatever dies then, dies of them.
        free = self._free()
        rooms = self.context.rooms()
        if free <= 0 or not rooms or not self.clock.lease_is_good():
            return False, 0.05 if rooms and free > 0 else None
        taken = await self.mailroom.take(
            self.name, secrets.token_hex(8), self._requests(rooms, free), suspects=SUSPECTS if suspects else 0
        )
        self._suspects.note(taken, asked=suspects)
        if suspects and not taken.leases:
            return True, None  # Take the other boxes at once.
        for n, lease in enumerate(taken.leases, 1):
            self._dispatch(lease)
            if n % BEGUN_AT_ONCE == 0:
                await asyncio.sleep(0)
        return bool(taken.leases), None if taken.wait is None else taken.wait / 1000

    async def _return_strays(self) -> None:
        """Give back boxes that the store has leased to this drain by an answer that was lost."""
        late = 0 < self._look_again_at <= time.monotonic()
        if not (self.outbox.unsure or late) or self.outbox.waiting:
            return
        async with self.outbox.tidying:  # A box that a settlement leases meanwhile would be mistaken for one of them.
            replid = await self.mailroom.replication_id()
            failed_over, self._replid = replid != self._replid, replid
            freed = await self.mailroom.strays(self.name, list(self.leases.values()), failed_over=failed_over)
            self._look_again_at = time.monotonic() + LATE if self.outbox.unsure else 0.0
            self.outbox.unsure = False
        if freed:
            log.info("drain.strays_returned n=%d", freed)

    def _requests(self, rooms: list[str], free: int) -> list[RoomRequest]:
        """Return what to ask of each room, beginning with another one each time."""
        self._turn += 1
        turn = self._turn % len(rooms)
        return [
            RoomRequest(room, min(free, INBOX_BOXES), INBOX_ITEMS)
            if room == INBOX
            else RoomRequest(room, min(free, ROOM_BOXES), 1)
            for room in rooms[turn:] + rooms[:turn]
        ]

    def _free(self) -> int:
        """Return how many more boxes may be leased."""
        return self.context.settings.in_flight - len(self.leases)

    def _free_for_new(self) -> int:
        """Return how many new deliveries may be leased in the step that makes them."""
        return 0 if self._suspects.under_way or self.clock.over() else self._free()

    def _goes_on(self) -> bool:
        """Return whether what is next in a box of a destination may be leased as the one before is settled."""
        return not self._suspects.under_way and not self.clock.over() and self.clock.lease_is_good()

    def _dispatch(self, lease: Lease, fresh: FreshDelivery | None = None) -> None:
        self.leases[id(lease)] = lease
        if lease.room == INBOX:
            self.router.route(lease)
        else:
            progress = LeaseProgress(lease)
            self._start(self.courier.deliver(progress, fresh), progress)

    def _start(self, coroutine: Coroutine[Any, Any, None], progress: LeaseProgress) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = progress
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        progress = self._tasks.pop(task)
        if task.cancelled():
            self.outbox.give_back(progress)
        self._note_bug(task)

    def _note_bug(self, task: asyncio.Task[None]) -> None:
        """End the drain after an unexpected exception, else its box stays leased. The box counts one death more."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("drain.bug", exc_info=task.exception())
            self.clock.broken = True
            self._wake.set()

    # -- the end

    async def _wind_down(self) -> None:
        """Finish what is under way within the stated time, give back the rest, and leave."""
        settings = self.context.settings
        await self._finish(settings.longest_request + settings.stop_seconds, settings.stop_seconds)
        await self._finish(HANDING_BACK, HANDING_BACK, cut_off=True)
        await self.router.tally.write(self.mailroom)
        try:
            if self.leases and not self.clock.buried:
                log.warning("drain.left_behind boxes=%d", len(self.leases))
                await self.mailroom.bury([self.name], counted=self.clock.broken)
            else:
                await self.mailroom.leave(self.name)
        except StoreUnavailable:
            log.warning("drain.left_without_a_word name=%s", self.name)

    async def _finish(self, seconds: float, when_stopping: float, *, cut_off: bool = False) -> None:
        """Wait until nothing is under way and all is written, at most so many seconds."""
        ends = time.monotonic() + seconds
        hurried = False
        while (self._tasks or self.outbox.waiting) and not self.clock.buried and time.monotonic() < ends:
            if self.context.stopping.is_set() and not hurried:
                hurried = True
                ends = min(ends, time.monotonic() + when_stopping)
            if cut_off:
                for task in self._tasks:
                    task.cancel()
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), min(0.1, max(0.0, ends - time.monotonic())))
            except TimeoutError:
                continue


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: one that was just getting an answer from the store may not notice at once."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
