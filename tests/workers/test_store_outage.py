"""A call of the store is made again until it is answered."""

import asyncio
import contextlib

import pytest

from mailroom import StoreUnavailable
from tests.conftest import wait_until_async
from workers import store_outage

pytestmark = pytest.mark.anyio


class Away:
    """A store that does not answer so many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.calls = 0

    async def ask(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise StoreUnavailable("away")
        return "answer"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(store_outage, "AWAY", 0.001)


@pytest.mark.parametrize("times", [0, 1, 25])
async def test_until_answered(times: int) -> None:
    """However long the store stays away, its answer comes back, and it is not asked again after that."""
    store = Away(times)
    assert await store_outage.retry_until_answered(store.ask) == "answer"
    assert store.calls == times + 1


async def test_cancelled() -> None:
    """Who does not want to wait any longer cancels."""
    store = Away(1_000_000)
    task = asyncio.create_task(store_outage.retry_until_answered(store.ask))

    async def asked_thrice() -> bool:
        return store.calls >= 3

    await wait_until_async(asked_thrice, "it asks again and again")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    asked = store.calls
    await asyncio.sleep(0.01)
    assert store.calls == asked


async def test_another_error() -> None:
    """What is no outage is no reason to ask again."""

    async def broken() -> str:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await store_outage.retry_until_answered(broken)


def test_not_in_a_hurry() -> None:
    """A store that stays away is a line of the log now and then, not one per attempt."""
    assert 10 <= store_outage.SAY_EVERY <= 600
