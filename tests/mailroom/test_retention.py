"""How long the states of a source are kept where its book says less than usual."""

from dataclasses import replace
from typing import Any

import pytest

from mailroom import Mailroom, retention
from tests.mailroom.store import Store
from tests.mailroom.test_aside import at
from tests.mailroom.test_client import INFO, drain, settlement, take

__all__ = ["drain"]

HOUR = 3_600_000

pytestmark = pytest.mark.anyio


async def test_dead(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A dead letter goes after the time of its source, with its payload; those of other sources stay."""
    for name, source in (("a", "shop"), ("b", "desk"), ("c", "shop")):
        await mailroom.put([replace(at(name, 1), source=source, order_key=name)])
        (lease,) = await take(mailroom, drain)
        await mailroom.settle(drain, "s", [settlement(lease, name, "dead", info=INFO)])
        await store.advance(HOUR)
    await retention.set_terms(mailroom, {"dead": {"shop": 2 * HOUR}})
    assert await retention.expire(mailroom) == 1
    assert [one.id for one in await mailroom.dead()] == ["c", "b"]
    assert (await mailroom.record("a"), await mailroom.record("b") is None) == (None, False)
    await store.advance(5 * HOUR)
    await retention.set_terms(mailroom, {})
    assert await retention.expire(mailroom) == 0
    await retention.set_terms(mailroom, {"dead": {"shop": 2 * HOUR}, "quarantine": {"desk": HOUR}})
    assert await retention.expire(mailroom) == 1
    assert [one.id for one in await mailroom.dead()] == ["b"]


async def test_quarantine(mailroom: Mailroom, store: Store) -> None:
    """So it is with what lies in quarantine."""
    await mailroom.quarantine([(replace(at(name, 1), source=name), "email: no") for name in ("shop", "desk")])
    await retention.set_terms(mailroom, {"quarantine": {"shop": HOUR}})
    assert await retention.expire(mailroom) == 0
    await store.advance(HOUR)
    assert await retention.expire(mailroom) == 1
    assert (await mailroom.record("shop"), await mailroom.record("desk") is None) == (None, False)


async def test_refused(mailroom: Mailroom, store: Store) -> None:
    """And with refused requests."""
    for source in ("shop", "desk"):
        told = {"reason": "x", "source": source, "headers": "{}", "body": "", "size": 0, "verified": 0}
        await store.raw.xadd(mailroom.key("refused"), told, id=f"{await store.now()}-*")  # type: ignore[arg-type]
    await retention.set_terms(mailroom, {"refused": {"shop": HOUR}})
    await store.advance(HOUR - 60_000)
    assert await retention.expire(mailroom) == 0
    await store.advance(120_000)
    assert await retention.expire(mailroom) == 1
    left: Any = await store.raw.xrange(mailroom.key("refused"))
    assert [said[b"source"] for _, said in left] == [b"desk"]


async def test_many(mailroom: Mailroom, store: Store) -> None:
    """However many of other sources are older, all are looked at."""
    for first in range(0, 2400, 100):
        names = [f"{'desk' if first < 2300 else 'shop'}-{n}" for n in range(first, first + 100)]
        events = [replace(at(name, 1), source=name.partition("-")[0]) for name in names]
        await mailroom.quarantine([(each, "email: no") for each in events])
    assert await store.raw.zcard(mailroom.key("quarantine")) == 2400
    await store.advance(HOUR)
    await retention.set_terms(mailroom, {"quarantine": {"shop": HOUR}})
    assert await retention.expire(mailroom) == 100
    assert await store.raw.zcard(mailroom.key("quarantine")) == 2300
