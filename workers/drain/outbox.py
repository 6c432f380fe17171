"""The outbox: what became of items, on its way to the store.

Comes in: settlements, as they arise. Goes out: calls of `settle`, one after the other, until the store has answered
each; then what follows from the answer. A lost answer means the same call once more, which is safe. Never decides what
became of an item.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

from pydantic_core import from_json

from mailroom import INBOX, DeadLetterInfo, Lease, RoomChange, Settled, Settlement, StoreUnavailable, ledger
from workers import store_outage
from workers.context import WorkerContext
from workers.drain.lease import LeaseClock, LeaseProgress, read_head
from workers.drain.plan import FreshDelivery
from workers.drain.summary import Summary

log = logging.getLogger("relais.drain")

#: Settlements in one call, and new deliveries of theirs: some ms of the store's time.
SETTLE_BATCH = 400
#: Boxes that are begun with one after the other. Then the loop turns: a destination that answers at once leaves its
#: connection to the next request, and nothing else waits long.
BEGUN_AT_ONCE = 32


class Outbox:
    """The settlements of one drain."""

    def __init__(
        self,
        context: WorkerContext,
        name: str,
        clock: LeaseClock,
        summary: Summary,
        *,
        leases: dict[int, Lease],
        dispatch: Callable[[Lease, FreshDelivery | None], None],
        goes_on: Callable[[], bool],
        wake: asyncio.Event,
    ) -> None:
        self._context = context
        self._mailroom = context.mailroom
        self._pool = context.settings.pool
        self._name = name
        self._clock = clock
        self._summary = summary
        #: What the drain holds; what is settled leaves it.
        self._leases = leases
        #: Begins to work on a delivery that was leased in the step that made it.
        self._dispatch = dispatch
        #: Whether the drain takes what is next in the boxes that it settles.
        self._goes_on = goes_on
        #: Set where the drain may take more.
        self._wake = wake
        #: Not yet confirmed by the store.
        self.waiting: list[Settlement] = []
        #: New deliveries that may be leased in the step that makes them, by id.
        self.fresh: dict[str, FreshDelivery] = {}
        #: An answer of the store was lost: it may count boxes as leased to this drain of which the drain knows nothing.
        self.unsure = False
        #: Held while a settlement is under way, and while such boxes are given back: neither must see the other half.
        self.tidying = asyncio.Lock()
        self._not_empty = asyncio.Event()

    def settle_soon(self, settlement: Settlement, fresh: Mapping[str, FreshDelivery] | None = None) -> None:
        """Write a settlement with the next call. `fresh`: those of its new deliveries that may be leased at once."""
        if fresh:
            self.fresh.update(fresh)
        self.waiting.append(settlement)
        self._not_empty.set()

    def give_back(self, progress: LeaseProgress) -> None:
        """Return a box untouched from its next item on; what may have been sent already is doubtful."""
        lease, n = progress.lease, progress.at
        item, record = lease.items[n]
        doubt = max(0, lease.doubt - n, 1 if progress.sent else 0)
        attempt = lease.attempt if n == 0 else 0
        event, day = item.partition(".")[0], read_head(record).get("at", ledger.now())[:10]
        self.settle_soon(Settlement(lease, item, "back", event, day, attempt=attempt, doubt=doubt))

    def let_go(self, lease: Lease) -> None:
        """Forget a lease that the store has taken back already: nothing of it is to be settled."""
        self._leases.pop(id(lease), None)
        self._wake.set()

    async def run(self) -> None:
        """Write settlements until cancelled; those that arise while a call is under way go with the next one."""
        while True:
            await self._not_empty.wait()
            await self._flush()
            if not self.waiting:
                self._not_empty.clear()

    async def _flush(self) -> None:
        batch = self._next_batch()
        if not batch:
            return
        token = secrets.token_hex(8)
        repeated, goes_on = False, self._goes_on()
        while True:
            try:
                async with self.tidying:
                    settled = await self._mailroom.settle(self._name, token, batch, pool=self._pool, go_on=goes_on)
                break
            except StoreUnavailable as exc:
                # Unknown whether it was written: the same call again is safe; what it may have leased is given back.
                log.warning("drain.settle_unknown n=%d why=%s", len(batch), exc)
                self.unsure = repeated = True
                await asyncio.sleep(store_outage.AWAY)
                if self._clock.buried:
                    return
        leased = self._note_settled(batch, settled, token, repeated=repeated)
        self._leases.update({id(lease): lease for lease, _ in leased})
        for n, (lease, fresh) in enumerate(leased, 1):
            self._dispatch(lease, fresh)
            if n % BEGUN_AT_ONCE == 0:
                await asyncio.sleep(0)
        del self.waiting[: len(batch)]  # Only now: until all is begun with, nothing is given back as stray.
        for change in await self._missed_changes(batch) if repeated else settled.room_changes:
            self._context.report_room_change(change)
        if settled.more or len(settled.following) < len(batch):
            self._wake.set()  # Else each box goes on, and nothing is free for others.

    def _next_batch(self) -> list[Settlement]:
        """Return what goes into the next call."""
        size = 0
        for n, settlement in enumerate(self.waiting, 1):
            size += 1 + len(settlement.new)
            if size >= SETTLE_BATCH:
                return self.waiting[:n]
        return self.waiting[:]

    def _note_settled(
        self, batch: Sequence[Settlement], settled: Settled, token: str, *, repeated: bool
    ) -> list[tuple[Lease, FreshDelivery | None]]:
        """Let go of what is settled; return what was leased in the same step."""
        leased: list[tuple[Lease, FreshDelivery | None]] = []
        for settlement, status in zip(batch, settled.statuses, strict=True):
            if status == 0 and not repeated:
                log.warning("drain.stale_lease room=%s item=%s", settlement.lease.room, settlement.item)
            if settlement.lease.room != INBOX:
                self._note_end(settlement, "wait" if status == 3 else settlement.verdict)
            if settlement.verdict == "dead" and settlement.info is not None and status not in (0, 3):
                self._context.cases.note(settlement.info)
            if settlement.last or settlement.verdict not in ("done", "dead"):
                self._leases.pop(id(settlement.lease), None)
            for new in settlement.new:
                if new.dead is not None:
                    self._context.cases.note(new.dead)
                fresh = self.fresh.pop(new.id, None)
                if new.id in settled.leased:
                    leased.append((Lease(new.room, new.box, token, 0, 0, 0, [(new.id, new.record)]), fresh))
        return leased + [(lease, None) for lease in settled.following]

    def _note_end(self, settlement: Settlement, verdict: str) -> None:
        match verdict:
            case "wait":
                self._summary.retried += 1
            case "dead":
                self._summary.dead += 1
                if (info := settlement.info) is not None and info.code.startswith("not_in_force"):
                    what = (
                        f"{self._name_delivery(info)}: a consent, an unsubscription or a cancellation is not in force"
                    )
                    self._context.alerts.tell("not_in_force", what, destination=info.room)
            case "hold":
                self._summary.held += 1
                if (info := settlement.info) is not None:
                    what = f"{self._name_delivery(info)}: {info.code}"
                    self._context.alerts.tell("held_key", what, destination=info.room)

    def _name_delivery(self, info: DeadLetterInfo) -> str:
        """Return what a delivery is, by whose rule, and what that rule is for."""
        if not info.rule:
            return f"{info.room}.{info.action}"
        book = self._context.books.current
        rule = book.rule(info.rule) if book is not None else None
        described = f" ({rule.description})" if rule is not None and rule.description else ""
        return f'{info.room}.{info.action}, by the rule "{info.rule}"{described}'

    async def _missed_changes(self, batch: Sequence[Settlement]) -> list[RoomChange]:
        """Return what a lost answer may have said: which rooms that the batch is about are paused now."""
        told = {settlement.lease.room for settlement in batch if settlement.says}
        try:
            rooms = [room for room in await self._mailroom.rooms() if room.name in told and room.paused]
        except StoreUnavailable:
            return []
        whys = [(room.name, from_json(room.paused)) for room in rooms]
        return [RoomChange(why["by"], name, why["code"]) for name, why in whys if why.get("by") in ("breaker", "key")]
