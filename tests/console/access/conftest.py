"""A mailroom on a store that keeps nothing on disk, emptied before each test."""

from collections.abc import AsyncIterator

import pytest

from mailroom import Mailroom
from tests.conftest import PrivateValkey
from tests.mailroom.store import Store, key_faults


@pytest.fixture
async def mailroom(site_valkey: PrivateValkey, anyio_backend: str) -> AsyncIterator[Mailroom]:
    """Return it; no test leaves a key that the schema table does not know."""
    store = Store(site_valkey, real_clock=True)
    await store.raw.flushall()
    async with await Mailroom.open(site_valkey.url) as opened:
        yield opened
    faults = key_faults(await store.dump())
    await store.raw.aclose()
    assert faults == []
