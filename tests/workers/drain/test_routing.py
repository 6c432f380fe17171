"""What a router does with leased events, and what it writes down of them: no store, no sockets."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from mailroom import INBOX, Lease, Settlement, ledger
from rules.event import Event
from tests.workers.drain.stubs import ClientStub, ContextStub, OutboxStub, clock
from tests.workers.drain.test_loop import LOOK_UP
from tests.workers.drain.test_plan import BROKEN, book, context
from tests.workers.worker_fixture import NOTE, UPSERT, event
from workers import retry
from workers.drain import delivering
from workers.drain.delivering import Courier
from workers.drain.lease import LeaseClock, LeaseProgress
from workers.drain.routing import MISSES_TOLD, Router
from workers.drain.summary import Summary
from workers.outcome import Done, Failed, Failure

pytestmark = pytest.mark.anyio


class PersonArguments(BaseModel):
    """Arguments of the look-up."""

    id: str


class Tray:
    """A router, and a lease of the inbox."""

    def __init__(self, rules: str, *events: Event, answers: tuple[Done | Exception, ...] = (), **lease: Any) -> None:
        self.client = ClientStub(*answers)
        self.context = ContextStub(book(rules), desk=self.client)
        self.context.kinds = {"person": PersonArguments}
        self.outbox = OutboxStub()
        self.summary = Summary()
        self.clock: LeaseClock = clock()
        self.tasks: list[asyncio.Task[None]] = []
        about = context()
        surroundings: Any = self.context
        outbox: Any = self.outbox
        courier = Courier(surroundings, self.clock, outbox, self.summary, about)
        self.router = Router(surroundings, self.clock, outbox, courier, self.summary, about, self._start)
        given: dict[str, Any] = {"attempt": 0, "doubt": 0, "deaths": 0, **lease}
        self.lease = Lease(INBOX, "box", "t", items=[(one.id, one.encode()) for one in events], **given)

    def _start(self, coroutine: Coroutine[Any, Any, None], progress: LeaseProgress) -> None:
        self.progress = progress
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def route(self) -> list[Settlement]:
        """Route the lease; return its settlements."""
        self.router.route(self.lease)
        await asyncio.gather(*self.tasks)
        return self.outbox.settled


def first_line(settled: Settlement) -> dict[str, Any]:
    """Return the first of a settlement's lines."""
    line: dict[str, Any] = json.loads(settled.line.split("\n")[0])
    return line


async def test_routed() -> None:
    """Each event of a lease is settled on its own, in order; the lease ends with the last."""
    two = [replace(event(f"e{n}"), retain=n) for n in (1, 2)]
    tray = Tray(UPSERT + NOTE, *two)
    first, second = await tray.route()
    assert tray.tasks == []
    assert [(one.item, one.verdict, one.last, one.retain) for one in (first, second)] == [
        ("e1", "done", False, 1),
        ("e2", "done", True, 2),
    ]
    assert (first.event, first.day) == ("e1", two[0].received_at[:10])
    assert first.counter == "routed|shop|person.changed|matched"
    assert tray.router.tally.waiting == {"fired|keep the contact": 2, "fired|keep a note": 2}
    line = first_line(first)
    assert {**line, "at": ""} == {
        "t": "routed",
        "at": "",
        "source": "shop",
        "type": "person.changed",
        "received": two[0].received_at,
        "book": tray.context.books.current.version,
        "fired": ["keep the contact", "keep a note"],
        "missed": [],
        "made": [
            ["e1.0", "crm", "upsert_contact", "keep the contact"],
            ["e1.1", "crm", "add_note", "keep a note"],
        ],
        "who": ["box", "#sender:e1"],
    }
    assert [new.id for new in first.new] == ["e1.0", "e1.1"]
    assert list(tray.outbox.fresh) == ["e1.0", "e1.1", "e2.0", "e2.1"]
    assert tray.summary.routed == 2
    assert [one.note for one in (first, second)] == [f"{one.received_at} 000000" for one in two]


async def test_unmatched() -> None:
    """An event that no rule wants is counted apart, and of the rules that missed it the ledger names some."""
    rules = "".join(
        NOTE.replace("keep a note", f"note {n}").replace(
            "type: person.changed", "type: person.changed\n      data.person: {exists: true}"
        )
        for n in range(MISSES_TOLD + 5)
    )
    (settled,) = await Tray(rules, event("e1")).route()
    counter, kept = settled.counter.split("\n")
    assert counter == "routed|shop|person.changed|unmatched"
    assert (settled.note, settled.retain) == ("aside", 86_400_000)
    assert kept.startswith(f"=missed:{first_line(settled)['missed_as']} ")
    missed = json.loads(kept.partition(" ")[2])["missed"]
    assert [name for name, _, _ in missed] == [f"note {n}" for n in range(MISSES_TOLD)]
    assert {at for _, at, _ in missed} == {"data.person"}


async def test_missed_is_said_once() -> None:
    """What many events have in common of rules that did not fire goes to the store once, until the drain beats."""
    rules = "".join(NOTE.replace("keep a note", f"note {n}").replace("person.changed", "p.other") for n in range(9))
    rules = rules.replace("type: p.other", "data.name: {prefix: x}")
    tray = Tray(rules, *(event(f"e{n}") for n in range(3)))
    first, *others = await tray.route()
    assert [one.counter.count("=missed:") for one in (first, *others)] == [1, 0, 0]
    assert len({first_line(one)["missed_as"] for one in (first, *others)}) == 1
    tray.router.said.clear()
    tray.router.route(tray.lease)
    assert [one.counter.count("=missed:") for one in tray.outbox.settled[3:]] == [1, 0, 0]


async def test_few_missed_stand_in_the_line() -> None:
    """One rule that did not fire is said in the line itself."""
    (settled,) = await Tray(NOTE.replace("person.changed", "person.changed\n      data.name: x"), event("e1")).route()
    assert first_line(settled)["missed"] == [["keep a note", "data.name", 'data.name is not "x"']]
    assert "missed" not in settled.counter


async def test_rule_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A rule that cannot be carried out is a line of the log, of the ledger, and a dead letter in the sum."""
    tray = Tray(NOTE + BROKEN, event("e1"))
    (settled,) = await tray.route()
    _, dead = [json.loads(line) for line in settled.line.split("\n")]
    assert (dead["t"], dead["d"], dead["then"], dead["code"]) == ("attempt", "e1.1", "dead", "value_failed")
    assert (tray.summary.routed, tray.summary.dead) == (1, 1)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("relais.drain", logging.ERROR)
    assert record.getMessage().startswith("rule.failed event_id=e1 rule=broken why=")
    assert "nobody_sends_this" in record.getMessage()
    assert "eva" not in record.getMessage()


async def test_unreadable() -> None:
    """An event that cannot be read is a dead letter; the next one of its key is routed."""
    bad = replace(event("e1"), body=b"[" * 100_000)
    tray = Tray(NOTE, bad, event("e2"))
    first, second = await tray.route()
    assert (first.verdict, first.last, second.verdict, second.last) == ("dead", False, "done", True)
    assert first.counter == "routed|shop|person.changed|unreadable"
    assert (first.event, first.day) == ("e1", bad.received_at[:10])
    info = first.info
    assert info is not None
    assert (info.room, info.box, info.event, info.code) == (INBOX, "box", "e1", "unreadable_event")
    line = first_line(first)
    assert (line["t"], line["source"], line["received"], line["why"]) == ("failed", "shop", bad.received_at, info.why)
    assert (tray.summary.dead, tray.summary.routed) == (1, 1)


async def test_unreadable_to_the_last_byte() -> None:
    """An event whose record is no record at all is a dead letter of today."""
    tray = Tray(NOTE, event("e1"))
    tray.lease.items[0] = ("e1", b"\xff")
    (settled,) = await tray.route()
    assert (settled.verdict, settled.last, len(settled.day)) == ("dead", True, 10)
    assert settled.counter == "routed|||unreadable"


async def test_no_book() -> None:
    """Without a book nothing is routed: that is a bug, which ends the drain, and no event is lost by it."""
    tray = Tray(NOTE, event("e1"))
    tray.context.books.current = None
    with pytest.raises(RuntimeError):
        tray.router.route(tray.lease)
    assert tray.outbox.settled == []


# -- look-ups

EVA = Done(result={"id": 1, "email": "eva@example.org"}, status=200)


async def test_look_up() -> None:
    """From the first event on that needs a look-up a task goes on with the lease, in order, each asked for once."""
    plain = event("e1", type="nobody.cares")
    asking = [event(f"e{n}", person=1) for n in (2, 3)]
    second = LOOK_UP.replace("first", "second")
    tray = Tray(LOOK_UP + second, plain, *asking, answers=(EVA,))
    settled = await tray.route()
    assert [(one.item, one.last) for one in settled] == [("e1", False), ("e2", False), ("e3", True)]
    assert len(tray.tasks) == 1
    assert [(about.id, about.doubtful) for _, _, about in tray.client.asked] == [
        ("e2.look_up", False),
        ("e3.look_up", False),
    ]
    assert tray.context.turns == ["desk", "desk"]
    assert [arguments.id for _, arguments, _ in tray.client.asked] == ["1", "1"]
    assert [len(one.new) for one in settled] == [0, 2, 2]


LEFT = "contact.unsubscribed"
GUARD = f"    not_older_than: {LEFT}\n"


def of(id: str, minute: int | None, type: str = "person.changed", **more: Any) -> Event:
    """Return an event that happened at a minute after ten, or does not say when."""
    time = None if minute is None else f"2026-01-01T11:{minute:02}:00+01:00"
    return replace(event(id, type=type, **more), time=time, received_at="2026-01-01T10:30:00.000Z")


async def test_stale() -> None:
    """What is older than what the store knows of its person is left out, and so are its look-ups; other rules send."""
    tray = Tray(LOOK_UP + GUARD + NOTE, replace(of("e1", 0, person=1)))
    tray.lease.items = [("e1", of("e1", 0, person=1).encode(name_hashes=("also",)))]
    tray.context.newest = {LEFT: "2026-01-01T10:05:00.000Z"}
    (settled,) = await tray.route()
    assert tray.client.asked == []
    assert tray.context.asked_newest == [("box", "also", LEFT)]
    assert [new.id for new in settled.new] == ["e1.0"]
    assert settled.counter.split("\n")[0] == "routed|shop|person.changed|matched"
    assert first_line(settled)["skipped"] == [
        [
            "crm",
            "add_note",
            "first with a look-up",
            "stale",
            f"{LEFT} of 2026-01-01T10:05:00.000Z is newer than this, of 2026-01-01T10:00:00.000Z",
        ]
    ]


async def test_observed_and_stale() -> None:
    """What an observed rule would have left out as stale is recorded so."""
    tray = Tray(NOTE + GUARD + "    mode: observe\n", of("e1", 0))
    tray.context.newest = {LEFT: "2026-01-01T10:05:00.000Z"}
    (settled,) = await tray.route()
    ((*_, code, why),) = first_line(settled)["observed"]
    assert (code, why.startswith(f"{LEFT} of ")) == ("stale", True)


async def test_all_of_it_is_stale() -> None:
    """An event of which nothing is sent because it is stale ends so and is counted so; its payload goes."""
    tray = Tray(NOTE + GUARD, of("e1", 0))
    tray.context.newest = {LEFT: "2026-01-01T10:05:00.000Z"}
    (settled,) = await tray.route()
    outcome = settled.counter.split("\n")[0]
    assert (outcome, settled.note, settled.retain) == ("routed|shop|person.changed|stale", "", 0)
    fate = ledger.tell("e1", [settled.line])
    assert (fate.state, [delivery.state for delivery in fate.deliveries]) == ("stale", ["stale"])


async def test_stale_within_a_lease() -> None:
    """What was routed before it in the same lease counts, settled or not, with a rule of its own or not."""
    times = [
        ("e1", 4, LEFT),
        ("e2", 5, LEFT),
        ("e3", 3, LEFT),
        ("e4", 0, "person.changed"),
        ("e5", 5, "person.changed"),
    ]
    tray = Tray(NOTE + GUARD, *(of(*one) for one in times), of("e6", None))
    tray.context.newest = {LEFT: "2026-01-01T10:01:00.000Z"}
    settled = await tray.route()
    assert [one.happened for one in settled] == [
        f"2026-01-01T10:04:00.000Z {LEFT}",
        f"2026-01-01T10:05:00.000Z {LEFT}",
        f"2026-01-01T10:03:00.000Z {LEFT}",
        *[""] * 3,
    ]
    assert [one.note for one in settled[:3]] == ["aside"] * 3
    assert [len(one.new) for one in settled] == [0, 0, 0, 0, 1, 1]


async def test_nobody_is_never_stale() -> None:
    """An event about nobody is not compared, and nothing is noted of it; nor of a type that no rule speaks of."""
    nobody = replace(of("e1", 0), order_key=None)
    tray = Tray(NOTE + GUARD, nobody, replace(of("e2", 5, LEFT), order_key=None), of("e3", 5, "contact.bounced"))
    tray.context.newest = {LEFT: "2026-01-01T10:05:00.000Z"}
    settled = await tray.route()
    assert tray.context.asked_newest == []
    assert [(len(one.new), one.happened) for one in settled] == [(1, ""), (0, ""), (0, "")]


@pytest.mark.parametrize(
    ("failure", "n", "attempt", "counted"),
    [
        ("transient", 0, 2, 3),
        ("ambiguous", 0, 2, 3),
        ("limited", 0, 2, 2),
        ("credential", 0, 2, 2),
        ("transient", 1, 2, 1),
    ],
)
async def test_look_up_waits(failure: Failure, n: int, attempt: int, counted: int) -> None:
    """Without an answer the event and all behind it wait; an attempt counts where asking was no use, for this event."""
    before = [event(f"b{k}", type="nobody.cares") for k in range(n)]
    tray = Tray(
        LOOK_UP,
        *before,
        event("e1", person=1),
        event("e2", person=1),
        answers=(Failed(failure, "away", wait=7.0),),
        attempt=attempt,
    )
    waits = (await tray.route())[-1]
    assert (waits.item, waits.verdict, waits.attempt, waits.last) == ("e1", "wait", counted, True)
    fate = ledger.tell("e1", [waits.line])
    assert fate.state == "waiting"
    assert fate.why.startswith("desk did not answer booker (away), asked again at 20")
    assert waits.counter == f"look_up|desk|booker|{failure}"
    assert 7_000 <= waits.wait_ms <= 18_000
    assert tray.summary.retried == 1
    told = [("look_up_refused", "desk refuses our key (away)", "desk")]
    assert tray.context.told == (told if failure == "credential" else [])
    assert len(tray.client.asked) == 1


async def test_look_up_waited_long_enough() -> None:
    """An event whose look-up is never answered is routed without it in the end, with a dead letter for the rule."""
    tray = Tray(
        LOOK_UP + NOTE,
        event("e1", person=1),
        answers=(Failed("transient", "timeout"),),
        attempt=len(retry.RETRY_AFTER),
    )
    (settled,) = await tray.route()
    assert settled.verdict == "done"
    dead = [new for new in settled.new if new.dead]
    assert [new.dead.why for new in dead if new.dead] == ["booker: timeout_too_often"]
    assert len(settled.new) == 2


async def test_look_up_that_cannot_be_asked() -> None:
    """A look-up whose question cannot be filled is no question: a dead letter, and the API is not asked."""
    tray = Tray(LOOK_UP, event("e1"), answers=(EVA,))
    (settled,) = await tray.route()
    assert tray.client.asked == []
    (new,) = settled.new
    assert new.dead is not None
    assert (new.dead.code, new.dead.room) == ("value_failed", "crm")


@pytest.mark.parametrize("why", ["over", "late"])
async def test_drain_ends_between_events(why: str) -> None:
    """A drain that is to end, or whose lease may be over, gives the rest back from the next event on."""
    tray = Tray(LOOK_UP, event("e1", person=1), event("e2", person=1), answers=(EVA,))

    class Ending(ClientStub):
        async def deliver(self, *_: Any) -> Done:
            if why == "over":
                tray.clock.broken = True
            else:
                tray.clock.beat_at -= 45
            return EVA

    tray.context.clients["desk"] = Ending()
    (settled,) = await tray.route()
    assert settled.item == "e1"
    assert [(progress.at, progress.sent) for progress in tray.outbox.given_back] == [(1, False)]


def test_what_a_failed_look_up_is() -> None:
    """A look-up creates nothing: what is unknown is a wait, as a refused key is, which costs no attempt."""
    kinds: tuple[Failure, ...] = ("limited", "credential", "transient", "ambiguous")
    assert [delivering.failure_of_look_up(Failed(kind, "x")) for kind in kinds] == [
        "limited",
        "limited",
        "transient",
        "transient",
    ]


# -- what is only observed


async def test_observed() -> None:
    """What observed rules would ask for stands in the ledger and is counted; no delivery follows, no dead letter."""
    observe = "    mode: observe\n    when:"
    tray = Tray((NOTE + BROKEN).replace("    when:", observe), event("e1"))
    (settled,) = await tray.route()
    assert (settled.new, settled.note, settled.retain) == ([], "aside", 86_400_000)
    assert settled.counter.split("\n") == [
        "routed|shop|person.changed|observed",
        "observed|crm|add_note",
    ]
    assert tray.router.tally.waiting == {"observed|keep a note": 1, "observed|broken": 1}
    line = first_line(settled)
    assert (line["fired"], line["made"]) == ([], [])
    assert [(rule, code) for _, _, rule, code, _ in line["observed"]] == [
        ("keep a note", ""),
        ("broken", "value_failed"),
    ]
    assert "eva" not in settled.line


async def test_observed_knows_what_was_looked_up() -> None:
    """An observed rule that asks what a rule in force asks for the same event is told in full, and asks nobody."""
    observed = LOOK_UP.replace("first", "second").replace("    when:", "    mode: observe\n    when:")
    tray = Tray(LOOK_UP + observed, event("e1", person=1), answers=(EVA,))
    (settled,) = await tray.route()
    assert len(tray.client.asked) == 1
    assert [(rule, code) for _, _, rule, code, _ in first_line(settled)["observed"]] == [("second with a look-up", "")]


async def test_counters_are_lines() -> None:
    """A type that holds a line break makes no counter of its own."""
    (settled,) = await Tray(NOTE, event("e1", type="a\nb")).route()
    assert settled.counter == "routed|shop|a b|unmatched"
