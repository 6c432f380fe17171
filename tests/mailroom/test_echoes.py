"""Our own writes, as the store remembers them."""

from dataclasses import replace

import pytest

from mailroom import Mailroom, StoreFull
from mailroom.echoes import LATE, MOST_MARKS, EchoClaim, EchoMark, EchoMemory
from tests.mailroom.store import Store, key_faults

pytestmark = pytest.mark.anyio

MARK = EchoMark("e1.0", ("contact.changed",), 1_000, 601_000, {"city": "hash"}, ("email",))


async def test_marks(mailroom: Mailroom, store: Store) -> None:
    """A write is found under each name of its object, once and for its time; of another source or object it is not."""
    memory = EchoMemory(mailroom)
    later = replace(MARK, delivery="e2.0", since=2_000)
    await memory.mark(["a", "b"], ["eva", "seven"], later)
    await memory.mark(["a"], ["eva"], MARK)
    assert await memory.marks("a", ["seven", "eva", "nobody"]) == [MARK, later]
    assert await memory.marks("b", ["eva"]) == [later]
    assert await memory.marks("c", ["eva"]) == []
    assert key_faults(await store.dump()) == []
    await store.advance((600 + LATE) * 1000 + 1)
    assert await memory.marks("a", ["eva"]) == []


async def test_unmark(mailroom: Mailroom) -> None:
    """What did not happen is forgotten, and nothing else."""
    memory = EchoMemory(mailroom)
    other = replace(MARK, delivery="e2.0")
    for mark in (MARK, other):
        await memory.mark(["a"], ["eva", "seven"], mark)
    await memory.unmark(["a"], ["eva", "seven"], MARK)
    assert await memory.marks("a", ["eva", "seven"]) == [other]


async def test_bound(mailroom: Mailroom) -> None:
    """Of one object the newest writes are remembered."""
    memory = EchoMemory(mailroom)
    for n in range(MOST_MARKS + 3):
        await memory.mark(["a"], ["eva"], replace(MARK, delivery=f"e{n}", since=n))
    found = await memory.marks("a", ["eva"])
    assert [mark.delivery for mark in found] == [f"e{n}" for n in range(3, MOST_MARKS + 3)]


async def test_claims(mailroom: Mailroom, store: Store) -> None:
    """One event takes a write, for its type and source; others learn which, and what it told until it is closed."""
    memory = EchoMemory(mailroom)
    first, second = EchoClaim("e5", "content"), EchoClaim("e6", "other")
    assert await memory.claims("a", "contact.changed", ["e1.0"]) == {}
    assert await memory.claim("a", "contact.changed", MARK, first) == first
    assert await memory.claim("a", "contact.changed", MARK, second) == first
    assert await memory.claim("a", "contact.updated", MARK, second) == second
    assert await memory.claims("a", "contact.changed", ["e1.0", "e9.0"]) == {"e1.0": first}
    assert await memory.claims("b", "contact.changed", ["e1.0"]) == {}
    await memory.close("a", "contact.changed", MARK, "e5")
    assert await memory.claims("a", "contact.changed", ["e1.0"]) == {"e1.0": EchoClaim("e5", "")}
    assert key_faults(await store.dump()) == []
    assert {entry.ttl is not None for name, entry in (await store.dump()).items() if name.startswith("echoed:")} == {
        True
    }


async def test_newer_version(mailroom: Mailroom) -> None:
    """What a newer version says beside it does not keep this one from reading a mark."""
    memory = EchoMemory(mailroom)
    text = MARK.encode().replace("{", '{"colour": "red", ', 1)
    await mailroom.store.lpush(mailroom.key("echo:a:eva"), text)
    assert await memory.marks("a", ["eva"]) == [MARK]


async def test_full_store(mailroom: Mailroom, store: Store) -> None:
    """A full store keeps no mark, and says so; what is there can be forgotten."""
    memory = EchoMemory(mailroom)
    await memory.mark(["a"], ["eva"], MARK)
    await store.raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreFull):
            await memory.mark(["a"], ["eva"], replace(MARK, delivery="e2.0"))
        with pytest.raises(StoreFull):
            await memory.claim("a", "contact.changed", MARK, EchoClaim("e5", "content"))
        await memory.unmark(["a"], ["eva"], MARK)
    finally:
        await store.raw.config_set("maxmemory", "0")
    assert await memory.marks("a", ["eva"]) == []
