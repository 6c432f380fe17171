"""What the receivers see of each source: what came how often, when, and which secret proved it.

Comes in: what a receiver counted, once a second; or the store. Goes out: counts by day, times. Names of sources, of
fields, of secrets' references and codes only, never a value of anybody.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mailroom import rhythm, shapes
from mailroom.client import MailroomClient
from mailroom.shapes import TypeSample

DAY = 86_400_000  # ms
MINUTE = 60_000  # ms
#: Days for which counts are kept, and minutes: four weeks say what is usual, and some days more are over at their end.
COUNTS_KEEP, MINUTES_KEEP = 8, 36
#: Days by which is said how often a source usually sends.
GAP_DAYS = 7


@dataclass
class SourceNotes:
    """What a receiver saw since it last wrote it down."""

    #: What happened and the source (`taken|shop`, `refused|shop|bad_json`, `unread|shop|birthday`) -> how often.
    counts: Counter[str] = field(default_factory=Counter)
    #: Source -> when its last webhook was taken, ms.
    came: dict[str, int] = field(default_factory=dict)
    #: Sources, each with a minute since 1970 in which a webhook of it was taken.
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
    for key in ("came", "verified", f"sources:{now // DAY}"):
        pipe.hgetall(mailroom.key(key))
    came, verified, page = await mailroom.read(pipe.execute())
    told = await find_told(mailroom)
    times = {name.decode(): int(at) for name, at in verified.items()}
    counts = {name.decode(): int(n) for name, n in page.items()}
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
        )
    return found


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
