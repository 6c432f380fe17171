"""A drain: a licence to work. Routes what is in the inbox, delivers what is in the destinations' rooms, until it ends.

Comes in: a WorkerContext. Goes out: a Summary. One asyncio loop; a slow destination occupies connections, never the
drain. Holds no state that a crash could lose: what it leased, the store knows.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mailroom import (
    CALL_TIMEOUT,
    INBOX,
    Lease,
    NewDelivery,
    RoomChange,
    RoomRequest,
    Settlement,
    StoreUnavailable,
    reroute,
)
from mailroom.records import as_json
from rules import event as events
from rules.action import Action, Skipped
from rules.errors import RulesError, ValueFailed
from rules.event import Event
from rules.event_types.base import from_epoch
from rules.rulebook import Matching, Rule, Rulebook
from workers import delivery as deliveries
from workers import retry, store_outage
from workers.context import WorkerContext
from workers.delivery import Delivery
from workers.destinations import base
from workers.outcome import Done, Failed

log = logging.getLogger("relais.drain")

#: Seconds between two beats.
BEAT = 1.0
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
#: Settlements in one call: some ms of the store's time.
SETTLE_BATCH = 400
#: Seconds that the bell is listened to in one go; shorter than the client's time-out.
LISTEN = 3.0
#: Seconds that what was cut short may take to be given back.
HANDING_BACK = 3.0
#: Rules that did not match, as far as the ledger names them.
MISSES_TOLD = 20


@dataclass
class Summary:
    """What a drain did; its RQ job's result."""

    routed: int = 0
    delivered: int = 0
    retried: int = 0
    dead: int = 0
    held: int = 0


@dataclass(slots=True)
class _Look:
    """What look-ups for a rule brought, or why there is nothing."""

    results: Mapping[str, Any]
    failed: Failed | None = None
    destination: str = ""
    name: str = ""
    error: str = ""

    @property
    def waits(self) -> bool:
        """Whether asking again may bring an answer."""
        return self.failed is not None and self.failed.failure != "permanent"


#: The answer to a look-up.
_Asked = Mapping[str, Any] | Failed


#: A delivery that needs no reading, and its arguments as the action's model.
_Fresh = tuple[Delivery, BaseModel]


@dataclass(slots=True)
class _Hand:
    """A lease in work: its next item, and whether that may be on the wire already."""

    lease: Lease
    at: int = 0
    sent: bool = False


class Drain:
    """One run of a drain job."""

    def __init__(self, context: WorkerContext, name: str, *, budget: float) -> None:
        self.context = context
        self.mailroom = context.mailroom
        self.name = name
        self.pool = context.settings.pool
        self.summary = Summary()
        self._deadline = time.monotonic() + budget
        self._tasks: dict[asyncio.Task[None], _Hand] = {}
        self._leases: dict[int, Lease] = {}
        #: What was routed here and may be leased to us in the same step, with its arguments as they were validated.
        self._fresh: dict[str, _Fresh] = {}
        self._outbox: list[Settlement] = []
        self._wake = asyncio.Event()
        self._to_settle = asyncio.Event()
        self._idle = asyncio.Event()
        self._beat_at = time.monotonic()
        self._buried = False
        self._broken = False
        self._tidying = asyncio.Lock()
        self._suspects = 0
        self._in_suspects = False
        self._suspects_at = 0.0
        self._suspects_again = SUSPECTS_AGAIN
        self._unsure = False
        #: When to look once more for what the store carried out long after its answer was given up; 0: no need.
        self._look_again_at = 0.0
        self._replid = ""
        self._turn = 0
        self._parent = os.getppid()

    # -- the loop

    async def run(self) -> Summary:
        """Work until the budget is used, the worker is asked to stop, or somebody else took over."""
        await self.mailroom.prepare()
        await self.mailroom.beat(self.name, self.pool, register=True)
        self._beat_at = time.monotonic()
        self._replid = await self.mailroom.replication_id()
        self.context.may_send = self._lease_is_good
        helpers = [
            asyncio.create_task(coroutine)
            for coroutine in (self._beat(), self._settle(), self._listen(), self._watch_stop())
        ]
        for helper in helpers:
            helper.add_done_callback(self._note_bug)
        try:
            while not self._over():
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
            self._unsure = True
        except Exception:
            log.critical("drain.bug", exc_info=True)
            self._broken = True
        return False, store_outage.AWAY

    def _over(self) -> bool:
        return self.context.stopping.is_set() or self._buried or self._broken or time.monotonic() >= self._deadline

    async def _rest(self, wait: float | None) -> None:
        """Sleep until the bell, an answer, the time that `take` named, or the next look at the book."""
        seconds = min(1.0, wait if wait is not None else 1.0, max(0.0, self._deadline - time.monotonic()))
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
                    self._buried = True
                    for task in self._tasks:
                        task.cancel()
                    self._wake.set()
                    return
                self._beat_at = asked
            except StoreUnavailable:
                continue

    def _lease_is_good(self) -> bool:
        """Whether a request sent now ends before anybody could think that this drain is dead."""
        left = self.context.settings.dead_after - (time.monotonic() - self._beat_at)
        return not self._buried and left > self.context.settings.longest_request + BEAT

    # -- taking

    async def _take(self) -> tuple[bool, float | None]:
        """Take and dispatch. Returns whether anything was taken, and the seconds after which something may be."""
        late = 0 < self._look_again_at <= time.monotonic()
        if (self._unsure or late) and not self._outbox:
            async with self._tidying:  # What a settlement leases meanwhile would pass for a stray.
                replid = await self.mailroom.replication_id()
                failed_over, self._replid = replid != self._replid, replid
                freed = await self.mailroom.strays(self.name, list(self._leases.values()), failed_over=failed_over)
                self._look_again_at = time.monotonic() + LATE if self._unsure else 0.0
                self._unsure = False
            if freed:
                log.info("drain.strays_returned n=%d", freed)
        suspected = self._suspects > 0 and time.monotonic() >= self._suspects_at
        if not self._leases:
            self._in_suspects = False
        elif suspected or self._in_suspects:
            return False, None  # Whoever is under suspicion travels with nobody else.
        free = self.context.settings.in_flight - len(self._leases)
        rooms = self.context.rooms()
        if free <= 0 or not rooms or not self._lease_is_good():
            return False, 0.05 if rooms and free > 0 else None
        self._turn += 1
        turn = self._turn % len(rooms)
        wants = [
            RoomRequest(room, min(free, INBOX_BOXES), INBOX_ITEMS)
            if room == INBOX
            else RoomRequest(room, min(free, ROOM_BOXES), 1)
            for room in rooms[turn:] + rooms[:turn]
        ]
        request = secrets.token_hex(8)
        suspects = SUSPECTS if suspected else 0
        taken = await self.mailroom.take(self.name, request, wants, suspects=suspects)
        self._suspects = taken.suspects
        self._in_suspects = bool(suspects and taken.leases)
        if suspects and not taken.leases:
            self._suspects_at = time.monotonic() + self._suspects_again
            self._suspects_again = min(2 * self._suspects_again, SUSPECTS_AGAIN_MOST)
            return True, None  # Everybody else's turn, at once.
        if suspects:
            self._suspects_again = SUSPECTS_AGAIN
        for n, lease in enumerate(taken.leases):
            self._dispatch(lease)
            if n % 32 == 31:
                await asyncio.sleep(0)
        return bool(taken.leases), None if taken.wait is None else taken.wait / 1000

    def _dispatch(self, lease: Lease, fresh: _Fresh | None = None) -> None:
        self._leases[id(lease)] = lease
        if lease.room == INBOX:
            self._route(lease)
        else:
            hand = _Hand(lease)
            self._start(self._deliver(hand, fresh), hand)

    def _start(self, coroutine: Coroutine[Any, Any, None], hand: _Hand) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = hand
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        hand = self._tasks.pop(task)
        if task.cancelled():
            self._give_back(hand)
        self._note_bug(task)

    def _note_bug(self, task: asyncio.Task[None]) -> None:
        """Nothing may fall through: a box would be leased for ever. The drain ends; the box has one death more."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("drain.bug", exc_info=task.exception())
            self._broken = True
            self._wake.set()

    # -- routing

    def _route(self, lease: Lease) -> None:
        """Route events of one order key; as soon as one needs a look-up, go on in a task of its own."""
        book = self.context.books.current
        if book is None:
            raise RuntimeError("routing without a book")
        for n in range(len(lease.items)):
            if not self._route_now(lease, n, book):
                hand = _Hand(lease, n)
                self._start(self._route_on(hand, book), hand)
                return

    def _route_now(self, lease: Lease, n: int, book: Rulebook) -> bool:
        """Route one event if that needs no look-up."""
        event, matching = self._match(lease, n, book)
        if event is None or matching is None:
            return True
        if any(rule.look_ups for rule in matching.fired):
            return False
        self._plan(lease, n, book, event, matching, {})
        return True

    async def _route_on(self, hand: _Hand, book: Rulebook) -> None:
        """Route the rest of a lease, looking up what the rules ask for. The person waits for it, nobody else does."""
        lease = hand.lease
        for n in range(hand.at, len(lease.items)):
            hand.at = n
            if self._over() or not self._lease_is_good():
                self._give_back(hand)
                return
            event, matching = self._match(lease, n, book)
            if event is None or matching is None:
                continue
            found: dict[str, _Look] = {}
            asked: dict[str, _Asked] = {}
            for rule in matching.fired:
                if rule.look_ups:
                    look = found[rule.name] = await self._look_up(rule, event, asked)
                    if look.waits and self._wait_for_look_up(lease, n, event, look):
                        return
            self._plan(lease, n, book, event, matching, found)

    def _match(self, lease: Lease, n: int, book: Rulebook) -> tuple[Event | None, Matching | None]:
        item, record = lease.items[n]
        last = n == len(lease.items) - 1
        try:
            event = events.decode(item, record, self.context.read)
            matching = book.match(event)
            redo = reroute.read(record)
            return event, matching if redo is None else redo.narrow(matching)
        except Exception as exc:
            # A body that its reader does not understand any more: kept as a dead letter, the key goes on.
            head = _head(record)
            why = str(exc) if isinstance(exc, RulesError) else f"it cannot be read ({exc.__class__.__name__})"
            line = {
                "t": "failed",
                "at": _now(),
                "source": head.get("source", ""),
                "type": head.get("type", ""),
                "received": head.get("at", ""),
                "book": book.version,
                "code": "unreadable_event",
                "why": why,
            }
            self.summary.dead += 1
            self._settle_soon(
                Settlement(
                    lease,
                    item,
                    "dead",
                    item,
                    head.get("at", _now())[:10],
                    line=as_json(line),
                    counter=f"routed|{head.get('source', '')}|{head.get('type', '')}|unreadable",
                    argument=as_json(
                        {"room": INBOX, "box": lease.box, "event": item, "code": "unreadable_event", "why": why}
                    ),
                    last=last,
                )
            )
            return None, None

    async def _look_up(self, rule: Rule, event: Event, known: dict[str, _Asked]) -> _Look:
        """Ask what a rule wants to know; `known`: what was asked for this event before."""
        results: dict[str, Any] = {}
        for look_up in rule.look_ups:
            try:
                asked = look_up.request(event, results)
            except Exception as exc:
                return _Look(results, None, look_up.target.written, look_up.name, _why(exc))
            key = as_json([asked.destination, asked.name, asked.arguments])
            if key not in known:
                known[key] = await self._ask(asked, event)
            answer = known[key]
            if isinstance(answer, Failed):
                return _Look(results, answer, asked.destination, look_up.name)
            results[look_up.name] = answer
        return _Look(results)

    async def _ask(self, asked: Action, event: Event) -> _Asked:
        """Look something up, within the limits of its destination: `take` accounts for deliveries only."""
        about = base.Attempt(f"{event.id}.look_up")
        try:
            async with self.context.turn(asked.destination):
                return (await self._carry_out(asked.destination, asked.name, asked.arguments, about)).result
        except Failed as failed:
            return failed

    def _wait_for_look_up(self, lease: Lease, n: int, event: Event, look: _Look) -> bool:
        """The vendor's API did not answer: the event waits, and its order key with it. False: it waited long enough."""
        failed = look.failed
        if failed is None:
            return False
        attempt = (lease.attempt if n == 0 else 0) + 1
        decision = retry.decide(Failed(*_as_transient(failed), wait=failed.wait), attempt)
        if not isinstance(decision, retry.WaitAndRetry):
            look.error = f"{failed.code}_too_often"
            look.failed = None
            return False
        if failed.failure == "credential":
            self.context.alerts.tell(
                "look_up_refused", f"{look.destination} refuses our key ({failed.code})", destination=look.destination
            )
        self.summary.retried += 1
        self._settle_soon(
            Settlement(
                lease,
                lease.items[n][0],
                "wait",
                event.id,
                event.received_at[:10],
                line="",
                counter=f"look_up|{look.destination}|{look.name}|{failed.failure}",
                argument=str(int(decision.seconds * 1000)),
                attempt=attempt if decision.counted else attempt - 1,
                last=True,
            )
        )
        return True

    def _plan(
        self, lease: Lease, n: int, book: Rulebook, event: Event, matching: Matching, found: Mapping[str, _Look]
    ) -> None:
        """Turn the rules that fired into deliveries and settle the event, in one step."""
        new: list[NewDelivery] = []
        made: list[tuple[str, str, str, str]] = []
        skipped: list[tuple[str, str, str, str, str]] = []
        redo = reroute.read(lease.items[n][1])
        parent = event.id if redo is None else f"{event.id}.a{redo.round}"
        lost = {} if redo is None else redo.lost(book)
        for name, why in lost.items():
            self._born_dead(parent, name, "", ValueFailed("", why), event, book, new, made, redo)
        for rule in matching.fired:
            if rule.name in lost:
                continue
            look = found.get(rule.name)
            try:
                if look is not None and look.failed is not None:
                    raise ValueFailed(look.name, f"the look-up was refused ({look.failed.code})")
                if look is not None and look.error:
                    raise ValueFailed(look.name, look.error)
                results = look.results if look is not None else {}
                actions = rule.actions(event, results)
                if redo is not None:
                    actions = tuple(redo.wanted(rule.name, actions))
                self._add(actions, parent, event, book, results, new, made, skipped, redo)
            except Exception as exc:
                target = next(iter(rule.steps()), None)
                at = target.written if target is not None else ""
                self._born_dead(parent, rule.name, at, exc, event, book, new, made, redo)
        line: dict[str, Any] = {
            "t": "routed",
            "at": _now(),
            "source": event.source,
            "type": event.type,
            "received": event.received_at,
            "book": book.version,
            "fired": [rule.name for rule in matching.fired],
            "missed": [(miss.rule.name, miss.at, miss.why) for miss in matching.missed[:MISSES_TOLD]],
            "made": made,
        }
        if skipped:
            line["skipped"] = skipped
        if redo is not None:
            line["again"] = redo.round
        text = as_json(line)
        for delivery in new:
            if delivery.dead:
                code = from_json(delivery.dead)["code"]
                text += "\n" + as_json({"t": "attempt", "d": delivery.id, "at": _now(), "then": "dead", "code": code})
        ended = "matched" if matching.fired else "unmatched"
        self.summary.routed += 1
        self._settle_soon(
            Settlement(
                lease,
                lease.items[n][0],
                "done",
                event.id,
                event.received_at[:10],
                line=text,
                counter=f"routed|{event.source}|{event.type}|{ended}",
                last=n == len(lease.items) - 1,
                retain=event.retain,
                new=new,
            )
        )

    def _add(
        self,
        actions: Iterable[Action | Skipped],
        parent: str,
        event: Event,
        book: Rulebook,
        results: Mapping[str, Any],
        new: list[NewDelivery],
        made: list[tuple[str, str, str, str]],
        skipped: list[tuple[str, str, str, str, str]],
        redo: reroute.Reroute | None = None,
    ) -> None:
        """Append what a rule asks for: deliveries, and what it did not ask for and why. All of it, or it raises."""
        served = self.context.clients
        free = self.context.settings.in_flight - len(self._leases) - len(new) > 0
        free = free and not self._in_suspects and not self._over()
        born: list[tuple[_Fresh, NewDelivery]] = []
        left_out: list[tuple[str, str, str, str, str]] = []
        for action in actions:
            if isinstance(action, Skipped):
                left_out.append((action.destination, action.name, action.rule, action.code, action.why))
                continue
            options = action.options
            delivery = Delivery(
                f"{parent}.{len(new) + len(born)}",
                event.id,
                event.received_at[:10],
                action.destination,
                action.name,
                action.rule,
                action.path,
                book.version,
                action.arguments,
                self.mailroom.hash(action.writes),
                event.retain,
                results if action.has_next else None,
                options.in_order,
                int(time.time() * 1000) + options.delay if options.delay else 0,
                options.delay,
                redo is not None and redo.doubtful(action.rule, action.path),
            )
            kind = self.context.kind(action.destination, action.name)
            once = options.only_once
            coalesce = bool(options.coalesce) and not (kind is not None and kind.keep_always)
            at_once = free and action.destination in served and self.context.pool_of(action.destination) == self.pool
            record = NewDelivery(
                delivery.id,
                action.destination,
                delivery.box,
                delivery.encode(),
                lease=at_once,
                once_key=self.mailroom.hash(f"{action.rule}|{action.path}|{once.key}") if once else "",
                once_ms=once.within if once else 0,
                coalesce_key=self.mailroom.hash(f"{action.name}|{action.writes}") if coalesce else "",
                delay=max(options.delay, options.coalesce if coalesce else 0),
            )
            born.append(((delivery, action.model), record))
        for fresh, record in born:
            delivery, _ = fresh
            if record.lease:
                self._fresh[delivery.id] = fresh
            new.append(record)
            made.append((delivery.id, delivery.destination, delivery.action, delivery.rule))
        skipped += left_out

    def _born_dead(
        self,
        parent: str,
        rule: str,
        target: str,
        exc: Exception,
        event: Event,
        book: Rulebook,
        new: list[NewDelivery],
        made: list[tuple[str, str, str, str]],
        redo: reroute.Reroute | None,
    ) -> None:
        """A rule that cannot be carried out for this event: a dead letter of its own, the other rules go on.

        Of a rule that is carried out again each place that had failed stays a dead letter of its own.
        """
        code = "value_failed" if isinstance(exc, ValueFailed) else "rule_failed"
        destination, _, action = target.partition(".")
        why = _why(exc)
        log.error("rule.failed event_id=%s rule=%s why=%s", event.id, rule, why)
        for path in ((),) if redo is None else redo.only[rule]:
            name = f"{parent}.{len(new)}"
            day = event.received_at[:10]
            delivery = Delivery(name, event.id, day, destination, action, rule, path, book.version, {}, "")
            about = {"room": destination, "action": action, "event": event.id, "rule": rule, "code": code, "why": why}
            new.append(NewDelivery(name, destination, "", delivery.encode(), dead=as_json(about)))
            made.append((name, destination, action, rule))
            self.summary.dead += 1

    # -- delivering

    async def _carry_out(
        self,
        destination: str,
        action: str,
        arguments: Mapping[str, Any],
        about: base.Attempt,
        model: BaseModel | None = None,
    ) -> Done:
        """Carry out an action or look-up. Raises Failed, whatever happens.

        `model`: its arguments as they were validated when they were made, if that was just now.
        """
        client = self.context.clients.get(destination)
        kind = self.context.kind(destination, action)
        if client is None or kind is None:
            why = self.context.unusable.get(destination, "the book has no such destination or action any more")
            raise Failed("transient", "no_destination", hint=why)
        try:
            if model.__class__ is not kind.arguments:  # A new book may mean another kind by the same name.
                model = kind.arguments.model_validate(arguments)
        except ValidationError as exc:
            where = ".".join(str(part) for part in exc.errors()[0]["loc"])
            raise Failed(
                "permanent", "bad_arguments", hint=f"the action does not take what the rule gave at {where}"
            ) from None
        try:
            return await client.deliver(action, model, about)
        except Failed:
            raise
        except Exception as exc:  # An adapter's bug must not stop the others; it is a failure like any other.
            log.exception("destination.bug destination=%s action=%s", destination, action)
            failure = "ambiguous" if kind.creates else "transient"
            raise Failed(failure, "bug", hint=exc.__class__.__name__) from exc  # type: ignore[arg-type]

    async def _deliver(self, hand: _Hand, fresh: _Fresh | None) -> None:
        """Deliver the one item that a destination's lease hands out. `fresh`: what it says, if that is known.

        One: were the next one sent before the outcome of this is written, a crash in between would send this one again,
        after the other.
        """
        lease = hand.lease
        if self._over() or not self._lease_is_good():
            self._give_back(hand)
            return
        delivery, model = fresh if fresh is not None else (deliveries.decode(lease.items[0][1]), None)
        if (early := _early(delivery)) > 0:
            self._wait_until_due(lease, delivery, early)
            return
        attempt = lease.attempt + 1
        started = time.monotonic()
        about = base.Attempt(delivery.id, lease.doubt > 0 or delivery.doubtful, attempt)
        try:
            if delivery.in_order and await self._dropped(delivery):
                raise Failed("permanent", "in_order", hint="an earlier action of this rule is dead")
            hand.sent = True
            done = await self._carry_out(delivery.destination, delivery.action, delivery.arguments, about, model)
        except Failed as failed:
            await self._failed(lease, delivery, failed, attempt, started)
        else:
            await self._done(lease, delivery, done, attempt, started)

    def _wait_until_due(self, lease: Lease, delivery: Delivery, early: int) -> None:
        """Its rule asked for a delay and its box was not idle when it came: the box waits, no attempt is used."""
        wait = Settlement(lease, delivery.id, "wait", delivery.event, delivery.day, argument=str(early))
        wait.attempt, wait.doubt = lease.attempt, lease.doubt
        self._settle_soon(wait)

    async def _dropped(self, delivery: Delivery) -> bool:
        return await store_outage.insist(lambda: self.mailroom.died_in_order(delivery.event, delivery.destination))

    async def _done(self, lease: Lease, delivery: Delivery, done: Done, attempt: int, started: float) -> None:
        line = self._attempt_line(delivery, attempt, "done", done.note, done.status, started, "done")
        new: list[NewDelivery] = []
        if delivery.results is not None:
            line += await self._next(delivery, done, new)
        self.summary.delivered += 1
        self._settle_soon(
            Settlement(
                lease,
                delivery.id,
                "done",
                delivery.event,
                delivery.day,
                line=line,
                counter=f"attempt|{delivery.destination}|{delivery.action}|done|done",
                says=retry.tells(done),
                retain=delivery.retain,
                new=new,
            )
        )

    async def _next(self, delivery: Delivery, done: Done, new: list[NewDelivery]) -> str:
        """Append what `next:` asks for after success, by the book that made the delivery. Returns its ledger lines."""
        made: list[tuple[str, str, str, str]] = []
        skipped: list[tuple[str, str, str, str, str]] = []
        record = await store_outage.insist(lambda: self.mailroom.record(delivery.event))
        book = await store_outage.insist(lambda: self.context.books.by_version(delivery.book))
        if record is None or book is None:
            return "\n" + as_json({"t": "next", "d": delivery.id, "at": _now(), "why": "event or book are gone"})
        rule = next((rule for rule in book.rules if rule.name == delivery.rule), None)
        if rule is not None:
            results = delivery.results or {}
            try:
                event = events.decode(delivery.event, record, self.context.read)
                actions = rule.next_actions(event, results, delivery.path, done.result)
                self._add(actions, delivery.id, event, book, results, new, made, skipped)
            except Exception as exc:
                self._born_dead_next(delivery, exc, new, made)
        line = {"t": "next", "d": delivery.id, "at": _now(), "made": made, "skipped": skipped}
        text = "\n" + as_json(line)
        for born in new:
            if born.dead:
                text += "\n" + as_json(
                    {"t": "attempt", "d": born.id, "at": _now(), "then": "dead", "code": "value_failed"}
                )
        return text

    def _born_dead_next(
        self, parent: Delivery, exc: Exception, new: list[NewDelivery], made: list[tuple[str, str, str, str]]
    ) -> None:
        name = f"{parent.id}.0"
        about = {
            "room": parent.destination,
            "action": "next",
            "event": parent.event,
            "rule": parent.rule,
            "code": "value_failed",
            "why": f"next: {_why(exc)}",
        }
        log.error("rule.failed event_id=%s rule=%s why=%s", parent.event, parent.rule, _why(exc))
        record = Delivery(
            name, parent.event, parent.day, parent.destination, "next", parent.rule, parent.path, parent.book, {}, ""
        )
        new.append(NewDelivery(name, parent.destination, "", record.encode(), dead=as_json(about)))
        made.append((name, parent.destination, "next", parent.rule))

    async def _failed(self, lease: Lease, delivery: Delivery, failed: Failed, attempt: int, started: float) -> None:
        """Settle a failed attempt."""
        destination = (
            self.context.books.current.destinations.get(delivery.destination) if self.context.books.current else None
        )
        lag = float(getattr(destination.options, "find_lag", 0.0) or 0.0) if destination is not None else 0.0
        decision = retry.decide(failed, attempt, find_lag=lag)
        doubt = max(lease.doubt, 1 if delivery.doubtful else 0)
        settlement = Settlement(lease, delivery.id, "", delivery.event, delivery.day, retain=delivery.retain)
        settlement.says = retry.tells(failed)
        settlement.doubt = max(doubt, 1 if failed.failure == "ambiguous" else 0)
        match decision:
            case retry.WaitAndRetry():
                settlement.verdict = "wait"
                settlement.argument = str(int(decision.seconds * 1000))
                settlement.attempt = attempt if decision.counted else attempt - 1
            case retry.PauseRoom():
                settlement.verdict = "wait"
                settlement.attempt = attempt - 1
            case retry.HoldBox():
                settlement.verdict = "hold"
                settlement.argument = as_json(self._about(delivery, failed, decision.reason))
                settlement.attempt = attempt
                settlement.doubt = max(doubt, 1)
            case retry.GiveUp():
                settlement.verdict = "dead"
                settlement.argument = as_json(self._about(delivery, failed, decision.reason))
                if delivery.in_order:
                    await store_outage.insist(
                        lambda: self.mailroom.remember_death_in_order(delivery.event, delivery.destination)
                    )
        settlement.counter = f"attempt|{delivery.destination}|{delivery.action}|{failed.failure}|{settlement.verdict}"
        code = getattr(decision, "reason", failed.code)
        settlement.line = self._attempt_line(
            delivery, attempt, failed.failure, code, failed.status, started, settlement.verdict
        )
        log.warning(
            "delivery.attempted event_id=%s delivery_id=%s to=%s.%s attempt=%d outcome=%s code=%s status=%d "
            "then=%s hint=%s",
            delivery.event,
            delivery.id,
            delivery.destination,
            delivery.action,
            attempt,
            failed.failure,
            failed.code,
            failed.status,
            settlement.verdict,
            failed.hint,
        )
        self._settle_soon(settlement)

    def _about(self, delivery: Delivery, failed: Failed, reason: str) -> dict[str, Any]:
        return {
            "room": delivery.destination,
            "box": delivery.box,
            "event": delivery.event,
            "delivery": delivery.id,
            "action": delivery.action,
            "rule": delivery.rule,
            "code": reason,
            "why": failed.hint,
            "status": failed.status,
            "at": int(time.time() * 1000),
        }

    def _attempt_line(
        self, delivery: Delivery, attempt: int, outcome: str, code: str, status: int, started: float, then: str
    ) -> str:
        ms = int((time.monotonic() - started) * 1000)
        line = {
            "t": "attempt",
            "d": delivery.id,
            "at": _now(),
            "n": attempt,
            "outcome": outcome,
            "code": code,
            "status": status,
            "ms": ms,
            "then": then,
        }
        return as_json(line)

    # -- settling

    def _give_back(self, hand: _Hand) -> None:
        """Return a box untouched from its next item on; what may be on the wire is doubtful."""
        lease, n = hand.lease, hand.at
        item, record = lease.items[n]
        event, day = item.partition(".")[0], _head(record).get("at", _now())[:10]
        doubt = max(0, lease.doubt - n, 1 if hand.sent else 0)
        attempt = lease.attempt if n == 0 else 0
        self._settle_soon(Settlement(lease, item, "back", event, day, attempt=attempt, doubt=doubt))

    def _settle_soon(self, settlement: Settlement) -> None:
        self._outbox.append(settlement)
        self._to_settle.set()

    async def _settle(self) -> None:
        """Write settlements as they come; while one call is under way the next ones gather."""
        while True:
            await self._to_settle.wait()
            await self._flush()
            if not self._outbox:
                self._to_settle.clear()

    async def _flush(self) -> None:
        batch = self._outbox[:SETTLE_BATCH]
        if not batch:
            return
        token = secrets.token_hex(8)
        again = False
        while True:
            try:
                async with self._tidying:
                    settled = await self.mailroom.settle(self.name, token, batch, pool=self.pool)
                break
            except StoreUnavailable as exc:
                # Unknown whether it was written: the same call again is safe; what it may have leased is given back.
                log.warning("drain.settle_unknown n=%d why=%s", len(batch), exc)
                self._unsure = again = True
                await asyncio.sleep(store_outage.AWAY)
                if self._buried:
                    return
        del self._outbox[: len(batch)]
        for settlement, status in zip(batch, settled.statuses, strict=True):
            if status == 0 and not again:
                log.warning("drain.stale_lease room=%s item=%s", settlement.lease.room, settlement.item)
            if settlement.lease.room != INBOX:
                self._note_end(settlement, "wait" if status == 3 else settlement.verdict)
            if settlement.last or settlement.verdict not in ("done", "dead"):
                self._leases.pop(id(settlement.lease), None)
            for new in settlement.new:
                fresh = self._fresh.pop(new.id, None)
                if new.id in settled.leased:
                    self._dispatch(Lease(new.room, new.box, token, 0, 0, 0, [(new.id, new.record)]), fresh)
        for one in await self._news_missed(batch) if again else settled.news:
            self.context.tell(one)
        self._wake.set()

    async def _news_missed(self, batch: Sequence[Settlement]) -> list[RoomChange]:
        """What a lost answer may have said: which rooms that the batch is about are paused now."""
        told = {settlement.lease.room for settlement in batch if settlement.says}
        try:
            rooms = [room for room in await self.mailroom.rooms() if room.name in told and room.paused]
        except StoreUnavailable:
            return []
        whys = [(room.name, from_json(room.paused)) for room in rooms]
        return [RoomChange(why["by"], name, why["code"]) for name, why in whys if why.get("by") in ("breaker", "key")]

    def _note_end(self, settlement: Settlement, verdict: str) -> None:
        match verdict:
            case "wait":
                self.summary.retried += 1
            case "dead":
                self.summary.dead += 1
            case "hold":
                self.summary.held += 1
                about = from_json(settlement.argument)
                room = about["room"]
                self.context.alerts.tell("held_key", f"{room}.{about['action']}: {about['code']}", destination=room)

    async def _wind_down(self) -> None:
        """Finish what is under way, give back the rest, within the stated time, and leave."""
        settings = self.context.settings
        await self._finish(settings.longest_request + settings.stop_seconds, settings.stop_seconds)
        await self._finish(HANDING_BACK, HANDING_BACK, cut_off=True)
        try:
            if self._leases and not self._buried:
                log.warning("drain.left_behind boxes=%d", len(self._leases))
                await self.mailroom.bury([self.name], counted=self._broken)
            else:
                await self.mailroom.leave(self.name)
        except StoreUnavailable:
            log.warning("drain.left_without_a_word name=%s", self.name)

    async def _finish(self, patience: float, when_stopping: float, *, cut_off: bool = False) -> None:
        """Wait until nothing is under way and all is written, at most so many seconds."""
        ends = time.monotonic() + patience
        hurried = False
        while (self._tasks or self._outbox) and not self._buried and time.monotonic() < ends:
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


def as_result(summary: Summary) -> dict[str, int]:
    """Return a summary as the RQ job's result."""
    return asdict(summary)


def _as_transient(failed: Failed) -> tuple[Any, str]:
    """A look-up creates nothing: what is ambiguous or a refused key elsewhere is only a wait here."""
    return ("limited" if failed.failure in ("limited", "credential") else "transient"), failed.code


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: one that was just getting an answer from the store may not notice at once."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)


def _why(exc: Exception) -> str:
    """Return why, without a value of anybody: only our own errors are known to hold none."""
    return str(exc) if isinstance(exc, RulesError) else f"a bug ({exc.__class__.__name__})"


def _early(delivery: Delivery) -> int:
    """Return by how many ms a delivery is too early."""
    return min(delivery.due - int(time.time() * 1000), delivery.delay) if delivery.delay else 0


def _now() -> str:
    return from_epoch(int(time.time() * 1000))


def _head(record: bytes) -> dict[str, Any]:
    try:
        head = from_json(record.split(b"\n", 1)[0])
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}
