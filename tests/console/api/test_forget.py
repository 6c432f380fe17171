"""Forgetting through the console and the command line: nothing is left on any disk, and a restore forgets again."""

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from console import catalogue, cli, elsewhere
from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from console.processes import port
from mailroom import Mailroom
from receiver.failover import SpoolingMailroom
from receiver.spool import Spool
from rules.compiler import loader
from sandbox import server
from tests.conftest import PrivateValkey, wait_until_async
from tests.console.api.console_process import begin
from tests.console.conftest import Start
from tests.mailroom.planted import ADDRESS, IDENTITY, OTHER, event, plant
from workers.destinations.base import Attempt
from workers.destinations.contacts import UpsertContact
from workers.http import Http

pytestmark = pytest.mark.anyio
PLANTED = ADDRESS.lower().encode()


@contextlib.asynccontextmanager
async def receiver(valkey: PrivateValkey, folder: Path) -> AsyncIterator[SpoolingMailroom]:
    """A receiver that cannot hand over: it only says that it lives, and erases what it is told to."""
    spool = Spool(folder, 1024 * 1024)
    spool.append([(event(f"spool{n}", who), None) for n, who in enumerate((IDENTITY, OTHER))])
    spool.append([(event("unfit", IDENTITY, identities=(), order_key=None), "mail: missing")])
    spool.append([(event("aside"), None)])
    spool.set_aside(4, "no", 0)
    room = await Mailroom.open(valkey.url)
    taking = SpoolingMailroom(room, spool)

    async def beat() -> None:
        while True:
            await taking.say_process("receiver.other_host", "-", 0, time.monotonic_ns())
            await taking.forget_spooled("receiver.other_host")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(beat())
    try:
        yield taking
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await taking.close()


def files_with(folder: Path, what: bytes) -> list[str]:
    """Return the files below a folder that hold some bytes, in whatever case."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            with contextlib.suppress(OSError):  # a socket
                if what in path.read_bytes().lower():
                    found.append(str(path.relative_to(folder)))
    return sorted(found)


def said(*words: str, status: int = 0, stdin: str = "") -> str:
    outcome = CliRunner().invoke(cli.relais, list(words), input=stdin)
    assert outcome.exit_code == status, outcome.output
    return outcome.output


async def test_nothing_is_left(
    start: Start, valkey: PrivateValkey, short_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that stood in every place is on no disk any more, and a restored store forgets it before it starts."""
    notebook, receipts, backup = tmp_path / "notebook.sqlite", tmp_path / "forgotten.jsonl", tmp_path / "backup"
    environ = {"RELAIS_NOTEBOOK": str(notebook), "RELAIS_RECEIPTS": str(receipts), "RELAIS_SPOOL": ""}
    console = f"http://127.0.0.1:{port.free('127.0.0.1')}"
    process = start("console", "--port", console.rpartition(":")[2], REDIS_URL=valkey.url, **environ)
    process.wait_healthy(console)
    monkeypatch.setenv("RELAIS_CONSOLE_URL", console)
    async with await Mailroom.open(valkey.url) as mailroom:
        await plant(mailroom)
        await mailroom.leave("d1")
        who = mailroom.hash(IDENTITY)
    shutil.copytree(short_folder / "appendonlydir", backup)
    async with receiver(valkey, short_folder / "spool"):
        people = json.loads(await asyncio.to_thread(said, "people", "find", ADDRESS, "--json"))
        assert people["people"][0]["who"] == who
        assert {"appendonlydir", "spool"} <= {each.split("/")[0] for each in files_with(short_folder, PLANTED)}
        assert files_with(tmp_path, who.lower().encode()) != []
        dry = json.loads(await asyncio.to_thread(said, "forget", ADDRESS, "--dry-run", "--json"))
        assert (dry["counts"]["payloads"], dry["counts"]["refused"], dry["receivers"]) == (9, 1, 1)
        unsure = await asyncio.to_thread(said, "forget", ADDRESS, status=2)
        assert "payloads of events" in unsure
        done = await asyncio.to_thread(said, "forget", "-", "--yes", "--reason", "case 7", stdin=f"{ADDRESS}\n")
    assert "The store has written its files anew" in done
    assert "       3  events in spools" in done
    (receipt,) = json.loads(said("forget", "--list", "--json"))["receipts"]
    assert (receipt["counts"]["spooled"], receipt["why"], receipt["rewrite"], receipt["silent"]) == (
        3,
        "case 7",
        "done",
        0,
    )
    shutil.copytree(short_folder / "appendonlydir", tmp_path / "later-backup")
    async with await Mailroom.open(valkey.url) as mailroom:
        await mailroom.store.bgsave()

        async def saved() -> bool:
            return (short_folder / "dump.rdb").exists()

        await wait_until_async(saved, "the snapshot is written")
        names: Any = await mailroom.store.keys("*")
    metrics = b"".join(each.encode() for each in ConsoleClient(ClientSettings(console_url=console)).text("/metrics"))
    assert files_with(short_folder, PLANTED) == []
    assert [each for each in files_with(tmp_path, PLANTED) if not each.startswith("backup/")] == []
    assert "notebook.sqlite" not in " ".join(files_with(tmp_path, who.lower().encode()))
    assert PLANTED not in metrics.lower() + process.said.lower().encode()
    assert [name for name in names if PLANTED in name.lower() or who.encode() in name] == []
    assert b"ole@example.org" in b"".join(each.read_bytes() for each in (short_folder / "appendonlydir").iterdir())
    valkey.stop()
    shutil.rmtree(short_folder / "appendonlydir")
    shutil.copytree(backup, short_folder / "appendonlydir")
    valkey.start()
    assert files_with(short_folder, PLANTED) != []
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAIS_RECEIPTS", str(receipts))
    monkeypatch.setenv("RELAIS_RECEIPTS", str(tmp_path / "elsewhere"))
    assert "no file of receipts" in await asyncio.to_thread(said, "forget", "--again", status=3)
    monkeypatch.setenv("RELAIS_RECEIPTS", str(receipts))
    again = [await asyncio.to_thread(said, "forget", "--again") for _ in range(2)]
    assert again == ["1 person forgotten once more.\n", "The store knows all who were forgotten.\n"]
    (short_folder / "dump.rdb").unlink()
    assert files_with(short_folder, PLANTED) == []


def test_refused(start: Start, valkey: PrivateValkey, tmp_path: Path) -> None:
    """What names nobody, a reason that names somebody, a receipt that could not be kept: refused, with the mend."""
    (tmp_path / "file").write_text("")
    receipts = {"RELAIS_RECEIPTS": str(tmp_path / "file" / "forgotten.jsonl")}
    client = ConsoleClient(ClientSettings(console_url=begin(start, valkey.url, **receipts)))
    for body, code in (
        ({"text": "eva"}, "no_person"),
        ({"text": "eva@example.org", "reason": "wish of EVA@example.org"}, "names_person"),
        ({"text": "eva.muster@example.org", "reason": "Muster wants it"}, "names_person"),
        ({"text": "eva@example.org", "dry": False}, "no_receipt"),
        ({"text": ""}, "bad_request"),
    ):
        with pytest.raises(UserError, match=rf"^{code}: .{{10}}"):
            client.post("/people/forget", body)
    assert client.get("/forgotten") == {"receipts": []}


BOOK = """
destinations:
  hub: {kind: hubspot, base: "URL/hubspot", access_token: "${HUB}", allow_private: true}
  closed: {kind: hubspot, base: "URL/hubspot", access_token: "${NOT_HERE}", allow_private: true}
  other: {kind: etracker, base: "URL", account_key: "${HUB}", api_key: "${HUB}"}
"""


async def test_elsewhere(start: Start, valkey: PrivateValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination is named before, asked only where somebody says so, and its end stands in receipt and list."""
    with server.in_thread() as running:
        key = running.world.accounts.hubspot_access_token
        text = BOOK.replace("URL", running.url)
        checked = loader.check_texts({"book.yaml": text}, catalogue.build())
        assert checked.book is not None, checked.errors
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.keep_book(checked.book.version, {"book.yaml": text})
        monkeypatch.setenv("HUB", key)
        hub: Any = running.world.vendors["hubspot"]
        async with Http() as http:
            made = UpsertContact.model_validate({"email": ADDRESS})
            opened = elsewhere.open_client(checked.book.destinations["hub"], http)
            await opened.deliver("upsert_contact", made, Attempt("one"))
        url = begin(start, valkey.url, HUB=key, RELAIS_RECEIPTS=str(tmp_path / "forgotten.jsonl"))
        monkeypatch.setenv("RELAIS_CONSOLE_URL", url)
        shown = await asyncio.to_thread(said, "forget", ADDRESS, "--dry-run", "--at", "closed")
        assert "hub keeps what it has; --at hub deletes there: the contact with its notes, tasks and mails" in shown
        assert "Would be deleted at closed: the contact with its notes, tasks and mails" in shown
        assert "other" not in shown
        assert "who can: hub, closed" in await asyncio.to_thread(said, "forget", ADDRESS, "--at", "other", status=1)
        assert "no_address" in await asyncio.to_thread(said, "forget", "a:b:c", "--at", "hub", status=1)
        assert len(hub.objects["contacts"]) == 1
        ask = ("--yes", "--reason", "case 7")
        assert "At " not in await asyncio.to_thread(said, "forget", ADDRESS, *ask)
        assert len(hub.objects["contacts"]) == 1
        done = await asyncio.to_thread(said, "forget", ADDRESS, "--at", "hub", "--at", "closed", *ask)
        assert "At hub: deleted." in done
        assert "At closed: not deleted: the console does not have its secret." in done
        assert hub.objects["contacts"] == {}
        receipts = json.loads(await asyncio.to_thread(said, "forget", "--list", "--json"))["receipts"]
        assert receipts[0]["elsewhere"] == {"hub": "deleted", "closed": "no_secret"}
        assert "at closed: no_secret, hub: deleted" in await asyncio.to_thread(said, "forget", "--list")
    assert ADDRESS.lower() not in (tmp_path / "forgotten.jsonl").read_text().lower()
