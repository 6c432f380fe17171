"""The spool: where events wait on this host's own disk while the store cannot take them.

Comes in: events, each with the reason if it is to be quarantined. Goes out: receipts once they are synced, then the
events again, oldest first, until `delete` says that the store has them. One SQLite file for all receiver processes of a
host. Never returns a receipt before the sync, and never deletes an event on its own account.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mailroom import Receipt, StoreUnavailable
from mailroom.forgetting import PersonSearch
from mailroom.keys import BODY_WINDOW
from rules.event import Event
from rules.event_types.base import to_epoch

FILE = "spool.sqlite"
#: Version of the file. A newer file is refused: this program would lose what it does not know of.
VERSION = 1
PAGE = 4096  # bytes
#: Seconds that one process waits while another one writes: a synced write takes milliseconds, on a slow disk hundreds.
BUSY = 2.0
#: Most events of one call to the store, and most bytes of them: some hundred cost it milliseconds.
BATCH = 500
BATCH_BYTES = 1024 * 1024
#: A file that occupies some disk. It is removed when the disk is so full that not even a DELETE can be written.
BALLAST = "ballast"
BALLAST_BYTES = 16 * 1024 * 1024
#: Pages from which on an empty spool is shrunk (VACUUM).
LARGE = 64

#: What is kept of an event: `at` is received_at in ms; `box` and `digest` tell a body that was sent twice, as the
#: mailroom tells it; `why` is the reason of a quarantined event; `head` is the event without its body, JSON.
CONTENT = "at INTEGER NOT NULL, box BLOB, digest BLOB, why TEXT, head TEXT NOT NULL, body BLOB NOT NULL"
TABLE = f"CREATE TABLE IF NOT EXISTS spool (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, {CONTENT})"
#: Events that the store refused again and again while it took others. `since`: when it was set aside; `said`: the
#: error.
ASIDE = f"""
CREATE TABLE IF NOT EXISTS aside (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL, since INTEGER NOT NULL, said TEXT NOT NULL, {CONTENT}
)
"""
#: Columns that both tables have, and those of a SpooledEvent.
SHARED = "id, at, box, digest, why, head, body"
COLUMNS = "seq, at, box, why, head, body"
INDEX = "CREATE INDEX IF NOT EXISTS spool_box ON spool (box) WHERE box IS NOT NULL"

#: Rows are appended at one end and deleted at the other, so the first and the last number give their count without a
#: scan. It is some too high while the oldest row is refused by the store and others behind it have been put already.
DEPTH = "(SELECT max(seq) FROM spool) - (SELECT min(seq) FROM spool) + 1"

#: Fields of an event that are not in `head`: the body has a column of its own, the data is read from it again.
APART = {"body", "data", "who"}
NAMES = [field.name for field in fields(Event) if field.name not in APART]


class SpoolFull(StoreUnavailable):
    """The spool has reached its size, or its disk is full."""


class SpoolFailed(StoreUnavailable):
    """The spool cannot be read or written."""


class Unreadable(Exception):
    """A row cannot be decoded into an event; the text says why."""

    def __init__(self, seq: int, why: Exception) -> None:
        super().__init__(f"it cannot be read ({type(why).__name__})")
        self.seq = seq


class Unusable(Exception):
    """The spool cannot be opened; the text says where, why, and what to do."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event that waits here."""

    seq: int
    #: When it was received, ms since 1970.
    at: int
    event: Event
    #: Why it goes to quarantine; None: it goes to the inbox.
    why: str | None
    #: Hash of its order key; None: no order to keep.
    box: bytes | None


@dataclass(frozen=True, slots=True)
class Aside:
    """An event that was set aside, as `relais spool list` shows it: without its body."""

    id: str
    source: str
    type: str
    #: When it was received and when it was set aside, ms since 1970.
    at: int
    since: int
    #: What the store said.
    said: str


@dataclass(frozen=True)
class SpoolState:
    """A spool at a glance."""

    events: int
    #: When the oldest one was received, ms since 1970; 0: there is none.
    oldest: int
    #: Size of the files.
    size: int
    #: How many were set aside.
    aside: int


class Spool:
    """The spool of this host. Methods block: call them in a thread, one at a time; `empty` and `depth` may be called
    from the loop at any time.
    """

    def __init__(self, folder: Path, most: int) -> None:
        """Open it, making it where there is none. `most` is its size in bytes. Raises Unusable."""
        self.folder = folder
        self.file = folder / FILE
        try:
            _make(folder, self.file)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._db = self._open(most)
            # For `empty` and `depth`, which are called from the event loop before each flush and must not wait.
            self._peek = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
            self._keep_ballast()
        except OSError as exc:
            raise Unusable(
                f"the spool {folder} cannot be written ({exc.strerror}): "
                "let this user write there, or set RELAIS_SPOOL to a folder on a local disk"
            ) from exc
        except sqlite3.Error as exc:
            raise Unusable(
                f"the spool {self.file} cannot be opened ({exc}): is its disk full, or the file damaged? "
                "Free some space, or move the folder away: it holds acknowledged events"
            ) from exc

    def _open(self, most: int) -> sqlite3.Connection:
        db = sqlite3.connect(self.file, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA page_size={PAGE}")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")
            db.execute(f"PRAGMA max_page_count={max(16, most // PAGE)}")
            db.execute("BEGIN IMMEDIATE")
            [version] = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise Unusable(
                    f"the spool {self.file} is of version {version}, this program writes {VERSION}: "
                    "run the version that wrote it"
                )
            db.execute(TABLE)
            db.execute(ASIDE)  # a program that does not know it leaves it alone: no version of its own
            db.execute(INDEX)
            db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        self._peek.close()
        self._db.close()
        os.close(self._lock)

    # -- keeping

    def append(self, events: Sequence[tuple[Event, str | None]]) -> list[Receipt]:
        """Keep events behind those that wait; when this returns they are synced. Raises SpoolFull, SpoolFailed.

        All or none. An event of an id that waits here is a duplicate, and so is a body without a sender's id that
        repeats the newest event of its order key here within the mailroom's window.
        """
        with self._writing():
            return [self._append(event, why) for event, why in events]

    def _append(self, event: Event, why: str | None) -> Receipt:
        at = to_epoch(event.received_at)
        box = _hash(event.order_key.encode()) if event.order_key and why is None else None
        digest = None
        if box is not None and not event.sender_id:
            digest = _hash(f"{event.source}|{event.type}|".encode() + event.body)
            query = "SELECT id, digest, at FROM spool WHERE box = ? ORDER BY seq DESC LIMIT 1"
            for known, last, then in self._db.execute(query, (box,)):
                if last == digest and 0 <= at - then <= BODY_WINDOW:
                    return Receipt(known, True)
        if why is None:  # what came before and did not fit gives way to what fits
            self._db.execute("DELETE FROM spool WHERE id = ? AND why IS NOT NULL", (event.id,))
        kept = self._db.execute(
            "INSERT OR IGNORE INTO spool (id, at, box, digest, why, head, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (event.id, at, box, digest, why, encode(event), event.body),
        )
        return Receipt(event.id, kept.rowcount == 0)

    @contextlib.contextmanager
    def _writing(self, *, synced: bool = True) -> Iterator[None]:
        """One transaction. Raises SpoolFull, SpoolFailed; then nothing was changed."""
        try:
            self._db.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as exc:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise _explain(exc) from exc
            raise

    # -- handing over

    def empty(self) -> bool:
        """Say whether no event waits, in microseconds. False if it cannot be read: new events then join the spool."""
        try:
            return not self._peek.execute("SELECT 1 FROM spool LIMIT 1").fetchall()
        except sqlite3.Error:
            return False

    def depth(self) -> int:
        """Return how many events wait, in microseconds; 0 if it cannot be read."""
        try:
            return self._peek.execute(f"SELECT {DEPTH}").fetchall()[0][0] or 0
        except sqlite3.Error:
            return 0

    def first(self) -> int:
        """Return the number of the oldest row, 0 if no event waits. Raises SpoolFailed."""
        with _own_errors():
            return int(self._db.execute("SELECT min(seq) FROM spool").fetchone()[0] or 0)

    def head(self, most: int = BATCH) -> list[SpooledEvent]:
        """Return the oldest events, as many as go to the store in one call. Raises SpoolFailed.

        Ends before a row that cannot be decoded; raises Unreadable if that is the oldest.
        """
        rows: list[SpooledEvent] = []
        size = 0
        with _own_errors():
            cursor = self._db.execute(f"SELECT {COLUMNS} FROM spool ORDER BY seq LIMIT ?", (most,))  # noqa: S608
            for found in cursor:
                size += len(found[-1]) + len(found[-2])
                if rows and size > BATCH_BYTES:
                    break
                try:
                    rows.append(_row(found))
                except Unreadable:
                    if not rows:
                        raise
                    break
            cursor.close()
        return rows

    def others(self, than: SpooledEvent, most: int) -> list[SpooledEvent]:
        """Return events behind a row that share no name with one before: these may go first. Raises SpoolFailed."""
        found: list[SpooledEvent] = []
        before = _names(than)
        query = f"SELECT {COLUMNS} FROM spool WHERE seq > ? AND (? IS NULL OR box IS NOT ?) ORDER BY seq LIMIT ?"  # noqa: S608
        with _own_errors():
            for raw in self._db.execute(query, (than.seq, than.box, than.box, BATCH)).fetchall():
                with contextlib.suppress(Unreadable):
                    row = _row(raw)
                    names = _names(row)
                    if before.isdisjoint(names):
                        found.append(row)
                    before |= names
        return found[:most]

    def set_aside(self, seq: int, said: str, now: int) -> str:
        """Move an event out of the way, synced; return its id. Raises SpoolFull, SpoolFailed.

        It is deleted before it is inserted again, so that a full file has room for it.
        """
        with self._writing():
            [row] = self._db.execute(f"SELECT {SHARED} FROM spool WHERE seq = ?", (seq,)).fetchall()  # noqa: S608
            self._db.execute("DELETE FROM spool WHERE seq = ?", (seq,))
            self._db.execute(
                f"INSERT OR REPLACE INTO aside (seq, since, said, {SHARED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (seq, now, said, *row),
            )
        return str(row[0])

    def delete(self, rows: Sequence[SpooledEvent]) -> None:
        """Delete events that the store has. Raises SpoolFull, SpoolFailed.

        Not synced: an event that comes back after a power cut is put again, and the mailroom knows it.
        """
        try:
            self._delete(rows)
        except StoreUnavailable:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / BALLAST).unlink()
            self._delete(rows)

    def _delete(self, rows: Sequence[SpooledEvent]) -> None:
        with self._writing(synced=False):
            self._db.executemany("DELETE FROM spool WHERE seq = ?", [(row.seq,) for row in rows])

    def forget(self, search: PersonSearch, until: int) -> int:
        """Erase what is about a person and was received until a time (ms), also what was set aside; return how much.

        Nothing of it is left in the files. Raises SpoolFull, SpoolFailed; then nothing was erased.
        """
        gone = 0
        with self._writing():
            for table, rows in _about(self._db, search, until).items():
                query = f"DELETE FROM {table} WHERE seq = ?"  # noqa: S608 - names of ours
                if rows:
                    gone += self._db.executemany(query, [(seq,) for seq in rows]).rowcount
        if gone:
            with _own_errors():
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone

    def tidy(self) -> None:
        """If no event waits: overwrite bodies that the write-ahead log still holds, and give disk space back."""
        if not self.empty():
            return
        with contextlib.suppress(sqlite3.Error):  # another process is at it: there will be a next time
            [pages] = self._db.execute("PRAGMA page_count").fetchone()
            if pages > LARGE:
                self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with contextlib.suppress(OSError):
            self._keep_ballast()

    @contextlib.contextmanager
    def only_one(self) -> Iterator[bool]:
        """Hold the lock for handing over, which one process at a time may have; yields whether we got it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def state(self) -> SpoolState:
        """Return what waits. Raises SpoolFailed."""
        with _own_errors():
            return _state(self._db, self.folder)

    def _keep_ballast(self) -> None:
        """Write the ballast, unless the disk has no room for it."""
        path = self.folder / BALLAST
        if path.exists():
            return
        with contextlib.suppress(FileExistsError):  # another process
            held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(held, 0, BALLAST_BYTES)
            except OSError:
                path.unlink(missing_ok=True)
            finally:
                os.close(held)


def look(folder: Path) -> SpoolState | None:
    """Return the state of a spool, from another process; None if there is no spool. Raises SpoolFailed."""
    with _outside(folder) as db:
        return None if db is None else _state(db, folder)


def aside(folder: Path) -> list[Aside]:
    """Return the events that were set aside in a spool, from another process, oldest first. Raises SpoolFailed."""
    with _outside(folder) as db:
        if db is None or not _has_aside(db):
            return []
        found = db.execute("SELECT id, at, since, said, head FROM aside ORDER BY seq").fetchall()
    return [Aside(id, *_source_and_type(head), at, since, said) for id, at, since, said, head in found]


def again(folder: Path, ids: Sequence[str]) -> int:
    """Append events that were set aside to those that wait, from another process; return how many.

    Raises SpoolFull, SpoolFailed.
    """
    with _outside(folder) as db:
        if db is None or not _has_aside(db):
            return 0
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=ON")
        db.execute("BEGIN IMMEDIATE")
        moved = 0
        for [id] in db.execute("SELECT id FROM aside ORDER BY seq").fetchall():
            if id in ids:
                db.execute(f"INSERT OR IGNORE INTO spool ({SHARED}) SELECT {SHARED} FROM aside WHERE id = ?", (id,))  # noqa: S608
                moved += db.execute("DELETE FROM aside WHERE id = ?", (id,)).rowcount
        db.execute("COMMIT")
        return moved


def count_of(folder: Path, search: PersonSearch) -> int:
    """Return how many events of a spool are about a person, from another process. Raises SpoolFailed."""
    with _outside(folder) as db:
        return 0 if db is None else sum(len(rows) for rows in _about(db, search).values())


def _about(db: sqlite3.Connection, search: PersonSearch, until: int = 1 << 62) -> dict[str, list[int]]:
    """Return the rows of each table that are about a person."""
    found: dict[str, list[int]] = {}
    for table in ("spool", "aside") if _has_aside(db) else ("spool",):
        query = f"SELECT seq, why, head, body FROM {table} WHERE at <= ?"  # noqa: S608 - names of ours
        found[table] = [seq for seq, *row in db.execute(query, (until,)) if _is_about(search, *row)]
    return found


def _is_about(search: PersonSearch, why: str | None, head: str, body: bytes) -> bool:
    try:
        event = decode(head, body)
        names = (*event.identities, *event.names, *((event.order_key,) if event.order_key else ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return search.is_mentioned(head.encode() + b"\n" + body)
    return search.is_among(names) or (why is not None and search.is_mentioned(body))


@contextlib.contextmanager
def _outside(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a spool of another process; None if there is none. Raises SpoolFailed; then nothing was changed."""
    file = folder / FILE
    if not file.exists():
        yield None
        return
    url = f"{file.absolute().as_uri()}?mode=rw"
    with _own_errors(), contextlib.closing(sqlite3.connect(url, uri=True, timeout=BUSY, isolation_level=None)) as db:
        yield db


def _has_aside(db: sqlite3.Connection) -> bool:
    """Say whether it has the table: a receiver of an older version made none."""
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'aside'").fetchall())


def _source_and_type(head: str) -> tuple[str, str]:
    try:
        told = json.loads(head)
        return str(told["source"]), str(told["type"])
    except (ValueError, KeyError, TypeError):
        return "?", "?"


def _state(db: sqlite3.Connection, folder: Path) -> SpoolState:
    [(events, oldest)] = db.execute(f"SELECT {DEPTH}, (SELECT at FROM spool ORDER BY seq LIMIT 1)").fetchall()  # noqa: S608
    [(set_aside,)] = db.execute("SELECT count(*) FROM aside").fetchall() if _has_aside(db) else [(0,)]
    size = 0
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            size += (folder / f"{FILE}{end}").stat().st_size
    return SpoolState(events or 0, oldest or 0, size, set_aside)


def _row(found: tuple[Any, ...]) -> SpooledEvent:
    seq, at, box, why, head, body = found
    try:
        return SpooledEvent(seq, at, decode(head, body), why, box)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Unreadable(seq, exc) from exc


def encode(event: Event) -> str:
    """Return an event without body and data, as JSON. Identities are in clear, as they are in the body anyway."""
    return json.dumps({name: getattr(event, name) for name in NAMES}, separators=(",", ":"), ensure_ascii=False)


def decode(head: str, body: bytes) -> Event:
    """Return the event of what `encode` returned, and its body."""
    told: dict[str, Any] = json.loads(head)
    told["identities"] = tuple(told.get("identities", ()))
    told["names"] = tuple(told.get("names", ()))
    told["unread"] = tuple(told.get("unread", ()))
    told["tells"] = tuple((name, state) for name, state in told.get("tells", ()))
    return Event(body=body, **{name: told[name] for name in NAMES if name in told})


def _names(row: SpooledEvent) -> set[str]:
    """Return the names by which an event is kept in order; one for the quarantine has none."""
    if row.why is not None:
        return set()
    return {row.event.order_key or row.event.id, *row.event.names}


def _hash(what: bytes) -> bytes:
    return hashlib.blake2b(what, digest_size=16).digest()


def _make(folder: Path, file: Path) -> None:
    """Make folder and file, readable by this user alone, and sync the folders so that both survive a power cut."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    for each in (folder, folder.parent):
        held = os.open(each, os.O_RDONLY)
        try:
            os.fsync(held)
        finally:
            os.close(held)


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Raise SpoolFull, SpoolFailed for an error of SQLite."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _explain(exc) from exc


def _explain(exc: sqlite3.Error) -> StoreUnavailable:
    if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFull("the spool is full: mend the store, or raise RELAIS_SPOOL_BYTES")
    return SpoolFailed(f"the spool failed: {exc}")
