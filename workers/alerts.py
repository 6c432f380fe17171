"""Tells somebody: a held key, a paused destination, one that is down or up again, a bad book, a quarantined event.

Takes a short stable code and a sentence without values; posts JSON to the address of `alerts:`, at most once an hour
for the same thing, and logs it always. Never blocks or fails a delivery.
"""

import asyncio
import logging
from collections.abc import Sequence

from mailroom import Mailroom, StoreUnavailable
from workers.http import Http
from workers.outcome import Failed

log = logging.getLogger("relais.alerts")

#: Seconds for which the same alert is not told again.
QUIET = 3600
#: Seconds that the listener may take.
TIMEOUT = 5.0


class AlertSender:
    """Where alerts go; silent (but for the log) without an address."""

    def __init__(self, http: Http, mailroom: Mailroom) -> None:
        # The address is the operator's own: a chat or monitoring server may well stand in the same network.
        self._http = http.bind(timeout=TIMEOUT, allow_private=True)
        self._mailroom = mailroom
        self._address = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def aim(self, address: str) -> None:
        """Set where alerts are posted to."""
        self._address = address

    def tell(self, code: str, text: str, *, ends: Sequence[str] = (), **about: str) -> None:
        """Tell somebody, in the background. `about` names the source, destination or room concerned.

        `ends`: the codes of alerts that this one takes back, so that they are news again when they come the next time.
        """
        log.warning("alert code=%s %s text=%s", code, " ".join(f"{k}={v}" for k, v in about.items()), text)
        if self._address:
            task = asyncio.get_running_loop().create_task(self._post(code, text, ends, about))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _post(self, code: str, text: str, ends: Sequence[str], about: dict[str, str]) -> None:
        what = "|".join((code, *about.values()))
        try:
            if not await self._mailroom.first(what, QUIET):
                return
            if not await self._told(code, {"alert": code, "text": text, **about}):
                await self._mailroom.forget_first(what)  # The next occasion tells it.
                return
            for end in ends:
                await self._mailroom.forget_first("|".join((end, *about.values())))
        except StoreUnavailable as exc:
            log.warning("alert.not_told code=%s why=%s", code, exc)

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
        """Let alerts under way finish."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT)
