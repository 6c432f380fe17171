"""How often rules fired, as settlements count it and as it is read back."""

import time

import pytest

from mailroom import INBOX, Mailroom, RoomRequest, Settlement, rule_counts
from mailroom.rule_counts import DAY
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


def test_counters() -> None:
    """What fired, was only observed, and was not reached, is a line each."""
    page = f"@rules:{now() // DAY}"
    a, b, c, d = RULES
    assert rule_counts.counters(Matching((a, b), (c,), (), d)) == [
        f"{page} fired|a",
        f"{page} fired|b",
        f"{page} observed|c",
        f"{page} unreached|d",
    ]
    assert rule_counts.counters(Matching(())) == []


async def test_counted_once(mailroom: Mailroom) -> None:
    """Each settlement counts its rules once, however often it is written; other counters are where they were."""
    drain = "d1"
    await mailroom.beat(drain, register=True)
    await mailroom.put([event("a"), event("b")])
    (lease,) = (await mailroom.take(drain, "r", [RoomRequest(INBOX, 1, 9)])).leases
    counter = "\n".join(["routed|shop|x|matched", *rule_counts.counters(Matching(RULES[:1]))])
    for id in ("a", "b", "b"):
        settled = Settlement(lease, id, "done", id, "2026-11-21", counter=counter, last=id == "b")
        await mailroom.settle(drain, id, [settled])
    found = await rule_counts.read(mailroom, now())
    (count,) = found.by_rule.values()
    assert (list(found.by_rule), count.since, count.kept) == ([("fired", "a")], 2, 2)
    assert count.last > 0
    assert (await mailroom.counts())["routed|shop|x|matched"] == 2
    assert "fired|a" not in await mailroom.counts()


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
