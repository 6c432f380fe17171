"""Backups: one file with the store, this host's spool, the book and the receipts of who was forgotten.

Comes in: where these are, and a file. Goes out: the file, which was tried before it is kept; or of it a data folder for
`relais up`, in which whoever was forgotten is forgotten again. Never takes a secret in, and never overwrites a store.
"""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from console.checks import doctor
from console.checks.doctor import DoctorSettings
from console.errors import SAID_NO, UserError
from console.processes.valkey import ALLOCATOR, EmbeddedValkey
from console.receipts import ReceiptFile, forget_again
from mailroom import Mailroom, StoreDamaged, StoreUnavailable, snapshot
from mailroom.forgetting import Forgetting
from mailroom.keys import SCHEMA
from receiver.spool import FILE as SPOOL_FILE

FORMAT = 1
MANIFEST = "manifest.json"
#: An append-only folder whose base is the copy: what a store with `appendonly yes` starts from.
STORE = "valkey/appendonlydir/"
BASE = "appendonly.aof.1.base.rdb"
STORE_MANIFEST = f"file {BASE} seq 1 type b\n"
SPOOL = f"spool/{SPOOL_FILE}"
RECEIPTS = "forgotten.jsonl"
BOOK = "book/"
#: Seconds that a store may take to read its copy: some 100 MB a second.
START_WITHIN = 600.0
#: The mend of a backup that cannot be used.
OLDER = "use an older one"


class BackupSettings(DoctorSettings):
    """What `relais backup` and `relais restore` read: where everything is."""

    book: Path = Path("rules/book")

    @property
    def receipts_file(self) -> Path | None:
        """Where the receipts are: as told, else where `relais up` puts them; None: nowhere."""
        if "receipts" not in self.model_fields_set:
            return self.data / RECEIPTS
        return Path(self.receipts) if self.receipts else None


@dataclass(frozen=True)
class StoreCounts:
    """What a store holds, in numbers that do not change by themselves."""

    boxes: int
    dead: int
    forgotten: int


@dataclass(frozen=True)
class BackupManifest:
    """What a backup says of itself."""

    taken: str
    relais: str
    schema: str
    server: str
    counts: StoreCounts
    #: Name -> SHA-256.
    files: Mapping[str, str]
    format: int = FORMAT

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=2).encode()


@dataclass(frozen=True)
class RestoredData:
    """What came of a backup."""

    manifest: BackupManifest
    counts: StoreCounts
    #: How many were forgotten once more.
    again: int


def write(settings: BackupSettings, file: BinaryIO, beside: Path | None = None) -> BackupManifest:
    """Write a backup, and return what it says of itself. Raises UserError.

    `beside`: the folder in which it is made; without one that for temporary files.
    """
    server = doctor.ask(settings.url)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=beside) as name:
        folder = Path(name)
        # What waits in the spool goes from there to the store: copied in this order it is in one of them, or in both.
        _copy_spool(Path(settings.spool_folder), folder / SPOOL)
        _copy_store(settings.url, folder / STORE)
        _copy_book(settings.book, folder / BOOK)
        receipts = settings.receipts_file
        if receipts is not None and receipts.exists():
            shutil.copyfile(receipts, folder / RECEIPTS)
        files = {str(path.relative_to(folder)): _hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        with _trial(folder, beside) as copy, _running(copy) as url:
            counts = asyncio.run(_count(url))
        manifest = BackupManifest(
            taken=datetime.now(UTC).isoformat(timespec="seconds"),
            relais=metadata.version("relais-router"),
            schema=SCHEMA,
            server=server.server if server else "",
            counts=counts,
            files=files,
        )
        with tarfile.open(fileobj=file, mode="w|") as archive:
            text = manifest.encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size, entry.mode, entry.mtime = len(text), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(text))
            for path in files:
                archive.add(folder / path, path, filter=_nobodys)
    return manifest


def restore(settings: BackupSettings, file: Path) -> RestoredData:
    """Make a data folder of a backup, and forget in it who was forgotten since. Raises UserError."""
    data = settings.data.absolute()
    for there in (data / "valkey" / "appendonlydir", data / SPOOL):
        if there.exists():
            raise UserError(
                f"{there} is there already, and a restore overwrites nothing",
                mend=f"move it away, or restore to another folder: relais restore {file} --data FOLDER",
            )
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _unpacked(file, data) as (folder, manifest), EmbeddedValkey(data):
        found = _prepare(folder, manifest, settings)
        shutil.rmtree(data / "valkey")  # empty, or the lock of the folder would not be ours
        (folder / "valkey").rename(data / "valkey")
        if (folder / SPOOL).exists():
            (data / SPOOL).parent.mkdir(exist_ok=True, mode=0o700)
            (folder / SPOOL).rename(data / SPOOL)
        if (folder / BOOK).exists() and not settings.book.exists():
            shutil.copytree(folder / BOOK, settings.book)
        if settings.receipts_file is not None:
            ReceiptFile(settings.receipts_file).keep(ReceiptFile(folder / RECEIPTS).read())
        _sync(data)
    return found


def verify(settings: BackupSettings, file: Path) -> RestoredData:
    """Restore to a folder that is thrown away. Raises UserError where that does not bring back what was there."""
    with (
        tempfile.TemporaryDirectory(prefix="relais-verify-") as name,
        _unpacked(file, Path(name)) as (folder, manifest),
    ):
        return _prepare(folder, manifest, settings)


def _prepare(folder: Path, manifest: BackupManifest, settings: BackupSettings) -> RestoredData:
    """Start the store of an unpacked backup, compare it with what the backup says, and forget again."""
    known = ReceiptFile(folder / RECEIPTS)
    if settings.receipts_file is not None:
        known.keep(ReceiptFile(settings.receipts_file).read())
    with _running(folder) as url:
        counts = asyncio.run(_count(url))
        if counts != manifest.counts:
            raise UserError(
                f"the store of this backup holds {counts}, its manifest says {manifest.counts}",
                mend=OLDER,
                status=SAID_NO,
            )
        again = asyncio.run(_forget(url, settings, known))
    if (folder / SPOOL).exists():
        with contextlib.closing(sqlite3.connect(folder / SPOOL)) as db:
            if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise UserError("the spool of this backup is damaged", mend=OLDER, status=SAID_NO)
    return RestoredData(manifest, counts, again)


@contextlib.contextmanager
def _unpacked(file: Path, beside: Path) -> Iterator[tuple[Path, BackupManifest]]:
    """Unpack a backup into a folder for a while. Raises UserError where it is none, or damaged."""
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=beside) as name:
        folder = Path(name)
        try:
            with tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")
            manifest = _read_manifest((folder / MANIFEST).read_bytes())
        except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as exc:
            raise UserError(
                f"{file} is no backup of Relais: {exc.__class__.__name__}",
                mend="name a file that `relais backup` wrote",
                status=SAID_NO,
            ) from exc
        damaged = [name for name, known in manifest.files.items() if _hash(folder / name) != known]
        if damaged:
            raise UserError(f"damaged in this backup: {', '.join(damaged)}", mend=OLDER, status=SAID_NO)
        if manifest.schema > SCHEMA or manifest.format > FORMAT:
            raise UserError(
                f"this backup was made by Relais {manifest.relais}, which is newer", mend="restore it with that version"
            )
        yield folder, manifest


def _read_manifest(text: bytes) -> BackupManifest:
    found = json.loads(text)
    return BackupManifest(**{**found, "counts": StoreCounts(**found["counts"])})


@contextlib.contextmanager
def _trial(folder: Path, beside: Path | None) -> Iterator[Path]:
    """A store that is started writes to its folder: give it one of its own, with the same base."""
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=beside) as name:
        (Path(name) / STORE).mkdir(parents=True)
        for path in (folder / STORE).iterdir():
            os.link(path, Path(name) / STORE / path.name)
        yield Path(name)


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[str]:
    """Run a store on a data folder for a while, and say where. Raises UserError."""
    with EmbeddedValkey(folder) as valkey, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own command
            valkey.command(), stdout=said, stderr=said, env={**os.environ, **ALLOCATOR}, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_WITHIN
            while not valkey.answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise valkey.refusal(said.read().decode(errors="replace"), process.poll() or 0)
                time.sleep(0.05)
            yield valkey.url
        finally:
            process.terminate()
            process.wait()


async def _count(url: str) -> StoreCounts:
    async with Mailroom.connect(url) as mailroom:
        rooms = await mailroom.rooms()
        boxes = sum(room.ready + room.leased + room.waiting + room.held for room in rooms)
        return StoreCounts(boxes, await mailroom.dead_count(), len(await Forgetting(mailroom).receipts()))


async def _forget(url: str, settings: BackupSettings, receipts: ReceiptFile) -> int:
    key = settings.hash_key.get_secret_value().encode()
    try:
        async with Mailroom.connect(url, hash_key=key) as mailroom:
            return len(await forget_again(mailroom, receipts))
    except (StoreUnavailable, StoreDamaged) as exc:
        raise UserError(f"who was forgotten could not be forgotten again: {exc}") from exc


def _copy_store(url: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    try:
        with (folder / BASE).open("wb") as file:
            snapshot.write(url, file)
    except StoreUnavailable as exc:
        raise UserError(
            f"the store cannot be copied: {exc}",
            mend="it needs a user with +sync and +replconf (REDIS_URL); a store that you rent has snapshots of its own",
        ) from exc
    (folder / "appendonly.aof.manifest").write_text(STORE_MANIFEST)


def _copy_spool(folder: Path, target: Path) -> None:
    if not str(folder) or not (folder / SPOOL_FILE).exists():
        return
    target.parent.mkdir()
    try:
        url = f"{(folder / SPOOL_FILE).absolute().as_uri()}?mode=rw"
        with (
            contextlib.closing(sqlite3.connect(url, uri=True, timeout=10)) as db,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            db.backup(copy)
    except sqlite3.Error as exc:
        raise UserError(f"the spool {folder} cannot be copied: {exc}", mend="relais doctor") from exc


def _copy_book(folder: Path, target: Path) -> None:
    if folder.is_dir():
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".*"))


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o600
    return entry


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """What was moved is on disk before we say so."""
    for path in (folder, *folder.rglob("*")):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def describe(counts: StoreCounts) -> Sequence[str]:
    """Return what a store holds in words."""
    return [f"{counts.boxes} boxes with work", f"{counts.dead} dead letters", f"{counts.forgotten} receipts"]
