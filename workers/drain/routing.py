"""Routing: what the rules ask for of leased events becomes deliveries.

Comes in: leases of the inbox. Goes out: one settlement for each event, made from its Plan. An event whose rules look
something up waits for it in a task of its own. Never sends a delivery, and never decides what the rules ask for.
"""

import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from mailroom import INBOX, DeadLetterInfo, Lease, Settlement, ledger, reroute, tracing
from mailroom.ledger import MissedText
from mailroom.records import newness
from mailroom.rule_counts import RuleTally
from rules import event as events
from rules.action import STALE, Action
from rules.errors import RulesError
from rules.event import Event
from rules.rulebook import LookUp, Matching, Rule, Rulebook
from workers import retry, store_outage
from workers.context import WorkerContext
from workers.drain import shadow
from workers.drain.delivering import Courier, failure_of_look_up
from workers.drain.echo_guard import EchoGuard
from workers.drain.lease import LeaseClock, LeaseProgress, read_head
from workers.drain.outbox import Outbox
from workers.drain.plan import KnownAnswer, LookUpResults, Plan, PlanContext, observe, plan, why_failed
from workers.drain.summary import Summary
from workers.outcome import MISTAKES, Failed

log = logging.getLogger("relais.drain")

#: Rules that did not match, as far as the ledger names them.
MISSES_TOLD = 20

#: Of an event for which all rules fire.
NONE_MISSED = MissedText()

#: The answer to one look-up.
_Answer = Mapping[str, Any] | Failed


class Router:
    """Routes the events of one drain."""

    def __init__(
        self,
        context: WorkerContext,
        clock: LeaseClock,
        outbox: Outbox,
        courier: Courier,
        summary: Summary,
        plan_context: PlanContext,
        start: Callable[[Coroutine[Any, Any, None], LeaseProgress], None],
    ) -> None:
        self._context = context
        self._clock = clock
        self._outbox = outbox
        self._courier = courier
        self._summary = summary
        self._plan_context = plan_context
        self._guard = EchoGuard(context)
        #: Goes on with a lease in a task of its own.
        self._start = start
        #: Which rules fired; the drain writes it.
        self.tally = RuleTally()
        #: What was said once of rules that did not fire, and need not be said again soon; the drain empties it.
        self.said: set[str] = set()

    def route(self, lease: Lease) -> None:
        """Route events of one order key; as soon as one needs a look-up, go on in a task of its own."""
        book = self._context.books.current
        if book is None:
            raise RuntimeError("routing without a book")
        newest: dict[str, str] = {}
        for n in range(len(lease.items)):
            if not self._route_now(lease, n, book, newest):
                progress = LeaseProgress(lease, n)
                self._start(self._route_on(progress, book, newest), progress)
                return

    def _route_now(self, lease: Lease, n: int, book: Rulebook, newest: dict[str, str]) -> bool:
        """Route one event if nothing has to be asked for it. `newest`: of what makes others stale, of this lease."""
        matched = self._match(lease, n, book)
        if matched is None:
            return True
        event, matching, redo = matched
        if any(rule.first_look_ups for rule in matching.fired) or (book.guards and _guards(matching)):
            return False
        if book.echo_types and redo is None and event.type in book.echo_types.get(event.source, ()):
            return False
        event_plan = self._plan(event, matching, {}, redo, book)
        self._settle_routed(lease, n, event, matching, event_plan, book, {}, newest)
        return True

    def _plan(
        self,
        event: Event,
        matching: Matching,
        found: Mapping[str, LookUpResults],
        redo: reroute.Reroute | None,
        book: Rulebook,
        newest: Mapping[str, str] | None = None,
    ) -> Plan:
        """Return what follows from an event; where traces are sent, in a span from which its deliveries go on."""
        if tracing.on is None:
            return plan(event, matching, found, redo, book, self._plan_context, newest)
        origin = tracing.origin_of(event.traceparent, event.received_at)
        about = {"event": event.id, "source": event.source, "type": event.type, "book": book.version}
        span = tracing.on.begin(f"route {event.type}", "internal", origin, about)
        made = plan(event, matching, found, redo, book, self._plan_context, newest, span.origin)
        span.end(rules=len(matching.fired), deliveries=len(made.made), skipped=len(made.skipped))
        return made

    async def _route_on(self, progress: LeaseProgress, book: Rulebook, newest: dict[str, str]) -> None:
        """Route the rest of a lease, with look-ups. Only events of the same order key wait for it."""
        lease = progress.lease
        for n in range(progress.at, len(lease.items)):
            progress.at = n
            if self._clock.over() or not self._clock.lease_is_good():
                self._outbox.give_back(progress)
                return
            matched = self._match(lease, n, book)
            if matched is None:
                continue
            event, matching, redo = matched
            if book.echo_types and redo is None:
                matching = await self._hold_back_echo(lease.box, event, matching, book)
            found: dict[str, LookUpResults] = {}
            answers: dict[bytes, _Answer] = {}
            known = await self._find_newest(lease, n, event, matching, newest)
            for rule in matching.fired:
                if rule.first_look_ups and not rule.find_newer(event, known):
                    look_up = found[rule.name] = await self._look_up(rule, event, answers)
                    if look_up.can_wait and self._wait_for_look_up(lease, n, event, look_up):
                        return
            event_plan = self._plan(event, matching, found, redo, book, known)
            self._settle_routed(lease, n, event, matching, event_plan, book, answers, newest)

    async def _find_newest(
        self, lease: Lease, n: int, event: Event, matching: Matching, newest: Mapping[str, str]
    ) -> dict[str, str]:
        """Return when the newest events happened of which `not_older_than` of a rule speaks, of the same person.

        `newest`: of those that are routed before it in this lease, and perhaps not yet settled.
        """
        types = _guards(matching)
        if not types or not event.order_key:
            return {}
        names = [lease.box, *read_head(lease.items[n][1]).get("also", ())]
        found = await store_outage.retry_until_answered(lambda: self._context.mailroom.newest(names, types))
        return {type: at for type in types if (at := max(found.get(type, ""), newest.get(type, "")))}

    async def _hold_back_echo(self, box: str, event: Event, matching: Matching, book: Rulebook) -> Matching:
        """Return what fires for an event, also where Relais caused it itself by what it wrote there."""
        delivery = await self._guard.find(event, [box, *event.who], book)
        return matching.hold_back_echo(delivery) if delivery else matching

    def _match(self, lease: Lease, n: int, book: Rulebook) -> tuple[Event, Matching, reroute.Reroute | None] | None:
        """Return an event, the rules that fire for it, and what is asked for once more; None: it cannot be read."""
        item, record = lease.items[n]
        try:
            event = events.decode(item, record, self._context.read)
            matching = book.match(event)
            redo = reroute.read(record)
            return event, matching if redo is None else redo.narrow(matching), redo
        except Exception as exc:
            self._settle_unreadable(lease, n, book, exc)
            return None

    def _settle_unreadable(self, lease: Lease, n: int, book: Rulebook, error: Exception) -> None:
        """Keep an event that its reader does not understand any more as a dead letter; its order key goes on."""
        item, record = lease.items[n]
        head = read_head(record)
        source, type, received = head.get("source", ""), head.get("type", ""), head.get("at", "")
        code, who = "unreadable_event", self._context.mailroom.list_who(head)
        why = str(error) if isinstance(error, RulesError) else f"it cannot be read ({error.__class__.__name__})"
        self._summary.dead += 1
        self._outbox.settle_soon(
            Settlement(
                lease,
                item,
                "dead",
                item,
                (received or ledger.now())[:10],
                line=ledger.failed(
                    source=source, type=type, received=received, book=book.version, code=code, why=why, who=who
                ),
                counter=f"routed|{source}|{type}|unreadable",
                info=DeadLetterInfo(INBOX, item, code, why, box=lease.box),
                last=n == len(lease.items) - 1,
            )
        )

    async def _look_up(self, rule: Rule, event: Event, answers: dict[bytes, _Answer]) -> LookUpResults:
        """Ask what a rule wants to know; `answers`: what was asked for this event before."""
        results: dict[str, Any] = {}
        for look_up in rule.first_look_ups:
            try:
                action = look_up.request(event, results)
            except Exception as exc:
                return LookUpResults(results, None, look_up.target.written, look_up.name, why_failed(exc))
            key = _key(action)
            if key not in answers:
                answers[key] = await self._ask(action, event)
            answer = answers[key]
            if isinstance(answer, Failed):
                return LookUpResults(results, answer, action.destination, look_up.name)
            results[look_up.name] = answer
        return LookUpResults(results)

    async def _ask(self, action: Action, event: Event) -> _Answer:
        """Look something up."""
        try:
            return await self._courier.look_up(action, event.id)
        except Failed as failed:
            return failed

    def _wait_for_look_up(self, lease: Lease, n: int, event: Event, look_up: LookUpResults) -> bool:
        """Let an event and its order key wait for a vendor that did not answer. False: it has waited often enough."""
        failed = look_up.failed
        if failed is None:
            return False
        attempt = (lease.attempt if n == 0 else 0) + 1
        mistaken = failed.code in MISTAKES  # It pauses no room: the inbox is not that destination's.
        code = "" if mistaken else failed.code
        decision = retry.decide(Failed(failure_of_look_up(failed), code, wait=failed.wait), attempt)
        if not isinstance(decision, retry.WaitAndRetry):
            look_up.error = f"{failed.code}_too_often"
            look_up.failed = None
            return False
        self._courier.tell_refused(look_up.destination, failed)
        self._summary.retried += 1
        until = int((time.time() + decision.seconds) * 1000)
        self._outbox.settle_soon(
            Settlement(
                lease,
                lease.items[n][0],
                "wait",
                event.id,
                event.received_at[:10],
                line=ledger.asked(destination=look_up.destination, look_up=look_up.name, code=failed.code, until=until),
                counter=f"look_up|{look_up.destination}|{look_up.name}|{failed.failure}",
                wait_ms=int(decision.seconds * 1000),
                attempt=attempt if decision.counted else attempt - 1,
            )
        )
        return True

    def _settle_routed(
        self,
        lease: Lease,
        n: int,
        event: Event,
        matching: Matching,
        event_plan: Plan,
        book: Rulebook,
        answers: Mapping[bytes, _Answer],
        newest: dict[str, str],
    ) -> None:
        """Settle an event: its deliveries come into being in the same step. What no rule wanted is kept for a while.

        `answers`: what was looked up for it.
        """
        fired = matching.fired
        retain, note = _decide_keeping(event, event_plan, matching, book)
        left = "observed" if matching.observed else "echo" if matching.echo_of else "unmatched"
        outcome = _name_outcome(event_plan) if fired else left
        counters = [f"routed|{event.source}|{event.type}|{outcome}"]
        observed = observe(event, matching.observed, _known(answers), event_plan.newest) if matching.observed else []
        counters += [f"observed|{to}|{action}" for to, action, _, code, _ in observed if action and not code]
        if event_plan.redo is None:
            self.tally.add(matching)
        verdict = None
        if (pair := self._context.books.shadow) is not None and event_plan.redo is None and not matching.echo_of:
            verdict = shadow.compare(pair, event, _known(answers), event_plan.newest)
            counters += verdict.counters
        happened = ""
        if event.order_key and event.type in book.guards:
            happened = f"{event.happened_at} {event.type}"
            newest[event.type] = max(newest.get(event.type, ""), event.happened_at)
        missed = _write_missed(matching) if matching.missed else NONE_MISSED
        if missed.kept and missed.kept not in self.said:
            self.said.add(missed.kept)
            counters.append(missed.kept)
        line = ledger.routed(
            source=event.source,
            type=event.type,
            received=event.received_at,
            who=self._list_who(lease, event),
            book=event_plan.book,
            fired=[rule.name for rule in fired],
            missed=missed.line,
            made=event_plan.made,
            skipped=event_plan.skipped,
            observed=observed,
            shadow=verdict.as_line() if verdict is not None else None,
            again=event_plan.redo.round if event_plan.redo is not None else 0,
            echo=matching.echo_of,
        )
        if event_plan.failed:
            self._note_failed_rules(event_plan)
        if event_plan.waits or event_plan.failed:
            line = "\n".join((line, *event_plan.lines()))
        self._summary.routed += 1
        self._outbox.settle_soon(
            Settlement(
                lease,
                lease.items[n][0],
                "done",
                event.id,
                event.received_at[:10],
                line=line,
                counter="\n".join([name.replace("\n", " ") for name in counters]),
                last=n == len(lease.items) - 1,
                retain=retain,
                note=note,
                happened=happened,
                new=event_plan.new,
            ),
            event_plan.fresh,
        )

    def _list_who(self, lease: Lease, event: Event) -> list[str]:
        """Return the keyed hashes by which an event is found; its box is named by that of its order key."""
        who = [lease.box, *event.who] if event.order_key else [*event.who]
        return [*who, self._context.mailroom.hash_sender_id(event.sender_id)] if event.sender_id else who

    def _note_failed_rules(self, event_plan: Plan) -> None:
        self._summary.dead += len(event_plan.failed)
        for rule, why in dict.fromkeys((info.rule, info.why) for info in event_plan.failed.values()):
            log.error("rule.failed event_id=%s rule=%s why=%s", event_plan.event, rule, why)


def _key(request: Action) -> bytes:
    """Return what two look-ups have in common that ask for the same."""
    return to_json([request.destination, request.name, request.arguments])


def _known(answers: Mapping[bytes, _Answer]) -> KnownAnswer:
    """Return what tells of the answers that there are."""

    def tell(_look_up: LookUp, _event: Event, request: Action) -> Mapping[str, Any] | None:
        answer = answers.get(_key(request)) if answers else None
        return None if isinstance(answer, Failed) else answer

    return tell


def _decide_keeping(event: Event, event_plan: Plan, matching: Matching, book: Rulebook) -> tuple[int, str]:
    """Return how long a routed event is kept, and what the store notes of it: how new it is, or that it lies aside."""
    if event_plan.new and event.order_key:
        return event.retain, newness(event.received_at, event.position)
    source = book.sources.get(event.source)
    if matching.fired or event_plan.redo is not None or source is None:
        return event.retain, ""
    retain = max(event.retain, source.retain_unmatched)
    return retain, "aside" if retain else ""


@lru_cache(maxsize=256)
def _write_missed(matching: Matching) -> MissedText:
    """Return what the ledger says of the rules that did not fire; cached, since it is mostly that of many events."""
    return ledger.write_missed([(miss.rule.name, miss.at, miss.why) for miss in matching.missed[:MISSES_TOLD]])


def _guards(matching: Matching) -> list[str]:
    """Return the types of events of which `not_older_than` of its rules speaks."""
    return sorted({type for rule in (*matching.fired, *matching.observed) for type in rule.not_older_than})


def _name_outcome(event_plan: Plan) -> str:
    """Return how an event that rules fired for is counted."""
    left_out = {code for _, _, _, code, _ in event_plan.skipped}
    return "stale" if not event_plan.new and STALE in left_out else "matched"
