"""What sources told of objects: by it what is fetched is known."""

import pytest

from mailroom import Mailroom
from rules.event import Event
from tests.mailroom.store import DAY, Store

pytestmark = pytest.mark.anyio

BOOKING = "booking/12"


def event(id: str, *tells: tuple[str, str], fetched: bool = False, source: str = "sd") -> Event:
    return Event(
        id=id,
        source=source,
        kind="seminardesk",
        type="booking.created",
        received_at="2026-11-29T10:00:00.000Z",
        body=b"{}",
        sender_id=id,
        tells=tells,
        fetched=fetched,
    )


@pytest.mark.parametrize(
    ("before", "state", "known"),
    [
        (None, "a", False),
        ("a", "a", True),
        ("b", "a", False),
        (None, "@5000000", False),
        ("@5000000", "@5000000", True),
        ("@9000000", "@5000000", True),
        ("@4500000", "@5000000", True),
        ("@4000000", "@5000000", False),
        ("a", "@5000000", False),
        ("@5000000", "a", False),
    ],
)
async def test_known(mailroom: Mailroom, before: str | None, state: str, known: bool) -> None:
    """A word is known where it is the last one told, a time where one as late was told, nearly."""
    if before is not None:
        await mailroom.put([event("before", (BOOKING, before))])
    late = event("late", (BOOKING, state), fetched=True)
    assert (await mailroom.met([late]) == {"late"}) is known
    (receipt,) = await mailroom.put([late])
    assert receipt.duplicate is known


async def test_what_webhooks_tell_is_always_kept(mailroom: Mailroom) -> None:
    """Only what was fetched is left out: a webhook that tells the same is an event of its own."""
    assert not (await mailroom.put([event("a", (BOOKING, "confirmed"))]))[0].duplicate
    assert not (await mailroom.put([event("b", (BOOKING, "confirmed"))]))[0].duplicate


async def test_of_each_source(mailroom: Mailroom) -> None:
    """What one source told is nothing that another has."""
    await mailroom.put([event("a", (BOOKING, "confirmed"))])
    assert await mailroom.met([event("b", (BOOKING, "confirmed"), fetched=True, source="other")]) == set()


async def test_two_items_of_one_thing(mailroom: Mailroom) -> None:
    """Of two fetched events that tell one thing the first is missing; put together, the second is left out."""
    made = event("made", (f"{BOOKING} created", ""), (BOOKING, "confirmed"), fetched=True)
    changed = event("changed", (BOOKING, "confirmed"), fetched=True)
    assert await mailroom.met([made, changed]) == {"changed"}
    assert [each.duplicate for each in await mailroom.put([made, changed])] == [False, True]
    assert await mailroom.met([made, changed]) == {"made", "changed"}


async def test_times_never_go_back(mailroom: Mailroom) -> None:
    """What is told late of an earlier time does not make the later one unknown."""
    await mailroom.put([event("a", ("contact", "@9000000"))])
    await mailroom.put([event("b", ("contact", "@2000000"))])
    assert await mailroom.met([event("c", ("contact", "@9000000"), fetched=True)]) == {"c"}


async def test_nothing_in_clear(mailroom: Mailroom, store: Store) -> None:
    """Neither the record nor the page has a name or a word of it, and the page ends by itself."""
    await mailroom.put([event("a", ("contact email:eva@example.org", "unsubscribed"))])
    (page,) = [key async for key in mailroom.store.scan_iter(mailroom.key("objects:*"))]
    assert 0 < await mailroom.store.ttl(page) <= 403 * 86_400
    told = await mailroom.store.hgetall(page)
    record = await mailroom.record("a") or b""
    assert len(told) == 1
    assert b"eva" not in record
    assert "eva" not in str(told)
    assert "unsubscribed" not in str(told)
    assert b"tells" not in record


async def test_a_year(mailroom: Mailroom, store: Store) -> None:
    """It is known over many pages."""
    await mailroom.put([event("a", (BOOKING, "confirmed"))])
    for _ in range(3):
        await store.advance(31 * DAY)
        await mailroom.put([event("other", ("booking/13", "x"))])
    assert await mailroom.met([event("b", (BOOKING, "confirmed"), fetched=True)]) == {"b"}
