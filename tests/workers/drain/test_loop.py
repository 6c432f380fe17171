"""A drain, one sentence at a time: a real store, a real book, a far side on a socket."""

import asyncio
import itertools
import json
import logging
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console import catalogue
from mailroom import CALL_TIMEOUT, Mailroom, NewDelivery, RoomRequest, Settlement, rule_counts, shadow
from rules.business_hours import BusinessHours
from rules.compiler import loader
from rules.event import Event
from tests.conftest import PrivateValkey
from tests.flaky_proxy import Lossy
from tests.workers.worker_fixture import HOLD, LATE_NOTE, NOTE, UPSERT, WorkerFixture, event, hours, names
from workers.drain import loop

pytestmark = pytest.mark.anyio


def said(caplog: pytest.LogCaptureFixture, level: int, begins: str = "") -> list[str]:
    """Return what the drain logged at a level."""
    records = [it for it in caplog.records if it.name == "relais.drain" and it.levelno == level]
    return [it.getMessage() for it in records if it.getMessage().startswith(begins)]


# -- order


@pytest.mark.usefixtures("impatient")
async def test_a_failing_person_keeps_order_and_nobody_else_waits(site: WorkerFixture) -> None:
    """While deliveries for one person fail, hers wait and arrive in order afterwards; everybody else's go on."""
    site.write(NOTE)
    site.far.fail(who="eva@*", times=None, status=503)
    async with site.work():
        await site.put(*(event(f"eva{n}") for n in range(5)), *(event(f"p{n}", f"p{n % 3}") for n in range(9)))
        await site.ended(*(f"p{n}" for n in range(9)))
        assert names(site.far.requests("POST", "*/notes", "eva@*")) == []
        site.far.mend()
        await site.ended(*(f"eva{n}" for n in range(5)))
    assert [note["text"] for note in site.far.notes if note["email"] == "eva@example.org"] == [
        f"eva{n}" for n in range(5)
    ]
    for person in range(3):
        told = [note["text"] for note in site.far.notes if note["email"] == f"p{person}@example.org"]
        assert told == [f"p{n}" for n in range(person, 9, 3)]


async def test_events_of_one_person_are_never_under_way_together(site: WorkerFixture) -> None:
    """Twenty events of one person, put at once, are sent one after the other; those of twenty people together."""
    site.write(NOTE)
    site.far.fail(times=None, delay=0.02)
    async with site.work():
        await site.put(*(event(f"e{n}") for n in range(20)))
        await site.ended(*(f"e{n}" for n in range(20)))
        assert site.far.most_under_way == 1
        assert [note["text"] for note in site.far.notes] == [f"e{n}" for n in range(20)]
        await site.put(*(event(f"p{n}", f"p{n}") for n in range(20)))
        await site.ended(*(f"p{n}" for n in range(20)))
        assert site.far.most_under_way > 5


async def test_one_call_for_each_of_a_person(site: WorkerFixture) -> None:
    """What is next for a person is handed out as the one before is settled: a call of the store for each, not three."""

    async def calls() -> int:
        return int((await site.mailroom.store.info("commandstats"))["cmdstat_fcall"]["calls"])

    site.write(NOTE)
    site.far.fail(who="e0@*", delay=0.5)  # until all are routed
    async with site.work():
        await site.put(*(event(f"e{n}", "e0") for n in range(60)))
        await site.ended("e0")
        before, began = await calls(), time.monotonic()

        async def all_there() -> bool:
            return len(site.far.notes) == 60

        await site.until_true(all_there, "all are there")  # nobody asks the store
        beside = 10 * (1 + time.monotonic() - began)  # beats, and looks at what is due
        assert await calls() - before < 59 * 1.5 + beside


async def test_missed_rules_are_said_again(site: WorkerFixture) -> None:
    """What a store has lost of rules that did not fire is there again a second later."""
    other = NOTE.replace("person.changed", "person.changed\n      data.name: x")
    site.write("".join(other.replace("keep a note", f"note {n}") for n in range(9)))
    async with site.work() as drain:
        await site.put(event("e1"))
        await site.ended("e1")
        kept = [key async for key in site.mailroom.store.scan_iter(match="*missed:*")]
        assert len(kept) == 1
        await site.mailroom.store.delete(*kept)

        async def beats() -> bool:
            return not drain.router.said

        await site.until_true(beats, "the drain beats")
        await site.put(event("e2"))
        await site.ended("e2")
        async with await Mailroom.open(site.context.settings.redis_url) as nobody_knows:
            for story in await nobody_knows.fates(["e1", "e2"]):
                assert story is not None
                assert len(story.rules) == 9


async def test_events_in_turn(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle drain is woken by the bell: twenty events in turn, though it would look by itself after minutes only."""
    site.write()
    async with site.work():
        await site.put(event("first"))
        await site.ended("first")
        monkeypatch.setattr(loop, "REST", 600.0)
        for n in range(20):
            await site.put(event(f"e{n}", f"p{n}"))
            await site.ended(f"e{n}")


# -- outcomes


async def test_limited(site: WorkerFixture) -> None:
    """Too many requests: it waits as long as it was told, and no attempt is counted."""
    site.write()
    site.far.fail(method="POST", path="/contacts", times=2, status=429, headers={"Retry-After": "1"})
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
    sent = [seen.at for seen in site.far.requests("POST", "/contacts")]
    assert [later - sooner > 1 for sooner, later in itertools.pairwise(sent)] == [True, True]
    assert [(attempt["n"], attempt["outcome"]) for attempt in fate.deliveries[0].attempts] == [
        (1, "limited"),
        (1, "limited"),
        (1, "done"),
    ]


async def test_credential(site: WorkerFixture) -> None:
    """A refused key pauses the destination, keeps its queue and tells somebody once; other destinations go on."""
    rules = UPSERT + UPSERT.replace("keep the contact", "keep it elsewhere").replace("crm.", "other.")
    site.write(rules)
    refused = site.far.fail(path="/contacts*", times=None, status=401)
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(30)))
        await site.until(lambda: len(site.far.requests("POST", "/others")) == 30, "the other destination got its 30")
        await site.until(lambda: site.far.alerts, "an alert")
        asked = len(site.far.requests(path="/contacts*"))
        await site.put(*(event(f"f{n}", f"q{n}") for n in range(30)))
        await site.until(lambda: len(site.far.requests("POST", "/others")) == 60, "the other destination got its 60")
        assert len(site.far.requests(path="/contacts*")) == asked
    paused = {room.name: room for room in await site.mailroom.rooms()}["crm"]
    assert json.loads(paused.paused)["code"] == "unauthorised"
    assert paused.ready + paused.waiting == 60
    assert [(alert["alert"], alert["destination"]) for alert in site.far.alerts] == [("paused_destination", "crm")]
    refused.times = 0
    async with site.work():  # A new process may have a better key.
        await site.until(lambda: len(site.far.requests("POST", "/contacts")) >= 30, "the queue goes on")


async def probe_now(site: WorkerFixture) -> None:
    """As if the time until the next probe were over."""

    async def nothing_under_way() -> bool:
        return not await site.mailroom.store.exists(site.mailroom.key("leased:crm"))

    await site.until_true(nothing_under_way, "nothing is under way")
    await site.mailroom.probe("crm")


async def test_key_is_mended_at_the_vendor(site: WorkerFixture) -> None:
    """A refused key that works again, without anything new here, is found by the next probe."""
    site.write()
    refused = site.far.fail(path="/contacts*", times=None, status=401)
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(9)))
        await site.until(lambda: site.far.alerts, "an alert")
        refused.times = 0
        await probe_now(site)
        for fate in await site.ended(*(f"e{n}" for n in range(9))):
            assert {attempt["n"] for attempt in fate.deliveries[0].attempts} == {1}
    assert [alert["alert"] for alert in site.far.alerts][:1] == ["paused_destination"]


@pytest.mark.usefixtures("impatient")
async def test_down(site: WorkerFixture) -> None:
    """A destination that is down uses up nobody's tries, though they would last a second; somebody is told of both."""
    site.write(more="breaker: 2")
    down = site.far.fail(path="/contacts*", times=None, status=503)
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(9)))
        await site.until(lambda: site.far.alerts, "an alert")
        sent = len(site.far.requests(path="/contacts*"))
        for n in range(6):
            await probe_now(site)
            await site.until(lambda n=n: len(site.far.requests(path="/contacts*")) > sent + n, "a probe")
        down.times = 0
        await probe_now(site)
        for fate in await site.ended(*(f"e{n}" for n in range(9))):
            assert fate.state == "delivered"
            assert max(attempt["n"] for attempt in fate.deliveries[0].attempts) <= 2
        await site.until(lambda: len(site.far.alerts) == 2, "a second alert")
    assert [alert["alert"] for alert in site.far.alerts] == ["destination_down", "destination_up"]


@pytest.mark.usefixtures("impatient")
async def test_transient(site: WorkerFixture) -> None:
    """What could not be answered is tried again, each attempt counted, until the waits are used up."""
    site.write()
    site.far.fail(times=None, status=503)
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
    assert fate.state == "dead"
    assert [attempt["n"] for attempt in fate.deliveries[0].attempts] == [1, 2, 3, 4, 5]
    assert fate.deliveries[0].why == "unavailable_too_often"
    (dead,) = await site.mailroom.dead()
    assert (dead.id, dead.info["code"], dead.info["status"]) == ("e1.0", "unavailable_too_often", 503)


async def test_permanent(site: WorkerFixture) -> None:
    """What the other side refuses becomes a dead letter at once, and the person's next event goes on."""
    site.write(NOTE)
    site.far.fail(method="POST", path="*/notes", times=1, status=422)
    async with site.work():
        await site.put(event("e1"), event("e2"))
        first, second = await site.ended("e1", "e2")
    assert (first.state, second.state) == ("dead", "delivered")
    assert [note["text"] for note in site.far.notes] == ["e2"]
    assert await site.mailroom.record("e1") is not None
    assert await site.mailroom.record("e2") is None


@pytest.mark.usefixtures("impatient")
async def test_ambiguous(site: WorkerFixture) -> None:
    """A create whose answer was lost is looked for before it is made again: one contact, not two."""
    site.write()
    site.far.fail(method="POST", path="/contacts", reset=True, after_effect=True)
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
    assert site.far.emails() == ["eva@example.org"]
    assert [attempt["outcome"] for attempt in fate.deliveries[0].attempts] == ["ambiguous", "done"]


@pytest.mark.usefixtures("impatient")
async def test_unresolved(site: WorkerFixture) -> None:
    """Where nothing can be looked for the key is held for a person, who is told; later events of the key wait."""
    site.write(NOTE)
    site.far.fail(method="POST", path="*/notes", reset=True, after_effect=True)
    async with site.work():
        await site.put(event("e1"))

        async def is_held() -> bool:
            return bool(await site.mailroom.held("crm"))

        await site.until_true(is_held, "the key is held")
        await site.put(event("e2"), event("f1", "ada"))
        await site.ended("f1")
        await site.until(lambda: site.far.alerts, "an alert")
        (box,) = await site.mailroom.held("crm")
        assert [note["text"] for note in site.far.notes] == ["e1", "f1"]
    assert (await site.fate("e1")).deliveries[0].state == "held"
    assert (await site.fate("e2")).state == "delivering"
    held = (await site.mailroom.held("crm"))[box]
    assert (held["delivery"], held["code"]) == ("e1.0", "unresolved")
    assert site.far.alerts[0]["alert"] == "held_key"


async def test_in_order(site: WorkerFixture) -> None:
    """`in_order`: a dead action drops the later ones of the same event at that destination, and only those."""
    rules = """\
  - name: contact, then two notes
    in_order: true
    when:
      source: shop
      type: person.changed
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
      - crm.add_note:
          email: "{{ data.email }}"
          text: "one {{ data.name }}"
      - crm.add_note:
          email: "{{ data.email }}"
          text: "two {{ data.name }}"
      - other.upsert_contact:
          email: "{{ data.email }}"
"""
    site.write(rules)
    site.far.fail(method="POST", path="/contacts", times=1, status=422)
    async with site.work():
        await site.put(event("e1"), event("e2"))
        first, second = await site.ended("e1", "e2")
    assert [(d.state, d.why) for d in first.deliveries] == [
        ("dead", "invalid"),
        ("dead", "in_order"),
        ("dead", "in_order"),
        ("delivered", ""),
    ]
    assert second.state == "delivered"
    assert [note["text"] for note in site.far.notes] == ["one e2", "two e2"]


async def test_rendering_that_takes_long(site: WorkerFixture) -> None:
    """A template that reads a long text thousands of times is given up, and 180 other people get theirs meanwhile."""
    loop_over_a_filter = "{% for x in data.list %}{{ data.html | plain_text | length }}{% endfor %}"
    hostile = NOTE.replace("keep a note", "slow").replace("person.changed", "person.slow")
    site.write(NOTE + hostile.replace("{{ data.name }}", loop_over_a_filter))
    more: dict[str, Any] = {"type": "person.slow", "list": list(range(5_000)), "html": "<p>x</p>&amp; y " * 1_000}
    people = [event(f"p{n}", f"p{n}") for n in range(180)]
    slow = [event(f"slow{n}", f"slow{n}", **more) for n in range(6)]
    async with site.work():
        await site.put(*people[:60], *slow[:3], *people[60:120], *slow[3:], *people[120:])
        fates = await site.ended(*(one.id for one in (*people, *slow)), seconds=60)
    assert sorted(note["text"] for note in site.far.notes) == sorted(one.id for one in people)
    assert {fate.state for fate in fates[:180]} == {"delivered"}
    assert [fate.state for fate in fates[180:]] == ["dead"] * 6
    (delivery,) = fates[-1].deliveries
    assert delivery.why.startswith("value_failed")


async def test_only_once(site: WorkerFixture) -> None:
    """`only_once`: of two events with one value only the first is sent; the second says why it was not."""
    rules = NOTE + '    only_once:\n      per: "{{ data.email }}"\n      within: 30d\n'
    site.write(rules)
    async with site.work():
        await site.put(event("e1"), event("e2"), event("f1", "ada"))
        fates = await site.ended("e1", "e2", "f1")
    assert [(fate.state, fate.deliveries[0].why) for fate in fates] == [
        ("delivered", ""),
        ("skipped", "only_once"),
        ("delivered", ""),
    ]
    assert sorted(note["text"] for note in site.far.notes) == ["e1", "f1"]
    assert await site.mailroom.record("e2") is None


async def test_opt_out_ends_a_delay(site: WorkerFixture) -> None:
    """A delivery that waits out its rule's delay ends as stale when its person leaves, and that goes at once."""
    left = NOTE.replace("keep a note", "note who goes").replace("person.changed", "contact.unsubscribed")
    site.write(NOTE + "    delay: 1d\n" + left.replace("data.name", "raw.name"))
    async with site.work():
        await site.put(event("e1"), event("e2"), event("f1", "ada"))
        await site.until_true(lambda: _routed(site, "e1", "e2", "f1"), "all are routed")
        await site.put(event("left", type="contact.unsubscribed"))
        fates = await site.ended("e1", "e2", "left")
    assert [fate.state for fate in fates] == ["stale", "stale", "delivered"]
    assert fates[0].deliveries[0].why == "left.0 came while it waited"
    assert [note["text"] for note in site.far.notes] == ["left"]
    assert [await site.mailroom.record(id) is None for id in ("e1", "e2", "f1")] == [True, True, False]
    assert (await site.fate("f1")).state == "delivering"
    assert (await site.mailroom.counts())["stale|crm"] == 2


async def _routed(site: WorkerFixture, *ids: str) -> bool:
    return all(fate is not None and fate.state == "delivering" for fate in await site.mailroom.fates(ids))


async def test_not_older_than(site: WorkerFixture) -> None:
    """`not_older_than`: whatever came of whom in which order, what is older than the newest before it is never sent."""
    chance = random.Random(12)
    people = ["eva", "ada", "luc", "ida"]
    known: list[tuple[set[str], str]] = []
    given, stale = [], set()
    today = datetime.now(UTC).date().isoformat()
    for n in range(120):
        who, beside = chance.sample(people, 2)
        type = chance.choice(["person.changed", "person.changed", "contact.unsubscribed"])
        minute = n // 3 + chance.randrange(-9, 3) if chance.random() < 0.8 else None
        one = replace(
            event(f"e{n}", who, type=type),
            time=None if minute is None else f"{today}T10:{max(0, minute):02}:00Z",
            received_at=f"{today}T10:{n // 3:02}:30.000Z",
            names=(f"email:{beside}@example.org",) if chance.random() < 0.3 else (),
        )
        given.append(one)
        names = {one.order_key or "", *one.names}
        if type == "contact.unsubscribed":
            known.append((names, one.happened_at))
        elif any(names & theirs and at > one.happened_at for theirs, at in known):
            stale.add(one.id)
    site.write(NOTE + "    not_older_than: contact.unsubscribed\n")
    async with site.work():
        for first in range(0, len(given), 15):
            await site.put(*given[first : first + 15])
        fates = await site.ended(*(one.id for one in given))
    states = {fate.id: fate.state for fate in fates if fate.type == "person.changed"}
    assert {id for id, state in states.items() if state == "stale"} == stale
    assert sorted(note["text"] for note in site.far.notes) == sorted(states.keys() - stale)
    assert 10 < len(stale) < len(states) - 10


async def test_coalesce(site: WorkerFixture) -> None:
    """`coalesce`: of several waiting deliveries that write one object only the newest is sent."""
    site.write(UPSERT + "    coalesce: 1s\n")
    async with site.work():
        await site.put(event("e1"), event("e2"), event("e3"), event("f1", "ada"))
        fates = await site.ended("e1", "e2", "e3", "f1")
    assert [fate.state for fate in fates] == ["coalesced", "coalesced", "delivered", "delivered"]
    assert sorted(names(site.far.requests("POST", "/contacts"))) == ["e3", "f1"]
    assert [await site.mailroom.record(id) for id in ("e1", "e2", "e3")] == [None, None, None]


async def test_delay(site: WorkerFixture) -> None:
    """`delay`: a delivery waits that long, and the later ones of its key behind it."""
    site.write(NOTE + "    delay: 1s\n")
    async with site.work():
        begun = asyncio.get_running_loop().time()
        await site.put(event("e1"), event("e2"))
        await site.ended("e1", "e2")
        assert asyncio.get_running_loop().time() - begun > 0.9
    assert [note["text"] for note in site.far.notes] == ["e1", "e2"]


async def test_hold(site: WorkerFixture) -> None:
    """`hold`: what comes outside of the hours is sent when they begin, in order; `events show` says until when."""
    site.write(NOTE + HOLD + hours(open_now=False))
    async with site.work():
        await site.put(event("e1"), event("e2"), event("f1", "ada"))

        async def all_held() -> bool:
            fates = [await site.fate(id) for id in ("e1", "e2", "f1")]
            return all(each.deliveries and each.deliveries[0].why.startswith("not before ") for each in fates)

        await site.until_true(all_held, "held")
        (room,) = [room for room in await site.mailroom.rooms() if room.name == "crm"]
        assert (room.waiting, room.ready, site.far.notes) == (2, 0, [])
        fate = await site.fate("e1")
        assert fate.deliveries[0].why.endswith(": business hours (mon-sun 00:00-24:00 UTC)")


async def test_hold_in_order(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held goes out once it is open: in its order, and what was never held behind it."""
    opens = int(time.time() * 1000) + 1500
    monkeypatch.setattr(BusinessHours, "next_open", lambda self, at: max(at, opens))
    held = NOTE.replace("    then:", "      data.kind: held\n    hold: until business hours\n    then:")
    other = NOTE.replace("keep a note", "at once").replace("    then:", "      data.kind: {not: held}\n    then:")
    site.write(held + other + hours(open_now=True))
    async with site.work():
        await site.put(event("e1", kind="held"), event("e2", kind="other"), event("e3", kind="held"))
        await site.put(event("f1", "ada", kind="other"))
        await site.ended("f1")
        assert [note["text"] for note in site.far.notes] == ["f1"]
        await site.ended("e1", "e2", "e3")
    assert time.time() * 1000 >= opens
    assert [note["text"] for note in site.far.notes] == ["f1", "e1", "e2", "e3"]


async def test_delay_behind_another(site: WorkerFixture) -> None:
    """`delay` counts from its own event, also where the box was busy when it came."""
    site.write(NOTE + "    delay: 1s\n" + UPSERT.replace("rules:\n", ""))
    site.far.fail(path="/contacts", method="GET", delay=0.3)
    async with site.work():
        await site.put(event("e1"))
        begun = asyncio.get_running_loop().time()
        await site.put(event("e2"))
        await site.ended("e1", "e2")
        assert asyncio.get_running_loop().time() - begun > 0.9


async def test_next(site: WorkerFixture) -> None:
    """`next:` runs after success and sees the result; where the action failed it does not run."""
    rules = UPSERT + '        next:\n          - crm.add_note:\n              email: "{{ data.email }}"\n'
    rules += '              text: "made {{ result.id }} for {{ data.name }}"\n'
    site.write(rules)
    site.far.fail(method="POST", path="/contacts", who="ada@*", status=422)
    async with site.work():
        await site.put(event("e1"), event("f1", "ada"))
        first, second = await site.ended("e1", "f1")
    assert [(d.id, d.action, d.state) for d in first.deliveries] == [
        ("e1.0", "upsert_contact", "delivered"),
        ("e1.0.0", "add_note", "delivered"),
    ]
    assert [d.action for d in second.deliveries] == ["upsert_contact"]
    assert [note["text"] for note in site.far.notes] == ["made 1 for e1"]
    assert await site.mailroom.record("e1") is None


async def test_next_by_an_older_book(site: WorkerFixture) -> None:
    """`next:` follows the book that made the delivery, though another is in force by then."""
    rules = UPSERT + '        next:\n          - crm.add_note:\n              email: "{{ data.email }}"\n'
    site.write(rules + '              text: "old {{ data.name }}"\n')
    hanging = site.far.fail(method="POST", path="/contacts", hang=True)
    async with site.work():
        await site.put(event("e1"))
        await site.until(lambda: site.far.requests("POST", "/contacts"), "the request is under way")
        before = site.context.books.version
        await site.rewrite(NOTE.replace("{{ data.name }}", "new"))
        await site.until(lambda: site.context.books.version != before, "the new book is in force")
        hanging.hang = False
        (fate,) = await site.ended("e1")
        assert [note["text"] for note in site.far.notes] == ["old e1"]
        assert fate.book == before
        site.context.books._old.clear()  # As in a process that never had the older book in force.
        assert (await site.context.books.by_version(before)) is not None


async def test_unmatched(site: WorkerFixture) -> None:
    """An event that no rule wants ends as unmatched, and its payload is kept for a day."""
    site.write()
    async with site.work():
        await site.put(event("e1", type="nobody.cares"))
        (fate,) = await site.ended("e1")
    assert fate.state == "unmatched"
    assert (await site.mailroom.counts())["routed|shop|nobody.cares|unmatched"] == 1
    assert await site.mailroom.record("e1") is not None
    assert 0 < await site.mailroom.store.pttl(site.mailroom.key("e:e1")) <= 86_400_000


async def test_value_failed(site: WorkerFixture) -> None:
    """An action that cannot be filled leaves a dead letter that says why; everything else of the event goes on."""
    broken = UPSERT.replace("keep the contact", "broken").replace("{{ data.name }}", "{{ data.nobody_sends_this }}")
    site.write(broken + NOTE)
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
    assert [(d.rule, d.state, d.why) for d in fate.deliveries] == [
        (
            "broken",
            "dead",
            'value_failed: rule "broken", crm.upsert_contact: data.nobody_sends_this: absent',
        ),
        ("keep a note", "delivered", ""),
    ]
    (dead,) = await site.mailroom.dead()
    assert "nobody_sends_this" in dead.info["why"]
    assert await site.mailroom.record("e1") is not None


async def test_retain(site: WorkerFixture) -> None:
    """A payload is erased when its event is settled, unless its source keeps it for a while."""
    site.write()
    kept = event("e2", "ada")
    kept = Event(**{**{name: getattr(kept, name) for name in kept.__dataclass_fields__}, "retain": 60_000})
    async with site.work():
        await site.put(event("e1"), kept)
        await site.ended("e1", "e2")
    assert await site.mailroom.record("e1") is None
    assert await site.mailroom.record("e2") is not None
    assert 0 < await site.mailroom.store.pttl(site.mailroom.key("e:e2")) <= 60_000


# -- look-ups

LOOK_UP = """\
  - name: first with a look-up
    when:
      source: shop
      type: person.changed
    look_up:
      booker:
        api.person:
          id: "{{ data.person }}"
    then:
      - crm.add_note:
          email: "{{ booker.email }}"
          text: "{{ data.name }}"
"""


@pytest.mark.usefixtures("impatient")
async def test_look_up_transient(site: WorkerFixture) -> None:
    """While a look-up has no answer its order key waits, in order, and nobody else does."""
    site.write(LOOK_UP)
    site.far.persons = {"1": {"id": 1, "email": "eva@example.org"}, "2": {"id": 2, "email": "ada@example.org"}}
    away = site.far.fail(path="/persons/1", times=None, status=503)
    async with site.work():
        await site.put(*(event(f"e{n}", person=1) for n in range(3)), event("f1", "ada", person=2))
        await site.ended("f1")
        waiting = await site.fate("e0")
        assert waiting.state == "waiting"
        assert waiting.why.startswith("desk did not answer booker (unavailable), asked again at ")
        away.times = 0
        ended = await site.ended("e0", "e1", "e2")
        assert {each.why for each in ended} == {""}
    assert [note["text"] for note in site.far.notes] == ["f1", "e0", "e1", "e2"]


@pytest.mark.usefixtures("impatient")
async def test_look_up_away_for_too_long(site: WorkerFixture) -> None:
    """A look-up that is never answered ends as a dead letter with its reason; the key goes on."""
    site.write(LOOK_UP + NOTE)
    site.far.fail(path="/persons/*", times=None, status=503)
    async with site.work():
        await site.put(event("e1", person=1), event("e2", person=1))
        first, second = await site.ended("e1", "e2")
    assert [(d.rule, d.state) for d in first.deliveries] == [
        ("first with a look-up", "dead"),
        ("keep a note", "delivered"),
    ]
    assert "unavailable_too_often" in (await site.mailroom.dead())[0].info["why"]
    assert [note["text"] for note in site.far.notes] == ["e1", "e2"]
    assert second.state == "dead"


async def test_look_up_permanent(site: WorkerFixture) -> None:
    """A look-up that is refused ends as a dead letter with its reason, at once."""
    site.write(LOOK_UP)
    async with site.work():
        await site.put(event("e1", person=404))
        (fate,) = await site.ended("e1")
    assert fate.state == "dead"
    (dead,) = await site.mailroom.dead()
    assert "not_found" in dead.info["why"]


def person(name: str) -> dict[str, Any]:
    return {"id": 1, "first_name": name}


async def test_look_up_at_delivery(site: WorkerFixture) -> None:
    """`at: delivery`: what is looked up is what is true when the delivery is due; who waits behind it still does."""
    site.write(LATE_NOTE)
    site.far.persons = {"1": person("Eva")}
    async with site.work():
        await site.put(event("e1", person=1), event("e2", person=1))
        await site.until_true(lambda: has_deliveries(site, "e2"), "both wait")
        assert site.far.requests("GET", "/persons/*") == []
        site.far.persons["1"] = person("Ada")
        await site.ended("e1", "e2")
    assert [note["text"] for note in site.far.notes] == ["e1 Ada", "e2 Ada"]
    assert await site.mailroom.record("e1") is None


async def has_deliveries(site: WorkerFixture, id: str) -> bool:
    return bool((await site.fate(id)).deliveries)


async def test_decided_at_delivery(site: WorkerFixture) -> None:
    """A condition on what was looked up is decided when the delivery is due, and ends it as skipped."""
    site.write(LATE_NOTE)
    site.far.persons = {"1": person("nobody")}
    async with site.work():
        await site.put(event("e1", person=1))
        (fate,) = await site.ended("e1")
    assert (fate.state, fate.deliveries[0].why) == ("skipped", 'only_if: only_if: booker.first_name is "nobody"')
    assert (site.far.notes, fate.deliveries[0].attempts) == ([], [])
    assert await site.mailroom.record("e1") is None


@pytest.mark.usefixtures("impatient")
async def test_decided_once(site: WorkerFixture) -> None:
    """What was decided is stored: a retry sends the same, whatever has changed since, and looks nothing up."""
    site.write(LATE_NOTE)
    site.far.persons = {"1": person("Eva")}
    away = site.far.fail(method="GET", path="/contacts", times=None, status=503)
    async with site.work():
        await site.put(event("e1", person=1))

        async def was_attempted() -> bool:
            fate = await site.fate("e1")
            return bool(fate.deliveries) and bool(fate.deliveries[0].attempts)

        await site.until_true(was_attempted, "an attempt")
        site.far.persons["1"] = person("Ada")
        await site.rewrite(LATE_NOTE.replace("booker.first_name }}", "booker.first_name }}!"))
        away.times = 0
        await site.ended("e1")
    assert [note["text"] for note in site.far.notes] == ["e1 Eva"]
    assert len(site.far.requests("GET", "/persons/*")) == 1


@pytest.mark.usefixtures("impatient")
async def test_late_look_up_not_answered(site: WorkerFixture) -> None:
    """A look-up at delivery that is not answered is tried again like the delivery, and nobody else waits for it."""
    site.write(LATE_NOTE + NOTE.replace("person.changed", "person.left"))
    site.far.persons = {"1": person("Eva")}
    away = site.far.fail(path="/persons/*", times=None, status=503)
    async with site.work():
        await site.put(event("e1", person=1))

        async def was_attempted() -> bool:
            fate = await site.fate("e1")
            return bool(fate.deliveries) and len(fate.deliveries[0].attempts) > 1

        await site.until_true(was_attempted, "attempts")
        await site.put(*(event(f"f{n}", f"f{n}", type="person.left") for n in range(3)))
        await site.ended("f0", "f1", "f2")
        away.times = 0
        (fate,) = await site.ended("e1")
    first = fate.deliveries[0].attempts[0]
    assert (first["outcome"], first["code"]) == ("transient", "unavailable")
    assert first["why"] == "desk did not answer booker (unavailable)"
    assert [note["text"] for note in site.far.notes if note["email"] == "eva@example.org"] == ["e1 Eva"]


async def test_late_look_up_refused(site: WorkerFixture) -> None:
    """A look-up at delivery that is refused is a dead letter, which says of what."""
    site.write(LATE_NOTE)
    async with site.work():
        await site.put(event("e1", person=404))
        (fate,) = await site.ended("e1")
    assert fate.state == "dead"
    (dead,) = await site.mailroom.dead()
    assert (dead.info["code"], dead.info["why"]) == ("look_up_refused", "desk did not answer booker (not_found)")


async def test_look_up_once(site: WorkerFixture) -> None:
    """Two rules that ask the same ask once for each event."""
    site.write(LOOK_UP + LOOK_UP.replace("first", "second"))
    site.far.persons = {"1": {"id": 1, "email": "eva@example.org"}}
    async with site.work():
        await site.put(event("e1", person=1), event("e2", person=1))
        await site.ended("e1", "e2")
    assert len(site.far.requests("GET", "/persons/1")) == 2
    assert len(site.far.notes) == 4


async def test_look_up_without_api(site: WorkerFixture) -> None:
    """A look-up named `api.` for an event whose source has left the book is a dead letter; the drain lives."""
    site.write(LOOK_UP.replace("source: shop\n      type: person.changed", "data.person: {exists: true}"))
    site.far.persons = {"1": {"id": 1, "email": "eva@example.org"}}
    async with site.work():
        await site.put(event("e1", source="gone", person=1), event("e2", "ada", person=1))
        first, second = await site.ended("e1", "e2")
    assert (first.state, second.state) == ("dead", "delivered")
    assert "has no api" in (await site.mailroom.dead())[0].info["why"]


async def test_look_ups_keep_the_limits(site: WorkerFixture) -> None:
    """Look-ups keep the rate and the concurrency of their destination, however many events wait for them."""
    site.write(LOOK_UP, desk="limit: 20/s")
    site.far.persons = {str(n): {"id": n, "email": f"p{n}@example.org"} for n in range(20)}
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}", person=n) for n in range(20)))
        await site.ended(*(f"e{n}" for n in range(20)))
    asked = [seen.at for seen in site.far.requests("GET", "/persons/*")]
    assert asked[-1] - asked[0] > 17 / 20
    await site.rewrite(LOOK_UP, desk="concurrency: 3")
    site.far.fail(path="/persons/*", times=None, delay=0.05)
    site.far.most_under_way = 0
    async with site.work():
        await site.put(*(event(f"f{n}", f"p{n}", person=n) for n in range(20)))
        await site.until(lambda: len(site.far.requests("GET", "/persons/*")) == 40, "all are asked")
        assert site.far.most_under_way <= 4
        await site.ended(*(f"f{n}" for n in range(20)))


# -- what must not stop it


async def test_suspects_that_may_not_be_sent_yet(site: WorkerFixture) -> None:
    """Boxes whose drain died and that the rate of their room does not let go yet hold no other room up."""
    site.write(NOTE, more="limit: 1/m")
    await site.mailroom.pause("crm", "{}")
    async with site.work():
        await site.mailroom.pause("crm", "{}")
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(3)))
        await site.until_true(lambda: waits(site, "crm", 3), "they are routed")
    await site.mailroom.resume("crm")
    await site.mailroom.configure("crm")
    await site.mailroom.beat("dead", register=True)
    await site.mailroom.take("dead", "request", [RoomRequest("crm", 9)])
    await site.mailroom.bury(["dead"])
    await site.rewrite(NOTE.replace("crm.", "other."), more="limit: 1/m")
    async with site.work():
        for n in range(3):
            await site.put(event(f"f{n}", f"q{n}"))
            await site.until(lambda n=n: len(site.far.others) > n, f"f{n} arrives")


async def is_waiting(site: WorkerFixture, room: str) -> bool:
    """Tell whether a box of a room waits for a time."""
    return any(state.name == room and state.waiting for state in await site.mailroom.rooms())


async def waits(site: WorkerFixture, room: str, n: int) -> bool:
    """Tell whether so many boxes of a room are ready."""
    return any(state.name == room and state.ready == n for state in await site.mailroom.rooms())


async def test_a_rule_with_a_bug(site: WorkerFixture) -> None:
    """Whatever goes wrong inside a rule becomes a dead letter of its own, without anybody's data; the drain lives."""
    site.write(UPSERT + NOTE)
    async with site.work():
        await site.put(event("warm", "ada"))
        await site.ended("warm")
        book = site.context.books.current
        assert book is not None
        object.__setattr__(book.rules[0].then[0].target, "kind", None)  # As a slip of ours would be.
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
        assert not site.running.done()
    assert [(d.rule, d.state) for d in fate.deliveries] == [("keep the contact", "dead"), ("keep a note", "delivered")]
    (dead,) = await site.mailroom.dead()
    assert dead.info["why"] == "a bug (AttributeError)"


async def test_an_unreadable_event(site: WorkerFixture) -> None:
    """An event whose body cannot be read any more is a dead letter; the next one of its key goes on."""
    site.write(NOTE)
    bad = event("e1")
    bad = Event(**{**{name: getattr(bad, name) for name in bad.__dataclass_fields__}, "body": b"[" * 100_000})
    async with site.work():
        await site.put(bad, event("e2"))
        first, second = await site.ended("e1", "e2")
    assert (first.state, second.state) == ("dead", "delivered")
    assert first.why == "it cannot be read (EventDamaged)"
    assert await site.mailroom.record("e1") is not None


async def test_nothing_grows(site: WorkerFixture) -> None:
    """After six hundred events of all kinds an idle drain remembers nothing of them."""
    site.write(UPSERT + NOTE + LOOK_UP)
    site.far.persons = {"1": {"id": 1, "email": "eva@example.org"}}
    site.far.fail(method="POST", path="*/notes", who="p1@*", times=None, status=422)
    async with site.work():
        for start in range(0, 600, 200):
            await site.put(
                *(event(f"e{n}", f"p{n % 40}", person=1 if n % 5 else None) for n in range(start, start + 200))
            )
            await site.idle(seconds=20)
            await site.until(lambda: site.books() == (0, 0, 0, 0), "the drain remembers nothing")
        assert site.drain.summary.routed == 600
    assert len(site.far.notes) == 600 + 480 - 15


# -- stopping


async def test_stop_under_load(site: WorkerFixture) -> None:
    """Asked to stop, a drain finishes what it has sent and gives the rest back within the stated time, in order."""
    site.write(NOTE)
    site.far.fail(times=None, delay=0.03)
    events = [event(f"e{n}", f"p{n % 7}") for n in range(200)]
    await site.put(*events)
    async with site.work(stop_seconds=600.0):  # It has ten minutes, and ends long before.
        await site.until(lambda: len(site.far.notes) > 20, "it is under way")
    assert len(site.far.notes) < 200
    async with site.work():
        await site.idle()
    for person in range(7):
        told = [note["text"] for note in site.far.notes if note["email"] == f"p{person}@example.org"]
        assert told == [f"e{n}" for n in range(person, 200, 7)]


async def test_stop_while_nobody_answers(site: WorkerFixture) -> None:
    """What has no answer when the time is up is given back as doubtful: found before it is made again."""
    site.write(timeout="30")
    hanging = site.far.fail(method="POST", path="/contacts", who="eva@*", hang=True, after_effect=True, times=None)
    await site.put(event("e1"), event("e2"), *(event(f"f{n}", f"p{n}") for n in range(5)))
    async with site.work(stop_seconds=0.3):
        await site.until(lambda: site.far.requests("POST", "/contacts", "eva@*"), "the request is under way")
    assert (await site.fate("e1")).deliveries[0].attempts == []  # It was not waited for until its time-out.
    hanging.hang, hanging.times = False, 0
    async with site.work():
        await site.idle()
    assert sorted(site.far.emails()) == ["eva@example.org", *(f"p{n}@example.org" for n in range(5))]
    assert site.far.contact("eva@example.org")["last_name"] == "e2"


async def test_budget(site: WorkerFixture) -> None:
    """When its time is used up a drain ends by itself, and holds nothing."""
    site.write(NOTE)
    site.far.fail(times=None, delay=0.02)
    await site.put(*(event(f"e{n}") for n in range(100)))
    async with site.work(budget=0.4):
        await site.until(site.running.done, "it has ended")
        assert 0 < (await site.running).delivered < 100
        await site.assert_clean()
    async with site.work():
        await site.idle()
    assert [note["text"] for note in site.far.notes] == [f"e{n}" for n in range(100)]


async def test_cancelled_before_it_began(site: WorkerFixture) -> None:
    """What a drain was given and had no time to begin goes back at once, and nobody has to find it dead for that."""
    site.write(NOTE)
    async with site.work(stop_seconds=0.0):
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(60)))
        await site.until(lambda: site.drain.leases, "it holds something")
    async with site.work():
        await site.idle()
    held = {room.name: room.held for room in await site.mailroom.rooms()}
    texts = sorted(note["text"] for note in site.far.notes)
    assert len(texts) == len(set(texts))
    # A note whose request was cut is held, whether the destination had written it or not.
    assert len(texts) <= 60 <= len(texts) + held["crm"]


# -- a drain that counts as dead


async def test_buried(site: WorkerFixture, caplog: pytest.LogCaptureFixture) -> None:
    """A drain that was declared dead drops everything; what it settles late changes nothing."""
    site.write()
    hanging = site.far.fail(method="POST", path="/contacts", hang=True, after_effect=True)
    async with site.work() as drain:
        await site.put(event("e1"), event("e2"))
        await site.until(lambda: site.far.requests("POST", "/contacts"), "the request is under way")
        (lease,) = (lease for lease in drain.leases.values() if lease.room == "crm")
        assert await site.mailroom.bury([drain.name]) == (1, 0)
        late = await site.mailroom.settle(drain.name, "late", [Settlement(lease, "e1.0", "done", "e1", "2026-11-21")])
        assert late.statuses == [0]
        await site.until(site.running.done, "it notices and ends")
    assert said(caplog, logging.ERROR) == ["drain.buried name=w1.1: another process took over what it held"]
    hanging.hang = False
    async with site.work():
        await site.idle()
    assert site.far.emails() == ["eva@example.org"]
    assert site.far.contact("eva@example.org")["last_name"] == "e2"


async def test_no_second_request_without_a_lease(site: WorkerFixture) -> None:
    """A drain that could not beat for too long sends nothing more, not even the second request of a recipe."""
    site.write()
    site.far.fail(method="GET", path="/contacts", delay=0.3)
    async with site.work() as drain:
        await site.put(event("e1"))
        await site.until(lambda: site.far.requests("GET", "/contacts"), "it searches")
        drain.clock.beat_at -= site.context.settings.dead_after
        await site.until_true(lambda: is_waiting(site, "crm"), "it waits for another attempt")
        assert site.far.requests("POST", "/contacts") == []
        await site.ended("e1")
    assert site.far.emails() == ["eva@example.org"]


async def test_bug(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours is logged with its trace and ends the drain; what it held is under suspicion, nothing is lost."""
    site.write(UPSERT)

    async def broken(*_: Any) -> None:
        raise KeyError("a bug")

    async with site.work(clean=False) as drain:
        await site.until(lambda: site.context.clients, "the context is equipped")
        monkeypatch.setattr(drain.courier, "deliver", broken)
        await site.put(event("e1"))
        await site.until(site.running.done, "it ends")
        assert drain.clock.broken
    assert said(caplog, logging.CRITICAL) == ["drain.bug"]
    assert [record.exc_info is not None for record in caplog.records if record.getMessage() == "drain.bug"] == [True]
    assert said(caplog, logging.WARNING, "drain.left_behind") == ["drain.left_behind boxes=1"]
    assert {room.name: room.suspect for room in await site.mailroom.rooms()}["crm"] == 1
    async with site.work():
        await site.ended("e1")
    assert site.far.emails() == ["eva@example.org"]


async def test_bug_between_two_takes(
    site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the loop itself ends the drain, too: with its trace, and with nothing left behind."""
    site.write(NOTE)
    async with site.work() as drain:
        await site.until(lambda: site.context.clients, "the context is equipped")

        def broken() -> list[str]:
            raise KeyError("a bug")

        monkeypatch.setattr(site.context, "rooms", broken)
        await site.until(site.running.done, "it ends")
        assert drain.clock.broken
        monkeypatch.undo()
        monkeypatch.setenv("DESK_KEY", "desk-key")
    assert said(caplog, logging.CRITICAL) == ["drain.bug"]
    assert said(caplog, logging.WARNING) == []


async def test_orphan(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain whose parent is gone ends with its worker, where no kernel tells it."""
    site.write(NOTE)
    async with site.work() as drain:
        drain._parent = 1 << 30
        await site.until(site.running.done, "it ends")
        assert site.context.stopping.is_set()


# -- a store that goes away


def test_time_of_the_bell() -> None:
    """The client's time-out does not end the wait for the bell, and an answer given up long ago cannot come later."""
    assert loop.LISTEN + 1 <= CALL_TIMEOUT
    assert loop.LATE >= 2 * CALL_TIMEOUT


async def test_store_away(
    site: WorkerFixture, valkey: PrivateValkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain whose store is away says so, again and again, and leaves without a word when its worker is stopped."""
    site.write(NOTE)
    async with await Mailroom.open(valkey.url) as mailroom:
        site.mailroom, site.url = mailroom, valkey.url
        async with site.work(clean=False):
            await site.until(lambda: site.context.clients, "the context is equipped")
            valkey.stop(kill=True)
            away = "drain.store_away why=the store did not answer"
            await site.until(lambda: len(said(caplog, logging.WARNING, away)) > 1, "it says so")
        assert said(caplog, logging.WARNING, "drain.left") == ["drain.left_without_a_word name=w1.1"]
        valkey.start()


async def test_strays(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What the store leased by an answer that was lost is given back: at once, and once more a while later."""
    caplog.set_level(logging.INFO, "relais.drain")
    monkeypatch.setattr(loop, "LATE", 0.2)
    site.write(NOTE)
    await site.put(event("e1"))
    await site.mailroom.beat("other", register=True)
    (lease,) = (await site.mailroom.take("other", "r", [RoomRequest("in", 1)])).leases
    new = [NewDelivery("e1.0", "elsewhere", ("box",), b"{}")]  # A room that no drain here serves.
    await site.mailroom.settle("other", "s", [Settlement(lease, "e1", "done", "e1", "2026-11-21", new=new)])
    await site.mailroom.leave("other")
    given_back: list[int] = []

    async def lose(name: str) -> None:
        assert (
            len((await site.mailroom.take(name, f"lost{len(given_back)}", [RoomRequest("elsewhere", 1)])).leases) == 1
        )

    async with site.work() as drain:
        await site.until(lambda: site.context.clients, "the context is equipped")
        real = site.context.mailroom.strays

        async def strays(name: str, *args: Any, **more: Any) -> int:
            given_back.append(await real(name, *args, **more))
            if len(given_back) == 1:
                await lose(name)
            return given_back[-1]

        monkeypatch.setattr(site.context.mailroom, "strays", strays)
        await lose(drain.name)
        drain.outbox.unsure = True
        await site.until(lambda: len(given_back) == 2, "it looks twice")
        await site.put(event("f1", "ada"))
        await site.ended("f1")
    assert given_back == [1, 1]
    assert said(caplog, logging.INFO) == ["drain.strays_returned n=1"] * 2


async def test_store_restarts(site: WorkerFixture, valkey: PrivateValkey) -> None:
    """The store is killed and started again with its data: nothing is lost, nothing sent twice, nobody restarted."""
    site.write(NOTE)
    async with await Mailroom.open(valkey.url) as mailroom:
        site.mailroom, site.url = mailroom, valkey.url
        site.far.fail(times=None, delay=0.02)
        async with site.work():
            await site.put(*(event(f"e{n}", f"p{n % 5}") for n in range(150)))
            await site.until(lambda: len(site.far.notes) > 30, "it is under way")
            valkey.stop(kill=True)
            await site.until(lambda: site.far.under_way == 0, "nothing is under way without the store")
            await asyncio.to_thread(valkey.start)
            await site.idle()
    for person in range(5):
        told = [note["text"] for note in site.far.notes if note["email"] == f"p{person}@example.org"]
        assert told == [f"e{n}" for n in range(person, 150, 5)]


@pytest.mark.parametrize("seed", range(3))
async def test_lost_answers(site: WorkerFixture, site_valkey: PrivateValkey, short_folder: Path, seed: int) -> None:
    """Whatever answers of the store are lost: nothing is lost or sent twice, and order holds."""
    site.write(NOTE)
    async with Lossy(site_valkey.socket, short_folder / "lossy", seed) as line:
        site.url = line.url
        async with site.work():
            line.loss = 0.03
            for start in range(0, 120, 10):
                await site.put(*(event(f"e{n}", f"p{n % 9}") for n in range(start, start + 10)))
                await site.until(lambda most=start: len(site.far.notes) >= most - 60, "it goes on", 20)
            await site.until(lambda: len(site.far.notes) >= 120, "all are there", 20)
            line.loss = 0.0
            await site.idle()
        assert line.lost > 5
    for person in range(9):
        told = [note["text"] for note in site.far.notes if note["email"] == f"p{person}@example.org"]
        assert told == [f"e{n}" for n in range(person, 120, 9)]


async def test_tidying_up_takes_no_fresh_lease(
    site: WorkerFixture, site_valkey: PrivateValkey, short_folder: Path
) -> None:
    """A delivery that is leased while lost leases are being given back is not taken for a lost one, and sent once."""
    site.write(LOOK_UP)
    site.far.persons = {"1": {"id": 1, "email": "eva@example.org"}}
    site.far.fail(path="/persons/1", delay=0.2)
    site.far.fail(path="*/notes", delay=0.5)
    async with Lossy(site_valkey.socket, short_folder / "lossy", 0) as line:
        site.url = line.url
        async with site.work() as drain:
            await site.put(event("e1", person=1))
            await site.until(lambda: site.far.requests(path="/persons/1"), "it looks up")
            line.late = (b"_strays", 0.4)
            drain.outbox.unsure = True
            drain._wake.set()
            await site.ended("e1")
            await site.idle()
    assert len(site.far.requests("POST", "*/notes")) == 1


async def test_next_survives_an_outage(
    site: WorkerFixture, valkey: PrivateValkey, caplog: pytest.LogCaptureFixture
) -> None:
    """What follows an action (`next:`) is not lost when the store is away just then."""
    rules = UPSERT + '        next:\n          - crm.add_note:\n              email: "{{ data.email }}"\n'
    site.write(rules + '              text: "{{ data.name }}"\n')
    async with await Mailroom.open(valkey.url) as mailroom:
        site.mailroom, site.url = mailroom, valkey.url
        hanging = site.far.fail(method="PATCH", path="/contacts/*", hang=True)
        async with site.work():
            await site.put(event("e0"))
            await site.ended("e0")
            await site.put(event("e1"))
            await site.until(lambda: site.far.requests("PATCH"), "the request is under way")
            site.context.alerts.aim("")
            valkey.stop(kill=True)
            hanging.hang = False
            await site.until(lambda: caplog.text.count("drain.store_away") > 4, "the store was away for a while")
            await asyncio.to_thread(valkey.start)
            await site.ended("e1")
    assert [note["text"] for note in site.far.notes] == ["e0", "e1"]


# -- what is only observed


async def test_observed_then_enforced(site: WorkerFixture) -> None:
    """An observed rule sends, remembers and ends nothing; once it is in force, what it had matched can be routed."""
    strict = "    when:\n      source: shop\n      type: person.changed\n    stop: true\n"
    once = "    only_once:\n      per: data.email\n      within: 1d\n    delay: 1s\n"
    rule = NOTE.replace("keep a note", "try") + once
    site.write(
        f"  - name: drop\n    mode: observe\n{strict}    then: nothing\n" + rule + "    mode: observe\n" + UPSERT
    )
    async with site.work():
        await site.put(event("e1"), event("e2"), event("x1", "ada", type="nobody.cares"))
        one, two, other = await site.ended("e1", "e2", "x1")
        assert (one.state, two.state, other.state) == ("delivered", "delivered", "unmatched")
        assert [(made.rule, made.state) for made in one.deliveries] == [
            ("keep the contact", "delivered"),
            ("try", "observed"),
        ]
        assert [rule["name"] for rule in one.rules if rule.get("observed")] == ["drop", "try"]
        assert site.far.notes == []
        assert (await site.mailroom.counts())["observed|crm|add_note"] == 2
        assert [key async for key in site.mailroom.store.scan_iter("*:once:*")] == []
        await site.rewrite(f"  - name: drop\n    mode: observe\n{strict}    then: nothing\n" + rule)
        version = site.context.books.version
        await site.until(lambda: site.context.books.version != version, "the rule is in force")
        await site.put(event("e3"), event("e4"))
        three, four = await site.ended("e3", "e4")
        assert (three.state, four.state) == ("delivered", "skipped")
    assert [note["text"] for note in site.far.notes] == ["e3"]


async def test_only_observed(site: WorkerFixture) -> None:
    """An event that observed rules alone match ends as `observed`, and its payload is kept for the day after."""
    site.write(NOTE.replace("    when:", "    mode: observe\n    when:"))
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
    assert (fate.state, [made.state for made in fate.deliveries]) == ("observed", ["observed"])
    assert (await site.mailroom.counts())["routed|shop|person.changed|observed"] == 1
    assert await site.mailroom.record("e1") is not None


async def test_rules_are_counted(site: WorkerFixture) -> None:
    """Each rule that fires is counted with its event, and what is behind a `stop` that would have."""
    site.write(f"{NOTE}    stop: true\n{UPSERT}")
    async with site.work():
        await site.put(event("e1"), event("e2", "ada"), event("x1", type="nobody.cares"))
        await site.ended("e1", "e2", "x1")
    found = (await rule_counts.read(site.mailroom, 0)).by_rule
    assert {name: count.kept for name, count in found.items()} == {
        ("fired", "keep a note"): 2,
        ("unreached", "keep the contact"): 2,
    }


async def test_a_book_is_observed(site: WorkerFixture, caplog: pytest.LogCaptureFixture) -> None:
    """Another book is decided beside the one in force and not carried out, until it is ended; a bad one never is."""
    site.write(UPSERT)
    async with site.work():
        files = dict(site.context.books.current.files) if site.context.books.current else {}
        new = {"book.yaml": files["book.yaml"].replace("keep the contact", "contacts") + NOTE}
        other = loader.check_texts(new, catalogue.build()).book
        assert other is not None
        await shadow.begin(site.mailroom, other.version, new, "eva")
        await site.until(lambda: site.context.books.shadow, "it is observed")
        await site.put(event("e1"), event("x1", "ada", type="nobody.cares"))
        fate, _ = await site.ended("e1", "x1")
        assert [(one.rule, one.state) for one in fate.deliveries] == [("keep the contact", "delivered")]
        differs = [{"change": "added", "action": "crm.add_note", "rule": "keep a note", "why": ""}]
        assert fate.shadow["differs"] == differs
        found = await shadow.read(site.mailroom)
        assert found is not None
        assert found.events == ("e1",)
        await shadow.end(site.mailroom)
        await site.until(lambda: site.context.books.shadow is None, "it is ended")
        await site.put(event("e2"))
        (after,) = await site.ended("e2")
        assert after.shadow == {}
        with caplog.at_level(logging.WARNING):
            await shadow.begin(site.mailroom, "ba9876543210", {"book.yaml": "rules: [1]\n"}, "eva")
            await site.until(lambda: "shadow.unused" in caplog.text, "it is refused")
        await site.put(event("e3"))
        (last,) = await site.ended("e3")
        assert (last.state, site.context.books.shadow) == ("delivered", None)
    assert site.far.notes == []
