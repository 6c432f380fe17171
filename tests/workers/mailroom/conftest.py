"""One Valkey for all tests of this folder, emptied before each; afterwards every key must be in the schema table."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conftest import Valkey
from tests.workers.mailroom.store import Store, key_faults
from workers.mailroom import Mailroom


@pytest.fixture
def anyio_backend() -> str:
    """The mailroom runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A Valkey that keeps nothing on disk: what is tested with it has nothing to do with crashes."""
    folder = Path(tempfile.mkdtemp(prefix="rl", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108 - 107 bytes
    server = Valkey(folder)
    server.start("--appendonly", "no")
    yield server
    server.stop(kill=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def store(shared_valkey: Valkey) -> AsyncIterator[Store]:
    """An empty store on the test's own clock; no test leaves a key that the schema table does not know."""
    store = Store(shared_valkey)
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
