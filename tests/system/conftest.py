"""A house for each test, with a Valkey of its own that keeps its data on disk."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PrivateValkey
from tests.mailroom.store import Store, key_faults
from tests.system.processes import SystemProcesses
from tests.system.processes import house as open_house

#: Keys of a store that is looked at.
LARGEST = 200_000


@pytest.fixture
def valkey(short_folder: Path) -> Iterator[PrivateValkey]:
    """A private Valkey; whatever happened, every key of ours in it is in the schema table and lives as stated.

    A store of a backlog that somebody asked for is too large to be read at once: there it is not looked at.
    """
    server = PrivateValkey(short_folder)
    server.start()
    yield server
    faults = asyncio.run(_key_faults(server)) if server._answers() else []
    server.stop(kill=True)
    assert not faults


async def _key_faults(server: PrivateValkey) -> list[str]:
    store = Store(server)
    try:
        return key_faults(await store.dump()) if await store.raw.dbsize() <= LARGEST else []
    finally:
        await store.close()


@pytest.fixture
def house(valkey: PrivateValkey, tmp_path: Path) -> Iterator[SystemProcesses]:
    """The house; no process of ours may outlive it."""
    with open_house(valkey, tmp_path) as one:
        yield one
