"""What a courier does with a delivery, and what it writes down of it: no store, no sockets."""

import json
import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from mailroom import Lease
from rules.rulebook import Rulebook
from tests.workers.drain.stubs import ClientStub, ContextStub, NoteArguments, OutboxStub, clock, refused
from tests.workers.drain.test_plan import book, context
from tests.workers.worker_fixture import HOLD, LATE_NOTE, NOTE, UPSERT, event, hours
from workers import delivery as deliveries
from workers import retry
from workers.delivery import Delivery
from workers.destinations.base import Attempt
from workers.drain.delivering import Courier
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.summary import Summary
from workers.outcome import Done, Failed, Failure

pytestmark = pytest.mark.anyio

DELIVERY = Delivery(
    "e1.0",
    "e1",
    "2026-11-21",
    "crm",
    "add_note",
    "keep a note",
    (0,),
    "b1",
    {"email": "eva@example.org", "text": "hello"},
    "box",
    retain=1000,
)


class Round:
    """A courier, and one lease that it works on."""

    def __init__(
        self,
        *answers: Done | Exception,
        delivery: Delivery = DELIVERY,
        attempt: int = 0,
        doubt: int = 0,
        rules: Rulebook | None = None,
        creates: bool = True,
    ) -> None:
        self.client = ClientStub(*answers)
        self.context = ContextStub(rules, creates=creates, crm=self.client)
        self.outbox = OutboxStub()
        self.summary = Summary()
        self.clock: LeaseClock = clock()
        self.lease = Lease("crm", "box", "t", attempt, doubt, 0, [(delivery.id, delivery.encode())])
        self.progress = LeaseProgress(self.lease)
        self.courier = Courier(
            self.context,  # type: ignore[arg-type]
            self.clock,
            self.outbox,  # type: ignore[arg-type]
            self.summary,
            context(),
        )

    async def deliver(self) -> Any:
        """Deliver; return the settlement."""
        await self.courier.deliver(self.progress, None)
        (settlement,) = self.outbox.settled
        return settlement


async def test_done() -> None:
    """What was done is settled with its line of the ledger, its counter and what it says of the destination."""
    one = Round(Done(note="already_there", status=200), attempt=2)
    settled = await one.deliver()
    line = json.loads(settled.line)
    assert {**line, "at": "", "ms": 0} == {
        "t": "attempt",
        "d": "e1.0",
        "at": "",
        "n": 3,
        "outcome": "done",
        "code": "already_there",
        "status": 200,
        "ms": 0,
        "then": "done",
    }
    assert (settled.item, settled.verdict, settled.event, settled.day) == ("e1.0", "done", "e1", "2026-11-21")
    assert (settled.counter, settled.says, settled.retain) == ("attempt|crm|add_note|done|done", "there", 1000)
    assert (one.summary.delivered, settled.new) == (1, ())
    ((action, arguments, about),) = one.client.asked
    assert (action, arguments) == ("add_note", NoteArguments(email="eva@example.org", text="hello"))
    assert about == Attempt("e1.0", False, 3)


@pytest.mark.parametrize(("doubt", "marked"), [(1, False), (0, True)])
async def test_doubtful(doubt: int, marked: bool) -> None:
    """What may have been sent before is told so to the destination, and stays so when it fails once more."""
    one = Round(Failed("transient", "timeout"), doubt=doubt, delivery=replace(DELIVERY, doubtful=marked))
    assert (await one.deliver()).doubt == 1
    assert one.client.asked[0][2].doubtful


@pytest.mark.parametrize(
    ("failed", "attempt", "then", "counted", "doubt", "says"),
    [
        (Failed("transient", "unavailable", status=503), 0, "wait", 1, 0, "away:unavailable"),
        (Failed("limited", "rate_limited", status=429), 4, "wait", 4, 0, "there"),
        (Failed("credential", "unauthorised", status=401), 4, "wait", 4, 0, "refused:unauthorised"),
        (Failed("ambiguous", "timeout"), 0, "wait", 1, 1, "away:timeout"),
        (Failed("ambiguous", "unresolved"), 4, "hold", 5, 1, ""),
        (Failed("transient", "two_objects", status=200), 0, "hold", 1, 0, ""),
        (refused(), 4, "dead", 0, 0, "there"),
        (Failed("transient", "timeout"), len(retry.RETRY_AFTER), "dead", 0, 0, "away:timeout"),
    ],
)
async def test_failed(
    failed: Failed,
    attempt: int,
    then: str,
    counted: int,
    doubt: int,
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each failure ends as decided; ledger, counter and log say the same of it."""
    one = Round(failed, attempt=attempt)
    settled = await one.deliver()
    assert (settled.verdict, settled.attempt, settled.doubt, settled.says) == (then, counted, doubt, says)
    assert settled.counter == f"attempt|crm|add_note|{failed.failure}|{then}"
    assert one.context.rests == ([("crm", retry.LIMITED)] if failed.failure == "limited" else [])
    code = f"{failed.code}_too_often" if attempt == len(retry.RETRY_AFTER) else failed.code
    line = json.loads(settled.line)
    assert (line["n"], line["outcome"], line["code"], line["status"], line["then"]) == (
        attempt + 1,
        failed.failure,
        code,
        failed.status,
        then,
    )
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("relais.drain", logging.WARNING)
    assert record.getMessage() == (
        f"delivery.attempted event_id=e1 delivery_id=e1.0 destination=crm action=add_note attempt={attempt + 1} "
        f"outcome={failed.failure} code={failed.code} status={failed.status} then={then} hint={failed.hint}"
    )
    if then in ("dead", "hold"):
        info = settled.info
        assert (info.room, info.box, info.event, info.delivery) == ("crm", "box", "e1", "e1.0")
        why = failed.hint or "nothing more is known"
        assert (info.action, info.rule, info.code, info.why) == ("add_note", "keep a note", code, why)
        assert info.status == failed.status
        assert abs(info.at - time.time() * 1000) < 60_000
        assert settled.wait_ms == 0
    else:
        assert settled.info is None


async def test_waits() -> None:
    """How long a box waits is in milliseconds; while its room is paused for our key, as long as that is."""
    assert 60_000 <= (await Round(Failed("limited", "limited", wait=60.0)).deliver()).wait_ms <= 72_000
    assert 800 <= (await Round(Failed("transient", "timeout")).deliver()).wait_ms <= 1_200
    assert (await Round(Failed("credential", "unauthorised")).deliver()).wait_ms == 0


async def test_search_that_is_behind() -> None:
    """After an unknown answer the box waits for as long as the destination's search may be behind."""
    rules = book(UPSERT)
    options = type("Options", (), {"find_lag": 90.0})()
    crm = replace(rules.destinations["crm"], options=options)
    behind = replace(rules, destinations={**rules.destinations, "crm": crm})
    settled = await Round(Failed("ambiguous", "timeout"), rules=behind).deliver()
    assert (settled.wait_ms, settled.alone_ms) == (90_000, 90_000)
    settled = await Round(Failed("transient", "timeout"), rules=behind).deliver()
    assert settled.wait_ms < 2_000
    assert settled.alone_ms == 0


async def test_told_to_wait() -> None:
    """What the vendor told to wait is left alone for so long, also where its destination answers others meanwhile."""
    settled = await Round(Failed("transient", "gateway_timeout", wait=30.0, status=504)).deliver()
    assert (settled.wait_ms, settled.alone_ms, settled.says) == (30_000, 30_000, "away:gateway_timeout")


async def test_in_order() -> None:
    """A dead action of an `in_order` rule takes the later ones at its destination along, unsent."""
    first = Round(refused(), delivery=replace(DELIVERY, in_order=True))
    await first.deliver()
    assert first.context.died == {("e1", "crm")}
    later = Round(delivery=replace(DELIVERY, id="e1.1", in_order=True))
    later.context.died = first.context.died
    settled = await later.deliver()
    assert (settled.verdict, settled.info.code, later.client.asked) == ("dead", "in_order", [])
    assert not later.progress.sent
    other = Round(refused())
    await other.deliver()
    assert other.context.died == set()


async def test_too_early() -> None:
    """What is not due waits for the rest of its delay, whatever the clock says, without an attempt."""
    due = int(time.time() * 1000) + 40_000
    for delay, most in ((60_000, 40_000), (5_000, 5_000)):
        one = Round(delivery=replace(DELIVERY, due=due, delay=delay), attempt=2, doubt=1)
        settled = await one.deliver()
        assert (settled.verdict, settled.attempt, settled.doubt, settled.line) == ("wait", 2, 1, "")
        assert most - 20_000 < settled.wait_ms <= most
        assert one.client.asked == []
    over = Round(delivery=replace(DELIVERY, due=1, delay=5_000))
    assert (await over.deliver()).verdict == "done"


async def test_what_can_no_longer_decide() -> None:
    """A delivery that is decided when it is due is a dead letter where its event or its book is gone: unsent."""
    rules = book(LATE_NOTE)
    for version, records in (("b1", {"e1": event("e1").encode()}), (rules.version, {})):
        one = Round(delivery=replace(DELIVERY, late=True, rule="keep a late note", book=version), rules=rules)
        one.context.records = records
        settled = await one.deliver()
        assert (settled.verdict, settled.info.code, settled.says, one.client.asked) == ("dead", "book_gone", "", [])


async def test_decided_anew() -> None:
    """What is looked up at delivery goes into the record, which is stored and sent with the next lease."""
    rules = book(LATE_NOTE)
    late = replace(DELIVERY, arguments={"email": "eva@example.org"}, late=True, rule="keep a late note")
    late = replace(late, book=rules.version, box="#email:eva@example.org", results={}, hold=True)
    one = Round(delivery=late, attempt=2, rules=rules)
    one.context.records = {"e1": event("e1", person=1).encode()}
    one.context.clients["desk"] = ClientStub(Done(result={"first_name": "Eva"}))
    one.context.kinds = {"add_note": NoteArguments, "person": IdArguments}
    settled = await one.deliver()
    assert (settled.verdict, settled.wait_ms, settled.attempt, settled.line) == ("wait", 1, 2, "")
    decided = deliveries.decode(settled.record)
    text = {"email": "eva@example.org", "text": "e1 Eva"}
    assert decided == replace(late, arguments=text, late=False, results=None)
    other = Round(delivery=replace(late, box="#email:ada@example.org"), rules=rules)
    other.context.records, other.context.clients["desk"] = one.context.records, one.context.clients["desk"]
    other.context.kinds = one.context.kinds
    settled = await other.deliver()
    assert (settled.verdict, settled.info.why) == ("dead", "what names its object is another now")


class IdArguments(BaseModel):
    id: Any


async def test_business_hours() -> None:
    """What is held waits for the hours of the book in force at each attempt, whatever was known when it was made."""
    held = replace(DELIVERY, hold=True, due=1, delay=5_000)
    night, day = (book(NOTE + HOLD + hours(open_now=open_now)) for open_now in (False, True))
    one = Round(delivery=held, attempt=2, doubt=1, rules=night)
    settled = await one.deliver()
    assert (settled.verdict, settled.attempt, settled.doubt, one.client.asked) == ("wait", 2, 1, [])
    assert 86_000_000 < settled.wait_ms <= 2 * 86_400_000
    line = json.loads(settled.line)
    assert (line["t"], line["d"], line["until"][11:], line["why"]) == (
        "waits",
        "e1.0",
        "00:00:00.000Z",
        "business hours (mon-sun 00:00-24:00 UTC)",
    )
    for rules, delivery in ((day, held), (night, replace(held, hold=False)), (book(NOTE), held)):
        assert (await Round(delivery=delivery, rules=rules).deliver()).verdict == "done"


@pytest.mark.parametrize("why", ["over", "late"])
async def test_nothing_is_begun(why: str) -> None:
    """A drain that is to end, or whose lease may be over, gives the box back unsent."""
    one = Round()
    if why == "over":
        one.clock.broken = True
    else:
        one.clock.beat_at -= 45
    await one.courier.deliver(one.progress, None)
    assert (one.outbox.given_back, one.outbox.settled, one.client.asked) == ([one.progress], [], [])
    assert not one.progress.sent


async def test_sent() -> None:
    """From the moment of sending on the box is doubtful if it is given back."""
    seen: list[bool] = []

    class Looking(ClientStub):
        async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
            seen.append(one.progress.sent)
            return Done()

    one = Round()
    one.context.clients["crm"] = Looking()
    assert not one.progress.sent
    await one.deliver()
    assert seen == [True]


@pytest.mark.parametrize(("creates", "failure"), [(True, "ambiguous"), (False, "transient")])
async def test_bug_of_a_destination(creates: bool, failure: Failure, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of a client is a failure like any other, logged with its trace; what creates may have been done."""
    one = Round(KeyError("eva@example.org"), creates=creates)
    with pytest.raises(Failed) as failed:
        await one.courier.carry_out("crm", "add_note", {"email": "eva@example.org"}, Attempt("e1.0"))
    assert (failed.value.failure, failed.value.code, failed.value.hint) == (failure, "bug", "KeyError")
    (record,) = caplog.records
    assert record.getMessage() == "destination.bug destination=crm action=add_note"
    assert (record.levelno, bool(record.exc_info)) == (logging.ERROR, True)


async def test_arguments_that_do_not_fit() -> None:
    """Arguments that the action of today does not take are refused for good; the field is named, not its value."""
    one = Round()
    with pytest.raises(Failed) as failed:
        await one.courier.carry_out("crm", "add_note", {"email": ["eva@example.org"]}, Attempt("e1.0"))
    assert (failed.value.failure, failed.value.code) == ("permanent", "bad_arguments")
    assert "at email" in failed.value.hint
    assert "eva" not in failed.value.hint
    assert failed.value.__cause__ is None
    assert one.client.asked == []


async def test_validated_once() -> None:
    """Arguments that were validated when they were made are not validated again, unless they are of another kind."""
    one = Round()
    model = NoteArguments(email="eva@example.org")
    await one.courier.carry_out("crm", "add_note", {"email": "other@example.org"}, Attempt("e1.0"), model)
    assert one.client.asked[0][1] is model

    class Another(NoteArguments):
        """Of an older book."""

    other = Another(email="eva@example.org")
    await one.courier.carry_out("crm", "add_note", {"email": "other@example.org"}, Attempt("e1.0"), other)
    assert one.client.asked[1][1] == NoteArguments(email="other@example.org")


async def test_no_destination() -> None:
    """What cannot be sent now is tried later, with the reason."""
    one = Round()
    one.context.unusable["mail"] = "the secret MAIL_KEY is missing"
    for destination, action, hint in (
        ("mail", "add_note", "the secret MAIL_KEY is missing"),
        ("crm", "fly", "no such destination or action"),
        ("gone", "add_note", "no such destination or action"),
    ):
        with pytest.raises(Failed) as failed:
            await one.courier.carry_out(destination, action, {}, Attempt("e1.0"))
        assert (failed.value.failure, failed.value.code) == ("transient", "no_destination")
        assert hint in failed.value.hint


NEXT = UPSERT + '        next:\n          - crm.add_note:\n              email: "{{ data.email }}"\n'


def with_next(rules: str, **more: Any) -> Round:
    """Return a round with a delivery of these rules that something follows."""
    by = book(rules)
    delivery = replace(DELIVERY, **{"rule": "keep the contact", "book": by.version, "results": {}, **more})
    one = Round(Done(result={"id": 7}, status=201), delivery=delivery, rules=by)
    one.context.records["e1"] = event("e1").encode()
    return one


async def test_next() -> None:
    """What follows comes into being in the step that settles, with its line; it may be leased at once."""
    settled = await (one := with_next(NEXT + '              text: "made {{ result.id }}"\n')).deliver()
    (new,) = settled.new
    assert (new.id, new.room) == ("e1.0.0", "crm")
    assert list(one.outbox.fresh) == ["e1.0.0"]
    assert one.outbox.fresh["e1.0.0"][0].arguments["text"] == "made 7"
    first, second = [json.loads(line) for line in settled.line.split("\n")]
    assert (first["t"], first["then"]) == ("attempt", "done")
    assert {**second, "at": ""} == {
        "t": "next",
        "d": "e1.0",
        "at": "",
        "made": [["e1.0.0", "crm", "add_note", "keep the contact"]],
        "skipped": [],
    }


async def test_next_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be filled is a dead letter of its own, named in ledger and log; the delivery itself is done."""
    settled = await with_next(NEXT + '              text: "{{ data.nobody_sends_this }}"\n').deliver()
    (new,) = settled.new
    info = new.dead
    assert (info.room, info.action, info.event, info.rule, info.code) == (
        "crm",
        "add_note",
        "e1",
        "keep the contact",
        "value_failed",
    )
    assert info.why.startswith('rule "keep the contact", crm.add_note: ')
    assert "nobody_sends_this" in info.why
    lines = [json.loads(line) for line in settled.line.split("\n")]
    assert [(line["t"], line["d"]) for line in lines] == [("attempt", "e1.0"), ("next", "e1.0"), ("attempt", "e1.0.0")]
    assert (lines[2]["then"], lines[2]["code"]) == ("dead", "value_failed")
    assert settled.verdict == "done"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("rule.failed event_id=e1 rule=keep the contact why=")


@pytest.mark.parametrize("gone", ["event", "book"])
async def test_next_is_gone(gone: str) -> None:
    """Where the event or its book is no more, nothing can follow, and the ledger says so."""
    one = with_next(NEXT + "              text: x\n", **({"book": "other"} if gone == "book" else {}))
    if gone == "event":
        one.context.records.clear()
    settled = await one.deliver()
    line = json.loads(settled.line.split("\n")[1])
    assert {**line, "at": ""} == {"t": "next", "d": "e1.0", "at": "", "why": "event or book are gone"}
    assert (settled.verdict, settled.new) == ("done", ())


class MeetingClient(ClientStub):
    """Says which contact it found before it answers."""

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        await delivery.meet(["email:eva@example.org", "external_id:7"], "contact", "c1")
        return await super().deliver(action, arguments, delivery)


def meeting(answer: str) -> Round:
    """Return a round whose client meets, and is answered so."""
    one = Round()
    one.client = one.context.clients["crm"] = MeetingClient()
    one.context.meets = answer
    return one


async def test_meet() -> None:
    """What a client found is told to the store under the lease, names as hashes; then the delivery goes on."""
    one = meeting("go")
    settled = await one.deliver()
    assert settled.verdict == "done"
    assert one.context.met == [
        ("crm", "box", "t", "e1.0", ["#email:eva@example.org", "#external_id:7"], "contact", "c1"),
    ]
    assert one.outbox.let_go_of == []


@pytest.mark.parametrize("answer", ["wait", "stale"])
async def test_lease_given_back(answer: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where others come first, or the lease is another's, nothing is sent, settled or given back; it is let go."""
    caplog.set_level(logging.INFO, "relais.drain")
    one = meeting(answer)
    await one.courier.deliver(one.progress, None)
    assert one.client.asked == []
    assert one.outbox.let_go_of == [one.lease]
    assert (one.outbox.settled, one.outbox.given_back) == ([], [])
    assert caplog.messages == [f"delivery.gave_way event_id=e1 delivery_id=e1.0 why={answer}"]


async def test_meet_without_a_lease() -> None:
    """A look-up has no lease that could be given back."""
    await Attempt("e1.look_up").meet(["email:eva@example.org"], "contact", "c1")


@pytest.mark.parametrize(
    ("done", "attempt", "doubt", "outcome"),
    [
        (Done(note="nothing_to_cancel", status=200), 0, 0, "nothing_done"),
        (Done(note="already_there", status=200), 0, 0, "nothing_done"),
        (Done(note="already_there", status=200), 1, 0, "done"),  # Our own attempt before may have done it.
        (Done(note="already_there", status=200), 0, 1, "done"),
        (Done(note="draft_deleted", status=200), 0, 0, "done"),
        (Done(status=200), 0, 0, "done"),
    ],
)
async def test_nothing_done_is_counted(done: Done, attempt: int, doubt: int, outcome: str) -> None:
    """An action that found nothing to do is counted as one that did nothing."""
    settled = await Round(done, attempt=attempt, doubt=doubt).deliver()
    assert settled.counter == f"attempt|crm|add_note|{outcome}|done"


async def test_dead_letter_has_a_reason() -> None:
    """A dead letter never has an empty reason."""
    settled = await Round(Failed("permanent", "refused", status=400)).deliver()
    assert settled.info.why == "nothing more is known"
