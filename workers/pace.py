"""Admits the requests to a destination that no lease has accounted for.

Comes in: a room, and whether this drain may still send. Goes out: nothing, once a request may be sent, or the failure
of a delivery that must send none; what answers say of limits goes to the store. Never counts: the store does.
"""

import asyncio
import time
from collections.abc import Callable

from mailroom import Mailroom
from workers import limit_headers, store_outage
from workers.http import HttpAnswer
from workers.outcome import Failed
from workers.quotas import QuotaKeeper

#: Seconds at the most after which a look-up asks again whether the quota of its key has a new page.
NEW_PAGE = 300.0


class SharedPace:
    """The rate and quota of one room, shared by all workers, and the rest that its destination asked for."""

    def __init__(
        self, room: str, mailroom: Mailroom, quotas: QuotaKeeper, may_send: Callable[[], bool], *, usual: bool = False
    ) -> None:
        """`may_send`: whether the lease is good. `usual`: leave what the quota keeps for urgent actions."""
        self._room = room
        self._mailroom = mailroom
        self._quotas = quotas
        self._may_send = may_send
        self._usual = usual

    async def wait(self) -> None:
        """Return when one more request may be sent. Raises Failed when it must not be sent any more."""
        seconds = await self._ask(1)
        while seconds > 0:
            await asyncio.sleep(seconds)
            seconds = await self._ask(0)
        if not self._may_send():
            raise Failed("transient", "lease_lost", hint="somebody else may be at it already")

    async def _ask(self, requests: int) -> float:
        said = await store_outage.retry_until_answered(
            lambda: self._mailroom.pace(self._room, requests, usual=self._usual)
        )
        if said.used_up:
            raise Failed("limited", "quota_used_up", wait=min(said.rest, NEW_PAGE), hint="its key has no request left")
        if said.rest:
            raise Failed("limited", "limited", wait=said.rest, hint="the destination asked to be left alone meanwhile")
        return said.wait

    async def hear(self, answer: HttpAnswer) -> None:
        """Learn from what an answer says of the vendor's limits; one that is used up closes the room."""
        limits = limit_headers.read(answer.headers)
        if not limits:
            return
        quota = self._quotas.quotas.get(self._room)
        if quota is not None and (left := limit_headers.find_left(limits, quota, int(time.time() * 1000))) is not None:
            self._quotas.note_left(self._room, left)
        if answer.ok and (rest := limit_headers.find_rest(limits)):  # a refusal is read by whoever asked
            await store_outage.retry_until_answered(lambda: self._mailroom.rest(self._room, rest))
