"""The rates and quotas of vendors' keys, as a worker knows them.

Comes in: the book, secrets, what drains and answers teach. Goes out: what each key may be used for, said to the store
again and again, since that knows no zones; and alerts. Never counts: the store does, in the step that leases.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from mailroom import Mailroom, QuotaState
from rules.errors import SecretMissing
from rules.quota import Quota
from rules.rulebook import Destination, Rulebook
from rules.secret import find_key
from workers.alerts import AlertSender
from workers.destinations.base import Reveal

#: Seconds of a rate that may be sent in one burst: at 100/s ten requests, at 5/s one.
BURST = 0.1
#: Seconds after which the store is told again which page it is, and people how long the quota lasts.
TELL_EVERY = 60.0
#: Days of a page, to compare quotas of different pages.
DAYS = {"day": 1, "month": 30}


@dataclass(frozen=True)
class Meter:
    """What destinations with one key may send together: of what they say, the least."""

    #: The key itself: it leaves this process only as a keyed hash.
    credential: str
    #: The names of its references.
    name: str
    rooms: tuple[str, ...]
    #: ms per request, 0: any.
    every: float
    quota: Quota | None

    @property
    def burst(self) -> int:
        """Requests that may go at once."""
        return burst_of(self.every)


def burst_of(every: float) -> int:
    """Return how many requests may go at once at so many ms per request."""
    return max(1, int(BURST * 1000 / every)) if every else 1


def every_of(destination: Destination) -> float:
    """Return the ms per request of a destination's own rate, 0 where it has none."""
    rate = destination.limit
    return rate.per / rate.n if rate is not None else 0.0


def find_credential(name: str, options: BaseModel, reveal: Reveal) -> tuple[str, str]:
    """Return the key of a destination, and the name of its reference; one without secrets has a key of its own.

    Raises SecretMissing.
    """
    secrets = find_key(options)
    if not secrets:
        return f"destination {name}", name
    references = [reference for secret in secrets for reference in secret.names]
    return "\n".join(reveal(secret) for secret in secrets), " ".join(dict.fromkeys(references)) or name


def read_meters(book: Rulebook, reveal: Reveal) -> tuple[Meter, ...]:
    """Return what the keys of a book may be used for.

    A rate that one destination has for itself is none of these: its room counts it. Keys that are missing here are left
    out; the worker that has them says what they may be used for.
    """
    by_key: dict[str, list[Destination]] = {}
    names: dict[str, str] = {}
    for destination in book.destinations.values():
        try:
            credential, name = find_credential(destination.name, destination.options, reveal)
        except SecretMissing:
            continue
        by_key.setdefault(credential, []).append(destination)
        names.setdefault(credential, name)
    found = []
    for credential, users in by_key.items():
        quotas = [user.quota for user in users if user.quota is not None]
        every = max(every_of(user) for user in users)
        if quotas or (every and len(users) > 1):
            least = min(quotas, key=lambda quota: quota.number / DAYS[quota.per], default=None)
            rooms = tuple(user.name for user in users)
            found.append(Meter(credential, names[credential], rooms, every, least))
    return tuple(found)


class QuotaKeeper:
    """What one worker knows of rates and quotas."""

    def __init__(self, mailroom: Mailroom, alerts: AlertSender) -> None:
        self._mailroom = mailroom
        self._alerts = alerts
        self._meters: tuple[Meter, ...] = ()
        #: Room -> the quota of its key.
        self.quotas: Mapping[str, Quota] = {}
        #: Room -> leases that no request was sent for, and requests left as the vendor says: for the next beat.
        self._unsent: Counter[str] = Counter()
        self._left: dict[str, int] = {}
        self._told_at = 0.0
        #: Of which keys, pages and facts people were told.
        self._alerted: set[tuple[str, int, str]] = set()

    async def use(self, meters: Sequence[Meter]) -> None:
        """Take what a new book says, and tell the store. Raises StoreUnavailable."""
        self._meters = tuple(meters)
        self.quotas = {room: meter.quota for meter in meters for room in meter.rooms if meter.quota is not None}
        await self._tell_store()

    async def look(self) -> None:
        """Once a minute: tell the store which page it is, and people what will not last. Raises StoreUnavailable."""
        if self._meters and time.monotonic() - self._told_at >= TELL_EVERY:
            await self._tell_store()
            if self.quotas:
                self._tell_people(await self._mailroom.quotas())

    async def _tell_store(self) -> None:
        for meter in self._meters:
            await self._mailroom.set_quota(
                meter.credential, meter.name, meter.rooms, every=meter.every, burst=meter.burst, quota=meter.quota
            )
        self._told_at = time.monotonic()

    def _tell_people(self, states: Sequence[QuotaState]) -> None:
        for state in states:
            if not (state.ends and self.quotas.keys() & set(state.rooms)):
                continue
            ends, who = _moment(state.ends), ", ".join(state.rooms)
            of = f"{state.used} of {state.limit} requests of {state.name} ({who}) are used"
            if state.used_up:
                kept = f" ({state.left} are left for urgent ones)" if state.left else ""
                self._alert("quota_used_up", state, f"{of}: deliveries wait until {ends}{kept}")
            elif state.gone_at:
                self._alert("quota_ends_early", state, f"{of}: gone about {_moment(state.gone_at)}, renewed {ends}")

    def _alert(self, code: str, state: QuotaState, text: str) -> None:
        if (state.name, state.ends, code) not in self._alerted:
            self._alerted.add((state.name, state.ends, code))
            self._alerts.tell(code, text, credential=state.name)

    def note_unsent(self, room: str) -> None:
        """Remember that a lease of a room asked nobody, so that its request counts as unspent."""
        if room in self.quotas:
            self._unsent[room] += 1

    def note_left(self, room: str, left: int) -> None:
        """Remember how many requests of its key are left, as the vendor says."""
        self._left[room] = min(left, self._left.get(room, left))

    def take_learned(self) -> list[tuple[str, int, int | None]]:
        """Return what is to be said with the next beat: room, leases without a request, requests left."""
        learned = [(room, self._unsent[room], self._left.get(room)) for room in {*self._unsent, *self._left}]
        self._unsent.clear()
        self._left.clear()
        return learned


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
