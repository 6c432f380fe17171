"""A dead letter meets the rules of today: a real store, a real book, a drain."""

import json

import pytest

from mailroom import reroute
from mailroom.operator import Operator, Selection
from rules.event import Event
from tests.workers.worker_fixture import NOTE, UPSERT, WorkerFixture, event
from workers import delivery

pytestmark = pytest.mark.anyio

BROKEN = NOTE.replace("{{ data.name }}", "{{ data.nobody_sends_this }}")


async def retry_all(site: WorkerFixture) -> list[str]:
    """Retry every dead letter by the rules of today."""
    people = Operator(site.mailroom)
    return [await people.retry_today(letter.id) for letter in await people.dead(Selection())]


def written(site: WorkerFixture) -> list[str]:
    """Return the notes of the CRM."""
    return [note["text"] for note in site.far.notes]


async def test_a_mended_rule(site: WorkerFixture) -> None:
    """A rule that failed is carried out once it is mended; what other rules had done is not done again."""
    site.write(UPSERT + BROKEN)
    async with site.work():
        await site.put(event("e1"), event("f1", "ada"))
        await site.ended("e1", "f1")
        assert await site.mailroom.dead_count() == 2
    asked = len(site.far.requests("*", "/contacts*"))
    await site.rewrite(UPSERT + NOTE)
    async with site.work():
        assert await retry_all(site) == ["done", "done"]
        first, _ = await site.ended("e1", "f1")
    assert sorted(written(site)) == ["e1", "f1"]
    assert len(site.far.requests("POST", "/contacts*")) <= asked
    assert [(d.rule, d.state) for d in first.deliveries] == [
        ("keep the contact", "delivered"),
        ("keep a note", "retried"),
        ("keep a note", "delivered"),
    ]
    assert first.state == "delivered"
    assert {rule["name"]: rule["matched"] for rule in first.rules} == {"keep the contact": True, "keep a note": True}
    assert await site.mailroom.record("e1") is None
    assert await site.mailroom.dead_count() == 0


async def test_one_action_of_a_rule(site: WorkerFixture) -> None:
    """Of a rule with two actions only the one that died is decided anew."""
    rules = NOTE + '      - other.upsert_contact:\n          email: "{{ data.email }}"\n'
    site.write(rules)
    site.far.fail(method="POST", path="/others", times=1, status=422)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
    assert written(site) == ["e1"]
    assert [(d.id, d.state) for d in fate.deliveries] == [
        ("e1.0", "delivered"),
        ("e1.1", "retried"),
        ("e1.a1.0", "delivered"),
    ]
    assert [contact["email"] for contact in site.far.others.values()] == ["eva@example.org"]


async def test_a_rule_that_does_not_match_any_more(site: WorkerFixture) -> None:
    """Where the rule of today does not want the event, nothing is sent, and the story says which condition it was."""
    site.write(BROKEN)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
    await site.rewrite(NOTE.replace("type: person.changed", "type: person.changed\n      data.name: somebody else"))
    async with site.work():
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
    assert fate.state == "unmatched"
    assert fate.rules[0]["at"] == "data.name"
    assert written(site) == []
    assert await site.mailroom.record("e1") is None


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (UPSERT, "the book in force has no rule of this name"),
        (BROKEN, "nobody_sends_this"),
    ],
)
async def test_still_dead(site: WorkerFixture, rules: str, why: str) -> None:
    """Where nothing can be done for it today, it is a dead letter again, and can be retried once more."""
    site.write(BROKEN)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
    await site.rewrite(rules)
    async with site.work():
        await retry_all(site)
        await site.ended("e1")
    (letter,) = await Operator(site.mailroom).dead(Selection())
    assert (letter.id, letter.rule) == ("e1.a1.0", "keep a note")
    assert why in letter.why
    await site.rewrite(NOTE)
    async with site.work():
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
    assert fate.state == "delivered"
    assert written(site) == ["e1"]


async def test_an_action_that_is_gone(site: WorkerFixture) -> None:
    """An action that the rule of today has no longer stays a dead letter, whoever else the rule asks."""
    site.write(NOTE + '      - other.upsert_contact:\n          email: "{{ data.email }}"\n')
    site.far.fail(method="POST", path="/others", times=1, status=422)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
    await site.rewrite(NOTE)
    async with site.work():
        await retry_all(site)
        await site.ended("e1")
    (letter,) = await Operator(site.mailroom).dead(Selection())
    assert letter.why == "the rule has no action at this place any more"
    assert written(site) == ["e1"]


async def test_only_once(site: WorkerFixture) -> None:
    """A delivery that died has used up its `only_once`; the one that takes its place may use it all the same."""
    site.write(NOTE + '    only_once:\n      per: "{{ data.email }}"\n      within: 30d\n')
    site.far.fail(method="POST", path="*/notes", times=1, status=422)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
    assert (fate.state, written(site)) == ("delivered", ["e1"])


async def test_as_it_was_sent(site: WorkerFixture) -> None:
    """As it was sent means by the rules of then: the book of today is not asked."""
    site.write(NOTE)
    site.far.fail(method="POST", path="*/notes", times=1, status=422)
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
    await site.rewrite(UPSERT)
    async with site.work():
        (letter,) = await Operator(site.mailroom).dead(Selection())
        assert await Operator(site.mailroom).retry(letter.id) == "done"
        (fate,) = await site.ended("e1")
    assert (fate.state, written(site)) == ("delivered", ["e1"])


async def test_doubt(site: WorkerFixture) -> None:
    """What is made anew in place of a letter that may have been sent is doubtful itself, and what is not is not."""
    site.write(NOTE)
    site.far.fail(method="POST", path="*/notes", times=2, status=422)
    key, recall = site.mailroom.key, site.mailroom.recall
    async with site.work():
        await site.put(event("e1"), event("f1", "ada"))
        await site.ended("e1", "f1")
        # As the mailroom marks what dies in doubt.
        record = await recall(key("d:e1.0"))
        await site.mailroom.remember(key("d:e1.0"), '{"doubtful":true,' + (record or "")[1:], 60)
        await Operator(site.mailroom).pause("crm", "to look at what waits")
        assert await retry_all(site) == ["done", "done"]
        for name, doubtful in (("d:e1.a1.0", True), ("d:f1.a1.0", False)):

            async def made(name: str = name) -> bool:
                return await recall(key(name)) is not None

            await site.until_true(made, "it was routed once more")
            assert delivery.decode((await recall(key(name)) or "").encode()).doubtful == doubtful


async def test_in_order(site: WorkerFixture) -> None:
    """The actions of an `in_order` rule that went down with an earlier one go again, each when it is retried."""
    rules = UPSERT.replace("name: keep the contact", "name: both\n    in_order: true") + (
        '      - crm.add_note:\n          email: "{{ data.email }}"\n          text: "{{ data.name }}"\n'
    )
    site.write(rules)
    site.far.fail(method="POST", path="/contacts", times=1, status=422)
    async with site.work():
        await site.put(event("e1"))
        (fate,) = await site.ended("e1")
        assert [d.why for d in fate.deliveries] == ["invalid", "in_order"]
        people = Operator(site.mailroom)
        assert [await people.retry(letter.id) for letter in await people.dead(Selection())] == ["done", "done"]
        (fate,) = await site.ended("e1")
    assert [d.state for d in fate.deliveries] == ["delivered", "delivered"]
    assert written(site) == ["e1"]


async def test_an_unreadable_event(site: WorkerFixture) -> None:
    """An event that could not be read is routed as a whole once its reader is mended; until then it dies again."""
    site.write(NOTE)
    bad = event("e1")
    bad = Event(**{**{name: getattr(bad, name) for name in bad.__dataclass_fields__}, "body": b"[" * 100_000})
    async with site.work():
        await site.put(bad)
        await site.ended("e1")
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
        assert fate.state == "dead"
        mended = event("e1").encode()
        await site.mailroom.store.set(site.mailroom.key("e:e1"), mended)
        assert await retry_all(site) == ["done"]
        (fate,) = await site.ended("e1")
    assert (fate.state, written(site)) == ("delivered", ["e1"])


def test_places() -> None:
    """A place of a rule is kept as text and read back; an event without a mark is routed as a whole."""
    places = [
        reroute.written("paid: a . b", (0, 1)),
        reroute.written("paid: a . b", ()),
        reroute.written("other", (2,)),
    ]
    head = json.dumps({"id": "e", "again": {"n": 3, "only": places}}, separators=(",", ":")).encode()
    assert reroute.read(head + b"\n{}") == reroute.Reroute(3, {"paid: a . b": ((0, 1), ()), "other": ((2,),)})
    assert reroute.read(event("e1", again={"n": 1}).encode()) is None
