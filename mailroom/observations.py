"""What the receivers see of each source: what came how often, when, and which secret proved it.

Comes in: what a receiver counted, once a second; or the store. Goes out: counts by day, times. Names of sources, of
fields, of secrets' references and codes only, never a value of anybody.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from mailroom import rhythm, shapes
from mailroom.client import MailroomClient
from mailroom.shapes import TypeSample
from rules.event_types.base import from_epoch

DAY = 86_400_000  # ms
MINUTE = 60_000  # ms
#: Days for which counts are kept, and minutes: four weeks say what is usual, and some days more are over at their end.
COUNTS_KEEP, MINUTES_KEEP = 8, 36
#: Days by which is said how often a source usually sends.
GAP_DAYS = 7
#: Instead of a source: minutes in which a receiver was there to take webhooks.
RECEIVERS = "*"
#: What begins the names of places of the book, among what was not read.
PLACES = ("read.", "dedupe.")


@dataclass
class SourceNotes:
    """What a receiver saw since it last wrote it down."""

    #: What happened and the source (`taken|shop`, `refused|shop|bad_json`, `unread|shop|birthday`) -> how often.
    counts: Counter[str] = field(default_factory=Counter)
    #: Source -> when its last webhook was taken, ms.
    came: dict[str, int] = field(default_factory=dict)
    #: Sources, each with a minute since 1970 in which a webhook of it was taken; RECEIVERS: in which one was there.
    minutes: set[tuple[str, int]] = field(default_factory=set)
    #: Source and name of a secret (`shop|${SHOP_SECRET}`) -> when that last proved a request, ms.
    verified: dict[str, int] = field(default_factory=dict)
    #: Source -> type -> which fields samples of it had.
    shapes: dict[str, dict[str, TypeSample]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts or self.came or self.minutes or self.verified or self.shapes)

    def merge(self, later: "SourceNotes") -> None:
        """Add what was seen after this."""
        self.counts.update(later.counts)
        self.came |= later.came
        self.minutes |= later.minutes
        self.verified |= later.verified
        for source, types in later.shapes.items():
            for type, sample in types.items():
                self.shapes.setdefault(source, {}).setdefault(type, TypeSample()).merge(sample)


@dataclass(frozen=True)
class EmptyPlace:
    """A place of the book at which nothing stood in any event of a source."""

    #: As it is counted: `read.id`, `read.ignore body.attempt`.
    name: str
    #: Of how many events, and since which day (2026-11-28): of that day and all after it on which any came.
    events: int
    since: str


@dataclass(frozen=True)
class SourceView:
    """What was seen of one source."""

    #: When its last webhook was taken, ms; None: never.
    came: int | None = None
    #: Whether people were told that it is quiet.
    quiet: bool = False
    #: Minutes that usually pass between two webhooks; None: too few came to say.
    usual_gap: int | None = None
    #: Of today (UTC): events taken and quarantined, requests refused by their code, fields left out by their name.
    taken: int = 0
    quarantined: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    #: Name of a secret -> when it last proved a request, ms.
    verified: Mapping[str, int] = field(default_factory=dict)
    empty: tuple[EmptyPlace, ...] = ()


async def write(mailroom: MailroomClient, notes: SourceNotes) -> None:
    """Write what a receiver saw. Raises StoreUnavailable."""
    now = int(time.time() * 1000)
    page = mailroom.key(f"sources:{now // DAY}")
    pipe = mailroom.store.pipeline(transaction=False)
    for name, n in notes.counts.items():
        pipe.hincrby(page, name, n)
    if notes.counts:
        pipe.expire(page, COUNTS_KEEP * DAY // 1000)
    for source, minute in notes.minutes:
        day, bit = divmod(minute, rhythm.DAY)
        bits = mailroom.key(f"busy:{day}:{source}")
        pipe.setbit(bits, bit, 1)
        pipe.expire(bits, MINUTES_KEEP * DAY // 1000)
    for key, times in (("came", notes.came), ("verified", notes.verified)):
        for name, at in times.items():
            pipe.hset(mailroom.key(key), name, str(at))
    if len(pipe):
        await mailroom.read(pipe.execute())
    for source, samples in notes.shapes.items():
        await shapes.write(mailroom, source, samples, now)


async def read(mailroom: MailroomClient, sources: Collection[str], now: int) -> dict[str, SourceView]:
    """Return what was seen of sources; `now`: ms since 1970. Raises StoreUnavailable."""
    pipe = mailroom.store.pipeline(transaction=False)
    for key in ("came", "verified"):
        pipe.hgetall(mailroom.key(key))
    came, verified = await mailroom.read(pipe.execute())
    told, pages = await find_told(mailroom), await read_counts(mailroom, now)
    times = {name.decode(): int(at) for name, at in verified.items()}
    counts = pages.get(now // DAY, {})
    found = {}
    for source in sources:
        minutes = await read_minutes(mailroom, source, now, GAP_DAYS)
        at = came.get(source.encode())
        found[source] = SourceView(
            None if at is None else int(at),
            source in told,
            rhythm.find_usual_gap([each for each in minutes if each * MINUTE > now - GAP_DAYS * DAY]),
            counts.get(f"taken|{source}", 0),
            counts.get(f"quarantined|{source}", 0),
            _below(counts, f"refused|{source}|"),
            _below(counts, f"unread|{source}|"),
            _below(times, f"{source}|"),
            tuple(find_empty(pages, source)),
        )
    return found


async def read_counts(mailroom: MailroomClient, now: int) -> dict[int, dict[str, int]]:
    """Return what was counted on each day that is kept, the newest first. Raises StoreUnavailable."""
    days = range(now // DAY, now // DAY - COUNTS_KEEP, -1)
    pipe = mailroom.store.pipeline(transaction=False)
    for day in days:
        pipe.hgetall(mailroom.key(f"sources:{day}"))
    pages = await mailroom.read(pipe.execute())
    return {
        day: {name.decode(): int(n) for name, n in page.items()} for day, page in zip(days, pages, strict=True) if page
    }


def find_empty(pages: Mapping[int, Mapping[str, int]], source: str) -> Iterator[EmptyPlace]:
    """Yield the places at which nothing stood in any event of a source: on its newest day, and since when.

    `pages`: what was counted on each day, the newest first.
    """
    counted = [
        (day, events, _below(page, f"unread|{source}|"))
        for day, page in pages.items()
        if (events := page.get(f"taken|{source}", 0) + page.get(f"quarantined|{source}", 0))
    ]
    names = [name for name in sorted(counted[0][2]) if name.startswith(PLACES)] if counted else []
    for name in names:
        of, since = 0, 0
        for day, events, unread in counted:
            if unread.get(name, 0) < events:
                break
            of, since = of + events, day
        if of:
            yield EmptyPlace(name, of, from_epoch(since * DAY)[:10])


async def read_minutes(mailroom: MailroomClient, source: str, now: int, days: int) -> list[int]:
    """Return the minutes since 1970, of so many days before today and of today, in which webhooks of a source came."""
    wanted = range(now // DAY - days, now // DAY + 1)
    keys = [mailroom.key(f"busy:{day}:{source}") for day in wanted]
    bits = await mailroom.read(mailroom.store.mget(keys))
    return rhythm.find_minutes({day: each for day, each in zip(wanted, bits, strict=True) if each})


async def find_told(mailroom: MailroomClient) -> dict[str, int]:
    """Return source -> when its last webhook came, ms, of those whose silence people were told.

    Raises StoreUnavailable.
    """
    found = await mailroom.read(mailroom.store.hgetall(mailroom.key("quiet")))
    return {source.decode(): int(since) for source, since in found.items()}


async def remember_told(mailroom: MailroomClient, source: str, since: int) -> None:
    """Remember that people were told that a source is quiet. Raises StoreUnavailable."""
    await mailroom.read(mailroom.store.hset(mailroom.key("quiet"), source, str(since)))


async def forget_told(mailroom: MailroomClient, source: str) -> None:
    """Forget that a source was quiet. Raises StoreUnavailable."""
    await mailroom.read(mailroom.store.hdel(mailroom.key("quiet"), source))


def _below(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)}
