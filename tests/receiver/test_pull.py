"""Fetching from sources: against the sandbox's Magnetis on a real socket, into a real store."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.vendor_api import OutgoingApi
from mailroom import Mailroom, StoreUnavailable
from mailroom.pulls import PullBoard
from receiver.intake import Intake
from receiver.pull import PullRunner, _now
from receiver.request import RawRequest
from receiver.rulebook import RulebookWatcher, SourceEntry
from receiver.verification import trusted
from sandbox import server
from sandbox.server import Running
from tests.conftest import PrivateValkey, wait_until_async
from tests.receiver import book
from tests.receiver.test_intake import FakeEventStore

pytestmark = pytest.mark.anyio

TEXT = """
sources:
  tel:
    kind: magnetis
    country: FR
    verify: {none: a source for tests}
    pull:
      api_key: ${KEY}
      base: %s
      leads: %s
      allow_private: true
      quota: {limit: 5000/day, reserve: %d}
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    """The vendors' stand-ins."""
    with server.in_thread() as running:
        yield running


class Pulling:
    """A runner, and what it works on."""

    def __init__(self, folder: Path, sandbox: Running, mailroom: Mailroom, leads: str, reserve: int) -> None:
        sandbox.world.reset()
        self.vendor = sandbox.world.magnetis
        self.mailroom = mailroom
        self.environ = {"KEY": sandbox.world.accounts.magnetis_api_key}
        text = TEXT % (sandbox.base("magnetis"), leads, reserve)
        self.book = RulebookWatcher(book.write(folder, text), book.CATALOGUE, self.environ)
        self.book.load()
        self.board = PullBoard(mailroom)
        self.intake = Intake(mailroom, 10_000)
        self.api = OutgoingApi()
        self.runner = PullRunner(self.book, mailroom, self.intake, self.api)

    @property
    def entry(self) -> SourceEntry:
        return self.book.entry("tel")

    def called(self, *numbers: int, ago: float = 60, **more: Any) -> None:
        """Let calls happen so many seconds ago, a second apart."""
        at = datetime.now(UTC) - timedelta(seconds=ago)
        rows = [
            {"id": f"call-{n}", "caller": "+33199001234", "start_at": f"{at + timedelta(seconds=i):%Y-%m-%d %H:%M:%S}"}
            for i, n in enumerate(numbers)
        ]
        self.vendor.tell({"calls": [{**row, **more} for row in rows]})

    async def pull(self) -> dict[str, Any]:
        """Do a round whether it is due or not, and return what it says."""
        state = {**(await self.board.states()).get("tel", {}), "next": 0}
        await self.board.say("tel", state)
        await self.runner.pull(self.entry)
        return (await self.board.states())["tel"]

    async def kept(self) -> list[str]:
        """Return what the inbox was given, oldest first."""
        stories, _ = await self.mailroom.recent(1000)
        records = [await self.mailroom.record(story.id) for story in reversed(stories)]
        return [json.loads(record.split(b"\n", 1)[1])["id"] for record in records if record]


Make = Callable[..., contextlib.AbstractAsyncContextManager[Pulling]]


@pytest.fixture
def make(tmp_path: Path, valkey: PrivateValkey, sandbox: Running) -> Make:
    """Return what makes a runner."""

    @contextlib.asynccontextmanager
    async def open_it(leads: str = "/leads", reserve: int = 500) -> AsyncIterator[Pulling]:
        async with await Mailroom.open(valkey.url) as room:
            it = Pulling(tmp_path, sandbox, room, leads, reserve)
            yield it
            await it.api.close()

    return open_it


async def test_new_calls_in_order(make: Make) -> None:
    """What happened since the first day is kept in the order in which it happened, over pages, each once."""
    async with make() as it:
        it.called(*range(600, 300, -1), ago=3_000)
        it.called(*range(300, 0, -1), ago=2_000)
        said = await it.pull()
        assert (said["code"], said["fetched"], said["new"], said["requests"]) == ("", 600, 600, 4)
        ids = await it.kept()
        assert ids == [f"call-{n}" for n in (*range(600, 300, -1), *range(300, 0, -1))]
        again = await it.pull()
        assert (again["new"], len(await it.kept())) == (0, 600)
        assert again["marks"]["calls"] > said["marks"]["calls"]


async def test_webhook_and_pull_are_one_event(make: Make) -> None:
    """A call that came by webhook is not taken once more, also under another end, nor after its id is forgotten."""
    async with make() as it:
        body = b'{"data": {"id": "call-7", "caller": "+33199001234", "utm_source": "google"}}'
        batch = it.entry.adapter.unpack(trusted(RawRequest(body)), it.entry.source.options, "call:completed")
        await it.intake.keep(batch, it.entry.source)
        for key in [key async for key in it.mailroom.store.scan_iter(it.mailroom.key("known:*"))]:
            await it.mailroom.store.delete(key)
        it.called(7, 8, duration=0)
        said = await it.pull()
        assert (said["fetched"], said["new"]) == (2, 1)


async def test_mark_stays_without_the_vendor(make: Make) -> None:
    """While the vendor fails, the mark stays, one stream does not hold the other up, and the reason is said."""
    async with make(leads="/nowhere") as it:
        it.called(1)
        said = await it.pull()
        assert (said["code"], said["new"]) == ("refused", 1)
        assert said["why"].startswith("leads: the vendor answers 501")
        assert set(said["marks"]) == {"calls"}
        assert said["next"] - said["at"] >= 900_000
        it.environ["KEY"] = "wrong"
        it.called(2, ago=30)
        refused = await it.pull()
        assert (refused["code"], refused["marks"], refused["new"]) == ("key_refused", said["marks"], 0)
        del it.environ["KEY"]
        assert (await it.pull())["code"] == "secret_missing"


async def test_mark_stays_without_the_store(make: Make) -> None:
    """What could not be kept is asked for again."""
    async with make() as it:
        it.called(1)
        away = FakeEventStore()
        away.failures[0] = StoreUnavailable("away")
        taking, it.runner._intake = it.runner._intake, Intake(away, 10)
        said = await it.pull()
        assert (said["code"], set(said["marks"])) == ("store_unavailable", {"leads"})
        it.runner._intake = taking
        assert (await it.pull())["new"] == 1


async def test_quota(make: Make) -> None:
    """A round stops where the share of the day is used, says when it goes on, and the mark stays."""
    async with make(reserve=4_999) as it:
        said = await it.pull()
        assert said["quota"]["used"] == 1
        assert (said["code"], said["requests"]) == ("quota", 1)
        assert said["next"] > said["at"]
        assert sum(it.vendor.holds()["asked"].values()) == 1


async def test_back_fill(make: Make) -> None:
    """A back-fill goes from the oldest to the newest in steps of a day, and takes nothing twice."""
    async with make() as it:
        for day in (5, 4, 3, 2, 1):
            it.called(day * 10, day * 10 + 1, ago=day * 86_400 - 10)
        await it.pull()
        began = len(await it.kept())
        now = _now()
        await it.board.ask_fill("tel", now - 6 * 86_400_000, now, now, "eva")
        for _ in range(14):
            await it.runner.pull(it.entry)
        fill = (await it.board.fills())["tel"]
        assert fill["ended"]
        assert (fill["fetched"], fill["new"]) == (10, 10 - began)
        assert (await it.kept())[began:] == ["call-50", "call-51", "call-40", "call-41", "call-30", "call-31"] + [
            f"call-{n}" for n in (20, 21)
        ]


async def test_one_process_at_a_time(make: Make) -> None:
    """Of two receivers one pulls, and the other goes on when the first has ended."""
    async with make() as it:
        it.called(*range(20))
        other = PullRunner(it.book, it.mailroom, it.intake, it.api)
        runners = [asyncio.create_task(each._pull_alone(it.entry)) for each in (it.runner, other)]
        await asyncio.gather(*runners)
        assert sum(it.vendor.holds()["asked"].values()) == 2
        assert len(await it.kept()) == 20


async def test_runs_by_itself(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is fetched without anybody asking; the end of the process ends it."""
    monkeypatch.setattr("receiver.pull.LOOK_EVERY", 0.05)
    async with make() as it:
        it.called(1)
        running = asyncio.create_task(it.runner.run())

        async def arrived() -> bool:
            return bool((await it.board.states()).get("tel", {}).get("new"))

        await wait_until_async(arrived, "it was fetched")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
