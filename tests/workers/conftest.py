"""What the tests of the workers need: a store that is emptied before each, a far side, and a place to work."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mailroom import Mailroom
from tests.conftest import PrivateValkey
from tests.fake_destination import FakeDestination
from tests.workers.worker_fixture import WorkerFixture
from workers import retry


@pytest.fixture
def far() -> Iterator[FakeDestination]:
    """The far side, where nothing goes wrong yet."""
    with FakeDestination() as far:
        yield far


@pytest.fixture
async def site(
    site_valkey: PrivateValkey, tmp_path: Path, far: FakeDestination, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerFixture]:
    """A place to work, with an empty store."""
    monkeypatch.setenv("DESK_KEY", "desk-key")
    monkeypatch.setenv("ALERT_URL", f"{far.url}/alerts")
    async with await Mailroom.open(site_valkey.url) as mailroom:
        await mailroom.store.flushall()
        await mailroom.prepare()
        yield WorkerFixture(site_valkey.url, tmp_path, far, mailroom)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts that a test can wait for."""
    monkeypatch.setattr(retry, "RETRY_AFTER", (0.1, 0.2, 0.3, 0.4))
    monkeypatch.setattr(retry, "LIMITED", 0.1)
