"""Forgetting a person, on a real store: nothing of theirs is left, and nobody else loses anything."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mailroom import Mailroom
from mailroom.forgetting import Forgetting, Person, PersonSearch, read_receipt
from mailroom.keys import NO_POOL
from mailroom.ledger import Decision
from mailroom.operator import Operator, Selection
from tests.conftest import PrivateValkey, wait_until_async
from tests.kept import CLEAR, ERASED, PERSONAL, WITH_ITEM, list_keys
from tests.mailroom.planted import ADDRESS, IDENTITY, OTHER, PlantedStore, event, plant
from tests.mailroom.store import Store, StoredKey

pytestmark = pytest.mark.anyio

COUNTED = {
    "payloads": 9,
    "waiting": 4,
    "held": 1,
    "dead": 2,
    "quarantined": 1,
    "refused": 1,
    "id_map": 1,
    "links": 7,
}


@pytest.fixture
async def room(site_valkey: PrivateValkey) -> AsyncIterator[Mailroom]:
    """A mailroom on an empty store that keeps nothing on disk."""
    async with await Mailroom.open(site_valkey.url, hash_key=b"k" * 32) as room:
        await room.store.flushall()
        await room.prepare()
        yield room


@pytest.fixture
async def whole(site_valkey: PrivateValkey, room: Mailroom) -> AsyncIterator[Store]:
    """All that is in that store."""
    store = Store(site_valkey, real_clock=True)
    yield store
    await store.close()


def person(room: Mailroom, identity: str = IDENTITY) -> Person:
    return Person(frozenset({room.hash(identity)}))


def text_of(dump: dict[str, Any], *, but: str = "forgotten") -> str:
    """Return all that is in a store as text."""
    return json.dumps({name: str(entry) for name, entry in dump.items() if name != but}).lower()


async def test_everywhere(room: Mailroom, whole: Store) -> None:
    """What a person left in the store is told before and erased then, in every place; others keep all of theirs."""
    await plant(room)
    forgetting = Forgetting(room, Decision("ada"))
    found = await forgetting.find(person(room))
    told = await forgetting.erase(person(room), found, really=False)
    before = text_of(await whole.dump())
    assert {kind: told[kind] for kind in COUNTED} == COUNTED
    assert (ADDRESS.lower() in before, room.hash(IDENTITY).lower() in before, told["marks"] > 8) == (True, True, True)
    assert misplaced(await whole.dump(), room.hash(IDENTITY)) == []
    receipt = await forgetting.forget(person(room), 30, within=5)
    assert {kind: receipt.counts[kind] for kind in COUNTED} == COUNTED
    assert (receipt.by, receipt.under_way, receipt.silent) == ("ada", 0, 0)
    assert set(PERSONAL) <= {key.name for key in list_keys()}
    left = await whole.dump()
    assert ADDRESS.lower() not in text_of(left)
    holding = {place_of(name) for name, entry in left.items() if room.hash(IDENTITY) in f"{name} {entry.value}"}
    assert [name for name in holding if PERSONAL[name][1] in (ERASED, WITH_ITEM)] == []
    assert "forgotten" in holding
    assert await room.box_faults() == []
    again = await forgetting.find(person(room, OTHER))
    kept = await forgetting.erase(person(room, OTHER), again, really=False)
    assert {kind: kept[kind] for kind in COUNTED} == COUNTED
    assert [letter.id for letter in await Operator(room).dead(Selection())] == ["deado.0"]
    story = await room.fate("deadi")
    assert story is not None
    assert (story.state, story.who, story.decisions[-1]["what"], story.decisions[-1]["by"]) == (
        *("skipped", []),
        *("forgotten", "ada"),
    )


def place_of(name: str) -> str:
    """Return what the key table calls a key."""
    (found,) = [each.name for each in list_keys() if each.pattern.match(name)]
    return found


def misplaced(dump: dict[str, StoredKey], who: str) -> list[str]:
    """Return the keys that hold more of the person than docs/data-kept.md says."""
    found = []
    for name, entry in dump.items():
        personal, _ = PERSONAL.get(place_of(name), ("", ""))
        text = f"{name} {entry.value}".lower()
        if (ADDRESS.lower() in text and personal != CLEAR) or (who.lower() in text and not personal):
            found.append(name)
    return found


async def test_later_is_new(room: Mailroom) -> None:
    """What comes of a person later is taken, routed and delivered; the same message once more is known."""
    it = PlantedStore(room)
    await it.route(event("before"), "crm")
    receipt = await Forgetting(room).forget(person(room), 30, within=5)
    assert (await room.put([event("before")]))[0].duplicate
    await it.route(event("after"), "crm")
    (lease,) = await it.take("crm")
    assert [item for item, _ in lease.items] == ["after.0"]
    await it.settle(lease, "done")
    await Forgetting(room).carry_out(receipt, person(room))
    assert (await room.fate("after")).who != []  # type: ignore[union-attr]


async def test_under_way(room: Mailroom) -> None:
    """What a drain holds settles first, and is waited for; what it has not settled in time is told."""
    it = PlantedStore(room)
    await it.route(event("sent"), "crm", "erp")
    (lease,) = await it.take("crm")
    forgetting = Forgetting(room)
    first = await forgetting.forget(person(room), 30, within=0.3)
    assert (first.under_way, first.counts["waiting"], await room.record("sent") is not None) == (1, 1, True)
    waiting = asyncio.create_task(forgetting.forget(person(room), 30, within=20))
    assert await it.take("erp") == []
    await it.settle(lease, "done")
    second = await waiting
    assert (second.under_way, second.counts["links"], await room.record("sent")) == (0, 1, None)
    assert await room.box_faults() == []


async def test_being_routed(room: Mailroom) -> None:
    """An event that is being routed goes with what its rules have asked for meanwhile."""
    it = PlantedStore(room)
    await room.put([event("routed")])
    (lease,) = await it.take()
    first = await Forgetting(room).forget(person(room), 30, within=0)
    assert (first.under_way, first.counts["payloads"]) == (1, 0)
    await room.put([event("behind")])
    await it.settle(lease, "done")
    await Forgetting(room).forget(person(room), 30, within=5)
    assert await it.take() == []
    assert await room.box_faults() == []


async def test_neighbours_go_on(room: Mailroom) -> None:
    """Who waited behind a forgotten person, in a box they share, goes on at once; also behind a held one."""
    it = PlantedStore(room)
    shared = it.hash("phone:+4930123456")
    await it.route(event("held"), "crm", more=(shared,))
    await it.end("crm", "hold")
    await it.route(event("waits", OTHER), "crm", more=(shared,))
    assert await it.take("crm") == []
    await Forgetting(room).forget(person(room), 30, within=5)
    (lease,) = await it.take("crm")
    assert [item for item, _ in lease.items] == ["waits.0"]
    assert await room.held("crm") == {}


async def test_mentions(room: Mailroom) -> None:
    """What is about others and mentions the person is told, and erased only where that is said."""
    it = PlantedStore(room)
    await it.route(event("about", OTHER, body=json.dumps({"mail": "x@y.z", "cc": ADDRESS}).encode()), "crm")
    found = await Forgetting(room).find(person(room))
    assert (list(found.events), found.mentions) == ([], {"about"})
    receipt = await Forgetting(room).forget(person(room), 30, within=5)
    assert (receipt.counts["payloads"], await room.record("about") is not None) == (0, True)
    receipt = await Forgetting(room).forget(person(room), 30, within=5, mentions=True)
    assert (receipt.counts["payloads"], receipt.counts["waiting"], await room.record("about")) == (1, 1, None)


@pytest.mark.parametrize(
    ("body", "mentioned"),
    [
        (b'{"to": "Ida <IDA.planted@EXAMPLE.org>"}', True),
        (b"mail=ida.planted%40example.org&x=1", True),
        (b'{"mail": "ida.planted\\u0040example.org"}', True),
        (b"\xff\xfe ida.planted@example.org.", True),
        (b"call 0049 30 123456", True),
        (b"ask for Planted, Ida (case 7)", True),
        (b"ole+ida.planted@example.org", False),
        (b"ida.planted@example.org.uk", False),
        (b"00493012345678", False),
    ],
)
async def test_search(room: Mailroom, body: bytes, mentioned: bool) -> None:
    """A body mentions a person however it encodes the address; another's address that contains it does not."""
    hashes = frozenset({room.hash(IDENTITY), room.hash("phone:+4930123456")})
    assert PersonSearch(room.hash, Person(hashes, "planted, ida")).is_mentioned(body) is mentioned


async def test_receipts(room: Mailroom) -> None:
    """A receipt is read as it was written; when backups are gone it knows no hashes, and who carried it out neither."""
    forgetting = Forgetting(room, Decision("ada", "case 7"))
    kept = await forgetting.forget(person(room), 30, within=0)
    await room.report_forgotten(kept.id, "receiver.x", 2)
    gone = await forgetting.forget(person(room), 0, within=0)
    assert read_receipt(kept.encode()) == kept
    found = {receipt.id: receipt for receipt in await forgetting.receipts()}
    assert (found[kept.id].hashes, found[kept.id].why, found[gone.id].hashes) == (kept.hashes, "case 7", ())
    assert await forgetting.reports(kept) == {"receiver.x": 2}


async def test_receivers_are_waited_for(room: Mailroom) -> None:
    """The receipt counts what went from spools, and says how many receivers have not answered."""
    await room.say_process("receiver.a", NO_POOL, 0, 1)
    task = asyncio.create_task(Forgetting(room).forget(person(room), 30, within=20))

    async def asked() -> bool:
        return bool(await room.new_receipts(()))

    await wait_until_async(asked, "the receipt is there")
    (receipt,) = await room.new_receipts(())
    await room.report_forgotten(receipt, "receiver.a", 3)
    assert ((await task).counts["spooled"], (await task).silent) == (3, 0)
    assert (await Forgetting(room).forget(person(room), 30, within=0)).silent == 1
    await room.forget_spooled("receiver.a")
    assert len(await room.new_receipts(())) == 2
