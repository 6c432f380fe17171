"""The daily rewrite of the append-only file, against a real store that has one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from console.checks import store as examined
from mailroom import Mailroom, aof_rewrite
from tests.conftest import PrivateValkey, wait_until_async
from workers import worker
from workers.settings import WorkSettings
from workers.sweep import Sweep

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mailroom(valkey: PrivateValkey) -> AsyncIterator[Mailroom]:
    """A mailroom on a store that writes an append-only file."""
    async with await Mailroom.open(valkey.url) as room:
        yield room


def on_disk(valkey: PrivateValkey, what: bytes) -> bool:
    """Whether the store's append-only folder holds some bytes."""
    found = []
    for file in (valkey.folder / "appendonlydir").iterdir():
        try:
            found.append(what in file.read_bytes())
        except FileNotFoundError:  # a rewrite has just ended
            continue
    return any(found)


async def asked(mailroom: Mailroom) -> Any:
    store: Any = mailroom.store
    return await store.get(mailroom.key("rewritten"))


async def notes(mailroom: Mailroom) -> Mapping[str, str]:
    """What the doctor says, by name."""
    return {check.name: check.says for check in (await examined.examine(mailroom.store)).checks}


async def test_erased(valkey: PrivateValkey, mailroom: Mailroom) -> None:
    """What was erased is gone from the disk; it is asked for once a day, and by whoever looks first."""
    store: Any = mailroom.store
    await store.set("payload", "eva@example.org")
    await store.delete("payload")
    assert on_disk(valkey, b"eva@example.org")
    await aof_rewrite.look(mailroom)

    async def gone() -> bool:
        return not await asyncio.to_thread(on_disk, valkey, b"eva@example.org")

    await wait_until_async(gone, "the file is written anew", 20)
    assert await asked(mailroom) == b"asked"
    assert 86_000 < await store.ttl(mailroom.key("rewritten")) <= aof_rewrite.EVERY
    await store.set("payload", "otto@example.org")
    await store.delete("payload")
    await aof_rewrite.look(mailroom)
    info = await store.info("persistence")
    assert not info["aof_rewrite_in_progress"]
    assert not info["aof_rewrite_scheduled"]
    assert on_disk(valkey, b"otto@example.org")
    assert "erased" not in await notes(mailroom)


async def test_refused(mailroom: Mailroom, caplog: pytest.LogCaptureFixture) -> None:
    """A store that refuses is said once, not at each look, and the doctor tells it."""
    store: Any = mailroom.store
    await store.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof")
    with caplog.at_level(logging.WARNING):
        await aof_rewrite.look(mailroom)
        await aof_rewrite.look(mailroom)
    assert [record.message.split()[0] for record in caplog.records] == ["store.no_rewrite"]
    assert await asked(mailroom) == b"refused"
    assert (await notes(mailroom))["erased"].startswith("it refuses BGREWRITEAOF")


async def test_switched_off(mailroom: Mailroom) -> None:
    """During a backup nothing is rewritten; afterwards it is."""
    store: Any = mailroom.store
    await store.config_set("auto-aof-rewrite-percentage", 0)
    await aof_rewrite.look(mailroom)
    assert await asked(mailroom) is None
    assert (await notes(mailroom))["erased"].startswith("rewriting is switched off")
    await store.config_set("auto-aof-rewrite-percentage", 100)
    await aof_rewrite.look(mailroom)
    assert await asked(mailroom) == b"asked"


async def test_nothing_to_rewrite(mailroom: Mailroom) -> None:
    """A store without an append-only file is left alone."""
    store: Any = mailroom.store
    await store.config_set("appendonly", "no")
    await aof_rewrite.look(mailroom)
    assert await asked(mailroom) is None


async def test_sweep(valkey: PrivateValkey, mailroom: Mailroom, tmp_path: Path) -> None:
    """The one that sweeps looks after it, from its first round on."""
    connection = worker.connect(valkey.url)
    try:
        await Sweep(WorkSettings(REDIS_URL=valkey.url, book=tmp_path), mailroom, connection, "one").sweep(1, ())
    finally:
        connection.close()
    assert await asked(mailroom) == b"asked"
