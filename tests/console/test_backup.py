"""Backups: what is in one, what comes of it, and what is refused."""

import asyncio
import io
import json
import stat
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console import backup, cli
from console.backup import BackupSettings
from console.errors import UserError
from console.receipts import ReceiptFile
from mailroom import Mailroom
from mailroom.forgetting import Forgetting, Person
from receiver.spool import Spool
from tests.conftest import PrivateValkey
from tests.workers.worker_fixture import event


def run(*words: str | Path, environ: dict[str, str]) -> Result:
    return CliRunner().invoke(cli.relais, [str(word) for word in words], env=environ, catch_exceptions=False)


@pytest.fixture
def there(valkey: PrivateValkey, short_folder: Path) -> dict[str, str]:
    """A store with two events, a spool with a third one, a book, and settings that name them."""
    folder = short_folder / "old"
    (folder / "book").mkdir(parents=True)
    (folder / "book" / "rules.yaml").write_text("rules: []\n")
    (folder / "book" / ".secret").write_text("no\n")
    spool = Spool(folder / "spool", 1 << 24)
    spool.append([(event("in the spool"), None)])
    spool.close()

    async def fill() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.store.config_set("repl-diskless-sync-delay", 0)
            await mailroom.put([event("e1", who="eva"), event("e2", who="ada")])

    asyncio.run(fill())
    return {
        "REDIS_URL": valkey.url,
        "RELAIS_SPOOL": str(folder / "spool"),
        "RELAIS_BOOK": str(folder / "book"),
        "RELAIS_RECEIPTS": str(folder / "forgotten.jsonl"),
    }


@pytest.fixture
def made(there: dict[str, str], short_folder: Path) -> Path:
    """A backup of it."""
    done = run("backup", short_folder, environ=there)
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip())


def new_place(short_folder: Path, **more: str) -> dict[str, str]:
    """Settings of another machine, where nothing is."""
    data = short_folder / "new"
    return {"RELAIS_DATA": str(data), "RELAIS_BOOK": str(data / "book"), **more}


def names(file: Path) -> set[str]:
    with tarfile.open(file) as archive:
        return set(archive.getnames())


async def records(folder: Path, *ids: str) -> list[bool]:
    """Whether the store of a data folder has the payloads of events."""
    server = PrivateValkey(folder / "valkey")
    server.start()
    try:
        async with Mailroom.connect(server.url) as mailroom:
            return [await mailroom.record(id) is not None for id in ids]
    finally:
        server.stop()


def test_what_is_in_it(made: Path) -> None:
    """Store, spool and book, nothing hidden; only its owner can read it, and nothing is left beside it."""
    store = {f"{backup.STORE}{name}" for name in (backup.BASE, "appendonly.aof.manifest")}
    assert names(made) == {"manifest.json", "book/rules.yaml", "spool/spool.sqlite", *store}
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [path.name for path in made.parent.iterdir() if path.name.startswith((".", "relais-"))] == [made.name]


def test_restored(made: Path, short_folder: Path) -> None:
    """In an empty folder everything is there again, and a second restore overwrites nothing."""
    environ = new_place(short_folder)
    done = run("restore", made, environ=environ)
    assert (done.exit_code, "2 boxes with work" in done.stdout) == (0, True)
    data = short_folder / "new"
    assert (data / "book" / "rules.yaml").read_text() == "rules: []\n"
    spool = Spool(data / "spool", 1 << 24)
    assert [row.event.id for row in spool.head()] == ["in the spool"]
    spool.close()
    assert asyncio.run(records(data, "e1", "e2")) == [True, True]
    assert not any(path.name.startswith(".restore") for path in data.iterdir())
    with pytest.raises(UserError, match="overwrites nothing"):
        backup.restore(BackupSettings(data=data), made)


def test_forgotten_since(there: dict[str, str], made: Path, short_folder: Path) -> None:
    """Who was forgotten after the backup is forgotten in what is restored, by the receipts that were kept apart."""

    async def forget() -> None:
        async with await Mailroom.open(there["REDIS_URL"]) as mailroom:
            eva = Person(frozenset({mailroom.hash("email:eva@example.org")}))
            receipt = await Forgetting(mailroom).forget(eva, 30, within=5)
            assert receipt.counts["payloads"] == 1
            ReceiptFile(Path(there["RELAIS_RECEIPTS"])).keep([receipt])

    asyncio.run(forget())
    environ = new_place(short_folder, RELAIS_RECEIPTS=there["RELAIS_RECEIPTS"])
    tried = run("restore", made, "--verify", environ=environ)
    assert (tried.exit_code, "1 person forgotten once more" in tried.stdout) == (0, True)
    assert not (short_folder / "new").exists()
    done = run("restore", made, environ=environ)
    assert (done.exit_code, "1 person forgotten once more" in done.stdout) == (0, True)
    assert asyncio.run(records(short_folder / "new", "e1", "e2")) == [False, True]
    base = (short_folder / "new" / "valkey" / "appendonlydir").glob("*")
    assert not any(b"eva@example.org" in file.read_bytes() for file in base)


def test_to_standard_output(there: dict[str, str], short_folder: Path) -> None:
    """Written to a pipe it is the same, so that it can be encrypted before it is on a disk."""
    done = run("backup", "-", environ=there)
    file = short_folder / "piped.tar"
    file.write_bytes(done.stdout_bytes)
    assert run("restore", file, "--verify", environ=new_place(short_folder)).exit_code == 0


def rewritten(made: Path, target: Path, **changed: bytes) -> Path:
    """Return a copy of a backup in which some files are others."""
    with tarfile.open(made) as old, tarfile.open(target, "w") as new:
        for entry in old:
            opened = old.extractfile(entry)
            assert opened is not None
            content = changed.get(entry.name.rpartition("/")[2].partition(".")[0], opened.read())
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return target


def test_refused(made: Path, short_folder: Path) -> None:
    """What is no backup, damaged, of a newer version, or holds less than it says, is refused."""
    with tarfile.open(made) as archive:
        opened = archive.extractfile("manifest.json")
        assert opened is not None
        manifest = json.loads(opened.read())
    fewer = {**manifest, "counts": {**manifest["counts"], "boxes": 5}}
    newer = {**manifest, "schema": "9"}
    no_backup = short_folder / "no.tar"
    no_backup.write_bytes(b"no")
    cases = {
        no_backup: (1, "is no backup of Relais"),
        rewritten(made, short_folder / "1.tar", rules=b"rules: [1]\n"): (1, "damaged in this backup: book/rules.yaml"),
        rewritten(made, short_folder / "2.tar", manifest=json.dumps(fewer).encode()): (1, "its manifest says"),
        rewritten(made, short_folder / "3.tar", manifest=json.dumps(newer).encode()): (3, "which is newer"),
    }
    for file, (status, words) in cases.items():
        with pytest.raises(UserError, match=words) as refused:
            backup.verify(BackupSettings(data=short_folder / "new"), file)
        assert refused.value.exit_code == status


def test_store_away(there: dict[str, str], short_folder: Path) -> None:
    """Without a store there is no backup, no half of one either, and the mend is said."""
    with pytest.raises(UserError, match="the store cannot be copied"):
        backup.write(BackupSettings(REDIS_URL="redis://127.0.0.1:1", data=short_folder / "none"), io.BytesIO())
    done = run("backup", short_folder, environ={**there, "REDIS_URL": "redis://127.0.0.1:1"})
    assert (done.exit_code, "the store cannot be copied" in done.stderr) == (3, True)
    assert list(short_folder.glob("*.tar*")) == []
