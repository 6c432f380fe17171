"""What lies aside and is taken in late, one sentence at a time, on a real store."""

from dataclasses import replace

import pytest

from mailroom import Mailroom, Receipt, RefusedDetails, ledger
from mailroom.aside import AsideShelf, look
from mailroom.ledger import Decision
from mailroom.operator import Operator, Selection
from mailroom.records import newness
from rules.event import Event
from rules.event_types.base import from_epoch
from tests.mailroom.store import DAY, TODAY, Store, event
from tests.mailroom.test_client import drain, settlement, take

pytestmark = pytest.mark.anyio
__all__ = ["drain"]

HOUR = 3_600_000
ADA = Decision("ada", "mended")


def at(name: str, minute: int, **more: object) -> Event:
    """Return an event that was received at a minute."""
    return replace(event(name), received_at=f"{TODAY}T10:{minute:02}:00.000Z", **more)  # type: ignore[arg-type]


def shelf(mailroom: Mailroom, name: str) -> AsideShelf:
    """Return a shelf as Ada sees it."""
    return AsideShelf(Operator(mailroom, ADA), name)  # type: ignore[arg-type]


async def route(room: Mailroom, drain: str, *, note: str | None = None, retain: int = 0) -> list[str]:
    """Route what waits in the inbox, as wanted by a rule unless told otherwise. Returns the ids."""
    routed = []
    for lease in await take(room, drain):
        for n, (item, record) in enumerate(lease.items, 1):
            received = record.partition(b'"at":"')[2].partition(b'"')[0].decode()
            said = newness(received, 0) if note is None else note
            line = ledger.routed(source="shop", type="booking.created", received=received, book="b", fired=[], made=[])
            last = n == len(lease.items)
            await room.settle(drain, "s", [settlement(lease, item, note=said, retain=retain, last=last, line=line)])
            routed.append(item)
    return routed


async def take_in(room: Mailroom, name: str, one: Event, *, even_if_older: bool = False, comes_as: str = "") -> str:
    """Take an event in from a shelf."""
    line = ledger.taken_in(one.id, ADA, shelf=name)
    return await room.take_in(name, one.id, [one], line, even_if_older=even_if_older, comes_as=comes_as)


async def test_unmatched(mailroom: Mailroom, store: Store, drain: str) -> None:
    """What no rule wanted is kept as long as its source says, is found, and then is gone with its place in the list."""
    await mailroom.put([at("a", 1)])
    await route(mailroom, drain, note="aside", retain=24 * HOUR)
    (one,) = await shelf(mailroom, "unmatched").find(Selection())
    assert (one.id, one.source, one.type, one.code) == ("a", "shop", "booking.created", "no_rule")
    assert from_epoch(one.at) == one.received, "and it is chosen by that"
    assert await mailroom.record("a") is not None
    await store.advance(24 * HOUR)
    assert await mailroom.record("a") is None
    assert await shelf(mailroom, "unmatched").find(Selection()) == []
    await mailroom.expire()
    assert "unmatched" not in await store.dump()


async def test_reroute(mailroom: Mailroom, store: Store, drain: str) -> None:
    """An event that no rule wanted goes back into the inbox, once, and its payload has no end until it is settled."""
    await mailroom.put([at("a", 1)])
    await route(mailroom, drain, note="aside", retain=HOUR)
    assert await take_in(mailroom, "unmatched", at("a", 1)) == "done"
    assert await take_in(mailroom, "unmatched", at("a", 1)) == "gone"
    await store.advance(2 * HOUR)
    story = await mailroom.fate("a")
    assert story is not None
    assert story.state == "waiting"
    assert [(one["what"], one["by"], one["why"]) for one in story.decisions] == [("taken_in", "ada", "mended")]
    assert await route(mailroom, drain) == ["a"]
    assert await mailroom.record("a") is None
    assert (await mailroom.counts())["by_hand|retry|unmatched"] == 1


async def test_reroute_in_order(mailroom: Mailroom, drain: str) -> None:
    """Events of one person that nobody wanted do not overtake each other: all go, in their order."""
    await mailroom.put([at("a", 1), at("b", 2)])
    await route(mailroom, drain, note="aside", retain=HOUR)
    assert [await take_in(mailroom, "unmatched", at(name, n)) for n, name in enumerate("ab", 1)] == ["done", "done"]
    assert await route(mailroom, drain) == ["a", "b"]


@pytest.mark.parametrize("name", ["quarantine", "unmatched"])
async def test_overtaken(mailroom: Mailroom, drain: str, name: str) -> None:
    """What has a newer routed event under its name is left alone, unless somebody insists."""
    if name == "quarantine":
        await mailroom.quarantine([(at("old", 1), "email: no")])
    else:
        await mailroom.put([at("old", 1)])
        await route(mailroom, drain, note="aside", retain=HOUR)
    await mailroom.put([at("new", 2)])
    assert await take_in(mailroom, name, at("old", 1)) == "overtaken", "the newer one waits"
    await route(mailroom, drain)
    assert await take_in(mailroom, name, at("old", 1)) == "overtaken", "the newer one was routed"
    assert await take_in(mailroom, name, at("old", 1), even_if_older=True) == "done"
    assert await route(mailroom, drain) == ["old"]


async def test_overtaken_long_ago(mailroom: Mailroom, store: Store, drain: str) -> None:
    """The newest event of a name is known as long as anything may lie aside, and no older one takes its place."""
    await mailroom.quarantine([(at("old", 1), "email: no")])
    await mailroom.put([at("new", 5)])
    await route(mailroom, drain)
    await mailroom.put([at("older", 0)])
    await route(mailroom, drain)
    await store.advance(29 * DAY)
    assert await take_in(mailroom, "quarantine", at("old", 1)) == "overtaken"


async def test_overtaken_under_a_further_name(mailroom: Mailroom, drain: str) -> None:
    """A newer event under any of the names counts, also where its order key is another."""
    one = at("old", 1, names=("shop:person:1",))
    await mailroom.quarantine([(one, "email: no")])
    await mailroom.put([at("new", 2, order_key="email:ada@example.org", names=("shop:person:1",))])
    await route(mailroom, drain)
    assert await take_in(mailroom, "quarantine", one) == "overtaken"


async def test_other_people_do_not_overtake(mailroom: Mailroom, drain: str) -> None:
    """Newer events of others, and newer ones that no rule wanted, are no reason to leave it alone."""
    await mailroom.quarantine([(at("old", 1), "email: no")])
    await mailroom.put([at("other", 2, order_key="email:ada@example.org")])
    await route(mailroom, drain)
    await mailroom.put([at("unwanted", 3)])
    await route(mailroom, drain, note="aside", retain=HOUR)
    assert await take_in(mailroom, "quarantine", at("old", 1)) == "done"


async def test_quarantined_taken_in(mailroom: Mailroom, drain: str) -> None:
    """A mended event is routed, and the vendor's repetition repeats it from then on, under either of its ids."""
    await mailroom.quarantine([(at("a", 1), "email: no")])
    fixed = at("a", 1, body=b'{"email":"eva@example.org","fixed":1}')
    assert await take_in(mailroom, "quarantine", fixed, comes_as="a-as-it-is-read-today") == "done"
    assert await mailroom.quarantined() == 0
    assert await route(mailroom, drain) == ["a"]
    assert await mailroom.put([at("a", 1)]) == [Receipt("a", True)]
    again = at("a-as-it-is-read-today", 1)
    assert await mailroom.put([again]) == [Receipt(again.id, True)]


async def test_known(mailroom: Mailroom, drain: str) -> None:
    """What the vendor sent again meanwhile, under the id of today's reading, is not taken in twice."""
    await mailroom.quarantine([(at("a", 1), "email: no")])
    await mailroom.put([at("b", 1)])
    await route(mailroom, drain)
    assert await take_in(mailroom, "quarantine", at("a", 1), comes_as="b") == "known"


async def test_refused(mailroom: Mailroom, drain: str) -> None:
    """A refused request is taken in with all its events or none, and lies there no longer."""
    await mailroom.refused(
        reason="wrong_signature", source="shop", headers={}, body=b"[{},{}]", more=RefusedDetails("paid", 7, False)
    )
    (one,) = await shelf(mailroom, "refused").find(Selection(source="shop", code="wrong_signature"))
    assert (one.details, one.source, one.code) == (RefusedDetails("paid", 7, False), "shop", "wrong_signature")
    assert await shelf(mailroom, "refused").one(one.id) == one
    await mailroom.put([at("new", 9)])
    await route(mailroom, drain)
    line = ledger.taken_in(one.id, ADA, shelf="refused")
    both = [at("a", 1, order_key="email:ada@example.org"), at("b", 1)]
    assert await mailroom.take_in("refused", one.id, both, line) == "overtaken"
    assert await take(mailroom, drain) == []
    assert await mailroom.take_in("refused", one.id, both, line, even_if_older=True) == "done"
    assert await mailroom.take_in("refused", one.id, both, line, even_if_older=True) == "gone"
    assert sorted(await route(mailroom, drain)) == ["a", "b"]
    assert await shelf(mailroom, "refused").one(one.id) is None


@pytest.mark.parametrize("name", ["quarantine", "unmatched", "refused"])
async def test_clear(mailroom: Mailroom, store: Store, drain: str, name: str) -> None:
    """What is given up is erased, and its story says by whom."""
    if name == "quarantine":
        await mailroom.quarantine([(at("a", 1), "email: no")])
    elif name == "unmatched":
        await mailroom.put([at("a", 1)])
        await route(mailroom, drain, note="aside", retain=HOUR)
    else:
        await mailroom.refused(reason="x", source="shop", headers={}, body=b"{}", more=RefusedDetails())
    (one,) = await shelf(mailroom, name).find(Selection())
    assert await shelf(mailroom, name).payload(one.id) is not None
    assert await shelf(mailroom, name).clear(one.id)
    assert not await shelf(mailroom, name).clear(one.id)
    assert await shelf(mailroom, name).payload(one.id) is None
    assert await shelf(mailroom, name).find(Selection()) == []
    assert not [key for key in await store.dump() if key.startswith("e:")]
    story = await mailroom.fate(one.id)
    assert story is not None
    assert [(x["what"], x["by"]) for x in story.decisions] == [("dropped", "ada")]


async def test_look(mailroom: Mailroom) -> None:
    """A look at a payload stands in the story of its event."""
    await mailroom.put([at("a", 1)])
    await look(Operator(mailroom, ADA), "a")
    story = await mailroom.fate("a")
    assert story is not None
    assert story.state == "waiting"
    assert [(one["what"], one["by"], one["why"]) for one in story.decisions] == [("looked", "ada", "mended")]


async def test_unmatched_are_bounded(mailroom: Mailroom, store: Store, drain: str) -> None:
    """Of too many events that no rule wanted the first to go are erased early."""
    await store.raw.zadd(mailroom.key("unmatched"), {f"x{n}": 1 + n for n in range(10_000)})
    await store.raw.set(mailroom.key("e:x0"), "{}", px=HOUR)
    await mailroom.put([at("a", 1)])
    await route(mailroom, drain, note="aside", retain=HOUR)
    assert await store.raw.zcard(mailroom.key("unmatched")) == 10_000
    assert await mailroom.record("x0") is None
    assert await mailroom.record("a") is not None
