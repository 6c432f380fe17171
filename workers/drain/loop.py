"""A drain: a licence to work. Routes what is in the inbox, delivers what is in the destinations' rooms, until it ends.

Comes in: a WorkerContext. Goes out: a Summary. One asyncio loop; a slow destination occupies connections, never the
drain. Holds no state that a crash could lose: what it leased, the store knows.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from mailroom import CALL_TIMEOUT, INBOX, Lease, RoomRequest, StoreUnavailable, Taken
from workers import store_outage
from workers.context import WorkerContext
from workers.drain.delivering import Courier
from workers.drain.lease import BEAT, LeaseClock, LeaseProgress
from workers.drain.outbox import Outbox
from workers.drain.plan import FreshDelivery, PlanContext
from workers.drain.routing import Router
from workers.drain.summary import Summary

log = logging.getLogger("relais.drain")

#: Boxes of the inbox in one take, and events of each: about what is routed in 10 ms.
INBOX_BOXES, INBOX_ITEMS = 128, 16
#: Boxes of one destination in one take.
ROOM_BOXES = 500
#: Boxes whose drain died once that are taken together: poison is then found among few.
SUSPECTS = 32
#: Seconds until suspects that may not be sent (their room is paused or at its rate) are asked for again; it doubles.
SUSPECTS_AGAIN, SUSPECTS_AGAIN_MOST = 1.0, 30.0
#: Seconds after which nothing is on its way to the store any more that was sent before an answer was lost.
LATE = 2 * CALL_TIMEOUT
#: Seconds that the bell is listened to in one go; shorter than the client's time-out.
LISTEN = 3.0
#: Seconds that what was cut short may take to be given back.
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
            context, name, self.clock, self.summary, leases=self.leases, dispatch=self._dispatch, wake=self._wake
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
        await self.mailroom.beat(self.name, self.pool, register=True)
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
        """Sleep until the bell, an answer, the time that `take` named, or the next look at the book."""
        seconds = min(1.0, wait if wait is not None else 1.0, max(0.0, self.clock.deadline - time.monotonic()))
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
        """Hear the bell while there is nothing to do."""
        while True:
            await self._idle.wait()
            try:
                if await self.mailroom.hear(self.pool, LISTEN):
                    self._wake.set()
            except StoreUnavailable:
                await asyncio.sleep(store_outage.AWAY)

    async def _beat(self) -> None:
        """Say once a second that this drain lives; notice when it was declared dead, or its parent died."""
        while True:
            await asyncio.sleep(BEAT)
            if os.getppid() != self._parent:
                self.context.stop()
            asked = time.monotonic()
            try:
                if not await self.mailroom.beat(self.name, self.pool):
                    log.error("drain.buried name=%s: another process took over what it held", self.name)
                    self.clock.buried = True
                    for task in self._tasks:
                        task.cancel()
                    self._wake.set()
                    return
                self.clock.beat_at = asked
            except StoreUnavailable:
                continue

    # -- taking

    async def _take(self) -> tuple[bool, float | None]:
        """Take and dispatch. Returns whether anything was taken, and the seconds after which something may be."""
        await self._return_strays()
        suspects = self._suspects.due()
        if not self.leases:
            self._suspects.under_way = False
        elif suspects or self._suspects.under_way:
            return False, None  # Whoever is under suspicion travels with nobody else.
        free = self._free()
        rooms = self.context.rooms()
        if free <= 0 or not rooms or not self.clock.lease_is_good():
            return False, 0.05 if rooms and free > 0 else None
        taken = await self.mailroom.take(
            self.name, secrets.token_hex(8), self._requests(rooms, free), suspects=SUSPECTS if suspects else 0
        )
        self._suspects.note(taken, asked=suspects)
        if suspects and not taken.leases:
            return True, None  # Everybody else's turn, at once.
        for n, lease in enumerate(taken.leases):
            self._dispatch(lease)
            if n % 32 == 31:
                await asyncio.sleep(0)
        return bool(taken.leases), None if taken.wait is None else taken.wait / 1000

    async def _return_strays(self) -> None:
        """Give back what the store counts as ours without our knowing, where an answer of the store was lost."""
        late = 0 < self._look_again_at <= time.monotonic()
        if not (self.outbox.unsure or late) or self.outbox.waiting:
            return
        async with self.outbox.tidying:  # What a settlement leases meanwhile would pass for a stray.
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
        """Nothing may fall through: a box would be leased for ever. The drain ends; the box has one death more."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("drain.bug", exc_info=task.exception())
            self.clock.broken = True
            self._wake.set()

    # -- the end

    async def _wind_down(self) -> None:
        """Finish what is under way, give back the rest, within the stated time, and leave."""
        settings = self.context.settings
        await self._finish(settings.longest_request + settings.stop_seconds, settings.stop_seconds)
        await self._finish(HANDING_BACK, HANDING_BACK, cut_off=True)
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


class SuspectTurns:
    """When boxes whose drain died are asked for: alone, and less and less often while their room does not let them go.

    Else a room that is paused or at its rate would hold up all others.
    """

    def __init__(self) -> None:
        #: Whether such boxes are what the drain holds.
        self.under_way = False
        #: How many of them wait, as the store said last.
        self._waiting = 0
        self._at = 0.0
        self._wait = SUSPECTS_AGAIN

    def due(self) -> bool:
        """Return whether to ask for them now."""
        return self._waiting > 0 and time.monotonic() >= self._at

    def note(self, taken: Taken, *, asked: bool) -> None:
        """Note the answer to a take. `asked`: it asked for them."""
        self._waiting = taken.suspects
        self.under_way = bool(asked and taken.leases)
        if not asked:
            return
        if taken.leases:
            self._wait = SUSPECTS_AGAIN
        else:
            self._at = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, SUSPECTS_AGAIN_MOST)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: one that was just getting an answer from the store may not notice at once."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
