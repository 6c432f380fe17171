import asyncio
import contextlib
import dataclasses
import sqlite3
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailroom import Receipt, RefusedDetails, SourceNotes, StoreDamaged, StoreFull, StoreUnavailable
from mailroom.forgetting import ForgetReceipt
from mailroom.hashing import former_event_id
from mailroom.keys import SCHEMA
from receiver import failover, intake, spool
from receiver.failover import SpoolingMailroom
from receiver.sources.base import SourceItem
from receiver.spool import Spool
from rules.event import Event
from rules.event_types.base import rfc3339
from tests.conftest import wait_until_async
from tests.receiver.book import holder

MIB = 1024 * 1024
LONG_AGO = "2026-01-01T10:00:00.000Z"


def event(name: str, **more: object) -> Event:
    told = {"received_at": LONG_AGO, "sender_id": name, **more}
    return Event(id=name, source="at", kind="activetrail", type="contact.changed", body=b"{}", **told)  # type: ignore[arg-type]


class FakeStore:
    """A mailroom whose answers the test decides; it keeps what it took, in order."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.unfit: list[str] = []
        self.windows: dict[str, int] = {}
        self.failure: Exception | None = None
        self.hangs = False
        self.loses_answers = False
        self.memory = 0.0
        self.remembered: set[str] = set()
        #: Events that it never takes, and how often it was asked to.
        self.poison: set[str] = set()
        self.refused_times = 0
        self.asked: list[str] = []
        self.processes: dict[str, str] = {}
        self.notes = SourceNotes()
        self.receipts: dict[str, bytes] = {}
        self.reports: list[tuple[str, str, int]] = []

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure

    async def prepare(self) -> None:
        await self._answer()

    async def put(self, events: Sequence[Event], *, body_window: int = 60_000) -> list[Receipt]:
        await self._answer()
        if self.poison & {each.id for each in events}:
            self.refused_times += 1
            raise StoreUnavailable("the store refused: a script error")
        answers = [Receipt(each.id, each.id in self.kept) for each in events]
        self.kept += [each.id for each in events if each.id not in self.kept]
        self.windows |= {each.id: body_window for each in events}
        if events and self.loses_answers:
            self.loses_answers = False
            raise StoreUnavailable("the answer was lost")
        return answers

    async def quarantine(self, events: Sequence[tuple[Event, str]]) -> list[Receipt]:
        await self._answer()
        self.unfit += [each.id for each, _ in events]
        return [Receipt(each.id, False) for each, _ in events]

    async def approved_book(self) -> str:
        return ""

    async def say_process(self, name: str, pool: str, workers: int, turn: int, *, said: str = "") -> None:
        await self._answer()
        self.processes[name] = said

    async def note_sources(self, notes: SourceNotes) -> None:
        await self._answer()
        self.notes.merge(notes)

    async def forget_spooled(self, process: str) -> None:
        raise AssertionError("there is a spool before it")

    async def new_receipts(self, known: Collection[str]) -> dict[str, bytes]:
        await self._answer()
        return {name: text for name, text in self.receipts.items() if name not in known}

    async def report_forgotten(self, receipt: str, process: str, rows: int) -> None:
        self.reports.append((receipt, process, rows))

    def hash(self, identity: str) -> str:
        return f"hash of {identity}"

    async def forget_process(self, name: str) -> None:
        await self._answer()
        del self.processes[name]

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        await self._answer()

    async def known(self, event_ids: Sequence[str]) -> set[str]:
        self.asked += event_ids
        return self.remembered & set(event_ids)

    async def memory_used(self) -> float:
        await self._answer()
        return self.memory

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def switched(folder: Path, room: FakeStore, most: int = MIB) -> AsyncIterator[SpoolingMailroom]:
    """A running switch on the spool of a folder."""
    running = SpoolingMailroom(room, Spool(folder, most), patience=0.2)
    await running.prepare()
    try:
        yield running
    finally:
        await running.close()


async def handed_over(running: SpoolingMailroom) -> None:
    async def fact() -> bool:
        return not running.spooling

    await wait_until_async(fact, "the spool has been handed over")


def test_direct(tmp_path: Path) -> None:
    """While the store takes events, the spool is not touched."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            assert await running.put([event("a"), event("b")]) == [Receipt("a", False), Receipt("b", False)]
            assert await running.quarantine([(event("c"), "why")]) == [Receipt("c", False)]
            assert not running.spooling
        assert (room.kept, room.unfit) == (["a", "b"], ["c"])

    asyncio.run(run())


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), StoreFull("no memory"), StoreDamaged("another version")])
def test_away(tmp_path: Path, failure: Exception) -> None:
    """While it does not, events are acknowledged from the spool, and it gets them in order when it is back."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            await running.put([event("a")])
            room.failure = failure
            assert await running.put([event("b")]) == [Receipt("b", False)]
            assert await running.quarantine([(event("unfit"), "why")]) == [Receipt("unfit", False)]
            assert await running.put([event("b"), event("c")]) == [Receipt("b", True), Receipt("c", False)]
            assert (running.spooling, room.kept) == (True, ["a"])
            room.failure = None
            await running.put([event("d")])
            await handed_over(running)
            await running.put([event("e")])
        assert (room.kept, room.unfit) == (["a", "b", "c", "d", "e"], ["unfit"])

    asyncio.run(run())


def test_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says once when events begin to wait and why, and once when none waits any more."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            await running.put([event("a")])
            assert caplog.messages == []
            room.failure = StoreUnavailable("it is away")
            for name in ("b", "c"):
                await running.put([event(name)])
            assert caplog.messages == ["spool.begins why=it is away"]
            room.failure = None
            await wait_until_async(lambda: asyncio.sleep(0, "spool.ends" in caplog.messages), "the log says so")
            room.hangs = True
            await running.put([event("d")])
            room.hangs = False
            await wait_until_async(lambda: asyncio.sleep(0, caplog.messages[-1] == "spool.ends"), "the log says so")
        assert caplog.messages == [
            "spool.begins why=it is away",
            "spool.ends",
            "spool.begins why=the store did not answer within 0.2 s",
            "spool.ends",
        ]

    asyncio.run(run())


def test_defect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A defect while events are handed over is logged, and it is tried again: events wait."""

    class Broken(FakeStore):
        defects = 1

        async def known(self, event_ids: Sequence[str]) -> set[str]:
            if self.defects:
                self.defects -= 1
                raise RuntimeError("a defect")
            return await super().known(event_ids)

    async def run() -> None:
        room = Broken()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            await running.put([event("a")])
            room.failure = None
            await handed_over(running)
        assert room.kept == ["a"]
        assert "spool.defect" in caplog.messages

    asyncio.run(run())


def test_away_at_the_start(tmp_path: Path) -> None:
    """A receiver starts without the store, and takes events at once."""

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            assert await running.put([event("a")]) == [Receipt("a", False)]
            room.failure = None
            await handed_over(running)
        assert room.kept == ["a"]

    asyncio.run(run())


def test_hangs(tmp_path: Path) -> None:
    """Only what was on its way to a store that hangs waits for it; everything later is acknowledged at once."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            room.hangs = True
            start = time.monotonic()
            await running.put([event("a")])
            assert 0.2 <= time.monotonic() - start < 1
            start = time.monotonic()
            for n in range(10):
                await running.put([event(f"{n}")])
            assert time.monotonic() - start < 0.2 * 10 / 2
            room.hangs = False
            await handed_over(running)
        assert room.kept == ["a", *(f"{n}" for n in range(10))]

    asyncio.run(run())


def test_lost_answer(tmp_path: Path) -> None:
    """An event whose answer was lost is put again, under the same id."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            room.loses_answers = True
            assert await running.put([event("a")]) == [Receipt("a", False)]
            await handed_over(running)
            room.failure = StoreUnavailable("away")
            await running.put([event("b"), event("c")])
            room.loses_answers = True
            room.failure = None
            await handed_over(running)
        assert room.kept == ["a", "b", "c"]

    asyncio.run(run())


def test_nothing_overtakes(tmp_path: Path) -> None:
    """A process to which the store answers queues behind what another one of this host has spooled."""

    async def run() -> None:
        cut_off, well = FakeStore(), FakeStore()
        well.kept = cut_off.kept
        async with switched(tmp_path, well) as second:
            cut_off.failure = StoreUnavailable("away")
            async with switched(tmp_path, cut_off) as first:
                with Spool(tmp_path, MIB).only_one():  # nobody hands over meanwhile
                    await first.put([event("a")])
                    await second.put([event("b")])
                    await second.quarantine([(event("unfit"), "why")])
                    assert (well.kept, well.unfit) == ([], [])
                await handed_over(second)
        assert (well.kept, well.unfit) == (["a", "b"], ["unfit"])

    asyncio.run(run())


def test_adopted(tmp_path: Path) -> None:
    """What a dead process left is handed over at the next start, and by one that runs already."""

    async def run() -> None:
        left = Spool(tmp_path, MIB)
        left.append([(event("a"), None)])
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            await handed_over(running)
            left.append([(event("b"), None)])
            await handed_over(running)
            await wait_until_async(lambda: asyncio.sleep(0, len(room.kept) == 2), "the other one is adopted")
        left.close()
        assert room.kept == ["a", "b"]

    asyncio.run(run())


def test_a_stopped_process_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process that hands over stands still, another one goes on."""
    monkeypatch.setattr(failover, "STUCK", 0.2)

    async def run() -> None:
        stopped = Spool(tmp_path, MIB)
        room = FakeStore()
        with stopped.only_one():
            stopped.append([(event("a"), None)])
            async with switched(tmp_path, room) as running:
                await handed_over(running)
        stopped.close()
        assert room.kept == ["a"]

    asyncio.run(run())


def test_high_water(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New events wait here before the store is full, so that the workers have room to settle."""
    monkeypatch.setattr(failover, "LOOK_EVERY", 0.02)

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            room.memory = 0.86
            await wait_until_async(lambda: asyncio.sleep(0, running.spooling), "it notices")
            await running.put([event("a")])
            assert room.kept == []
            room.memory = 0.5
            await handed_over(running)
        assert room.kept == ["a"]

    asyncio.run(run())


def test_beats_while_it_spools(tmp_path: Path) -> None:
    """That it lives reaches the store also while that takes no events; a store that hangs holds it up for a moment."""

    async def run() -> None:
        room = FakeStore()
        room.memory = 0.99
        async with switched(tmp_path, room) as running:
            assert running.spooling
            await running.say_process("r", "-", 0, 1, said=f"{SCHEMA} x")
            await running.note_sources(SourceNotes(came={"at": 5}))
            assert (room.processes, room.notes.came) == ({"r": f"{SCHEMA} x"}, {"at": 5})
            room.hangs = True
            with pytest.raises(TimeoutError):
                await running.say_process("r", "-", 0, 2, said=f"{SCHEMA} x")
            with pytest.raises(TimeoutError):
                await running.forget_process("r")
            room.hangs = False
            await running.forget_process("r")
            assert room.processes == {}

    asyncio.run(run())


def test_forgotten_while_the_store_was_away(tmp_path: Path) -> None:
    """Who was forgotten meanwhile is erased before anything is handed over, and said once; what came later is new."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room) as running:
            room.failure = StoreUnavailable("away")
            eva = {"order_key": "email:eva@example.org"}
            await running.put([event("a", **eva), event("b", order_key="email:ole@example.org")])
            await running.put([event("later", received_at="2026-02-01T10:00:00.000Z", **eva)])
            receipt = ForgetReceipt("r1", "2026-01-15T10:00:00.000Z", "", "", "2999", (room.hash(eva["order_key"]),))
            room.receipts = {"r1": receipt.encode().encode()}
            room.failure = None
            await handed_over(running)
            assert room.kept == ["b", "later"]
            await running.forget_spooled("receiver.x")
            await running.forget_spooled("receiver.x")
            assert room.reports == [("r1", "receiver.x", 1)]

    asyncio.run(run())


def test_spooled_by_the_former_version(tmp_path: Path) -> None:
    """What a receiver of 0.1.0 spooled gets the id that its repetition has here, so that both are one event."""
    item = SourceItem(0, b'{"a":1}', "contact.changed", sender_id="m1")
    source = holder(tmp_path).entry("at").source
    ours = intake.build_event(item, source, "2026-11-21T10:00:00.000Z")
    former = dataclasses.replace(ours, id=former_event_id("at", "m1", 0))
    second = dataclasses.replace(ours, id=former_event_id("at", "m1", 1), position=1)

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            await running.put([former, second])
            room.failure = None
            await handed_over(running)
        assert room.kept == [ours.id, second.id]

    asyncio.run(run())


def test_neither(tmp_path: Path) -> None:
    """When the spool is full, too, nothing is acknowledged."""

    async def run() -> None:
        room = FakeStore()
        async with switched(tmp_path, room, most=65_536) as running:
            room.failure = StoreUnavailable("away")
            kept = 0

            async def fill() -> None:
                nonlocal kept
                for n in range(1000):
                    await running.put([event(f"{n}", subject="x" * 1000)])
                    kept += 1

            with pytest.raises(spool.SpoolFull):
                await fill()
            room.failure = None
            await handed_over(running)
            assert room.kept == [f"{n}" for n in range(kept)]
            await running.put([event("later")])
        assert room.kept[-1] == "later"

    asyncio.run(run())


def test_forgotten_ids(tmp_path: Path) -> None:
    """What waited for longer than the mailroom remembers ids is put only if its ledger does not know it either."""

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        room.remembered = {"delivered"}
        async with switched(tmp_path, room) as running:
            await running.put([event("delivered"), event("never came"), event("new", received_at=now())])
            room.failure = None
            await handed_over(running)
        assert room.kept == ["never came", "new"]
        assert room.asked == ["delivered", "never came"]

    asyncio.run(run())


def now() -> str:
    return rfc3339(datetime.now(UTC))


def test_equal_bodies(tmp_path: Path) -> None:
    """Equal bodies are one event within a minute of their reception, however late or quickly they are handed over."""

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            await running.put([event("old", sender_id=None, order_key="id:1")])
            ago = rfc3339(datetime.now(UTC) - timedelta(seconds=20))
            await running.put([event("new", sender_id=None, order_key="id:1", received_at=ago)])
            room.failure = None
            await handed_over(running)
        assert room.windows["old"] == 0
        assert 30_000 < room.windows["new"] <= 40_000

    asyncio.run(run())


def poison_said(folder: Path) -> list[tuple[str, str]]:
    return [(one.id, one.said) for one in spool.aside(folder)]


def test_poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What the store never takes is set aside when it takes others; they keep their order, and nothing is lost."""
    monkeypatch.setattr(failover, "ASK_AGAIN", (0.01,))

    async def run() -> None:
        room = FakeStore()
        room.poison = {"bad", "bad too"}
        async with switched(tmp_path, room) as running:
            room.failure = StoreUnavailable("away")
            eva, otto = "email:eva@example.org", "email:otto@example.org"
            await running.put([event("a", order_key=eva), event("bad", order_key=otto)])
            await running.put([event("b", order_key=otto), event("bad too", order_key=otto), event("c", order_key=eva)])
            await running.put([event("d", order_key=eva)])
            room.failure = None
            await handed_over(running)
        assert sorted(room.kept) == ["a", "b", "c", "d"]
        assert [name for name in room.kept if name != "b"] == ["a", "c", "d"]
        assert poison_said(tmp_path) == [(name, "the store refused: a script error") for name in ("bad", "bad too")]
        assert [line.partition(":")[0] for line in caplog.messages if line.startswith("spool.set_aside")] == [
            f"spool.set_aside event_id={name} why=the store refused" for name in ("bad", "bad too")
        ]
        # Whose first event was set aside need not fail so often again.
        assert room.refused_times < 2 * (failover.REFUSALS + 3)

    asyncio.run(run())


def test_poison_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as nothing shows that the store takes others, an event that it refuses stays where it is."""
    monkeypatch.setattr(failover, "ASK_AGAIN", (0.01,))

    async def run() -> None:
        room = FakeStore()
        room.poison = {"bad"}
        eva = "email:eva@example.org"
        async with switched(tmp_path, room) as running:
            await running.put([event("bad", order_key=eva)])
            await running.put([event("b", order_key=eva)])

            async def often() -> bool:
                return room.refused_times > 3 * failover.REFUSALS

            await wait_until_async(often, "it is tried again and again")
            assert running.spooling
            assert (room.kept, poison_said(tmp_path)) == ([], [])
            await running.put([event("c", order_key="email:otto@example.org")])
            await handed_over(running)
        assert room.kept == ["c", "b"]
        assert [name for name, _ in poison_said(tmp_path)] == ["bad"]

    asyncio.run(run())


def test_poison_of_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that the store takes after all, when another one has passed, is not set aside."""
    monkeypatch.setattr(failover, "ASK_AGAIN", (0.01,))

    class Moody(FakeStore):
        async def put(self, events: Sequence[Event], *, body_window: int = 60_000) -> list[Receipt]:
            answers = await super().put(events, body_window=body_window)
            if [each.id for each in events] == ["b"]:
                self.poison = set()
            return answers

    async def run() -> None:
        room = Moody()
        room.poison = {"bad"}
        async with switched(tmp_path, room) as running:
            await running.put([event("bad", order_key="email:eva@example.org")])
            await running.put([event("b", order_key="email:otto@example.org")])
            await handed_over(running)
        assert room.kept == ["b", "bad"]
        assert poison_said(tmp_path) == []

    asyncio.run(run())


def test_unreadable(tmp_path: Path) -> None:
    """A row that cannot be read is set aside as it is, at once."""

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            await running.put([event("a"), event("bad"), event("c")])
            with contextlib.closing(sqlite3.connect(tmp_path / spool.FILE)) as db:
                db.execute("UPDATE spool SET head = '{' WHERE id = 'bad'")
                db.commit()
            room.failure = None
            await handed_over(running)
        assert room.kept == ["a", "c"]
        assert poison_said(tmp_path) == [("bad", "it cannot be read (JSONDecodeError)")]

    asyncio.run(run())


def test_retried(tmp_path: Path) -> None:
    """What was set aside is handed over when a person says so, and the store takes it now."""

    async def run() -> None:
        room = FakeStore()
        room.failure = StoreUnavailable("away")
        async with switched(tmp_path, room) as running:
            await running.put([event("a")])
            with contextlib.closing(Spool(tmp_path, MIB)) as other:
                other.set_aside(other.first(), "no", 1)
            room.failure = None
            await handed_over(running)
            assert room.kept == []
            assert spool.again(tmp_path, ["a", "unknown"]) == 1
            assert spool.again(tmp_path, ["a"]) == 0

            async def came() -> bool:
                return room.kept == ["a"]

            await wait_until_async(came, "it is handed over")

    asyncio.run(run())
