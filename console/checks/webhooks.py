"""When each source's last webhook came, in words: of platforms without an API for webhooks nothing else tells it.

Comes in: a mailroom. Goes out: a HealthCheck for each source that ever sent one, for each that a person holds, and for
each place of the book that never finds anything. Never judges by itself that a source is too quiet: the workers do, who
know its rhythm.
"""

import time

from console.checks.store import HealthCheck
from console.render import tables
from mailroom import Mailroom, observations
from mailroom.holds import SourceHold, SourceHolds
from rules.event_types.base import from_epoch


async def check(mailroom: Mailroom) -> list[HealthCheck]:
    """Return when the last webhook of each source was taken, the newest first, and what is odd about some.

    Raises StoreUnavailable.
    """
    now = int(time.time() * 1000)
    came = sorted((await mailroom.came()).items(), key=lambda each: -each[1])
    quiet = await observations.find_told(mailroom)
    pages = await observations.read_counts(mailroom, now)
    found = [
        HealthCheck(
            "webhooks",
            True,
            f"{source}: last {tables.duration(max(0, now - at))} ago, {from_epoch(at)}"
            f"{', unusually long for it' if source in quiet else ''}",
            "relais sources list" if source in quiet else "",
        )
        for source, at in came
    ]
    for source, _ in sorted(came):
        found += [
            HealthCheck(
                "places",
                True,
                f"{source}: {one.name} found nothing in {one.events:,} of {one.events:,} events since {one.since}",
                f"is {one.name.partition(' ')[0].replace('.', ': ')}: in the book right? relais sources list",
            )
            for one in observations.find_empty(pages, source)
        ]
    return found + [_describe_hold(hold, now) for _, hold in sorted((await SourceHolds(mailroom).all()).items())]


def _describe_hold(hold: SourceHold, now: int) -> HealthCheck:
    """Return that a source is held, by whom and since when: what comes of it waits."""
    by, why = (f" by {hold.by}" if hold.by else ""), (f": {hold.why}" if hold.why else "")
    until = f" until {from_epoch(hold.until)[:16]}Z" if hold.until else ""
    says = f"{hold.source}: held{by} for {tables.duration(max(0, now - hold.at))}{until}{why}; what comes is not routed"
    return HealthCheck("holds", True, says, f"relais sources held {hold.source}, relais sources release {hold.source}")
