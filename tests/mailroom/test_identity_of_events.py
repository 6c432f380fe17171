"""Which event is which: the sender's id, the item and its content, in the store; schema 1 and its ids beside them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mailroom import INBOX, Mailroom, Receipt, RoomRequest
from mailroom.hashing import former_event_id
from mailroom.keys import SCHEMA
from receiver import identity
from rules.event import Event
from tests.mailroom.store import DAY, Store, event

pytestmark = pytest.mark.anyio


def message(content: bytes = b"{}", *, sender_id: str = "m1", item: str = "", position: int = 0) -> Event:
    """Return an event as the receiver makes it."""
    name = identity.event_id("shop", sender_id, item, content)
    return replace(event(name, body=content), sender_id=sender_id, position=position)


async def inbox(mailroom: Mailroom) -> list[str]:
    """Return the events that wait, by taking them."""
    await mailroom.beat("d", register=True)
    taken = await mailroom.take("d", "r", [RoomRequest(INBOX, 99, 99)])
    return [item for lease in taken.leases for item, _ in lease.items]


async def test_same_content(mailroom: Mailroom, store: Store) -> None:
    """The same message is known for three days, under the id that it got first."""
    one = message()
    assert await mailroom.put([one]) == [Receipt(one.id, False)]
    await store.raw.delete(mailroom.key(f"e:{one.id}"))  # settled
    for _ in range(3):
        assert await mailroom.put([one]) == [Receipt(one.id, True)]
        await store.advance(DAY - 1)
    assert await mailroom.put([one]) == [Receipt(one.id, True)]
    await store.advance(DAY)
    assert await mailroom.put([one]) == [Receipt(one.id, False)]


async def test_other_content(mailroom: Mailroom) -> None:
    """The same id with other content is another event: kept, told, counted; and each is known when it comes again."""
    one, other, third = message(b'{"a":1}'), message(b'{"a":2}'), message(b'{"a":3}')
    assert await mailroom.put([one, other]) == [Receipt(one.id, False), Receipt(other.id, False)]
    assert await mailroom.put([third]) == [Receipt(third.id, False)]
    assert await mailroom.put([other, one, third]) == [Receipt(each.id, True) for each in (other, one, third)]
    assert (await mailroom.counts())["other_content|shop"] == 2
    for each in (other, third):
        fate = await mailroom.fate(each.id)
        assert fate is not None
        assert (fate.same_id_as, fate.as_json()["same_id_as"]) == (one.id, one.id)
    first = await mailroom.fate(one.id)
    assert first is not None
    assert "same_id_as" not in first.as_json()
    assert sorted(await inbox(mailroom)) == sorted([one.id, other.id, third.id])


async def test_other_content_on_another_day(mailroom: Mailroom, store: Store) -> None:
    """The page of yesterday tells of the first one, too."""
    one, other = message(b'{"a":1}'), message(b'{"a":2}')
    await mailroom.put([one])
    await store.advance(DAY)
    assert await mailroom.put([other, one]) == [Receipt(other.id, False), Receipt(one.id, True)]
    assert (await mailroom.counts())["other_content|shop"] == 1


async def test_many_contents(mailroom: Mailroom) -> None:
    """An id of more than 20 contents names no single message: all are kept, and somebody is told, once a day."""
    events = [message(b'{"n":%d}' % n) for n in range(24)]
    for each in events:
        assert await mailroom.put([each]) == [Receipt(each.id, False)]
    assert await mailroom.untold() == [("in", "many_contents:shop")]
    assert len(await inbox(mailroom)) == 24


async def test_items(mailroom: Mailroom) -> None:
    """Items of one request are told apart by what the platform calls them, wherever they stand when it comes again."""
    first, second = message(b"1", item="booking\x007"), message(b"2", item="booking\x008", position=1)
    await mailroom.put([first, second])
    again = message(b"2", item="booking\x008", position=0)
    assert await mailroom.put([again]) == [Receipt(second.id, True)]
    assert "other_content|shop" not in await mailroom.counts()


async def test_without_id(mailroom: Mailroom) -> None:
    """Events without a sender's id are counted."""
    one = replace(event("x" * 26, sender=False))
    await mailroom.put([one, message()])
    assert (await mailroom.counts())["without_id|shop"] == 1


async def test_quarantine_forgets(mailroom: Mailroom) -> None:
    """What came again after the mend becomes the event and leaves the quarantine; before, it is a duplicate."""
    one = message()
    assert await mailroom.quarantine([(one, "email: missing")]) == [Receipt(one.id, False)]
    assert await mailroom.quarantine([(one, "email: missing")]) == [Receipt(one.id, True)]
    assert await mailroom.put([one]) == [Receipt(one.id, False)]
    assert await mailroom.put([one]) == [Receipt(one.id, True)]
    assert await mailroom.quarantined() == 0
    assert await inbox(mailroom) == [one.id]
    fate = await mailroom.fate(one.id)
    assert fate is not None
    assert (fate.state, fate.why) == ("waiting", "")
    assert await mailroom.store.ttl(mailroom.key(f"e:{one.id}")) == -1


async def test_quarantine_of_a_known_one(mailroom: Mailroom) -> None:
    """What was an event before is none for the quarantine, also where today's book cannot read it."""
    one = message()
    await mailroom.put([one])
    assert await mailroom.quarantine([(one, "email: missing")]) == [Receipt(one.id, True)]
    assert await mailroom.quarantined() == 0


@pytest.fixture
async def former(store: Store) -> AsyncIterator[Mailroom]:
    """A mailroom over a store that still speaks schema 1."""
    await store.raw.set("relais:{p0}:schema", "1")
    async with await store.open() as room:
        yield room


async def test_schema_1(former: Mailroom, store: Store) -> None:
    """While an older program runs beside, events have the ids that it gives them, in the pages that it reads."""
    one = message(b'{"a":1}')
    old_id = former_event_id("shop", "m1", 0)
    assert await former.put([one]) == [Receipt(old_id, False)]
    assert await former.put([one]) == [Receipt(old_id, True)]
    dump = await store.dump()
    assert [entry.value for name, entry in dump.items() if name.startswith("seen:")] == [{old_id}]
    assert not [name for name in dump if name.startswith("known:")]
    assert await inbox(former) == [old_id]


async def test_schema_1_quarantine(former: Mailroom) -> None:
    """Its quarantine knows events by those ids, too."""
    one = message()
    old_id = former_event_id("shop", "m1", 0)
    assert await former.quarantine([(one, "x")]) == [Receipt(old_id, False)]
    assert await former.quarantine([(one, "x")]) == [Receipt(old_id, True)]
    assert await former.put([one]) == [Receipt(old_id, False)]


async def test_after_the_upgrade(former: Mailroom, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before the upgrade and comes again after it is known under its old id."""
    one, other = message(), message(sender_id="m2")
    old_id = former_event_id("shop", "m1", 0)
    await former.put([one])
    await store.raw.set("relais:{p0}:schema", SCHEMA)
    now = await store.now() / 1000
    monkeypatch.setattr("mailroom.client.time.time", lambda: now)
    async with await store.open() as room:
        assert room.former_ids
        assert await room.put([one, other]) == [Receipt(old_id, True), Receipt(other.id, False)]
        assert await room.quarantine([(one, "x")]) == [Receipt(old_id, True)]


async def test_no_former_ids(mailroom: Mailroom) -> None:
    """A store that never spoke schema 1 is asked for no old ids."""
    assert not mailroom.former_ids


async def test_what_the_source_says_is_the_same(mailroom: Mailroom, store: Store) -> None:
    """Of messages that are the same by their source the first counts, for so long: also within one call."""

    def marked(number: int, same_as: str = "a") -> Event:
        event = replace(message(b'{"a":%d}' % number), same_as=same_as, same_for=600_000)
        return replace(event, id=identity.event_id("shop", f"m{number}", "", event.body), sender_id=f"m{number}")

    one, two, other, three = marked(1), marked(2), marked(3, "b"), marked(4)
    assert await mailroom.put([one, two, other]) == [
        Receipt(one.id, False),
        Receipt(one.id, True),
        Receipt(other.id, False),
    ]
    await store.advance(599_000)
    assert await mailroom.put([three, one]) == [Receipt(one.id, True), Receipt(one.id, True)]
    await store.advance(2_000)
    again = marked(5)
    assert await mailroom.put([again, again]) == [Receipt(again.id, False), Receipt(again.id, True)]
    assert (await mailroom.counts())["duplicate|shop|booking.created"] == 4
    assert sorted(await inbox(mailroom)) == sorted([one.id, other.id, again.id])
