import contextlib
import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom import Receipt
from mailroom.forgetting import Person, PersonSearch
from receiver import spool
from receiver.spool import Spool, SpoolFailed, SpoolFull, Unusable
from rules.event import Event
from rules.event_types.base import to_epoch

MIB = 1024 * 1024


def event(name: str, **more: object) -> Event:
    told = {"received_at": "2026-11-21T10:00:00.000Z", "body": b'{"a": 1}', "sender_id": name, **more}
    return Event(id=name, source="at", kind="activetrail", type="contact.changed", **told)  # type: ignore[arg-type]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    with contextlib.closing(Spool(tmp_path / "spool", MIB)) as fresh:
        yield fresh


def names(of: Spool) -> list[str]:
    return [row.event.id for row in of.head()]


def test_oldest_first(opened: Spool) -> None:
    """What went in comes out in the same order, and leaves only when it is deleted."""
    assert opened.empty()
    opened.append([(event("a"), None), (event("b"), None)])
    opened.append([(event("c"), "email: missing")])
    assert not opened.empty()
    rows = opened.head()
    assert [(row.event.id, row.why) for row in rows] == [("a", None), ("b", None), ("c", "email: missing")]
    opened.delete(rows[:2])
    assert names(opened) == ["c"]
    opened.delete(rows[2:])
    assert opened.empty()


def test_whole(opened: Spool) -> None:
    """An event comes back with every field but `data`, which is read from its body again."""
    full = Event(
        id="x",
        source="sd_nord",
        kind="seminardesk",
        type="booking.created",
        received_at="2026-11-21T10:00:00.123Z",
        body='{"name": "Zoë"}'.encode(),
        order_key="email:eva@example.org",
        subject="booking/9001",
        time="2026-11-21T09:59:59Z",
        sender_id="m-1",
        position=3,
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        identities=("email:eva@example.org", "seminardesk:profile:4711"),
        retain=7,
    )
    opened.append([(full, None)])
    [row] = opened.head()
    assert row.event == full
    assert row.at == to_epoch("2026-11-21T10:00:00.123Z")


def test_survives(tmp_path: Path) -> None:
    """Another process, or the next one, finds what waits, and queues behind it."""
    first = Spool(tmp_path, MIB)
    first.append([(event("a"), None)])
    second = Spool(tmp_path, MIB)  # as if the first had been killed: it is not closed
    assert not second.empty()
    second.append([(event("b"), None)])
    first.append([(event("c"), None)])
    assert names(second) == ["a", "b", "c"]
    first.close()
    second.close()
    with contextlib.closing(Spool(tmp_path, MIB)) as third:
        assert names(third) == ["a", "b", "c"]


def test_same_id(opened: Spool) -> None:
    """A message that the sender sends again is answered as a duplicate and waits once."""
    assert opened.append([(event("a"), None)]) == [Receipt("a", False)]
    assert opened.append([(event("a"), None), (event("b"), None)]) == [Receipt("a", True), Receipt("b", False)]
    assert names(opened) == ["a", "b"]


def test_forget(tmp_path: Path) -> None:
    """What is about a person goes, also what nobody could read and what was set aside, and is in no file any more."""
    eva = {"order_key": "email:eva@example.org", "body": b'{"mail": "Eva@example.org"}'}
    search = PersonSearch(str, Person(frozenset({"email:eva@example.org"})))
    with contextlib.closing(Spool(tmp_path, MIB)) as opened:
        opened.append([(event(f"e{n}", **eva), None) for n in range(60)] + [(event("o"), None)])
        opened.append([(event("q", body=eva["body"]), "email: missing")])
        opened.set_aside(1, "no", 0)
        assert b"eva@example.org" in all_bytes(tmp_path)
        assert opened.forget(search, to_epoch("2026-11-21T09:00:00.000Z")) == 0, "all of it came later"
        assert spool.count_of(tmp_path, search) == 61
        assert opened.forget(search, to_epoch("2026-11-21T11:00:00.000Z")) == 61
        assert names(opened) == ["o"]
        assert b"eva@example.org" not in all_bytes(tmp_path)


def test_forget_fails(opened: Spool) -> None:
    """A spool that cannot erase says so, and takes events as before; the next attempt erases."""
    gone = {"order_key": "email:eva@example.org"}
    search = PersonSearch(str, Person(frozenset({"email:eva@example.org"})))
    opened.append([(event("a", **gone), None), (event("o"), None)])
    with contextlib.closing(sqlite3.connect(opened.file)) as other:
        other.execute("CREATE TRIGGER no BEFORE DELETE ON spool BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(SpoolFailed, match="no"):
            opened.forget(search, to_epoch("2026-11-21T11:00:00.000Z"))
        opened.append([(event("b"), None)])
        other.execute("DROP TRIGGER no")
    assert opened.forget(search, to_epoch("2026-11-21T11:00:00.000Z")) == 1
    assert names(opened) == ["o", "b"]


def all_bytes(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir()).lower()


def unnamed(name: str, second: int, body: bytes = b"{}", key: str = "email:eva@example.org") -> tuple[Event, None]:
    at = f"2026-11-21T10:{second // 60:02}:{second % 60:02}.000Z"
    return event(name, sender_id=None, received_at=at, body=body, order_key=key), None


def test_same_body(opened: Spool) -> None:
    """Without a sender's id a body is a duplicate of the newest event of its order key, for a minute."""
    opened.append([unnamed("a", 0)])
    assert opened.append([unnamed("b", 30)]) == [Receipt("a", True)]
    assert opened.append([unnamed("c", 61)]) == [Receipt("c", False)]
    assert opened.append([unnamed("d", 62, key="email:ada@example.org")]) == [Receipt("d", False)]
    assert opened.append([unnamed("e", 63, b"[]"), unnamed("f", 64)]) == [Receipt("e", False), Receipt("f", False)]
    assert names(opened) == ["a", "c", "d", "e", "f"]


def test_full(tmp_path: Path) -> None:
    """Beyond its size nothing is taken, not even half; when there is room again, it goes on."""
    with contextlib.closing(Spool(tmp_path, 128 * 1024)) as small:
        kept = 0

        def fill() -> None:
            nonlocal kept
            for n in range(100):
                small.append([(event(f"{n}a", body=b"x" * 2000), None), (event(f"{n}b", body=b"x" * 2000), None)])
                kept += 2

        with pytest.raises(SpoolFull, match="RELAIS_SPOOL_BYTES"):
            fill()
        assert len(names(small)) == kept > 20
        small.delete(small.head())
        small.append([(event("later"), None)])
        assert names(small) == ["later"]


def test_disk_full(opened: Spool) -> None:
    """A disk that takes no more is said, and what was taken before is still there."""
    opened.append([(event("a"), None)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = os.stat(opened.folder / f"{spool.FILE}-wal").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises((SpoolFull, SpoolFailed)):
            opened.append([(event("b", body=b"x" * 100_000), None)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(opened) == ["a"]
    opened.append([(event("c"), None)])
    assert names(opened) == ["a", "c"]


def test_batches(opened: Spool) -> None:
    """What goes to the store in one call is bounded in number and in bytes, and is never nothing."""
    with contextlib.closing(Spool(opened.folder, 16 * MIB)) as large:
        large.append([(event(f"{n}", body=b"x" * 400_000), None) for n in range(5)])
        large.append([(event("huge", body=b"x" * 2 * MIB), None)])
        assert names(large) == ["0", "1"]
        large.delete(large.head(5))
        large.delete(large.head(5))
        large.delete(large.head(5))
        assert names(large) == ["huge"]


def test_only_one(tmp_path: Path) -> None:
    """One process at a time hands over."""
    with contextlib.closing(Spool(tmp_path, MIB)) as first, contextlib.closing(Spool(tmp_path, MIB)) as second:
        with first.only_one() as ours, second.only_one() as theirs:
            assert (ours, theirs) == (True, False)
        with second.only_one() as theirs:
            assert theirs


def test_private(opened: Spool) -> None:
    """Nobody else on the host can read it."""
    opened.append([(event("a"), None)])
    assert stat.S_IMODE(opened.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in opened.folder.iterdir()} == {0o600}


def test_erased(opened: Spool) -> None:
    """What was handed over is not on the disk any longer, and the file is small again."""
    secret = b"eva@example.org"
    for n in range(60):
        opened.append([(event(f"{n}", body=secret * 1000), None)])
    while rows := opened.head():
        opened.delete(rows)
    opened.tidy()
    for file in opened.folder.iterdir():
        assert secret not in file.read_bytes(), file.name
    assert (opened.folder / spool.FILE).stat().st_size < 20 * spool.PAGE


def test_state(opened: Spool) -> None:
    """From outside one sees how many events wait, and since when."""
    assert spool.look(opened.folder / "elsewhere") is None
    found = spool.look(opened.folder)
    assert found is not None
    assert (found.events, found.oldest) == (0, 0)
    opened.append([(event(f"{n}", received_at=f"2026-11-21T10:00:0{n}.000Z"), None) for n in range(5)])
    opened.delete(opened.head(2))
    found = spool.look(opened.folder)
    assert found is not None
    assert (found.events, found.oldest) == (3, to_epoch("2026-11-21T10:00:02.000Z"))
    assert found == opened.state()


def test_set_aside(opened: Spool) -> None:
    """What is set aside is out of the way, seen from outside, and comes back behind the others, whole."""
    opened.append([(event("a", order_key="email:eva@example.org"), None), (event("b"), "email: missing")])
    assert opened.set_aside(opened.first(), "no", 5) == "a"
    assert names(opened) == ["b"]
    found = opened.state()
    assert (found.events, found.aside) == (1, 1)
    (one,) = spool.aside(opened.folder)
    assert (one.id, one.source, one.type, one.since, one.said) == ("a", "at", "contact.changed", 5, "no")
    assert spool.again(opened.folder, ["a"]) == 1
    assert spool.aside(opened.folder) == []
    assert [(row.event.id, row.why) for row in opened.head()] == [("b", "email: missing"), ("a", None)]
    assert opened.head()[1].event == event("a", order_key="email:eva@example.org")


def test_set_aside_when_full(tmp_path: Path) -> None:
    """A spool that has reached its size still has room to set its first event aside."""
    with contextlib.closing(Spool(tmp_path, 40 * spool.PAGE)) as small:
        with contextlib.suppress(SpoolFull):
            for n in range(1_000):
                small.append([(event(f"{n}", body=b"x" * 1_000), None)])
        with pytest.raises(SpoolFull):
            small.append([(event("more", body=b"x" * 1_000), None)])
        assert small.set_aside(small.first(), "no", 5) == "0"
        assert names(small)[0] == "1"


def test_older_file(opened: Spool) -> None:
    """A spool that no receiver of this version has opened has nothing aside."""
    with contextlib.closing(sqlite3.connect(opened.file)) as db:
        db.execute("DROP TABLE aside")
    found = spool.look(opened.folder)
    assert found is not None
    assert found.aside == 0
    assert spool.aside(opened.folder) == []
    assert spool.again(opened.folder, ["a"]) == 0


def test_others(opened: Spool) -> None:
    """Behind an event that does not pass, the oldest of each other order key may go."""
    keys = ["eva", "eva", "otto", "eva", "otto", None, None]
    opened.append([(event(f"{n}", order_key=key), None) for n, key in enumerate(keys)])
    assert [row.event.id for row in opened.others(opened.head(1)[0], 9)] == ["2", "5", "6"]
    assert [row.event.id for row in opened.others(opened.head(1)[0], 2)] == ["2", "5"]


def test_others_share_no_name(opened: Spool) -> None:
    """Whoever shares a further name with one before it is kept back as well, however many stand between."""
    add = [
        event("1", order_key="contact:1", names=("email:eva@example.org",)),
        event("2", order_key="email:eva@example.org", names=("contact:2",)),
        event("3", order_key="contact:2"),
        event("4", order_key="contact:3"),
    ]
    opened.append([(each, None) for each in add])
    assert [row.event.id for row in opened.others(opened.head(1)[0], 9)] == ["4"]


def test_unusable(tmp_path: Path) -> None:
    """A folder that cannot be one, a file that is none, and one of a newer version are refused with the mend."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="RELAIS_SPOOL"):
        Spool(tmp_path / "file", MIB)
    (tmp_path / spool.FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(Unusable, match="move the folder away"):
        Spool(tmp_path, MIB)
    newer = tmp_path / "newer"
    Spool(newer, MIB).close()
    with contextlib.closing(sqlite3.connect(newer / spool.FILE)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(Unusable, match="version 99"):
        Spool(newer, MIB)


def test_what_fits_now(opened: Spool) -> None:
    """What waits for the quarantine gives way to the same message that fits; what fits gives way to nothing."""
    assert opened.append([(event("a"), "email: missing")]) == [Receipt("a", False)]
    assert opened.append([(event("a"), "email: missing")]) == [Receipt("a", True)]
    assert opened.append([(event("a"), None)]) == [Receipt("a", False)]
    assert opened.append([(event("a"), "email: missing")]) == [Receipt("a", True)]
    assert [(row.event.id, row.why) for row in opened.head()] == [("a", None)]
