"""The workers' Valkey, emptied before each test; afterwards every key must be in the schema table."""

from collections.abc import AsyncIterator

import pytest

from mailroom import Mailroom
from tests.conftest import PrivateValkey
from tests.mailroom.store import Store, key_faults


@pytest.fixture
async def store(site_valkey: PrivateValkey) -> AsyncIterator[Store]:
    """An empty store on the test's own clock; no test leaves a key that the schema table does not know."""
    store = Store(site_valkey)
    await store.raw.flushall()
    yield store
    faults = key_faults(await store.dump())
    await store.close()
    assert not faults


@pytest.fixture
async def mailroom(store: Store) -> AsyncIterator[Mailroom]:
    """A mailroom over the empty store."""
    async with await store.open() as room:
        yield room
