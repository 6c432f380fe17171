"""When each source's last webhook came, in words: of platforms without an API for webhooks nothing else tells it.

Comes in: a mailroom. Goes out: a HealthCheck for each source that ever sent one. Never judges by itself that a source
is too quiet: the workers do, who know its rhythm.
"""

import time

from console.checks.store import HealthCheck
from console.render import tables
from mailroom import Mailroom, observations
from rules.event_types.base import from_epoch


async def check(mailroom: Mailroom) -> list[HealthCheck]:
    """Return when the last webhook of each source was taken, the newest first. Raises StoreUnavailable."""
    now = int(time.time() * 1000)
    came = sorted((await mailroom.came()).items(), key=lambda each: -each[1])
    quiet = await observations.find_told(mailroom)
    return [
        HealthCheck(
            "webhooks",
            True,
            f"{source}: last {tables.duration(max(0, now - at))} ago, {from_epoch(at)}"
            f"{', unusually long for it' if source in quiet else ''}",
            "relais sources list" if source in quiet else "",
        )
        for source, at in came
    ]
