"""What a receiver's spool asks of the mailroom when it hands over what waited there."""

from datetime import UTC, datetime, timedelta

import pytest

from mailroom import Mailroom, Receipt
from tests.mailroom.store import DAY, Store, event
from tests.mailroom.test_client import drain, settlement, take

pytestmark = pytest.mark.anyio
__all__ = ["drain"]


async def test_body_window(mailroom: Mailroom, store: Store) -> None:
    """What was received a while ago is compared for the rest of its window, what was received long ago not at all."""
    await mailroom.put([event("a", sender=False)], body_window=10_000)
    assert await mailroom.put([event("b", sender=False)]) == [Receipt("a", True)]
    await store.advance(10_001)
    assert await mailroom.put([event("c", sender=False)]) == [Receipt("c", False)]
    assert await mailroom.put([event("d", sender=False), event("e", sender=False)], body_window=0) == [
        Receipt("d", False),
        Receipt("e", False),
    ]


async def test_known(mailroom: Mailroom, store: Store, drain: str) -> None:
    """An event is known while it waits, and from the ledger when its id has long been forgotten."""
    await mailroom.put([event("a")])
    assert await mailroom.known(["a", "b"]) == {"a"}
    [lease] = await take(mailroom, drain)
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    await mailroom.settle(drain, "s", [settlement(lease, "a", line='{"t":"routed"}', day=yesterday)])
    assert await mailroom.record("a") is None
    await store.advance(3 * DAY)
    assert await mailroom.known(["b", "a"]) == {"a"}
    assert await mailroom.known([]) == set()


async def test_memory_used(mailroom: Mailroom, store: Store) -> None:
    """The used part of the memory is known where it has a limit."""
    assert await mailroom.memory_used() == 0
    used = int((await store.raw.info("memory"))["used_memory"])
    await store.raw.config_set("maxmemory", str(used * 2))
    try:
        assert 0.3 < await mailroom.memory_used() < 0.8
    finally:
        await store.raw.config_set("maxmemory", "0")
