"""The file of the notebook: opened, written, searched, emptied of what is old.

Comes in: a path, and fates. Goes out: what a query of `console.notebook.search` finds. Methods block: call them in a
thread; writing and reading have a connection each, and each waits for its own turn.
"""

import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from console.notebook.tables import BOUNDS, DAYS, FRESH, SCALES, TABLES, TOTAL, VERSION
from mailroom.keys import INBOX
from mailroom.ledger import DeliveryFate, Fate
from rules.event_types.base import to_epoch

#: Events at the most; the oldest ones go before.
MOST_EVENTS = 2_000_000

#: A step of a series: scale, at, what, name, word.
Step = tuple[int, int, str, str, str]


class NotebookUnusable(Exception):
    """The file cannot be opened or written; the text says where, why, and the mend."""


class Notebook:
    """One console's. Another console has a file of its own."""

    def __init__(self, path: Path | None, most: int = MOST_EVENTS) -> None:
        """Open it, or begin a new one where there is none or it is damaged. None: it goes when it is closed.

        Raises NotebookUnusable.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="relais-notebook-") if path is None else None
        self.path = path or Path(self._folder.name if self._folder else "") / "notebook.sqlite"
        self._most = most
        self._writing, self._reading = threading.Lock(), threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open()
            self._reader = _connect(self.path)
            self._reader.execute("PRAGMA query_only=ON")
        except (OSError, sqlite3.Error) as exc:
            raise NotebookUnusable(
                f"the notebook {self.path} cannot be written ({exc}): let this user write there, or set RELAIS_NOTEBOOK"
            ) from exc

    def close(self) -> None:
        """Close the file, as soon as nobody is at it."""
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()
            if self._folder is not None:
                self._folder.cleanup()

    def _open(self) -> sqlite3.Connection:
        with suppress(sqlite3.DatabaseError):
            db = _connect(self.path)
            [version] = db.execute("PRAGMA user_version").fetchone()
            [sound] = db.execute("PRAGMA quick_check(1)").fetchone()
            if version == VERSION and sound == "ok":
                return db
            db.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.touch(mode=0o600)
        db = _connect(self.path)
        db.executescript(f"{TABLES}PRAGMA user_version={VERSION};")
        return db

    # -- what the follower writes

    def meta(self, name: str) -> str:
        """Return what was noted under a name, an empty text if nothing was."""
        found = self.read("SELECT value FROM meta WHERE name = ?", (name,))
        return str(found[0]["value"]) if found else ""

    def write(self, fates: Iterable[Fate], now: int, kept: Mapping[str, int] | None = None, **meta: str) -> None:
        """Note what became of events, as of `now` (ms), and something under names, all or nothing.

        `kept`: when the store took an event, ms.
        """
        with self._writing, self._writer as db:
            db.execute("BEGIN IMMEDIATE")
            steps: Counter[Step] = Counter()
            for fate in fates:
                _note(db, fate, now, steps, (kept or {}).get(fate.id))
            if steps:
                query = "INSERT INTO series VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET count=count+excluded.count"
                db.executemany(query, [(*step, count) for step, count in steps.items()])
            db.executemany("REPLACE INTO meta VALUES (?,?)", list(meta.items()))

    def clear(self) -> None:
        """Take out all: it tells of another store."""
        with self._writing, self._writer as db:
            db.execute("BEGIN IMMEDIATE")
            for table in ("event", "series", "meta"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours

    def list_open(self, before: int, count: int) -> list[str]:
        """Return events that are not settled and were looked at before a time (ms), the longest ago first."""
        query = "SELECT id FROM event WHERE looked > 0 AND looked < ? ORDER BY looked LIMIT ?"
        return [row["id"] for row in self.read(query, (before, count))]

    def list_new(self, ids: Sequence[str]) -> list[str]:
        """Return those events that are not noted yet, or not settled."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT id FROM event WHERE looked = 0 AND id IN ({marks})"  # noqa: S608 - question marks only
        known = {row["id"] for row in self.read(query, ids)}
        return [id for id in ids if id not in known]

    def look_again(self, ids: Sequence[str], now: int) -> None:
        """Note that open events were looked at and nothing is known of them any more."""
        with self._writing, self._writer as db:
            db.executemany("UPDATE event SET looked = ? WHERE id = ? AND looked > 0", [(now, id) for id in ids])

    def expire(self, now: int, count: int = 2_000) -> bool:
        """Take out what is too old as of `now` (ms), or too much; so many events at once. True: there is more."""
        with self._writing, self._writer as db:
            db.execute("BEGIN IMMEDIATE")
            [total] = db.execute("SELECT count(*) FROM event").fetchone()
            oldest = "SELECT n FROM event WHERE at < ? ORDER BY at, n LIMIT ?"
            gone = db.execute(f"DELETE FROM event WHERE n IN ({oldest})", (now - DAYS * 86_400_000, count)).rowcount  # noqa: S608
            if total - gone > self._most:
                most = min(count, total - gone - self._most)
                gone += db.execute(f"DELETE FROM event WHERE n IN ({oldest})", (1 << 62, most)).rowcount  # noqa: S608
            for scale, keep in SCALES.items():
                db.execute("DELETE FROM series WHERE scale = ? AND at < ?", (scale, now // 1000 - keep))
        return gone >= count

    def forget(self, hashes: Sequence[str], until: int) -> int:
        """Take out by what a person's events are found that were received until a time (ms); return how many rows went.

        Nothing of them is left in the files.
        """
        marks = ",".join("?" * len(hashes))
        events = f"SELECT event FROM who WHERE hash IN ({marks})"  # noqa: S608 - question marks only
        with self._writing:
            with self._writer as db:
                gone = db.execute(f"DELETE FROM who WHERE at <= ? AND event IN ({events})", [until, *hashes]).rowcount  # noqa: S608
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    # -- what searches read

    def read(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query of ours."""
        with self._reading:
            return self._reader.execute(query, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")  # what a power cut takes is read from the ledger once more
    db.execute("PRAGMA secure_delete=ON")
    db.execute("PRAGMA foreign_keys=ON")
    return db


def _note(db: sqlite3.Connection, fate: Fate, now: int, steps: Counter[Step], kept: int | None = None) -> None:
    """Note one event; what it adds to the series goes into `steps`."""
    at = to_epoch(fate.received_at) if fate.received_at else now
    looked = 0 if fate.settled else now
    values = (at, fate.source, fate.type, fate.state, fate.book, fate.why, fate.same_id_as, looked)
    known = db.execute("SELECT n FROM event WHERE id = ?", (fate.id,)).fetchone()
    tried: dict[str, int] = {}
    if known is None:
        columns = "id, at, source, type, state, book, why, same_id_as, looked"
        n = db.execute(f"INSERT INTO event ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", (fate.id, *values)).lastrowid  # noqa: S608
        db.executemany("INSERT OR IGNORE INTO who VALUES (?,?,?)", [(each, at, n) for each in fate.who])
        _count(steps, at, now, "received", fate.source, "")
        if kept is not None:
            _measure(steps, kept, now, "kept", fate.source, kept - at)
    else:
        n = known["n"]
        columns = "at=?, source=?, type=?, state=?, book=?, why=?, same_id_as=?, looked=?"
        db.execute(f"UPDATE event SET {columns} WHERE n = ?", (*values, n))  # noqa: S608
        if not fate.who:  # somebody whom it is about was forgotten
            db.execute("DELETE FROM who WHERE event = ?", (n,))
        tried = {row["id"]: row["tries"] for row in db.execute("SELECT id, tries FROM delivery WHERE event = ?", (n,))}
        db.execute("DELETE FROM delivery WHERE event = ?", (n,))
    rows = [_row(n, at, place, delivery) for place, delivery in enumerate(fate.deliveries)]
    if fate.state == "dead" and fate.code:
        itself = DeliveryFate(fate.id, INBOX, "", "", "dead", fate.code, fate.since)
        rows.append(_row(n, at, -1, itself))
    db.executemany("INSERT INTO delivery VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)
    for delivery in fate.deliveries:
        for attempt in delivery.attempts[tried.get(delivery.id, 0) :]:
            _count_attempt(steps, at, now, delivery, attempt)
            _measure(steps, to_epoch(attempt["at"]), now, "took", delivery.destination, attempt["ms"])
            if attempt["outcome"] == "done":
                names = f"{fate.source}|{delivery.destination}"
                _measure(steps, to_epoch(attempt["at"]), now, "delivered", names, to_epoch(attempt["at"]) - at)


def _row(n: int | None, at: int, place: int, one: DeliveryFate) -> tuple[Any, ...]:
    last = one.attempts[-1] if one.attempts else {}
    when = one.since or last.get("at", "")
    ended = to_epoch(when) if when else 0
    told = (one.destination, one.action, one.rule, one.state)
    return (n, place, one.id, at, *told, name_code(one), one.why, len(one.attempts), ended)


def name_code(one: DeliveryFate) -> str:
    """Return the stable word that says why a delivery is what it is; empty: it is as it should be."""
    if one.state in ("dead", "held", "skipped"):
        return one.why.partition(":")[0].partition(",")[0]
    return str(one.attempts[-1].get("code", "")) if one.attempts else ""


def _count_attempt(
    steps: Counter[Step], received: int, now: int, delivery: DeliveryFate, attempt: Mapping[str, Any]
) -> None:
    at, name = to_epoch(attempt["at"]), delivery.destination
    _count(steps, at, now, "attempt", name, attempt["outcome"])
    _count(steps, at, now, "ms", name, str(bound_of(attempt["ms"])))
    if attempt["outcome"] == "done":
        _count(steps, at, now, "lasted", name, str(bound_of(max(0, at - received))))


def _count(steps: Counter[Step], at: int, now: int, what: str, name: str, word: str) -> None:
    for scale, keep in SCALES.items():
        begins = at // 1000 // scale * scale
        if begins > now // 1000 - keep:
            steps[scale, begins, what, name, word] += 1


def _measure(steps: Counter[Step], at: int, now: int, what: str, name: str, ms: int) -> None:
    """Count a duration for Prometheus, for ever, where it ended lately; clocks of two hosts may differ."""
    if at >= now - FRESH:
        ms = max(0, ms)
        steps[TOTAL, 0, what, name, str(bound_of(ms)) if ms <= BOUNDS[-1] else "more"] += 1
        steps[TOTAL, 0, what, name, "sum"] += ms


def bound_of(ms: int) -> int:
    """Return the bound of the histogram that a duration counts to."""
    return next((bound for bound in BOUNDS if ms <= bound), BOUNDS[-1])


def wall_clock() -> int:
    """Return the time in ms since 1970."""
    return int(time.time() * 1000)
