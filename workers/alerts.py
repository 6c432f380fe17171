"""Alerts: a new kind of failure, a quiet source, a held box, a destination paused, down or unusable, a bad book.

Comes in: a short stable code and a sentence without values. Goes out: a line of the log, and JSON posted to the address
of `alerts:`, signed after Standard Webhooks where that has a secret, at most once an hour for the same code and object.
Never blocks or fails a delivery.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from mailroom import Mailroom, StoreUnavailable, cases
from mailroom.cases import TestResult
from rules import standard_webhooks
from rules.business_hours import BusinessHours
from workers.http import Http
from workers.outcome import Failed

log = logging.getLogger("relais.alerts")

#: Seconds for which the same alert is not posted again.
QUIET = 3600
#: Seconds that the receiver of alerts may take to answer.
TIMEOUT = 5.0


class AlertSender:
    """Logs alerts, and posts them where there is an address."""

    def __init__(self, http: Http, mailroom: Mailroom) -> None:
        # The address is the operator's own: a chat or monitoring server may well stand in the same network.
        self._http = http.bind(timeout=TIMEOUT, allow_private=True)
        self._mailroom = mailroom
        self._address, self._key = "", b""
        self._hours: BusinessHours | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def aim(self, address: str, key: bytes = b"", hours: BusinessHours | None = None) -> None:
        """Set where alerts are posted to, and the key that signs them; empty: they are not signed.

        `hours`: outside of these they wait, and are posted as one when these begin.
        """
        self._address, self._key, self._hours = address, key, hours

    async def look(self) -> None:
        """Post what has waited for business hours. Raises StoreUnavailable."""
        if self._hours is None or not self._address or self._is_held():
            return
        waited = await self._mailroom.take_alerts()
        if not waited:
            return
        text = "\n".join(["while nobody was there:", *waited])
        if not await self._told("held_alerts", {"alert": "held_alerts", "text": text}):
            for each in waited:
                await self._mailroom.keep_alert(each)

    def _is_held(self) -> bool:
        now = int(time.time() * 1000)
        return self._hours is not None and self._hours.next_open(now) > now

    def tell(self, code: str, text: str, *, ends: Sequence[str] = (), **about: str) -> None:
        """Log an alert, and post it in the background. `about` names the source, destination or room concerned.

        `ends`: codes of alerts that this one revokes: the next of such a code is posted before its hour is over.
        """
        _log(code, text, about)
        if self._address:
            task = asyncio.get_running_loop().create_task(self._post(code, text, ends, about))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def deliver(self, code: str, text: str, *, ends: Sequence[str] = (), **about: str) -> bool:
        """Do the same and wait for it. Returns whether people know: also where there is no address but the log."""
        _log(code, text, about)
        return not self._address or await self._post(code, text, ends, about)

    async def test(self) -> TestResult:
        """Post an alert that means nothing, however often, and return what became of it."""
        text = "a test of the alerts of Relais"
        _log("test", text, {})
        if not self._address:
            return "log_only"
        return "told" if await self._told("test", {"alert": "test", "text": text}) else "refused"

    def answer_soon(self, id: str) -> None:
        """Answer a test that somebody has asked for, in the background."""
        task = asyncio.get_running_loop().create_task(self._answer(id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, id: str) -> None:
        with contextlib.suppress(StoreUnavailable):
            await cases.answer_test(self._mailroom, id, await self.test())

    async def _post(self, code: str, text: str, ends: Sequence[str], about: dict[str, str]) -> bool:
        what = "|".join((code, *about.values()))
        try:
            if not await self._mailroom.first(what, QUIET):
                return True
            if self._is_held():
                await self._mailroom.keep_alert(f"{code}: {text}")
            elif not await self._told(code, {"alert": code, "text": text, **about}):
                await self._mailroom.forget_first(what)  # The next occasion posts it.
                return False
            for end in ends:
                await self._mailroom.forget_first("|".join((end, *about.values())))
        except StoreUnavailable as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)
            return False
        return True

    async def _told(self, code: str, body: dict[str, str]) -> bool:
        content, id, now = to_json(body), f"msg_{secrets.token_hex(12)}", int(time.time())
        signed = standard_webhooks.sign([self._key], id, now, content) if self._key else ""
        headers = {"webhook-id": id, "webhook-timestamp": str(now), "webhook-signature": signed} if signed else None
        try:
            answer = await self._http.exchange().request("POST", self._address, content=content, headers=headers)
        except Failed as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)
            return False
        if not answer.ok:
            log.warning("alert.refused code=%s status=%d", code, answer.status)
        return answer.ok

    async def close(self) -> None:
        """Wait until the alerts under way are posted."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT)


def _log(code: str, text: str, about: dict[str, str]) -> None:
    log.warning("alert code=%s text=%s", code, text, extra={"about": about})
