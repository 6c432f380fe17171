"""The runner against a desk that answers at once: what it does, how fast, and who goes on with it."""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import pytest

from console.jobs import JobBoard, JobDesk, JobOrder, JobRunner
from console.jobs.desk import Act
from mailroom import Mailroom
from mailroom.ledger import Decision
from tests.conftest import wait_until_async

pytestmark = pytest.mark.anyio


class StubDesk:
    """Notes what is done and when; `busy` items are done at the third time."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.times: list[float] = []
        self.asked: dict[str, int] = {}
        self.by: list[str] = []

    async def prepare(self, order: JobOrder, decision: Decision) -> Act:
        self.by.append(decision.by)

        async def act(item: str) -> str:
            self.asked[item] = self.asked.get(item, 0) + 1
            if item.startswith("busy") and self.asked[item] < 3:
                return "busy"
            self.done.append(item)
            self.times.append(time.monotonic())
            return "overtaken" if item.startswith("late") else "done"

        return act


def runner(mailroom: Mailroom, desk: StubDesk) -> JobRunner:
    return JobRunner(mailroom, JobBoard(mailroom), cast(JobDesk, desk))


async def run(mailroom: Mailroom, order: JobOrder, items: Sequence[str]) -> tuple[StubDesk, str]:
    desk, board = StubDesk(), JobBoard(mailroom)
    async with runner(mailroom, desk):
        id = await board.begin(order, "eva", items)
        await ended(board, id)
    return desk, id


async def ended(board: JobBoard, id: str) -> None:
    async def over() -> bool:
        job = await board.read(id)
        return job is not None and job.state == "done"

    await wait_until_async(over, "the job has ended")


async def test_all(mailroom: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item is done once, in order; what was busy is asked for again; how each ended is counted."""
    monkeypatch.setattr("console.jobs.runner.BUSY_AGAIN", 0.01)
    items = [*(f"item {n}" for n in range(250)), "busy 1", "late 1"]
    desk, id = await run(mailroom, JobOrder(verb="retry", expect=252), items)
    assert desk.done == items
    assert desk.by == ["eva"]
    job = await JobBoard(mailroom).read(id)
    assert job is not None
    assert (job.done, job.words) == (252, {"done": 251, "overtaken": 1})


async def test_rate(mailroom: Mailroom) -> None:
    """A rate is kept within 5 percent: none is done before its time, and what was held up once is caught up with."""
    desk, _ = await run(mailroom, JobOrder(verb="retry", expect=400, rate=200.0), [f"item {n}" for n in range(400)])
    # Twenty of a tenth of a second are done at once.
    late = [time - desk.times[0] - n / 10 for n, time in enumerate(desk.times[::20])]
    assert len(late) == 20
    assert min(late) >= -0.05 * 1.9
    # A busy machine may hold up single ones.
    assert min(late[-8:]) <= 0.05 * 1.9


async def test_pause_and_restart(mailroom: Mailroom) -> None:
    """A paused job rests; when its console has gone, another one goes on where it was."""
    board, first, second = JobBoard(mailroom), StubDesk(), StubDesk()
    items = [f"item {n}" for n in range(60)]
    async with runner(mailroom, first) as running:
        id = await board.begin(JobOrder(verb="retry", expect=60, rate=50.0), "eva", items)
        running.ring()
        await wait_until_async(lambda: _is(len(first.done) >= 5), "it has begun")
        assert await board.change(id, "paused")
        await wait_until_async(lambda: _is(not running._tasks), "it rests")
        done = len(first.done)
        await asyncio.sleep(0)
        assert len(first.done) == done < 60
    async with runner(mailroom, second) as running:
        assert await board.change(id, "running")
        running.ring()
        await ended(board, id)
    assert [*first.done, *second.done] == items


async def _is(fact: bool) -> bool:
    return fact
