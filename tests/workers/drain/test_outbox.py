"""The outbox against a store that answers as the test says."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mailroom import (
    INBOX,
    DeadLetterInfo,
    Lease,
    NewDelivery,
    RoomChange,
    Settled,
    Settlement,
    StoreUnavailable,
)
from tests.conftest import wait_until_async
from workers import store_outage
from workers.delivery import Delivery
from workers.drain import outbox as outboxes
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.outbox import BEGUN_AT_ONCE, SETTLE_BATCH, Outbox
from workers.drain.plan import FreshDelivery
from workers.drain.summary import Summary

pytestmark = pytest.mark.anyio

DAY = "2026-11-21"


class FakeMailroom:
    """Answers `settle` and `rooms`."""

    def __init__(self) -> None:
        #: (drain, token, how many, pool) of each call.
        self.calls: list[tuple[str, str, int, str]] = []
        self.settled: list[Settlement] = []
        #: Calls that get no answer, though they are carried out.
        self.lost = 0
        self.status = 1
        self.leased: set[str] = set()
        self.changes: list[RoomChange] = []
        #: What was next in boxes, for whoever goes on, and whether each call did.
        self.following: list[Lease] = []
        self.went_on: list[bool] = []
        self.paused: dict[str, str] = {}
        self.rooms_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def settle(self, drain: str, token: str, batch: list[Settlement], *, pool: str, go_on: bool) -> Settled:
        self.calls.append((drain, token, len(batch), pool))
        self.went_on.append(go_on)
        await self.may_answer.wait()
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("its answer was lost")
        self.settled += batch
        return Settled(
            [self.status] * len(batch), self.leased, set(), False, self.changes, self.following if go_on else []
        )

    async def rooms(self) -> list[Any]:
        if self.rooms_away:
            raise StoreUnavailable("away")
        return [SimpleNamespace(name=name, paused=why) for name, why in self.paused.items()]


class OutboxDesk:
    """An outbox, and what its surroundings heard of it."""

    def __init__(self) -> None:
        self.mailroom = FakeMailroom()
        self.alerts: list[tuple[str, str, str]] = []
        #: Of what died.
        self.failed: list[DeadLetterInfo] = []
        self.changes: list[RoomChange] = []
        self.dispatched: list[tuple[Lease, FreshDelivery | None]] = []
        self.leases: dict[int, Lease] = {}
        self.clock = LeaseClock(asyncio.Event(), budget=60, dead_after=45, longest_request=30)
        self.summary = Summary()
        self.wake = asyncio.Event()
        rules = {"greet": SimpleNamespace(description="Guests are greeted.")}
        rules["greet without words"] = SimpleNamespace(description="")
        context: Any = SimpleNamespace(
            books=SimpleNamespace(current=SimpleNamespace(rule=rules.get)),
            mailroom=self.mailroom,
            settings=SimpleNamespace(pool="heavy"),
            alerts=SimpleNamespace(tell=self._alert),
            cases=SimpleNamespace(note=self.failed.append),
            report_room_change=self.changes.append,
        )
        self.outbox = Outbox(
            context,
            "d1",
            self.clock,
            self.summary,
            leases=self.leases,
            dispatch=lambda lease, fresh: self.dispatched.append((lease, fresh)),
            goes_on=lambda: not self.clock.over(),
            wake=self.wake,
        )

    def _alert(self, code: str, text: str, *, destination: str) -> None:
        self.alerts.append((code, text, destination))

    def lease(self, name: str = "e1.0", room: str = "crm", **more: Any) -> Lease:
        """Hold a box with one item."""
        given = {"attempt": 0, "doubt": 0, "deaths": 0, "items": [(name, b"{}")], **more}
        lease = Lease(room, f"box-{name}", "t", **given)
        self.leases[id(lease)] = lease
        return lease

    async def until(self, fact: Callable[[], object], what: str) -> None:
        """Wait for a fact."""

        async def ask() -> bool:
            return bool(fact())

        await wait_until_async(ask, what, 10)

    async def empty(self) -> None:
        """Wait until all is written and noted."""
        await self.until(lambda: not self.outbox.waiting and self.wake.is_set(), "all is written")


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OutboxDesk]:
    """An outbox that runs."""
    monkeypatch.setattr(store_outage, "AWAY", 0.01)
    desk = OutboxDesk()
    running = asyncio.create_task(desk.outbox.run())
    yield desk
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def make_new(event: str, many: int) -> list[NewDelivery]:
    """Return so many new deliveries of an event."""
    return [NewDelivery(f"{event}.{n}", "crm", (f"box{n}",), b"{}", lease=True) for n in range(many)]


def done(lease: Lease, **more: Any) -> Settlement:
    """Return the settlement of a lease's first item."""
    item = lease.items[0][0]
    return Settlement(lease, item, "done", item.split(".")[0], DAY, **more)


async def test_gathered(desk: OutboxDesk) -> None:
    """What arises while a call is under way goes with the next one, in order, in calls of a bounded size."""
    desk.mailroom.may_answer.clear()
    desk.outbox.settle_soon(done(desk.lease("first.0")))
    await desk.until(lambda: desk.mailroom.calls, "the first call")
    names = [f"e{n}.0" for n in range(SETTLE_BATCH + 5)]
    for name in names:
        desk.outbox.settle_soon(done(desk.lease(name)))
    desk.mailroom.may_answer.set()
    await desk.empty()
    assert [(drain, n, pool) for drain, _, n, pool in desk.mailroom.calls] == [
        ("d1", 1, "heavy"),
        ("d1", SETTLE_BATCH, "heavy"),
        ("d1", 5, "heavy"),
    ]
    assert len({token for _, token, _, _ in desk.mailroom.calls}) == 3
    assert [one.item for one in desk.mailroom.settled] == ["first.0", *names]
    assert desk.leases == {}


async def test_new_deliveries_count(desk: OutboxDesk) -> None:
    """What settlements make counts for the size of a call as they do; one that makes more than that goes alone."""
    desk.mailroom.may_answer.clear()
    desk.outbox.settle_soon(done(desk.lease("first.0")))
    await desk.until(lambda: desk.mailroom.calls, "the first call")
    for name, many in (("e1", SETTLE_BATCH // 2), ("e2", SETTLE_BATCH // 2), ("e3", 3), ("e4", 2 * SETTLE_BATCH)):
        desk.outbox.settle_soon(done(desk.lease(name, INBOX), new=make_new(name, many)))
    desk.outbox.settle_soon(done(desk.lease("last.0")))
    desk.mailroom.may_answer.set()
    await desk.empty()
    assert [n for _, _, n, _ in desk.mailroom.calls] == [1, 2, 2, 1]
    assert [one.item for one in desk.mailroom.settled] == ["first.0", "e1", "e2", "e3", "e4", "last.0"]


async def test_many_are_begun_in_turns(desk: OutboxDesk) -> None:
    """While many deliveries are begun others get their turn; what is not begun yet is held all the same."""
    new = make_new("e1", 3 * BEGUN_AT_ONCE + 1)
    desk.mailroom.leased = {each.id for each in new}
    seen: list[tuple[int, int, int]] = []

    async def look() -> None:
        while len(desk.dispatched) < len(new):
            seen.append((len(desk.dispatched), len(desk.leases), len(desk.outbox.waiting)))
            await asyncio.sleep(0)

    desk.outbox.settle_soon(done(desk.lease("e1", INBOX), new=new))
    await look()
    await desk.empty()
    assert {(n * BEGUN_AT_ONCE, len(new), 1) for n in (1, 2, 3)} <= set(seen)
    assert [lease.items[0][0] for lease, _ in desk.dispatched] == [each.id for each in new]


def test_size_of_a_call() -> None:
    """A call takes the store some ms, not so long that others wait for it."""
    assert 100 <= outboxes.SETTLE_BATCH <= 1000


async def test_answer_lost(desk: OutboxDesk, caplog: pytest.LogCaptureFixture) -> None:
    """A call without an answer is made again as it was, and the drain looks for what it may have leased."""
    desk.mailroom.lost = 2
    desk.outbox.settle_soon(done(desk.lease()))
    await desk.empty()
    assert len(desk.mailroom.calls) == 3
    assert len({token for _, token, _, _ in desk.mailroom.calls}) == 1
    assert desk.outbox.unsure
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["drain.settle_unknown n=1 why=its answer was lost"] * 2


async def test_going_on(desk: OutboxDesk) -> None:
    """What was next in its box is begun with; the drain looks for more only where something is free for that."""
    desk.mailroom.following = [following] = [Lease("crm", "box-e1.0", "t2", 0, 0, 0, [("e1.1", b"{}")])]
    desk.outbox.settle_soon(done(desk.lease()))
    await desk.until(lambda: desk.dispatched, "the next one")
    assert desk.dispatched == [(following, None)]
    assert not desk.wake.is_set()
    desk.outbox.settle_soon(done(desk.lease("e1.1")))
    desk.outbox.settle_soon(done(desk.lease("e2.0")))
    await desk.empty()
    assert desk.mailroom.went_on == [True, True]


async def test_not_going_on(desk: OutboxDesk) -> None:
    """A drain that begins nothing new does not go on."""
    desk.clock.buried = True
    desk.outbox.settle_soon(done(desk.lease()))
    await desk.until(lambda: desk.mailroom.calls, "the call")
    assert desk.mailroom.went_on == [False]


async def test_answered_at_once(desk: OutboxDesk, caplog: pytest.LogCaptureFixture) -> None:
    """Where every answer comes, nothing is looked for and nothing is logged."""
    desk.outbox.settle_soon(done(desk.lease()))
    await desk.empty()
    assert not desk.outbox.unsure
    assert caplog.records == []


async def test_stale_lease(desk: OutboxDesk, caplog: pytest.LogCaptureFixture) -> None:
    """A settlement that came too late is a line of the log; one that was repeated is none, for it may be its own."""
    desk.mailroom.status = 0
    desk.outbox.settle_soon(done(desk.lease()))
    await desk.empty()
    assert [record.getMessage() for record in caplog.records] == ["drain.stale_lease room=crm item=e1.0"]
    assert caplog.records[0].levelno == logging.WARNING
    caplog.clear()
    desk.wake.clear()
    desk.mailroom.lost = 1
    desk.outbox.settle_soon(done(desk.lease("e2.0")))
    await desk.empty()
    assert "stale_lease" not in caplog.text


async def test_leases_end(desk: OutboxDesk) -> None:
    """A lease ends with its last item, or with the first one that its box has to wait for."""
    kept = desk.lease("e1.0")
    desk.outbox.settle_soon(done(kept, last=False))
    await desk.empty()
    assert list(desk.leases.values()) == [kept]
    waits = Settlement(kept, "e1.0", "wait", "e1", DAY, last=False)
    desk.wake.clear()
    desk.outbox.settle_soon(waits)
    await desk.empty()
    assert desk.leases == {}


async def test_leased_in_the_same_step(desk: OutboxDesk) -> None:
    """What a settlement made and leased is begun at once, with its arguments as they were validated."""
    new = [NewDelivery(f"e1.{n}", "crm", (f"box{n}",), b"{}", lease=n < 2) for n in range(3)]
    fresh: dict[str, FreshDelivery] = {}
    for n in range(2):
        delivery = Delivery(f"e1.{n}", "e1", DAY, "crm", "add_note", "r", (0,), "b1", {}, f"box{n}")
        fresh[delivery.id] = (delivery, None)  # type: ignore[assignment]
    desk.mailroom.leased = {"e1.1"}
    desk.outbox.settle_soon(done(desk.lease("e1", INBOX), new=new), dict(fresh))
    await desk.empty()
    ((lease, given),) = desk.dispatched
    assert (lease.room, lease.box, lease.items, lease.attempt) == ("crm", "box1", [("e1.1", b"{}")], 0)
    assert lease.token == desk.mailroom.calls[0][1]
    assert given is fresh["e1.1"]
    assert desk.outbox.fresh == {}


async def test_summary(desk: OutboxDesk) -> None:
    """What ends is counted by how it ended: an attempt that did not count waits; of the inbox the router counts."""
    info = DeadLetterInfo("crm", "e1", "unresolved", "", action="add_note")
    for verdict, room, more in (
        ("wait", "crm", {"wait_ms": 5}),
        ("dead", "crm", {"info": info}),
        ("hold", "crm", {"info": info}),
        ("done", "crm", {}),
        ("dead", INBOX, {"info": info}),
    ):
        lease = desk.lease(f"{verdict}.0", room)
        desk.outbox.settle_soon(Settlement(lease, f"{verdict}.0", verdict, "e1", DAY, **more))  # type: ignore[arg-type]
    await desk.empty()
    assert (desk.summary.retried, desk.summary.dead, desk.summary.held) == (1, 1, 1)
    desk.mailroom.status = 3
    desk.wake.clear()
    desk.outbox.settle_soon(Settlement(desk.lease("e9.0"), "e9.0", "dead", "e9", DAY, info=info))
    await desk.empty()
    assert (desk.summary.retried, desk.summary.dead, desk.summary.held) == (2, 1, 1)


async def test_held_box_is_told(desk: OutboxDesk) -> None:
    """Of a box that is held somebody is told: where, what, why, and nothing of whom."""
    info = DeadLetterInfo("crm", "e1", "unresolved", "nobody can tell", action="add_note")
    desk.outbox.settle_soon(Settlement(desk.lease(), "e1.0", "hold", "e1", DAY, info=info))
    await desk.empty()
    assert desk.alerts == [("held_key", "crm.add_note: unresolved", "crm")]


async def test_held_box_names_its_rule(desk: OutboxDesk) -> None:
    """The alert has the rule's name, and its description where the book has one."""
    for rule in ("greet", "greet without words", "gone"):
        info = DeadLetterInfo("crm", "e1", "unresolved", "nobody can tell", action="add_note", rule=rule)
        desk.outbox.settle_soon(Settlement(desk.lease(), "e1.0", "hold", "e1", DAY, info=info))
        await desk.empty()
        desk.wake.clear()
    assert [text for _, text, _ in desk.alerts] == [
        'crm.add_note, by the rule "greet" (Guests are greeted.): unresolved',
        'crm.add_note, by the rule "greet without words": unresolved',
        'crm.add_note, by the rule "gone": unresolved',
    ]


@pytest.mark.parametrize(("code", "told"), [("not_in_force_too_often", True), ("timeout_too_often", False)])
async def test_consent_that_is_not_in_force_is_told(desk: OutboxDesk, code: str, told: bool) -> None:
    """Of a consent, unsubscription or cancellation that the vendor never showed somebody is told; of the rest not."""
    info = DeadLetterInfo("crm", "e1", code, "", action="set_consent")
    desk.outbox.settle_soon(Settlement(desk.lease(), "e1.0", "dead", "e1", DAY, info=info))
    await desk.empty()
    text = "crm.set_consent: a consent, an unsubscription or a cancellation is not in force"
    assert desk.alerts == ([("not_in_force", text, "crm")] if told else [])


async def test_room_changes(desk: OutboxDesk) -> None:
    """What an answer says of rooms is passed on; where answers were lost it is asked for, of the rooms concerned."""
    desk.mailroom.changes = [RoomChange("breaker", "crm", "timeout")]
    desk.outbox.settle_soon(done(desk.lease(), says="away:timeout"))
    await desk.empty()
    assert desk.changes == [RoomChange("breaker", "crm", "timeout")]
    desk.changes.clear()
    desk.wake.clear()
    desk.mailroom.lost, desk.mailroom.changes = 1, []
    desk.mailroom.paused = {
        "crm": json.dumps({"by": "key", "code": "unauthorised"}),
        "mail": json.dumps({"by": "person", "code": "by_hand"}),
        "other": json.dumps({"by": "breaker", "code": "timeout"}),
        "fine": "",
    }
    for room in ("crm", "mail", "fine"):
        desk.outbox.settle_soon(done(desk.lease(f"{room}.0", room), says="away:timeout"))
    desk.outbox.settle_soon(done(desk.lease("other.0", "other")))
    await desk.empty()
    assert desk.changes == [RoomChange("key", "crm", "unauthorised")]


async def test_room_changes_while_the_store_is_away(desk: OutboxDesk) -> None:
    """Where nobody can say it, the drain goes on without."""
    desk.mailroom.lost, desk.mailroom.rooms_away = 1, True
    desk.outbox.settle_soon(done(desk.lease(), says="away:timeout"))
    await desk.empty()
    assert desk.changes == []


async def test_give_back(desk: OutboxDesk) -> None:
    """A box goes back from its next item on: attempts are of its first item, doubt of those that may have been sent."""
    items = [(f"e{n}", b'{"at":"2026-11-0%d"}' % n) for n in range(1, 4)]
    lease = desk.lease("e1", INBOX, attempt=2, doubt=2, items=items)
    for at, sent in ((0, False), (1, False), (2, False), (2, True)):
        desk.outbox.give_back(LeaseProgress(lease, at, sent))
    given = [(one.item, one.verdict, one.attempt, one.doubt, one.day) for one in desk.outbox.waiting]
    assert given == [
        ("e1", "back", 2, 2, "2026-11-01"),
        ("e2", "back", 0, 1, "2026-11-02"),
        ("e3", "back", 0, 0, "2026-11-03"),
        ("e3", "back", 0, 1, "2026-11-03"),
    ]
