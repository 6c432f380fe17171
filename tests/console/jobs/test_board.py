import pytest

from console.jobs import JobBoard, JobOrder
from mailroom import Mailroom

pytestmark = pytest.mark.anyio

ORDER = JobOrder(verb="retry", expect=3, intent="press 1")


async def test_begin(mailroom: Mailroom) -> None:
    """The same intent twice is one job; what is noted is not the next any more."""
    board = JobBoard(mailroom)
    id = await board.begin(ORDER, "eva", ["a", "b", "c"])
    assert await board.begin(ORDER, "eva", ["a", "b", "c"]) == id == await board.find_intent("press 1")
    assert await board.find_intent("press 2") is None
    assert await board.next(id, 2) == ["a", "b"]
    await board.note(id, [("a", "done"), ("b", "overtaken")])
    job = await board.read(id)
    assert job is not None
    assert (job.state, job.by, job.count, job.done, job.words) == ("running", "eva", 3, 2, {"done": 1, "overtaken": 1})
    assert job.order == ORDER
    assert await board.left_alone(id) == [("b", "overtaken")]
    assert [each.id for each in await board.newest()] == [id]
    await board.note(id, [("c", "done")])
    assert await board.next(id, 2) == []
    await board.finish(id)
    assert await board.open() == []


async def test_change(mailroom: Mailroom) -> None:
    """A job is paused, goes on, and is stopped once."""
    board = JobBoard(mailroom)
    id = await board.begin(ORDER, "eva", ["a"])
    assert await board.open() == [id]
    assert not await board.change(id, "running")
    assert await board.change(id, "paused")
    assert await board.open() == []
    assert await board.change(id, "running")
    assert await board.open() == [id]
    assert await board.change(id, "stopped")
    assert not await board.change(id, "running")
    assert not await board.change("job_unknown", "stopped")
    assert await board.next(id, 1) == []
    job = await board.read(id)
    assert job is not None
    assert (job.state, job.done, job.ended > 0) == ("stopped", 0, True)


async def test_undo(mailroom: Mailroom) -> None:
    """What a job has dropped is taken back by another job, once; of one that goes on, or did nothing, there is none."""
    board = JobBoard(mailroom)
    order = JobOrder(verb="drop", expect=2)
    assert order.undoable
    assert not ORDER.undoable
    id = await board.begin(order, "eva", ["a", "b"])
    await board.note(id, [("a", "done"), ("b", "gone")], undoable=True)
    assert await board.undo(id, "max") is None
    await board.finish(id)
    assert await board.count_undoable(id) == 1
    undoing = await board.undo(id, "max")
    assert undoing is not None
    assert await board.undo(id, "max") == undoing
    job = await board.read(undoing)
    assert job is not None
    assert (job.order.verb, job.by, job.count) == ("undrop", "max", 1)
    assert await board.next(undoing, 9) == ["a"]
    assert await board.undo("job_none", "max") is None
