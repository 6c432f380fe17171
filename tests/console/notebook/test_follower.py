"""The follower: what it reads from a real store, where the log has been cut, and what watchers see."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.notebook import EventFilter, Follower, Notebook, follower, search
from mailroom import Mailroom
from mailroom.operator import Operator, Selection
from tests.conftest import PrivateValkey, wait_until_async
from tests.console.api.stuck_things import Stuck, event

pytestmark = pytest.mark.anyio

ALL = EventFilter()


@asynccontextmanager
async def following(valkey: PrivateValkey, path: Path) -> AsyncIterator[tuple[Mailroom, Follower, Notebook]]:
    notebook = Notebook(path / "notebook.sqlite")
    async with await Mailroom.open(valkey.url) as mailroom, Follower(mailroom, notebook) as follower:
        yield mailroom, follower, notebook
    notebook.close()


def ids(notebook: Notebook, chosen: EventFilter = ALL) -> list[str]:
    return sorted(row["id"] for row in search.page(notebook, chosen, 500)[0])


async def test_follow(valkey: PrivateValkey, tmp_path: Path) -> None:
    """What came stands in the notebook with its person; what a person decides about it is noted, too."""
    async with following(valkey, tmp_path) as (mailroom, follower, notebook):
        stuck = Stuck(mailroom)
        await stuck.die("dying", who="max")
        await mailroom.put([event("new", 1)])
        await follower.catch_up()
        assert ids(notebook, EventFilter(state="waiting")) == ["new"]
        assert ids(notebook, EventFilter(who=mailroom.hash("email:eva@example.org"))) == ["new"]
        assert ids(notebook, EventFilter(who=mailroom.hash("sender:new"))) == ["new"]
        assert ids(notebook, EventFilter(state="dead")) == ["dying"]
        letter = (await Operator(mailroom).dead(Selection()))[0]
        assert await Operator(mailroom).retry(letter.id) == "done"
        await follower.catch_up()
        assert ids(notebook, EventFilter(state="dead")) == []


async def test_go_on(valkey: PrivateValkey, tmp_path: Path) -> None:
    """After a pause it goes on behind what it has noted, and finds what came meanwhile."""
    async with following(valkey, tmp_path) as (mailroom, follower, _):
        await mailroom.put([event("before", 1)])
        await follower.catch_up()
    async with await Mailroom.open(valkey.url) as mailroom:
        await mailroom.put([event("meanwhile", 2)])
    async with following(valkey, tmp_path) as (_, follower, notebook):
        await follower.catch_up()
        assert ids(notebook) == ["before", "meanwhile"]
        assert follower.progress.complete


async def test_cut_log(valkey: PrivateValkey, tmp_path: Path) -> None:
    """Where the log has been cut, all comes from the ledger and from what waits; nothing is missing."""
    async with following(valkey, tmp_path) as (mailroom, follower, _):
        await mailroom.quarantine([(event("before", 1), "data.id: missing")])
        await follower.catch_up()
    async with await Mailroom.open(valkey.url) as mailroom:
        await Stuck(mailroom).die("routed", who="max")
        await mailroom.put([event("waits", 30)])
        await mailroom.store.delete(mailroom.key("log"))
        await mailroom.put([event("newest", 31)])
    async with following(valkey, tmp_path) as (_, follower, notebook):

        async def whole() -> bool:
            return follower.progress.complete

        await wait_until_async(whole, "the ledger has been read")
        await follower.catch_up()
        assert ids(notebook) == ["before", "newest", "routed", "waits"]


async def test_other_store(valkey: PrivateValkey, tmp_path: Path) -> None:
    """A notebook of another store is emptied before it is used."""
    async with following(valkey, tmp_path) as (mailroom, follower, _):
        await mailroom.put([event("of the first", 1)])
        await follower.catch_up()
        await mailroom.store.flushall()
    async with following(valkey, tmp_path) as (mailroom, follower, notebook):
        await mailroom.put([event("of the second", 1)])
        await follower.catch_up()
        assert ids(notebook) == ["of the second"]


async def test_watch(valkey: PrivateValkey, tmp_path: Path) -> None:
    """Who watches sees what happens, at most twenty at once, and of how many more nothing is shown."""
    async with following(valkey, tmp_path) as (mailroom, following_it, _):
        await following_it.catch_up()
        watch = following_it.watch()
        await mailroom.put([event(f"e{n}", n % 60) for n in range(50)])
        found = await anext(watch)
        shown, left_out = found.show(ALL)
        assert (len(shown), left_out) == (follower.SHOWN, 50 - follower.SHOWN)
        assert found.show(EventFilter(source="other")) == ([], 0)
        assert "eva" not in json.dumps(shown)
        await watch.aclose()


async def test_slow_watcher(valkey: PrivateValkey, tmp_path: Path) -> None:
    """Who does not read what happens is cut off, and the others are not kept waiting."""
    async with following(valkey, tmp_path) as (_, following_it, _notebook):
        watch = following_it.watch()
        for _ in range(follower.MOST_BEHIND + 2):
            following_it._publish(follower.Frame([]))
        seen = [frame async for frame in watch]
        assert len(seen) == follower.MOST_BEHIND - 1
