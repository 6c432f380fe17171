"""A program of version 0.1.0 beside ours: its own functions in the store, called with the arguments that it gave them.

Comes in: the store's address, messages, what a drain wants. Goes out: what the functions answer, or FormerRefused. Uses
nothing of this version but the keyed hash, which is the same.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from mailroom.hashing import Hasher, former_event_id

LIBRARY = (Path(__file__).parent / "schema_1.lua").read_text(encoding="utf-8")
PREFIX = "relais:{p0}:"
#: What 0.1.0 passed to `put`: how long ids and bodies are remembered, ms.
DEDUPE_WINDOW, BODY_WINDOW = 86_400_000, 60_000


class FormerRefused(Exception):
    """The store refuses it, in these words."""


@dataclass(frozen=True)
class FormerLease:
    """A box that it leased."""

    room: str
    box: str
    token: str
    items: Sequence[tuple[str, bytes]]


class FormerProgram:
    """One connection of it."""

    def __init__(self, url: str) -> None:
        self.store: Any = redis.Redis.from_url(url, socket_timeout=30)
        self.name = "relais_" + hashlib.sha256(LIBRARY.encode()).hexdigest()[:12]
        self.hash = Hasher(b"")

    def start(self) -> None:
        """Load the functions, agree on schema and hash key, as it did. Raises FormerRefused."""
        try:
            self.store.execute_command("FUNCTION", "LOAD", LIBRARY.replace("@LIBRARY@", self.name))
        except redis.exceptions.ResponseError as exc:
            if "already exists" not in str(exc):
                raise
        self.store.set(f"{PREFIX}schema", "1", nx=True)
        found = self.store.get(f"{PREFIX}schema")
        if found != b"1":
            raise FormerRefused(f"the store's schema is version {found!r}")
        self.store.set(f"{PREFIX}hash_key", "k" * 43 + "=", nx=True)
        key = self.store.get(f"{PREFIX}hash_key")
        assert isinstance(key, bytes)
        self.hash = Hasher(key)

    def close(self) -> None:
        self.store.close()

    def call(self, function: str, *args: Any) -> Any:
        """Call a function of the library. Raises FormerRefused."""
        try:
            return self.store.execute_command("FCALL", f"{self.name}_{function}", 1, PREFIX, *args)
        except redis.exceptions.ResponseError as exc:
            raise FormerRefused(str(exc)) from exc

    def put(self, source: str, sender_id: str, body: dict[str, str]) -> bool:
        """Keep a message about a person as its receiver did; False: it was kept before. Raises FormerRefused."""
        id, key = former_event_id(source, sender_id, 0), f"email:{body['email']}"
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"source": source, "kind": "generic", "type": body["event"], "at": at, "key": key, "sender": sender_id}
        box = self.hash(key)
        record = json.dumps({**head, "who": [box]}) + "\n" + json.dumps(body)
        origin = f"{source}|{body['event']}"
        (known,) = self.call("put", DEDUPE_WINDOW, BODY_WINDOW, "default", id, box, "", origin, record)
        return bool(known == b"")

    def beat(self, drain: str, *, register: bool = False) -> bool:
        """Say that a drain lives. Raises FormerRefused."""
        return bool(self.call("beat", drain, "default", int(register)))

    def say_parent(self, name: str, workers: int, turn: int) -> None:
        """Say that a `relais work` lives, with so many workers; none: it ends."""
        if workers:
            self.store.hset(f"{PREFIX}parents", name, f"default {workers} {turn}")
        else:
            self.store.hdel(f"{PREFIX}parents", name)

    def leave(self, drain: str) -> None:
        """A drain ends. Raises FormerRefused."""
        self.call("leave", drain, "default")

    def take(self, drain: str, token: str, *rooms: str, boxes: int = 4, per_box: int = 4) -> list[FormerLease]:
        """Lease boxes. Raises FormerRefused."""
        out = self.call("take", drain, token, 0, *(word for room in rooms for word in (room, boxes, per_box)))
        leases, i = [], 3
        while i < len(out):
            end = i + 6 + 2 * out[i + 5]
            items = [(out[k].decode(), out[k + 1]) for k in range(i + 6, end, 2)]
            leases.append(FormerLease(out[i].decode(), out[i + 1].decode(), token, items))
            i = end
        return leases

    def settle(self, drain: str, lease: FormerLease, n: int, *new: Sequence[Any], says: str = "") -> int:
        """Say that the n-th item of a lease is done; `new`: room, box, id and record of each delivery that follows.

        Returns 1 where the lease was still its own. Raises FormerRefused.
        """
        item = lease.items[n][0]
        args: list[Any] = [drain, "none", "default", lease.room, lease.box, lease.token, item, "done", "", 0, 0]
        last = int(n == len(lease.items) - 1)
        event = item.partition(".")[0]
        args += [last, event, 0, datetime.now(UTC).date().isoformat(), "", "", says, len(new)]
        for each in new:
            args += [*each, 0, "", 0, "", 0, ""]
        return int(self.call("settle", *args)[0][0])
