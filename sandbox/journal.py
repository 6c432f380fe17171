"""The log of all requests to the sandbox, so that tests can check order and overlap.

Comes in: the start and the end of each request. Goes out: entries as JSON values. Never keeps a header, so no API key.
"""

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.calls import VendorCall

#: Entries that are kept, a bound on memory. Older ones are dropped; the counters go on.
KEPT = 100_000
#: Bytes of a body that are kept. Relais sends none that is larger.
BODY_KEPT = 8_192


@dataclass
class JournalEntry:
    """One request. `started` and `ended` are seconds of one monotonic clock, so overlaps can be seen."""

    number: int
    vendor: str
    call: VendorCall
    object: str | None
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    #: The HTTP status that was sent, 0 where the connection was torn down, None while it runs.
    status: int | None = None
    #: The injected fault: `status`, `reset` or `delay`; with the prefix `after ` if the vendor had handled the call.
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {
            "number": self.number,
            "at": self.at,
            "started": self.started,
            "ended": self.ended,
            "vendor": self.vendor,
            "method": self.call.method,
            "path": self.call.path,
            "query": dict(self.call.query),
            "object": self.object,
            "status": self.status,
            "fault": self.fault,
            "body": _shown(self.call.body[:BODY_KEPT]),
        }


def _shown(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace") or None


class Journal:
    """The log. Entries are in the order in which the requests were complete."""

    def __init__(self) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._running: Counter[str] = Counter()
        self._most: Counter[str] = Counter()

    def open(self, vendor: str, call: VendorCall, touched: str | None) -> JournalEntry:
        """Record that a request has arrived."""
        entry = JournalEntry(next(self._numbers), vendor, call, touched)
        self._entries.append(entry)
        self._running[vendor] += 1
        self._most[vendor] = max(self._most[vendor], self._running[vendor])
        return entry

    def close(self, entry: JournalEntry, status: int) -> None:
        """Record the status of its answer."""
        entry.ended = time.monotonic()
        entry.status = status
        self._running[entry.vendor] -= 1

    def entries(self, vendor: str | None = None, touched: str | None = None, after: int = 0) -> Iterator[JournalEntry]:
        """Yield the entries of a vendor, of an object, after a number. More may come meanwhile, from another thread."""
        for entry in tuple(self._entries):
            if entry.number > after and vendor in (None, entry.vendor) and touched in (None, entry.object):
                yield entry

    def most_at_once(self) -> dict[str, int]:
        """Return per vendor the largest number of requests that were under way at the same time."""
        return dict(self._most)

    def clear(self) -> None:
        """Delete all entries. Numbers go on, so that `after` stays valid. Requests under way are dropped."""
        self._entries.clear()
        self._most.clear()
