"""The book that is only observed beside the one in force: which it is, since when, and what would differ.

Comes in: a book's version and files, or the store. Goes out: the marks by which the workers learn of it, or what their
settlements counted. Names of rules, ids of events and numbers only.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailroom.client import MailroomClient
from mailroom.records import as_json

#: Events that are listed.
MOST_EVENTS = 20


@dataclass(frozen=True, slots=True)
class ShadowState:
    """The book that is observed, and what was seen."""

    version: str
    #: When that began, ms since 1970, and who wanted it.
    at: int
    by: str
    #: `same`, `differs` and `failed` -> events; `<change>|<action>|<rule>` -> deliveries.
    counts: Mapping[str, int] = field(default_factory=dict)
    #: The same -> when it was the last time, ms since 1970.
    last: Mapping[str, int] = field(default_factory=dict)
    #: The latest events that differ, newest first.
    events: tuple[str, ...] = ()


async def begin(mailroom: MailroomClient, version: str, files: Mapping[str, str], by: str) -> None:
    """Let the workers observe a book; what was seen of it before is forgotten. Raises StoreUnavailable."""
    pipe = mailroom.store.pipeline(transaction=False)
    pipe.hsetnx(mailroom.key("books"), version, as_json(files))
    pipe.delete(mailroom.key(f"shadow:{version}"), mailroom.key(f"shadowed:{version}"))
    pipe.hset(mailroom.key("shadow"), mapping={"version": version, "at": time.time_ns() // 1_000_000, "by": by})
    await mailroom.read(pipe.execute())


async def end(mailroom: MailroomClient) -> str:
    """Let nobody observe it any more. Returns its version, '' where there was none. Raises StoreUnavailable."""
    version = await find_version(mailroom)
    await mailroom.read(mailroom.store.delete(mailroom.key("shadow")))
    return version


async def find_version(mailroom: MailroomClient) -> str:
    """Return the version of the book to observe, '' for none. Raises StoreUnavailable."""
    found = await mailroom.read(mailroom.store.hget(mailroom.key("shadow"), "version"))
    return "" if found is None else str(found.decode())


async def read(mailroom: MailroomClient) -> ShadowState | None:
    """Return which book is observed and what was seen, None for none. Raises StoreUnavailable."""
    mark = {name.decode(): value.decode() for name, value in (await _all(mailroom, "shadow")).items()}
    if not mark:
        return None
    version = mark["version"]
    counts: dict[str, int] = {}
    last: dict[str, int] = {}
    for name, value in (await _all(mailroom, f"shadow:{version}")).items():
        head, _, rest = name.decode().partition("|")
        if head == "last":
            last[rest] = int(value)
        else:
            counts[name.decode()] = int(value)
    events = await mailroom.read(mailroom.store.lrange(mailroom.key(f"shadowed:{version}"), 0, MOST_EVENTS - 1))
    return ShadowState(version, int(mark["at"]), mark["by"], counts, last, tuple(each.decode() for each in events))


async def _all(mailroom: MailroomClient, name: str) -> Mapping[bytes, bytes]:
    found: Mapping[bytes, bytes] = await mailroom.read(mailroom.store.hgetall(mailroom.key(name)))
    return found
