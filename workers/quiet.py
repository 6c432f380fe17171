"""Sources that are silent for unusually long: told once, and once that they are back.

Comes in: the book, when webhooks came, as receivers noted it. Goes out: alerts. One worker of all looks once a minute,
and what was told stands in the store, so a restart tells nothing twice. Never judges a source that a person holds, nor
any while no receiver lives; the time in which none did is no silence.
"""

import asyncio
import logging
import time
from uuid import uuid4

from mailroom import Mailroom, StoreUnavailable, observations, rhythm
from mailroom.holds import SourceHolds
from mailroom.keys import NO_POOL
from mailroom.observations import MINUTE
from rules.rulebook import Rulebook, Source
from workers.alerts import AlertSender

log = logging.getLogger("relais.quiet")

#: Seconds between two looks, and for which the right to look is kept.
LOOK_EVERY, LOCK = 60.0, 150
#: Days before today of which it is known in which minutes webhooks came: four weeks, and the span that is looked at.
DAYS = 35

ALERT, BACK = "source_quiet", "source_back"


class QuietWatch:
    """What one worker knows of silent sources."""

    def __init__(self, mailroom: Mailroom, alerts: AlertSender) -> None:
        self._mailroom = mailroom
        self._alerts = alerts
        self._name = uuid4().hex
        self._looked = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def look_soon(self, book: Rulebook) -> None:
        """Once a minute: look, in the background."""
        if time.monotonic() - self._looked >= LOOK_EVERY and (self._task is None or self._task.done()):
            self._looked = time.monotonic()
            self._task = asyncio.get_running_loop().create_task(self._look_alone(book))

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look_alone(self, book: Rulebook) -> None:
        try:
            if await self._mailroom.hold("watching", self._name, LOCK):
                await self.look(book, time.time_ns() // 1_000_000)
        except StoreUnavailable:
            pass  # the next look finds the same
        except Exception:
            log.exception("quiet.bug")

    async def look(self, book: Rulebook, now: int) -> None:
        """Tell which sources are silent, and which are not any more; `now`: ms. Raises StoreUnavailable."""
        came, told = await self._mailroom.came(), await observations.find_told(self._mailroom)
        for name, since in told.items():
            if name not in book.sources or book.sources[name].quiet_after == 0:
                await observations.forget_told(self._mailroom, name)
            elif came.get(name, 0) > since:
                text = f"{name} is back: a webhook came after {_span(came[name] - since)}"
                if await self._alerts.deliver(BACK, text, ends=(ALERT,), source=name):
                    await observations.forget_told(self._mailroom, name)
        if not await self._receives():
            return
        held = await SourceHolds(self._mailroom).all()
        receivers = await observations.read_minutes(self._mailroom, observations.RECEIVERS, now, DAYS)
        for name, source in book.sources.items():
            if name not in came or name in told or name in held:
                continue
            deaf = rhythm.find_deaf(receivers, came[name] // MINUTE, now // MINUTE)
            if why := await self.judge(source, came[name], now, deaf):
                away = f", {_span(len(deaf) * MINUTE)} of it without a receiver" if deaf else ""
                text = f"{name} is quiet: no webhook for {_span(now - came[name])}{away}; {why}"
                if await self._alerts.deliver(ALERT, text, ends=(BACK,), source=name):
                    await observations.remember_told(self._mailroom, name, came[name])

    async def judge(self, source: Source, last: int, now: int, deaf: frozenset[int]) -> str:
        """Return in words why a silence since `last` (ms) is too long; empty: it is not. Raises StoreUnavailable.

        `deaf`: the minutes of it in which no receiver was there.
        """
        silence = now - last - len(deaf) * MINUTE
        if source.quiet_after is not None:
            too_long = 0 < source.quiet_after <= silence
            return f"quiet_after: is {_span(source.quiet_after)}" if too_long else ""
        if silence < rhythm.SHORTEST * MINUTE:
            return ""
        minutes = await observations.read_minutes(self._mailroom, source.name, now, DAYS)
        return rhythm.explain_silence(minutes, last // MINUTE, now // MINUTE, deaf)

    async def _receives(self) -> bool:
        """Return whether a receiver lives: without one all are silent, for another reason."""
        return any(pool == NO_POOL for pool, _, _ in (await self._mailroom.processes()).values())


def _span(ms: int) -> str:
    """Return a span in words, rounded down: `45 min`, `5 h`, `3 d`."""
    minutes = ms // MINUTE
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2_880 else f"{minutes // 1_440} d"
