"""How often rules fired, as drains count it and as it is read back."""

import time

import pytest

from mailroom import Mailroom, rule_counts
from mailroom.rule_counts import DAY, RuleTally
from rules.rulebook import Matching
from rules.tools.coverage import RuleCount
from tests.mailroom.store import event
from tests.rules import writing

pytestmark = pytest.mark.anyio

RULES = writing.book(
    "rules:\n"
    + "".join(f"  - name: {name}\n    when:\n      type: contact.changed\n    then: nothing\n" for name in "abcd")
).rules


def now() -> int:
    return time.time_ns() // 1_000_000


def test_tally() -> None:
    """What fired, was only observed, and was not reached, is counted by rule."""
    a, b, c, d = RULES
    tally = RuleTally()
    tally.add(Matching((a, b), (c,), (), d))
    tally.add(Matching((b,)))
    tally.add(Matching(()))
    assert tally.waiting == {"fired|a": 1, "fired|b": 2, "observed|c": 1, "unreached|d": 1}


async def test_written_once(mailroom: Mailroom) -> None:
    """What was written is not written again, what comes later is added; other counters are where they were."""
    tally = RuleTally()
    await tally.write(mailroom)
    page = mailroom.key(rule_counts.page_of(now()))
    assert await mailroom.store.exists(page) == 0
    for _ in range(2):
        tally.add(Matching(RULES[:1]))
        await tally.write(mailroom)
        await tally.write(mailroom)
    found = await rule_counts.read(mailroom, now())
    (count,) = found.by_rule.values()
    assert (list(found.by_rule), count.since, count.kept) == ([("fired", "a")], 2, 2)
    assert count.last > 0
    assert await mailroom.counts() == {}
    assert 0 < await mailroom.store.ttl(page) <= rule_counts.DAYS * DAY // 1000


async def test_lost(mailroom: Mailroom) -> None:
    """What the store does not take is lost, and stops nobody."""
    page = mailroom.key(rule_counts.page_of(now()))
    await mailroom.store.set(page, "no page")
    tally = RuleTally()
    tally.add(Matching(RULES[:1]))
    await tally.write(mailroom)
    assert (tally.waiting, await mailroom.store.get(page)) == ({}, b"no page")
    await mailroom.store.delete(page)


async def test_since(mailroom: Mailroom) -> None:
    """A span takes whole days; what lies before it is known as long as it is kept, and since when."""
    today = now()
    for ago, n in ((0, 1), (2, 10), (30, 100)):
        key = mailroom.key(rule_counts.page_of(today - ago * DAY))
        await mailroom.store.hset(key, mapping={"fired|a | b": n, "last|fired|a | b": today - ago * DAY})
        await mailroom.store.expire(key, 86_400)
    found = await rule_counts.read(mailroom, today - 2 * DAY)
    assert found.by_rule == {("fired", "a | b"): RuleCount(11, 111, today)}
    assert found.first == (today // DAY - 30) * DAY
    assert rule_counts.begin_of_day(found.first) < rule_counts.begin_of_day(today)
    await mailroom.store.flushall()
    assert (await rule_counts.read(mailroom, 0)).first == 0


async def test_a_type_counts_nothing_of_its_own(mailroom: Mailroom) -> None:
    """A type that looks like two counters is one: what a sender writes raises no counter of a rule."""
    await mailroom.put([event("a", type="x\n@rules:1 fired|a")])
    assert await mailroom.counts() == {"received|shop|x\n@rules:1 fired|a": 1}
