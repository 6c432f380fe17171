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
from mailroom.sentences import say
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
        HealthCheck.of(
            "webhooks",
            True,
            "source_came_quiet" if source in quiet else "source_came",
            source=source,
            ago=tables.duration(max(0, now - at)),
            at=from_epoch(at),
        )
        for source, at in came
    ]
    for source, _ in sorted(came):
        found += [
            HealthCheck.of(
                "places",
                True,
                "place_empty",
                source=source,
                place=one.name,
                events=f"{one.events:,}",
                since=one.since,
                key=f"{one.name.partition(' ')[0].replace('.', ': ')}:",
            )
            for one in observations.find_empty(pages, source)
        ]
    return found + [_describe_hold(hold, now) for _, hold in sorted((await SourceHolds(mailroom).all()).items())]


def _describe_hold(hold: SourceHold, now: int) -> HealthCheck:
    """Return that a source is held, by whom and since when: what comes of it waits."""
    return HealthCheck.of(
        "holds",
        True,
        "held_source",
        source=hold.source,
        by=say("by", who=hold.by) if hold.by else "",
        since=tables.duration(max(0, now - hold.at)),
        until=say("until", at=f"{from_epoch(hold.until)[:16]}Z") if hold.until else "",
        why=f": {hold.why}" if hold.why else "",
    )
