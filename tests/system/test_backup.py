"""A backup under load, then everything is killed and its disk lost: what comes of a restore in an empty folder."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from console.receipts import ReceiptFile
from mailroom import Mailroom
from mailroom.forgetting import Forgetting, Person
from tests.conftest import GENEROUS, PrivateValkey, wait_until
from tests.receiver.port import kept_in
from tests.receiver.process import Process
from tests.system.processes import event
from tests.system.test_rolling import Caller


def relais(*words: str | Path, environ: Mapping[str, str]) -> str:
    """Run a command of ours to its end, and return what it prints."""
    program = Path(sys.executable).parent / "relais"
    done = subprocess.run(
        [program, *words], env={**os.environ, **environ}, capture_output=True, text=True, timeout=GENEROUS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_backup_under_load(valkey: PrivateValkey, short_folder: Path, tmp_path: Path) -> None:
    """Nothing that was acknowledged before the backup is lost, and who was forgotten after it stays forgotten."""
    old = tmp_path / "old"
    old.mkdir()
    receiver = Process(old, valkey.url)
    callers = [Caller(receiver.number, who, patience=GENEROUS) for who in range(1, 5)]
    receipts = tmp_path / "apart" / "forgotten.jsonl"
    environ = {"REDIS_URL": valkey.url, "RELAIS_SPOOL": str(old / "spool"), "RELAIS_RECEIPTS": str(receipts)}

    async def put_eva() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.put([event("of eva", who="eva")])

    async def forget_eva() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            eva = Person(frozenset({mailroom.hash("email:eva@example.org")}))
            ReceiptFile(receipts).keep([await Forgetting(mailroom).forget(eva, 30, within=5)])
            assert await mailroom.record("of eva") is None

    asyncio.run(put_eva())
    for each in callers:
        each.start()
    try:
        wait_until(lambda: all(len(each.acknowledged) > 20 for each in callers), "everybody sends")
        before = [id for each in callers for id in each.acknowledged]
        backup = Path(relais("backup", tmp_path, "--book", old / "book", environ=environ).strip())
        sent = sum(len(each.acknowledged) for each in callers)
        wait_until(lambda: sum(len(each.acknowledged) for each in callers) > sent + 20, "everything runs on")
        asyncio.run(forget_eva())
    finally:
        receiver.process.kill()
        receiver.end()
        valkey.stop(kill=True)
        for each in callers:
            each.over.set()
        for each in callers:
            each.join(GENEROUS)
    shutil.rmtree(old)
    new = short_folder / "new"
    elsewhere = {"RELAIS_DATA": str(new), "RELAIS_BOOK": str(new / "book"), "RELAIS_RECEIPTS": str(receipts)}
    assert "It can be restored." in relais("restore", backup, "--verify", environ=elsewhere)
    assert "1 person forgotten once more" in relais("restore", backup, environ=elsewhere)
    restored = PrivateValkey(new / "valkey")
    restored.start()
    try:
        assert kept_in(restored.url, before) == len(before) > 80
        assert asyncio.run(has_record(restored.url, "of eva")) is False
    finally:
        restored.stop()
    assert (new / "book").is_dir()


async def has_record(url: str, id: str) -> bool:
    """Whether the payload of an event is there."""
    async with Mailroom.connect(url) as mailroom:
        return await mailroom.record(id) is not None
