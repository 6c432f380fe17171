"""What a key of a vendor was used for, as people and workers read it.

Comes in: the fields of `quota:<hash>` and the store's time. Goes out: a frozen record, with a forecast. Never counts:
the functions in the store do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: Fields of the store that are read, in this order.
FIELDS = (
    "name",
    "own",
    "limit",
    "reserve",
    "begins",
    "ends",
    "after",
    "used",
    "told",
    "mark",
    "before",
    "rests",
    "rooms",
)
#: Milliseconds after which what was used since says how fast it goes.
TELLING = 600_000


@dataclass(frozen=True)
class QuotaState:
    """What is left of a key's quota. Moments are ms of the store's clock."""

    #: The name of the key's reference in the book, never the key.
    name: str
    used: int
    limit: int
    #: Requests that only urgent actions may use (or, at a source, people).
    reserve: int
    #: When the page (day, month) ends and all is left again; 0: nobody has said which page it is, so nothing is sent.
    ends: int
    #: The destinations that are bound by it; none: only a source that is pulled from is.
    rooms: tuple[str, ...] = ()
    #: When all but the reserve is gone, at the pace of the last half hour; 0: not before the page ends, or unknown.
    gone_at: int = 0

    @property
    def left(self) -> int:
        """Requests left, the reserve included."""
        return max(0, self.limit - self.used)

    @property
    def used_up(self) -> bool:
        """Whether only what is urgent is sent, or nothing at all."""
        return self.left <= self.reserve


def read_quota(values: Sequence[bytes | None], now: int) -> tuple[QuotaState | None, int]:
    """Return the quota that FIELDS tell of (None: there is none), and until when the key is left alone (0: it is not).

    Where nothing at all is known of a key its quota has no name, and nothing is left of it.
    """
    told = dict(zip(FIELDS, ((value or b"").decode() for value in values), strict=True))
    rests = int(told["rests"] or 0)
    rests = rests if rests > now else 0
    if not told["limit"]:
        return None if told["name"] else QuotaState("", 0, 0, 0, 0), rests
    limit, reserve = int(told["limit"]), int(told["reserve"] or 0)
    begins, ends, after = (int(told[word] or 0) for word in ("begins", "ends", "after"))
    rooms = tuple(told["rooms"].split()) if told["own"] else ()
    if begins <= now < ends:
        used = int(told["used"] or 0) + int(told["told"] or 0)
        gone_at = _foresee(used, limit - reserve, (told["mark"], told["before"]), now)
        return QuotaState(told["name"], used, limit, reserve, ends, rooms, gone_at if gone_at < ends else 0), rests
    # Nothing was used since the page began; whoever leases next begins it in the store.
    return QuotaState(told["name"], 0, limit, reserve, after if ends <= now < after else 0, rooms), rests


def _foresee(used: int, usual: int, marks: Sequence[str], now: int) -> int:
    for mark in filter(None, marks):
        at, before = map(int, mark.split())
        if now - at >= TELLING:
            spent = used - before
            return now + (usual - used) * (now - at) // spent if spent > 0 and used < usual else 0
    return 0
