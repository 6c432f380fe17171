"""Alerts: a quiet source, a held box, a consent not in force, a destination paused, down, up or unusable, a bad book.

Comes in: a short stable code and a sentence without values. Goes out: a line of the log, and JSON posted to the address
of `alerts:`, at most once an hour for the same code and the same object. Never blocks or fails a delivery.
"""

import asyncio
import logging
from collections.abc import Sequence

from mailroom import Mailroom, StoreUnavailable
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
        self._address = ""
        self._tasks: set[asyncio.Task[bool]] = set()

    def aim(self, address: str) -> None:
        """Set where alerts are posted to."""
        self._address = address

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

    async def _post(self, code: str, text: str, ends: Sequence[str], about: dict[str, str]) -> bool:
        what = "|".join((code, *about.values()))
        try:
            if not await self._mailroom.first(what, QUIET):
                return True
            if not await self._told(code, {"alert": code, "text": text, **about}):
                await self._mailroom.forget_first(what)  # The next occasion posts it.
                return False
            for end in ends:
                await self._mailroom.forget_first("|".join((end, *about.values())))
        except StoreUnavailable as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)
            return False
        return True

    async def _told(self, code: str, body: dict[str, str]) -> bool:
        try:
            answer = await self._http.exchange().request("POST", self._address, json=body)
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
