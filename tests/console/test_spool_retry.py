"""`relais spool retry`: what it moves, and who the stories say did it."""

import asyncio
import contextlib
import getpass
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import cli
from mailroom.keys import PREFIX
from receiver import spool
from receiver.spool import Spool
from tests.conftest import PrivateValkey
from tests.mailroom.store import TODAY, Store, event

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spool in which one event was set aside."""
    with contextlib.closing(Spool(tmp_path, 1 << 20)) as opened:
        opened.append([(event("a"), None)])
        opened.set_aside(opened.first(), "no", 5)
    return tmp_path


def retry(url: str, folder: Path, *words: str) -> str:
    """Return what the command says."""
    environ = {"REDIS_URL": url, "RELAIS_SPOOL": str(folder)}
    outcome = CliRunner().invoke(cli.relais, ["spool", "retry", *words], env=environ)
    assert outcome.exit_code == 0, outcome
    return outcome.output


async def test_says_who_did_it(site_valkey: PrivateValkey, folder: Path) -> None:
    """One event is back in the spool, and its story says who sent it in, where it lay and why."""
    store = Store(site_valkey)
    await store.raw.flushall()
    told = await asyncio.to_thread(retry, site_valkey.url, folder, "a", "--reason", "mended")
    assert told == "1 event back in the spool.\n"
    assert spool.aside(folder) == []
    line = json.loads((await store.dump())[f"ledger:{TODAY}"].value["a"])
    assert (line["t"], line["d"], line["from"]) == ("taken_in", "a", "spool")
    assert (line["by"], line["why"]) == (getpass.getuser(), "mended")
    assert await store.raw.hget(f"{PREFIX}counts", "by_hand|retry|spool") == b"1"
    await store.close()


def test_without_a_store(folder: Path) -> None:
    """It goes on without the store, and says that no story will tell."""
    told = retry("redis://127.0.0.1:1", folder, "--all")
    assert "1 event back in the spool." in told
    assert "no story will say who did this" in told
    assert spool.aside(folder) == []
