"""Whether one more request may be sent, as the store says."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from mailroom import Mailroom
from mailroom.records import Pace
from workers import pace
from workers.http import HttpAnswer
from workers.outcome import Failed
from workers.pace import SharedPace
from workers.quotas import QuotaKeeper


class PaceOnly:
    """A mailroom that says one answer after the other, and notes what it was asked."""

    def __init__(self, *answers: Pace) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int, bool]] = []
        self.rested: list[tuple[str, float]] = []

    async def pace(self, room: str, requests: int, *, usual: bool) -> Pace:
        self.asked.append((room, requests, usual))
        return self.answers.pop(0)

    async def rest(self, room: str, seconds: float) -> None:
        self.rested.append((room, seconds))


def shared(room: PaceOnly, *, usual: bool = False, may_send: Callable[[], bool] = lambda: True) -> SharedPace:
    mailroom: Any = room
    return SharedPace("crm", cast(Mailroom, mailroom), QuotaKeeper(mailroom, cast(Any, None)), may_send, usual=usual)


def answer(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, "", b"", False)


def test_wait() -> None:
    """One request is counted, and the time is asked for again until it is there."""
    room = PaceOnly(Pace(wait=0.001), Pace(wait=0.001), Pace())
    asyncio.run(shared(room, usual=True).wait())
    assert room.asked == [("crm", 1, True), ("crm", 0, True), ("crm", 0, True)]


@pytest.mark.parametrize(
    ("said", "code", "wait"),
    [
        (Pace(rest=7.0), "limited", 7.0),
        (Pace(rest=7.0, used_up=True), "quota_used_up", 7.0),
        (Pace(rest=86_400.0, used_up=True), "quota_used_up", pace.NEW_PAGE),
    ],
)
def test_must_not(said: Pace, code: str, wait: float) -> None:
    """A resting destination and a quota that is used up are failures that say how long; a new page may come early."""
    with pytest.raises(Failed) as failed:
        asyncio.run(shared(PaceOnly(said)).wait())
    assert (failed.value.failure, failed.value.code, failed.value.wait) == ("limited", code, wait)


def test_lease_lost_meanwhile() -> None:
    """Whoever has lost the lease while it waited sends nothing."""
    with pytest.raises(Failed) as failed:
        asyncio.run(shared(PaceOnly(Pace()), may_send=lambda: False).wait())
    assert failed.value.code == "lease_lost"


def test_hear() -> None:
    """An answer that used the limit up closes the room; a refusal is left to whoever asked, and others say nothing."""
    room = PaceOnly()
    asyncio.run(shared(room).hear(answer(200, ratelimit_remaining="0", ratelimit_reset="20")))
    assert room.rested == [("crm", 20.0)]
    asyncio.run(shared(room).hear(answer(429, ratelimit_remaining="0", ratelimit_reset="20")))
    asyncio.run(shared(room).hear(answer(200)))
    assert len(room.rested) == 1
