import asyncio
from collections.abc import Sequence

import pytest

from mailroom import Receipt, StoreFull, StoreUnavailable
from receiver import errors
from receiver.group_commit import MOST_AT_ONCE, MOST_UNDER_WAY, WORTH_IT, GroupCommit
from receiver.spool import SpoolFailed, SpoolFull
from rules.event import Event


def event(name: str, order_key: str | None = None, *names: str) -> Event:
    at = "2026-11-21T10:00:00.000Z"
    return Event(name, "at", "activetrail", "contact.changed", at, b"{}", order_key=order_key, names=names)


class FakeSink:
    """A mailroom whose answers the test decides."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.open = asyncio.Event()
        self.failure: Exception | None = None

    async def put(self, events: Sequence[Event]) -> list[Receipt]:
        self.calls.append([each.id for each in events])
        await self.open.wait()
        if self.failure:
            raise self.failure
        return [Receipt(each.id, False) for each in events]


async def put(commit: GroupCommit, events: Sequence[Event]) -> list[Receipt]:
    """Return what a request is told; raise what it is told instead."""
    told: asyncio.Future[list[Receipt] | errors.NotKept] = asyncio.get_running_loop().create_future()
    commit.put(events, told.set_result)
    receipts = await told
    if isinstance(receipts, errors.NotKept):
        raise receipts
    return receipts


Tasks = list[asyncio.Task[list[Receipt]]]


async def started(tasks: Tasks) -> None:
    """Let every task run until it waits."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def arrive(commit: GroupCommit, tasks: Tasks, *requests: Sequence[Event]) -> None:
    """Let requests arrive, and run until all wait."""
    tasks += [asyncio.create_task(put(commit, each)) for each in requests]
    await started(tasks)


def test_together() -> None:
    """What arrives while a flush is under way goes together in the next one, each request with its own receipts."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 100)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("first")])
        await arrive(commit, tasks, *([event(f"{n}a"), event(f"{n}b")] for n in range(3)))
        assert room.calls == [["first"]]
        room.open.set()
        receipts = await asyncio.gather(*tasks)
        assert room.calls == [["first"], ["0a", "0b", "1a", "1b", "2a", "2b"]]
        assert [[each.id for each in of] for of in receipts] == [["first"], ["0a", "0b"], ["1a", "1b"], ["2a", "2b"]]

    asyncio.run(run())


def some(letter: str, count: int) -> list[Event]:
    return [event(f"{letter}{n}") for n in range(count)]


def names(events: Sequence[Event]) -> list[str]:
    return [each.id for each in events]


def test_next_while_the_store_syncs() -> None:
    """Events enough for a flush of their own do not wait for the one under way; what comes then waits for either."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 1000)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("first")])
        many, few = some("a", WORTH_IT), some("b", WORTH_IT - 1)
        await arrive(commit, tasks, *([each] for each in few))
        assert room.calls == [["first"]]
        await arrive(commit, tasks, *([each] for each in many))
        assert room.calls == [["first"], names(few + many)]
        later = some("c", 5 * WORTH_IT)
        await arrive(commit, tasks, *([each] for each in later))
        assert len(room.calls) == MOST_UNDER_WAY
        room.open.set()
        receipts = await asyncio.gather(*tasks)
        assert room.calls == [["first"], names(few + many), names(later)]
        assert [each.id for [each] in receipts] == ["first", *names(few + many + later)]

    asyncio.run(run())


def test_no_order_key_is_under_way_twice() -> None:
    """A later event of the same person waits for the answer to the earlier one, which may have to go to the spool; and
    nobody overtakes who has waited longer."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 1000)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("eva1", "eva")])
        before, after = some("a", WORTH_IT), some("b", WORTH_IT)
        both = [event("adam1", "adam"), event("eva2", "eva")]
        await arrive(commit, tasks, *([each] for each in before), both, *([each] for each in after))
        assert room.calls == [["eva1"], names(before)]
        room.open.set()
        await asyncio.gather(*tasks)
        assert room.calls == [["eva1"], names(before), ["adam1", "eva2", *names(after)]]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("contact", "eva"), ("eva",)),
        (("eva",), ("contact", "other", "eva")),
        (("contact", "eva"), ("profile", "eva")),
    ],
)
def test_no_name_is_under_way_twice(earlier: tuple[str, ...], later: tuple[str, ...]) -> None:
    """It is the same for each further name of an event, whichever is its order key; who shares none goes."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 1000)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("eva1", *earlier)])
        before, after = some("a", WORTH_IT), some("b", WORTH_IT)
        last = event("eva2", *later)
        await arrive(commit, tasks, *([each] for each in before), [last], *([each] for each in after))
        assert room.calls == [["eva1"], names(before)]
        room.open.set()
        await asyncio.gather(*tasks)
        assert room.calls == [["eva1"], names(before), ["eva2", *names(after)]]

    asyncio.run(run())


def test_a_person_first_in_the_queue() -> None:
    """Where the oldest event that waits must wait for its person's earlier one, all that came later wait with it."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 1000)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("eva1", "eva")])
        later = some("a", 3 * WORTH_IT)
        tasks += [asyncio.create_task(put(commit, [event("eva2", "eva")]))]
        await arrive(commit, tasks, *([each] for each in later))
        assert room.calls == [["eva1"]]
        room.failure = StoreUnavailable("away")
        room.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, errors.NotKept) for each in answers)
        assert room.calls == [["eva1"], ["eva2", *names(later)]]

    asyncio.run(run())


def test_not_before_it_is_kept() -> None:
    """Nobody is acknowledged before the mailroom has answered."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 100)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("first")])
        room.open.set()
        assert await tasks[0] == [Receipt("first", False)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (StoreUnavailable("away"), "store_unavailable"),
        (StoreFull("no room"), "store_full"),
        (SpoolFull("full"), "spool_full"),
        (SpoolFailed("broken"), "spool_failed"),
        (RuntimeError("a defect"), "store_unavailable"),
    ],
)
def test_failure(failure: Exception, code: str, caplog: pytest.LogCaptureFixture) -> None:
    """When the mailroom fails, everybody who waited for that call gets 503, and the next call is a new one.

    Of a defect the log has a traceback; that the store is away is logged where it is noticed.
    """

    async def run() -> None:
        room = FakeSink()
        room.failure = failure
        room.open.set()
        commit = GroupCommit(room, 100)
        answers = await asyncio.gather(*(put(commit, [event(f"{n}")]) for n in range(3)), return_exceptions=True)
        assert len(room.calls) == 1
        for answer in answers:
            assert isinstance(answer, errors.NotKept)
            assert (answer.status, answer.code) == (503, code)
        room.failure = None
        assert await put(commit, [event("later")]) == [Receipt("later", False)]

    asyncio.run(run())
    assert caplog.messages == (["commit.failed"] if isinstance(failure, RuntimeError) else [])


def test_broken_callback(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in one callback is logged and does not affect the others."""

    async def run() -> None:
        room = FakeSink()
        room.open.set()
        commit = GroupCommit(room, 100)
        told: list[object] = []

        def broken(_: object) -> None:
            raise RuntimeError("a defect")

        for name, kept in (("a", told.append), ("b", broken), ("c", told.append)):
            commit.put([event(name)], kept)
        await commit.drain()
        assert told == [[Receipt("a", False)], [Receipt("c", False)]]
        room.failure = StoreUnavailable("away")
        commit.put([event("d")], broken)
        commit.put([event("e")], told.append)
        await commit.drain()
        assert isinstance(told[-1], errors.NotKept)

    asyncio.run(run())
    assert caplog.messages == ["answer.failed", "answer.failed"]


def test_bounded() -> None:
    """More than may wait is refused at once; a batch larger than the bound is taken when nothing else waits."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 2)
        tasks: Tasks = []
        await arrive(commit, tasks, [event(f"{n}") for n in range(5)])
        with pytest.raises(errors.NotKept, match="busy"):
            await put(commit, [event("one more")])
        room.open.set()
        assert len(await tasks[0]) == 5
        assert len(await put(commit, [event("later")])) == 1

    asyncio.run(run())


def test_calls_are_bounded() -> None:
    """A call holds so many events at the most, and no request is torn apart."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 10_000)
        tasks: Tasks = []
        await arrive(commit, tasks, *([event(f"{n}.{i}") for i in range(300)] for n in range(3)))
        room.open.set()
        assert [len(each) for each in await asyncio.gather(*tasks)] == [300, 300, 300]
        assert all(len(call) <= MOST_AT_ONCE for call in room.calls)

    asyncio.run(run())


def test_drain() -> None:
    """Draining waits until everybody is answered."""

    async def run() -> None:
        room = FakeSink()
        commit = GroupCommit(room, 100)
        tasks: Tasks = []
        await arrive(commit, tasks, [event("first")])
        draining = asyncio.create_task(commit.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        room.open.set()
        await draining
        assert tasks[0].done() or await tasks[0]

    asyncio.run(run())


def test_one_who_cannot_be_told() -> None:
    """A request whose answer fails does not cost the others of its group, or of the next, theirs."""

    def fail(_: object) -> None:
        raise RuntimeError("a defect")

    async def run(failure: Exception | None) -> None:
        room = FakeSink()
        room.failure = failure
        commit = GroupCommit(room, 100)
        told: list[object] = []
        for name in ("a", "b"):
            commit.put([event(name)], fail)
            commit.put([event(name + name)], told.append)
            await started([])  # `b` goes with the next flush
        room.open.set()
        await commit.drain()
        assert room.calls == [["a", "aa"], ["b", "bb"]]
        assert len(told) == 2

    for failure in (None, StoreUnavailable("away")):
        asyncio.run(run(failure))
