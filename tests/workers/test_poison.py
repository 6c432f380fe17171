"""Poison: what can never be done holds up nobody else, and each ends where a person sees it."""

import json

import pytest

from mailroom import INBOX
from mailroom.operator import DeadLetterView, Operator, Selection
from rules.event import Event
from tests.workers.worker_fixture import NOTE, UPSERT, WorkerFixture, event

pytestmark = pytest.mark.anyio

OTHERS = [f"p{n}" for n in range(20)]


async def others_are_delivered(site: WorkerFixture, first: int = 0) -> None:
    """Twenty other people are served, although the poison is there."""
    ids = [f"{who}-{first}" for who in OTHERS]
    await site.put(*(event(id, who) for id, who in zip(ids, OTHERS, strict=True)))
    fates = await site.ended(*ids)
    assert {fate.state for fate in fates} <= {"delivered", "dead"}
    assert all(any(d.state == "delivered" for d in fate.deliveries) for fate in fates)


async def letters(site: WorkerFixture, **chosen: str) -> list[DeadLetterView]:
    """Return what `relais dead list` shows."""
    return await Operator(site.mailroom).dead(Selection(**chosen))  # type: ignore[arg-type]


def large(id: str, who: str, text: str) -> Event:
    """Return an event with a large body."""
    return event(id, who, story=text, lines=list(range(30_000)))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [422, 503])
async def test_a_delivery_that_always_fails(site: WorkerFixture, status: int) -> None:
    """It is tried as often as it makes sense, ends as a dead letter, and the same person's next event goes on."""
    site.write(NOTE)
    fault = site.far.fail(method="POST", path="*/notes", who="eva@*", times=None, status=status)
    async with site.work():
        await site.put(event("e1"))
        await others_are_delivered(site)
        await site.ended("e1")
        fault.times = 0
        await site.put(event("e2"))
        (fate,) = await site.ended("e2")
    assert fate.state == "delivered"
    (letter,) = await letters(site, destination="crm", rule="keep a note")
    assert (letter.id, letter.event) == ("e1.0", "e1")


async def test_a_rule_that_always_fails(site: WorkerFixture) -> None:
    """Each of its events leaves a dead letter, all of one cause; the other rules of each event are carried out."""
    broken = UPSERT.replace("keep the contact", "broken").replace("{{ data.name }}", "{{ data.nobody_sends_this }}")
    site.write(broken + NOTE)
    async with site.work():
        await others_are_delivered(site)
    found = await letters(site, rule="broken", code="value_failed")
    assert len(found) == len(OTHERS) == await site.mailroom.dead_count()
    assert sorted(note["text"] for note in site.far.notes) == sorted(f"{who}-0" for who in OTHERS)


@pytest.mark.parametrize(
    "template",
    [
        "{{ data.story }}{{ data.story }}",
        "{{ data.story | replace('x', 'xxxxxxxxxx') }}",
        "{% for a in data.lines %}{% for b in data.lines %}{{ a }}{% endfor %}{% endfor %}",
    ],
)
async def test_a_body_that_makes_a_template_huge(site: WorkerFixture, template: str) -> None:
    """A text that would grow without bound is a dead letter at once; drain, person and all others go on."""
    huge = NOTE.replace("keep a note", "huge").replace('"{{ data.name }}"', json.dumps(template))
    huge = huge.replace("type: person.changed", "type: person.changed\n      data.story: {exists: true}")
    site.write(huge + NOTE)
    async with site.work() as drain:
        await site.put(*(large(f"e{n}", "eva", "x" * 60_000) for n in range(5)), event("after"))
        await others_are_delivered(site)
        (fate,) = await site.ended("after")
        assert not drain.clock.broken
    assert fate.state == "delivered"
    assert {letter.event for letter in await letters(site, rule="huge")} == {f"e{n}" for n in range(5)}


@pytest.mark.usefixtures("impatient")
async def test_an_answer_after_ten_minutes(site: WorkerFixture) -> None:
    """Where an answer never comes in time, nothing else waits for it; what may have been sent twice is held."""
    site.write(NOTE, timeout="0.2")
    site.far.fail(method="POST", path="*/notes", who="eva@*", times=None, hang=True)
    async with site.work():
        await site.put(event("e1"), event("e2"))
        await others_are_delivered(site)

        async def is_held() -> bool:
            return bool(await Operator(site.mailroom).held(Selection(destination="crm")))

        await site.until_true(is_held, "the box is held")
        await others_are_delivered(site, first=1)
    (held,) = await Operator(site.mailroom).held(Selection())
    assert (held.item, held.code, held.waiting) == ("e1.0", "unresolved", 2)
    (crm,) = [room for room in await site.mailroom.rooms() if room.name == "crm"]
    assert crm.held == 1
    assert (await site.fate("e1")).deliveries[0].state == "held"


@pytest.mark.usefixtures("impatient")
async def test_an_answer_after_ten_minutes_that_can_be_looked_for(site: WorkerFixture) -> None:
    """Where nothing that creates hangs, only reading, the tries are used up and it is a dead letter."""
    site.write(UPSERT, timeout="0.2")
    site.far.fail(method="GET", path="/contacts*", who="eva@*", times=None, hang=True)
    async with site.work():
        await site.put(event("e1"))
        await others_are_delivered(site)
        (fate,) = await site.ended("e1")
    assert fate.state == "dead"
    (letter,) = await letters(site)
    assert letter.code.endswith("_too_often")


async def test_slow_answers_take_no_place_of_others(site: WorkerFixture) -> None:
    """A destination that hangs with all the places it has holds up no other destination."""
    site.write(NOTE + UPSERT.replace("crm.", "other."), concurrency=2)
    site.far.fail(method="POST", path="*/notes", times=None, hang=True)
    async with site.work():
        await site.put(*(event(who, who) for who in OTHERS))
        await site.until(lambda: len(site.far.others) == len(OTHERS), "the other destination is served")
        site.far.mend()


async def test_an_event_that_cannot_be_read(site: WorkerFixture) -> None:
    """It is a dead letter of the inbox, which people see like any other."""
    site.write(NOTE)
    bad = event("e1")
    bad = Event(**{**{name: getattr(bad, name) for name in bad.__dataclass_fields__}, "body": b"[" * 100_000})
    async with site.work():
        await site.put(bad)
        await others_are_delivered(site)
        await site.ended("e1")
    (letter,) = await letters(site, destination=INBOX)
    assert (letter.id, letter.code, letter.source, letter.type) == ("e1", "unreadable_event", "shop", "person.changed")
