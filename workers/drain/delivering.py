"""Delivering: what a destination's lease hands out is carried out, and its end settled.

Comes in: leased deliveries, and look-ups of the router. Goes out: one settlement for each delivery, with what follows
from it (`next:`). Never decides what follows a failure: `workers.retry` does.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from mailroom import DeadLetterInfo, Lease, Settlement, ledger, tracing
from mailroom.ledger import Outcome, Then
from mailroom.tracing import TraceSpan, Tracing
from rules import event as events
from rules.action import Action, FailedAction, Skipped
from rules.business_hours import BusinessHours
from rules.errors import ValueFailed
from rules.event import Event
from rules.rulebook import LookUp
from workers import delivery as deliveries
from workers import retry, store_outage
from workers.context import WorkerContext
from workers.delivery import Delivery
from workers.destinations.base import Attempt, LeaseGivenBack, find_lag
from workers.drain.echo_guard import EchoGuard, MarkedWrite
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.outbox import Outbox
from workers.drain.plan import FreshDelivery, Plan, PlanContext, why_failed
from workers.drain.summary import Summary
from workers.outcome import IDLE, MISTAKES, Done, Failed, Failure

log = logging.getLogger("relais.drain")

#: Failures after which nothing comes back; of the others nobody knows whether something was written.
NOT_WRITTEN = frozenset({"permanent", "credential", "limited"})


class Courier:
    """Carries out deliveries of one drain."""

    def __init__(
        self,
        context: WorkerContext,
        clock: LeaseClock,
        outbox: Outbox,
        summary: Summary,
        plan_context: PlanContext,
    ) -> None:
        self._context = context
        self._mailroom = context.mailroom
        self._clock = clock
        self._outbox = outbox
        self._summary = summary
        self._plan_context = plan_context
        self._guard = EchoGuard(context)

    async def deliver(self, progress: LeaseProgress, fresh: FreshDelivery | None) -> None:
        """Deliver the one item that a destination's lease hands out. `fresh`: what it says, if that is known.

        One and no more: were the next item sent before the outcome of this one is stored, a crash in between would send
        this one again after it, in the wrong order.
        """
        lease = progress.lease
        if self._clock.over() or not self._clock.lease_is_good():
            self._outbox.give_back(progress)
            self._context.quotas.note_unsent(lease.room)
            return
        delivery, model = fresh if fresh is not None else (deliveries.decode(lease.items[0][1]), None)
        if self._is_early(lease, delivery):
            self._context.quotas.note_unsent(lease.room)
            return
        attempt = lease.attempt + 1
        started = time.monotonic()
        if delivery.late:
            self._context.quotas.note_unsent(lease.room)
            await self._decide(progress, delivery, attempt, started)
            return
        about = Attempt(
            delivery.id,
            lease.doubt > 0 or delivery.doubtful,
            attempt,
            meeting=lambda names, kind, id: self._meet(lease, names, kind, id),
            unsent=lambda: self._context.quotas.note_unsent(lease.room),
        )
        marked: MarkedWrite | None = None
        span = _begin_span(tracing.on, delivery, attempt) if tracing.on is not None else None
        try:
            if delivery.in_order and await self._earlier_action_died(delivery):
                raise Failed("permanent", "in_order", hint="an earlier action of this rule is dead")
            marked = await self._guard.mark(delivery, model)
            if marked is not None and not self._clock.lease_is_good():  # The store took its time.
                self._outbox.give_back(progress)
                return
            progress.sent = True
            done = await self.carry_out(delivery.destination, delivery.action, delivery.arguments, about, model)
        except LeaseGivenBack as exc:
            log.info("delivery.gave_way event_id=%s delivery_id=%s why=%s", delivery.event, delivery.id, exc)
            await self._guard.unmark(marked)
            self._outbox.let_go(lease)
        except Failed as failed:
            if span is not None:
                span.fail(failed.code)
            if failed.failure in NOT_WRITTEN:
                await self._guard.unmark(marked)
            await self._settle_failed(lease, delivery, failed, attempt, started)
        else:
            await self._settle_done(lease, delivery, done, attempt, started)
        finally:
            if span is not None:
                span.end()

    async def carry_out(
        self,
        destination: str,
        action: str,
        arguments: Mapping[str, Any],
        about: Attempt,
        model: BaseModel | None = None,
    ) -> Done:
        """Carry out an action or look-up. Raises Failed, whatever happens; a delivery may raise LeaseGivenBack.

        `model`: its arguments as they were validated when they were made, if that was just now.
        """
        client = self._context.clients.get(destination)
        kind = self._context.kind(destination, action)
        if client is None or kind is None:
            why = self._context.unusable.get(destination, "the book has no such destination or action any more")
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
        except Failed as failed:
            if seconds := retry.read_rest(failed):  # Before anything is settled that lets the next one go.
                await store_outage.retry_until_answered(lambda: self._mailroom.rest(destination, seconds))
            raise
        except LeaseGivenBack:
            raise
        except Exception as exc:  # An adapter's bug must not stop the others; it is a failure like any other.
            log.exception("destination.bug destination=%s action=%s", destination, action)
            raise Failed("ambiguous" if kind.creates else "transient", "bug", hint=exc.__class__.__name__) from exc

    async def look_up(self, action: Action, event: str) -> Mapping[str, Any]:
        """Look something up within the limits of its destination, which `take` does not account for. Raises Failed."""
        about = Attempt(f"{event}.look_up")
        async with self._context.turn(action.destination):
            return (await self.carry_out(action.destination, action.name, action.arguments, about)).result

    def tell_refused(self, destination: str, failed: Failed) -> None:
        """Tell people of a look-up that cannot be answered before somebody mends it."""
        if failed.failure == "credential" or failed.code in MISTAKES:
            why = MISTAKES.get(failed.code, "refuses our key")
            self._context.alerts.tell(
                "look_up_refused", f"{destination} {why} ({failed.code})", destination=destination
            )

    async def _decide(self, progress: LeaseProgress, delivery: Delivery, attempt: int, started: float) -> None:
        """Look up what a delivery was to wait for, and decide: its arguments are stored before it is sent.

        What is stored is sent by whoever leases the box next, also where this drain dies now; nothing was sent before.
        A look-up that fails is an attempt of the delivery, and says nothing about its destination.
        """
        lease = progress.lease
        try:
            asked, results = await self._ask_late(delivery)
        except Failed as failed:
            await self._settle_failed(lease, delivery, failed, attempt, started, about_room=False)
            return
        if not self._clock.lease_is_good():
            self._outbox.give_back(progress)
        elif isinstance(asked, Skipped):
            self._outbox.settle_soon(
                Settlement(
                    lease,
                    delivery.id,
                    "done",
                    delivery.event,
                    delivery.day,
                    line=ledger.left_out(delivery.id, asked.code, asked.why),
                    retain=delivery.retain,
                )
            )
        else:
            decided = replace(
                delivery, arguments=asked.arguments, late=False, results=results if asked.has_next else None
            )
            stored = Settlement(lease, delivery.id, "wait", delivery.event, delivery.day, wait_ms=1)
            stored.attempt, stored.doubt, stored.record = lease.attempt, lease.doubt, decided.encode()
            self._outbox.settle_soon(stored)

    async def _ask_late(self, delivery: Delivery) -> tuple[Action | Skipped, Mapping[str, Any]]:
        """Return what becomes of a delivery by the book that made it, and what all look-ups brought. Raises Failed."""
        record = await store_outage.retry_until_answered(lambda: self._mailroom.record(delivery.event))
        book = await store_outage.retry_until_answered(lambda: self._context.books.by_version(delivery.book))
        rule = book.rule(delivery.rule) if book is not None else None
        if record is None or rule is None:
            raise Failed(
                "permanent", "book_gone", hint="its event, or the book that made it, is gone: it cannot decide"
            )
        results = dict(delivery.results or {})
        try:
            event = events.decode(delivery.event, record, self._context.read)
            for look_up in rule.late_look_ups:
                results[look_up.name] = await self._answer(look_up, event, results)
            asked = rule.ask_at(event, results, delivery.path)
            if isinstance(asked, FailedAction):
                raise asked.error
            if asked is None or (
                isinstance(asked, Action) and self._mailroom.hash(asked.touches[0].key) != delivery.box
            ):
                raise ValueFailed("", "what names its object is another now")
            return asked, results
        except Failed:
            raise
        except Exception as exc:
            raise Failed("permanent", "value_failed", hint=why_failed(exc)) from exc

    async def _answer(self, look_up: LookUp, event: Event, results: Mapping[str, Any]) -> Mapping[str, Any]:
        action = look_up.request(event, results)
        try:
            return await self.look_up(action, event.id)
        except Failed as failed:
            hint = f"{action.destination} did not answer {look_up.name} ({failed.code})"
            if failed.failure == "permanent":
                raise Failed("permanent", "look_up_refused", status=failed.status, hint=hint) from failed
            self.tell_refused(action.destination, failed)
            # Of another code, since that would pause a room, and of this room it says nothing.
            code = "look_up_refused" if failed.code in MISTAKES else failed.code
            raise Failed(
                failure_of_look_up(failed), code, status=failed.status, wait=failed.wait, hint=hint
            ) from failed

    async def _meet(self, lease: Lease, names: Sequence[str], kind: str, id: str) -> None:
        """Tell the store which object a delivery is about. Raises LeaseGivenBack unless the delivery may go on."""
        item, hashed = lease.items[0][0], [self._mailroom.hash(name) for name in names]
        answer = await store_outage.retry_until_answered(
            lambda: self._mailroom.meet(lease.room, lease.box, lease.token, item, hashed, kind, id)
        )
        if answer != "go":
            raise LeaseGivenBack(answer)

    def _is_early(self, lease: Lease, delivery: Delivery) -> bool:
        """Let a box wait whose first delivery may not be sent yet, without counting an attempt. False: it may be sent.

        A delay that counts from its own event may not be over where the box was busy. Business hours are asked for at
        each attempt, those of the book in force: a retry does not come at night, and a new free day counts at once.
        """
        now, line = int(time.time() * 1000), ""
        early = min(delivery.due - now, delivery.delay) if delivery.delay else 0
        if early <= 0 and delivery.hold and (hours := self._business_hours()) is not None:
            early = hours.next_open(now) - now
            line = ledger.waits(delivery.id, now + early, f"business hours ({hours})") if early else ""
        if early <= 0:
            return False
        wait = Settlement(lease, delivery.id, "wait", delivery.event, delivery.day, line=line, wait_ms=early)
        wait.attempt, wait.doubt = lease.attempt, lease.doubt
        self._outbox.settle_soon(wait)
        return True

    def _business_hours(self) -> BusinessHours | None:
        book = self._context.books.current
        return book.business_hours if book is not None else None

    async def _earlier_action_died(self, delivery: Delivery) -> bool:
        event, destination = delivery.event, delivery.destination
        return await store_outage.retry_until_answered(lambda: self._mailroom.died_in_order(event, destination))

    async def _settle_done(self, lease: Lease, delivery: Delivery, done: Done, attempt: int, started: float) -> None:
        line = _attempt_line(delivery, attempt, "done", done.note, done.status, started, "done")
        # After a doubt it is our own earlier attempt that did it.
        idle = done.note in IDLE and attempt == 1 and not delivery.doubtful and not lease.doubt
        outcome = "nothing_done" if idle else "done"
        follows = None
        if delivery.results is not None:
            follows, lines = await self._plan_next(delivery, done)
            line = f"{line}\n{lines}"
        self._summary.delivered += 1
        self._outbox.settle_soon(
            Settlement(
                lease,
                delivery.id,
                "done",
                delivery.event,
                delivery.day,
                line=line,
                counter=f"attempt|{delivery.destination}|{delivery.action}|{outcome}|done",
                says=retry.destination_health(done),
                retain=delivery.retain,
                new=follows.new if follows is not None else (),
            ),
            follows.fresh if follows is not None else None,
        )

    async def _plan_next(self, delivery: Delivery, done: Done) -> tuple[Plan | None, str]:
        """Return what `next:` asks for after success, by the book that made the delivery, and its ledger lines."""
        record = await store_outage.retry_until_answered(lambda: self._mailroom.record(delivery.event))
        book = await store_outage.retry_until_answered(lambda: self._context.books.by_version(delivery.book))
        if record is None or book is None:
            return None, ledger.next_lost(delivery.id, "event or book are gone")
        plan = Plan(self._plan_context, delivery.id, delivery.event, delivery.day, delivery.retain, book.version)
        if tracing.on is not None:
            plan.origin = (tracing.current.get(), int(time.time() * 1000))
        rule = book.rule(delivery.rule)
        if rule is not None:
            results = delivery.results or {}
            try:
                event = events.decode(delivery.event, record, self._context.read)
                plan.classify(event)
                plan.add(rule.ask_next(event, results, delivery.path, done.result), results)
            except Exception as exc:
                why = why_failed(exc)
                plan.add_failed(delivery.rule, f"{delivery.destination}.next", ValueFailed("next", why), delivery.path)
        for info in plan.failed.values():
            log.error("rule.failed event_id=%s rule=%s why=%s", delivery.event, delivery.rule, info.why)
        lines = [ledger.next_actions(delivery.id, plan.made, plan.skipped), *plan.lines()]
        return plan, "\n".join(lines)

    async def _settle_failed(
        self,
        lease: Lease,
        delivery: Delivery,
        failed: Failed,
        attempt: int,
        started: float,
        *,
        about_room: bool = True,
    ) -> None:
        """Settle a failed attempt. `about_room`: it tells of the delivery's destination."""
        if failed.failure == "ambiguous":  # What may have been made is searched for, once a search would show it.
            failed.wait = max(failed.wait, self._find_lag(delivery.destination))
        decision = retry.decide(failed, attempt)
        doubt = max(lease.doubt, 1 if delivery.doubtful else 0)
        settlement = Settlement(lease, delivery.id, "wait", delivery.event, delivery.day, retain=delivery.retain)
        settlement.says = retry.destination_health(failed) if about_room else ""
        settlement.alone_ms = int(failed.wait * 1000)
        settlement.doubt = max(doubt, 1 if failed.failure == "ambiguous" else 0)
        then: Then = "wait"
        match decision:
            case retry.WaitAndRetry():
                settlement.wait_ms = int(decision.seconds * 1000)
                settlement.attempt = attempt if decision.counted else attempt - 1
            case retry.PauseRoom():
                settlement.attempt = attempt - 1
            case retry.HoldBox():
                then = "hold"
                settlement.info = _info(delivery, failed, decision.reason)
                settlement.attempt = attempt
            case retry.GiveUp():
                then = "dead"
                settlement.info = _info(delivery, failed, decision.reason)
                if delivery.in_order:
                    await store_outage.retry_until_answered(
                        lambda: self._mailroom.remember_death_in_order(delivery.event, delivery.destination)
                    )
        settlement.verdict = then
        settlement.counter = f"attempt|{delivery.destination}|{delivery.action}|{failed.failure}|{then}"
        code = getattr(decision, "reason", failed.code)
        settlement.line = _attempt_line(
            delivery, attempt, failed.failure, code, failed.status, started, then, failed.hint
        )
        log.warning(
            "delivery.attempted event_id=%s delivery_id=%s destination=%s action=%s attempt=%d outcome=%s code=%s "
            "status=%d then=%s hint=%s",
            delivery.event,
            delivery.id,
            delivery.destination,
            delivery.action,
            attempt,
            failed.failure,
            failed.code,
            failed.status,
            then,
            failed.hint,
        )
        self._outbox.settle_soon(settlement)

    def _find_lag(self, name: str) -> float:
        """Return the seconds by which a destination's search may be behind, as its options say."""
        book = self._context.books.current
        destination = book.destinations.get(name) if book is not None else None
        return find_lag(destination.options) if destination is not None else 0.0


def failure_of_look_up(failed: Failed) -> Failure:
    """Return how a failed look-up counts. It creates nothing: no answer is no doubt, a refused key only a wait."""
    return "limited" if failed.failure in ("limited", "credential") else "transient"


def _info(delivery: Delivery, failed: Failed, reason: str) -> DeadLetterInfo:
    return DeadLetterInfo(
        delivery.destination,
        delivery.event,
        reason,
        failed.hint or "nothing more is known",
        box=delivery.box,
        delivery=delivery.id,
        action=delivery.action,
        rule=delivery.rule,
        status=failed.status,
        at=int(time.time() * 1000),
    )


def _attempt_line(
    delivery: Delivery,
    attempt: int,
    outcome: Outcome,
    code: str,
    status: int,
    started: float,
    then: Then,
    why: str = "",
) -> str:
    ms = int((time.monotonic() - started) * 1000)
    return ledger.attempt(delivery.id, n=attempt, outcome=outcome, code=code, status=status, ms=ms, then=then, why=why)


def _begin_span(tracer: Tracing, delivery: Delivery, attempt: int) -> TraceSpan:
    """Begin the span of one attempt; the requests of this task belong to it."""
    about: dict[str, str | int] = {"event": delivery.event, "delivery": delivery.id, "attempt": attempt}
    about |= {"rule": delivery.rule, "book": delivery.book}
    span = tracer.begin(f"deliver {delivery.destination}.{delivery.action}", "client", delivery.origin, about)
    span.carry()
    return span
