"""Alerts: a new kind of failure, a quiet source, a held box, a destination paused, down or unusable, a bad book.

Comes in: a short stable code and a sentence without values. Goes out: a line of the log, and, at most once an hour for
the same code and object, JSON posted to the address of `alerts:`, signed after Standard Webhooks where that has a
secret, and a mail through the mail server that it names. Never blocks or fails a delivery.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from mailroom import Mailroom, StoreUnavailable, cases
from mailroom.cases import TestResult
from rules import standard_webhooks
from rules.business_hours import BusinessHours
from workers.destinations.base import Attempt
from workers.destinations.mail import MailClient, SendMail
from workers.http import Http
from workers.outcome import Failed

log = logging.getLogger("relais.alerts")

#: Seconds for which the same alert is not posted again.
QUIET = 3600
#: Seconds that the receiver of alerts may take to answer.
TIMEOUT = 5.0


@dataclass(frozen=True)
class AlertMailer:
    """Who gets alerts as mails, and what sends them."""

    client: MailClient
    to: str


class AlertSender:
    """Logs alerts, and tells them where there is an address to post or mail them to."""

    def __init__(self, http: Http, mailroom: Mailroom) -> None:
        # The address is the operator's own: a chat or monitoring server may well stand in the same network.
        self._http = http.bind(timeout=TIMEOUT, allow_private=True)
        self._mailroom = mailroom
        self._address, self._key = "", b""
        self._mailer: AlertMailer | None = None
        self._hours: BusinessHours | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def aim(
        self,
        address: str,
        key: bytes = b"",
        hours: BusinessHours | None = None,
        mailer: AlertMailer | None = None,
    ) -> None:
        """Set where alerts are posted to, and the key that signs them; empty: they are not posted, not signed.

        `hours`: outside of these they wait, and are told as one when these begin.
        """
        self._address, self._key, self._hours, self._mailer = address, key, hours, mailer

    @property
    def _reaches_people(self) -> bool:
        return bool(self._address) or self._mailer is not None

    async def look(self) -> None:
        """Tell what has waited for business hours. Raises StoreUnavailable."""
        if self._hours is None or not self._reaches_people or self._is_held():
            return
        waited = await self._mailroom.take_alerts()
        if not waited:
            return
        text = "\n".join(["while nobody was there:", *waited])
        if not any(await self._tell_each_way("held_alerts", {"alert": "held_alerts", "text": text})):
            for each in waited:
                await self._mailroom.keep_alert(each)

    def _is_held(self) -> bool:
        now = int(time.time() * 1000)
        return self._hours is not None and self._hours.next_open(now) > now

    def tell(self, code: str, text: str, *, ends: Sequence[str] = (), **about: str) -> None:
        """Log an alert, and tell it in the background. `about` names the source, destination or room concerned.

        `ends`: codes of alerts that this one revokes: the next of such a code is told before its hour is over.
        """
        _log(code, text, about)
        if self._reaches_people:
            self._begin(self._post(code, text, ends, about))

    async def deliver(self, code: str, text: str, *, ends: Sequence[str] = (), **about: str) -> bool:
        """Do the same and wait for it. Returns whether people know: also where there is no address but the log."""
        _log(code, text, about)
        return not self._reaches_people or await self._post(code, text, ends, about)

    async def test(self) -> TestResult:
        """Tell an alert that means nothing, however often, and return what became of it."""
        text = "a test of the alerts of Relais"
        _log("test", text, {})
        told = await self._tell_each_way("test", {"alert": "test", "text": text})
        if not told:
            return "log_only"
        return "told" if all(told) else "partly" if any(told) else "refused"

    def answer_soon(self, id: str) -> None:
        """Answer a test that somebody has asked for, in the background."""
        self._begin(self._answer(id))

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
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
            elif not any(await self._tell_each_way(code, {"alert": code, "text": text, **about})):
                await self._mailroom.forget_first(what)  # The next occasion tells it.
                return False
            for end in ends:
                await self._mailroom.forget_first("|".join((end, *about.values())))
        except StoreUnavailable as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)
            return False
        return True

    async def _tell_each_way(self, code: str, body: dict[str, str]) -> Sequence[bool]:
        """Tell it in each way that there is, and return of each whether somebody took it."""
        ways = [self._tell_by_post(code, body)] if self._address else []
        if self._mailer is not None:
            ways.append(self._tell_by_mail(self._mailer, code, body))
        return await asyncio.gather(*ways)

    async def _tell_by_mail(self, mailer: AlertMailer, code: str, body: dict[str, str]) -> bool:
        about = [f"{name}: {value}" for name, value in body.items() if name not in ("alert", "text")]
        subject = " ".join(("Relais:", code, *(value for name, value in body.items() if name not in ("alert", "text"))))
        text = "\n".join([body["text"], "", *about])
        mail = SendMail(to=mailer.to, subject=subject[:500], body=text)
        try:
            await mailer.client.deliver("send", mail, Attempt(f"alert-{secrets.token_hex(12)}"))
        except Failed as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)
            return False
        return True

    async def _tell_by_post(self, code: str, body: dict[str, str]) -> bool:
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
        """Wait until the alerts under way are told; a mail may take longer than a post."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * TIMEOUT)


def _log(code: str, text: str, about: dict[str, str]) -> None:
    log.warning("alert code=%s text=%s", code, text, extra={"about": about})
