"""What the mailroom should do, in plain Python: the reference that the real one is compared with.

Takes the same calls as the mailroom, at a time that it is told. Gives the same answers, and the whole contents that the
store should then have. Keeps sets where the store counts, so that it cannot make the same mistake.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.mailroom.store import DAY, StoredKey

BODY_WINDOW = 60_000
MAX_DEATHS = 3
#: Ms until the first probe of a paused room, and the longest time between two, by who paused it.
PROBES = {"breaker": (5_000, 60_000), "key": (60_000, 900_000)}
#: How long `only_once` lasts in these tests, in ms.
ONCE = 100_000


@dataclass
class OracleBox:
    """One box of a room."""

    items: list[str]
    state: str = "r"
    attempt: int = 0
    doubt: int = 0
    deaths: int = 0
    token: str = ""
    handed: int = 0
    drain: str = ""
    due: int = 0
    #: Where it stands while it waits: waiting, retry or woken.
    queue: str = "waiting"

    def head(self) -> str:
        """Return its first element as the store writes it."""
        more = {"l": f" {self.token} {self.handed}", "w": f" {self.due}"}.get(self.state, "")
        return f"{self.state} {self.attempt} {self.doubt} {self.deaths}{more}"

    def drop(self, item: str) -> None:
        """Take an item out; attempts were the first one's, doubt and what was handed count from the head."""
        place = self.items.index(item) + 1
        self.items.remove(item)
        self.attempt = 0 if place == 1 else self.attempt
        self.doubt -= place <= self.doubt
        self.handed -= place <= self.handed


@dataclass
class Limits:
    """What a room may send."""

    pool: str = "default"
    concurrency: int = 0
    every: int = 0
    burst: int = 1
    #: Boxes that fail in a row before it is paused; 0: it never is.
    breaker: int = 0
    tat: int = 0


@dataclass
class Paused:
    """Why a room is paused, and when it is looked at again."""

    #: person, breaker or key
    by: str
    probe_at: int = 0
    probe_every: int = 0


@dataclass
class Made:
    """A delivery to come, as the model sees it."""

    id: str
    room: str
    box: str
    lease: bool = False
    once: str = ""
    coalesce: str = ""
    delay: int = 0
    dead: bool = False


@dataclass
class MailroomOracle:
    """The mailroom as it should be."""

    now: int
    limits: dict[str, Limits]
    boxes: dict[tuple[str, str], OracleBox] = field(default_factory=dict)
    ready: dict[str, list[str]] = field(default_factory=dict)
    suspect: dict[str, list[str]] = field(default_factory=dict)
    paused: dict[str, Paused] = field(default_factory=dict)
    #: Boxes that failed in a row, by room. An empty list: only its key was refused.
    failing: dict[str, list[str]] = field(default_factory=dict)
    drains: dict[str, str] = field(default_factory=dict)
    memo: dict[str, tuple[str, list[tuple[str, str]], int]] = field(default_factory=dict)
    bells: dict[str, int] = field(default_factory=dict)
    #: event -> items that need it; while there is one its record stays.
    needs: dict[str, set[str]] = field(default_factory=dict)
    #: event -> when its record goes although nothing needs it any longer.
    retained: dict[str, int] = field(default_factory=dict)
    retain: dict[str, int] = field(default_factory=dict)
    seen: dict[int, set[str]] = field(default_factory=dict)
    last: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    deliveries: set[str] = field(default_factory=set)
    once: dict[str, tuple[str, int]] = field(default_factory=dict)
    newest: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)

    # -- small words

    def _ring(self, room: str, n: int = 1) -> None:
        self._ring_pool(self.limits[room].pool, n)

    def _ring_pool(self, pool: str, n: int) -> None:
        drains = sum(its == pool for its in self.drains.values())
        self.bells[pool] = max(self.bells.get(pool, 0), min(drains, self.bells.get(pool, 0) + n))

    def record(self, room: str, item: str) -> bool:
        """Whether an item still has a record."""
        return item in self.needs or item in self.retained if room == "in" else item in self.deliveries

    def _release(self, event: str, item: str, retain: int) -> None:
        needs = self.needs[event]
        needs.discard(item)
        if not needs:
            del self.needs[event]
            if retain:
                self.retained[event] = self.now + retain

    def _ready(self, room: str, name: str, *, front: bool = False) -> None:
        box = self.boxes[room, name]
        box.state, box.token, box.handed, box.drain, box.due = "r", "", 0, "", 0
        waiting = (self.suspect if box.deaths else self.ready).setdefault(room, [])
        waiting.insert(0 if front and not box.deaths else len(waiting), name)

    def _waiting(self, room: str) -> list[tuple[str, OracleBox]]:
        return [(name, box) for (its, name), box in self.boxes.items() if its == room and box.state == "w"]

    def leased(self, room: str) -> int:
        """How many boxes of a room are leased."""
        return sum(box.state == "l" for (its, _), box in self.boxes.items() if its == room)

    def allowance(self, room: str, want: int) -> tuple[int, int]:
        """Return how many may be sent now, and when the next may."""
        limits = self.limits[room]
        if paused := self.paused.get(room):
            if paused.by == "person" or want <= 0 or self.leased(room):
                return 0, 0
            if paused.probe_at > self.now:
                return 0, paused.probe_at
            want = 1
        n = min(want, limits.concurrency - self.leased(room)) if limits.concurrency else want
        if n <= 0 or not limits.every:
            return max(0, n), 0
        tat = max(limits.tat, self.now)
        free = (limits.every * limits.burst - (tat - self.now)) // limits.every
        if free < 1:
            return 0, tat - limits.every * (limits.burst - 1)
        return min(n, free), 0

    def spend(self, room: str, n: int) -> None:
        """Account for so many items sent."""
        limits = self.limits[room]
        if limits.every and n:
            limits.tat = max(limits.tat, self.now) + n * limits.every

    def _sent(self, room: str, n: int) -> None:
        """Account for so many boxes that a lease hands out."""
        self.spend(room, n)
        if n and (paused := self.paused.get(room)):
            paused.probe_every = min(2 * paused.probe_every, PROBES[paused.by][1])
            paused.probe_at = self.now + paused.probe_every

    # -- what the mailroom does

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms
        self.last = {k: v for k, v in self.last.items() if v[2] > self.now}
        self.once = {k: v for k, v in self.once.items() if v[1] > self.now}
        self.newest = {k: v for k, v in self.newest.items() if v[1] > self.now}
        self.retained = {k: v for k, v in self.retained.items() if v > self.now}
        self.memo = {k: v for k, v in self.memo.items() if v[2] > self.now}

    def put(self, events: Iterable[tuple[str, str, str, int]]) -> list[str]:
        """Put (id, box, digest, retain); return the id that each repeats."""
        answers, fresh = [], 0
        for event, name, digest, retain in events:
            known = ""
            if self._remembers(event):
                known = event
            else:
                self.seen.setdefault(self.now // DAY, set()).add(event)
            if digest and name in self.last and self.last[name][0] == digest:
                known = self.last[name][1]
            if not known and self.record("in", event):
                known = event
            answers.append(known)
            if known:
                continue
            self.quarantined.discard(event)
            self.needs[event], self.retain[event] = {event}, retain
            if digest:
                self.last[name] = (digest, event, self.now + BODY_WINDOW)
            else:
                self.last.pop(name, None)
            if ("in", name) in self.boxes:
                self.boxes["in", name].items.append(event)
            else:
                self.boxes["in", name] = OracleBox([event])
                self._ready("in", name)
                fresh += 1
        self._ring("in", fresh)
        return answers

    def _remembers(self, event: str) -> bool:
        return any(event in self.seen.get(self.now // DAY - page, ()) for page in range(4))

    def _lease(self, room: str, name: str, drain: str, token: str, per_box: int) -> list[str]:
        box = self.boxes.get((room, name))
        if box is None or box.state != "r":
            return []
        while True:
            first = box.items[:per_box]
            if not first:
                del self.boxes[room, name]
                return []
            for item in first:
                if not self.record(room, item):
                    box.drop(item)
            alive = [item for item in first if item in box.items]
            if alive:
                box.state, box.token, box.handed, box.drain = "l", token, len(alive), drain
                return alive

    def take(
        self, drain: str, request: str, wants: Iterable[tuple[str, int, int]], suspects: int
    ) -> tuple[list[tuple[str, str, int, int, int, list[str]]], int | None, int]:
        """Return leases (room, box, attempt, doubt, deaths, items), ms until more, suspects waiting."""
        if drain not in self.drains:
            return [], None, 0
        leases = []

        def lease(room: str, name: str, per_box: int) -> bool:
            items = self._lease(room, name, drain, request, per_box)
            if items:
                box = self.boxes[room, name]
                leases.append((room, name, box.attempt, box.doubt, box.deaths, items))
            return bool(items)

        memo = self.memo.get(drain)
        if memo and memo[0] == request:
            for room, name in memo[1]:
                box = self.boxes.get((room, name))
                if box and box.state == "l" and box.token == request:
                    box.state = "r"
                    lease(room, name, box.handed)
            return leases, None, 0
        times, alone, waiting = [], False, 0
        for room, boxes, per_box in wants:
            for queue in ("woken", "retry", "waiting"):
                for at, name in sorted((b.due, name) for name, b in self._waiting(room) if b.queue == queue):
                    if at <= self.now or queue == "woken":
                        self._ready(room, name)
                    else:
                        times.append(at)
            names = (self.suspect if suspects else self.ready).setdefault(room, [])
            want = boxes if not suspects else 0 if alone else min(boxes, suspects - len(leases))
            if want > 0 and names:
                n, at = self.allowance(room, want)
                if at:
                    times.append(at)
                used, rated, probed = 0, bool(self.limits[room].every), room in self.paused
                went = n > 0
                while n > 0 and not alone and names:
                    if suspects and self.boxes[room, names[0]].deaths >= MAX_DEATHS - 1:
                        if leases:
                            break
                        alone = True
                    if lease(room, names.pop(0), 1 if suspects or rated or probed else per_box):
                        n, used = n - 1, used + 1
                self._sent(room, used)
                if rated and not probed and went and n == 0 and names:
                    times.append(self.limits[room].tat - self.limits[room].every * (self.limits[room].burst - 1))
            waiting += len(self.suspect.get(room, []))
        if leases:
            self.memo[drain] = (request, [(room, name) for room, name, *_ in leases], self.now + 600_000)
        return leases, max(0, min(times) - self.now) if times else None, waiting

    def _append(self, event: str, made: Made, drain: str, token: str, leased: set[str], once: set[str]) -> bool:
        if made.id in self.deliveries:
            return False
        if made.once and not made.dead:
            if made.once in self.once:
                once.add(made.id)
                return False
            self.once[made.once] = (made.id, self.now + ONCE)
        self.deliveries.add(made.id)
        self.needs[event].add(made.id)
        if made.dead:
            self.dead[made.id] = self.now
            return True
        box = self.boxes.get((made.room, made.box))
        if made.coalesce:
            older = self.newest.get((made.room, made.coalesce), ("", 0))[0]
            if box and older in box.items:
                place = box.items.index(older) + 1
                if place > box.handed and place > box.doubt and not (box.state == "h" and place == 1):
                    box.drop(older)
                    if older in self.deliveries:
                        self.deliveries.discard(older)
                        its = older.split(".")[0]
                        self._release(its, older, self.retain[its])
            self.newest[made.room, made.coalesce] = (made.id, self.now + made.delay + DAY)
        if box:
            box.items.append(made.id)
            return True
        box = self.boxes[made.room, made.box] = OracleBox([made.id])
        if made.delay:
            box.state, box.due = "w", self.now + made.delay
        elif made.lease and self.allowance(made.room, 1)[0]:
            box.state, box.token, box.handed, box.drain = "l", token, 1, drain
            self._sent(made.room, 1)
            leased.add(made.id)
        else:
            self._ready(made.room, made.box)
            self._ring(made.room)
        return True

    def _close_down(self, room: str, by: str) -> None:
        every = PROBES[by][0]
        self.paused[room] = Paused(by, self.now + every, every)
        for _, box in self._waiting(room):
            box.queue = "woken" if box.queue == "retry" else box.queue

    def _heard(self, room: str, name: str, says: str) -> tuple[bool, list[tuple[str, str]]]:
        """Take in what an attempt tells; return whether its box stays as it was, and what is new."""
        paused = self.paused.get(room)
        by = paused.by if paused else ""
        if says == "there":
            if self.failing.pop(room, None) is not None and by not in ("", "person"):
                del self.paused[room]
                self._ring(room, 1000)
                return False, [("there", room)]
            return False, []
        opens = ""
        if says == "refused":
            if by in ("", "breaker"):
                self.failing.setdefault(room, [])
                opens = "key"
        elif by in ("", "person"):
            most = self.limits[room].breaker
            if not most:
                return False, []
            names = self.failing.setdefault(room, [])
            if name not in names and len(names) < most:
                names.append(name)
            if len(names) < most or by:
                return False, []
            opens = "breaker"
        if opens:
            self._close_down(room, opens)
            return True, [(opens, room)]
        if paused and by != "person":
            paused.probe_at = self.now + paused.probe_every
        return True, []

    def settle(
        self,
        drain: str,
        token: str,
        room: str,
        name: str,
        lease: str,
        item: str,
        verdict: str,
        *,
        wait: int = 0,
        attempt: int = 0,
        doubt: int = 0,
        says: str = "",
        last: bool = True,
        made: Iterable[Made] = (),
    ) -> tuple[int, set[str], set[str], list[tuple[str, str]]]:
        """Settle one item; return its status, what was leased at once, what `only_once` refused, news of its room."""
        box = self.boxes.get((room, name))
        leased: set[str] = set()
        once: set[str] = set()
        if box is None or box.state != "l" or box.token != lease:
            return 0, leased, once, []
        paused = self.paused.get(room)
        if not says and last and paused and paused.by != "person":
            paused.probe_at = min(paused.probe_at, self.now)
        aside, news = self._heard(room, name, says) if says else (False, [])
        if aside:
            box.doubt, box.deaths = doubt, 0
            self._ready(room, name)
            return 3, leased, once, news
        event = item.split(".")[0]
        if verdict in ("done", "dead"):
            there = item in box.items
            if there:
                box.drop(item)
                box.deaths = 0
            alive = there and self.record(room, item)
            if alive:
                # The item's own need goes last: what follows from it needs the event in the same step.
                for one in made:
                    self._append(event, one, drain, token, leased, once)
                if verdict == "dead":
                    self.dead[item] = self.now
                else:
                    self.deliveries.discard(item)
                    self._release(event, item, self.retain[event])
            if last:
                if box.items:
                    self._ready(room, name)
                    self._ring(room)
                else:
                    del self.boxes[room, name]
            return (1 if alive else 2), leased, once, news
        box.attempt, box.doubt, box.token, box.handed, box.drain = attempt, doubt, "", 0, ""
        if verdict == "wait":
            box.state, box.due, box.deaths = "w", self.now + wait, 0
            box.queue = "retry" if says == "away" else "waiting"
        elif verdict == "hold":
            box.state, box.deaths = "h", 0
        else:
            self._ready(room, name, front=True)
            self._ring(room)
        return 1, leased, once, news

    def _forget_drain(self, drain: str) -> None:
        pool = self.drains.pop(drain, None)
        self.memo.pop(drain, None)
        if pool:
            self.bells[pool] = min(self.bells.get(pool, 0), sum(its == pool for its in self.drains.values()))

    def _held_by(self, drains: Iterable[str]) -> list[tuple[str, str]]:
        mine = set(drains)
        return [key for key, box in self.boxes.items() if box.state == "l" and box.drain in mine]

    def bury(self, drains: list[str], *, counted: bool = True) -> tuple[int, int]:
        """Declare drains dead; return how many boxes were freed and how many are held."""
        for drain in drains:
            self._forget_drain(drain)
        poison, held = 0, self._held_by(drains)
        for room, name in held:
            box = self.boxes[room, name]
            box.deaths, box.doubt = box.deaths + counted, max(box.doubt, box.handed)
            if box.deaths >= MAX_DEATHS:
                poison += 1
                box.state, box.deaths, box.token, box.handed, box.drain = "h", 0, "", 0, ""
            else:
                self._ready(room, name)
                self._ring(room)
        return len(held), poison

    def leave(self, drain: str) -> None:
        """A drain ends by itself."""
        self._forget_drain(drain)
        for room, name in self._held_by([drain]):
            box = self.boxes[room, name]
            box.doubt = max(box.doubt, box.handed)
            self._ready(room, name, front=True)
            self._ring(room)

    def strays(self, drain: str, known: set[tuple[str, str, str]]) -> int:
        """Give back what a drain holds without knowing."""
        freed = [key for key in self._held_by([drain]) if (*key, self.boxes[key].token) not in known]
        for room, name in freed:
            self._ready(room, name, front=True)
            self._ring(room)
        return len(freed)

    def unhold(self, room: str, name: str) -> bool:
        """Let a held box go on."""
        box = self.boxes.get((room, name))
        if box is None or box.state != "h":
            return False
        box.attempt = box.deaths = 0
        self._ready(room, name)
        self._ring(room)
        return True

    def pause(self, room: str) -> bool:
        """A person pauses a room."""
        before = self.paused.get(room)
        self.paused[room] = Paused("person")
        return before is None or before.by != "person"

    def resume(self, room: str) -> bool:
        """A person lets a room go on."""
        self.failing.pop(room, None)
        changed = self.paused.pop(room, None) is not None
        if changed:
            self._ring(room, 1000)
        return changed

    def probe(self, room: str) -> bool:
        """Something is new: a paused room is looked at now."""
        paused = self.paused.get(room)
        if paused is None or paused.by == "person":
            return False
        paused.probe_at = self.now
        self._ring(room, 1000)
        return True

    def expire(self, age: int) -> int:
        """Give up old dead letters."""
        old = [item for item, at in self.dead.items() if at <= self.now - age]
        for item in old:
            del self.dead[item]
            self.deliveries.discard(item)
            event = item.split(".")[0]
            self._release(event, item, self.retain[event])
        return len(old)

    def vanish(self, room: str, item: str) -> None:
        """A person's verb removed the record of an item that waits: it is a tombstone."""
        self.deliveries.discard(item)
        event = item.split(".")[0]
        if room == "in":
            del self.needs[event]
        else:
            self._release(event, item, 0)

    def quarantine(self, event: str) -> bool:
        """Keep what its model refuses; True when it was known before."""
        known = self._remembers(event) or event in self.quarantined or self.record("in", event)
        if not known:
            self.quarantined.add(event)
        return known

    # -- what must then be in the store

    def contents(self) -> dict[str, Any]:
        """Return what the store should hold, in the words of `seen_in`."""
        records = dict.fromkeys(self.needs) | {e: at - self.now for e, at in self.retained.items()}
        return {
            "boxes": {key: [box.head(), *box.items] for key, box in self.boxes.items()},
            "ready": {room: names for room, names in self.ready.items() if names},
            "suspect": {room: names for room, names in self.suspect.items() if names},
            **{
                queue: {key: b.due for key, b in self.boxes.items() if b.state == "w" and b.queue == queue}
                for queue in ("waiting", "retry", "woken")
            },
            "leased": {key: box.drain for key, box in self.boxes.items() if box.state == "l"},
            "held": {key for key, box in self.boxes.items() if box.state == "h"},
            "records": records,
            "refs": {event: len(needs) for event, needs in self.needs.items() if len(needs) > 1},
            "deliveries": self.deliveries,
            "seen": {bucket: ids for bucket, ids in self.seen.items() if ids and self.now // DAY - bucket < 4},
            "last": {box: f"{digest} {event}" for box, (digest, event, _) in self.last.items()},
            "once": {key: delivery for key, (delivery, _) in self.once.items()},
            "newest": {f"{room}:{key}": delivery for (room, key), (delivery, _) in self.newest.items()},
            "dead": self.dead,
            "deadinfo": set(self.dead),
            "drains": self.drains,
            "bells": {pool: n for pool, n in self.bells.items() if n},
            "paused": {room: paused.by for room, paused in self.paused.items()},
            "probes": {room: (p.probe_at, p.probe_every) for room, p in self.paused.items() if p.by != "person"},
            "failing": self.failing,
            "tat": {room: limits.tat for room, limits in self.limits.items() if limits.tat},
            "memo": {
                drain: request + "".join(f" {room} {name}" for room, name in taken)
                for drain, (request, taken, _) in self.memo.items()
            },
            "rooms that nobody knows": set(),
        }


def seen_in(dump: Mapping[str, StoredKey], now: int) -> dict[str, Any]:
    """Return what a store holds, in the words of `Model.contents`. Quarantined records are checked by examples."""

    def named(kind: str) -> dict[str, StoredKey]:
        return {name.removeprefix(kind): entry for name, entry in dump.items() if name.startswith(kind)}

    def empty(kind: str) -> Any:
        return dump[kind].value if kind in dump else {}

    def by_room(kind: str) -> dict[tuple[str, str], Any]:
        return {(room, box): v for room, entry in named(kind).items() for box, v in entry.value.items()}

    def marks() -> dict[str, str]:
        """What counts as the newest of each box: of two pages the later one says it."""
        found: dict[str, str] = {}
        for _, entry in sorted(named("last:").items(), key=lambda page: int(page[0])):
            for box, mark in entry.value.items():
                digest, event, until = mark.split(" ")
                found.pop(box, None)
                if int(until) > now:
                    found[box] = f"{digest} {event}"
        return found

    quarantined = set(empty("quarantine"))
    rooms = named("room:")
    return {
        "boxes": {tuple(name.split(":")): entry.value for name, entry in named("b:").items()},
        "ready": {room: entry.value for room, entry in named("ready:").items()},
        "suspect": {room: entry.value for room, entry in named("suspect:").items()},
        **{queue: by_room(f"{queue}:") for queue in ("waiting", "retry", "woken")},
        "leased": by_room("leased:"),
        "held": set(by_room("held:")),
        "records": {event: entry.ttl for event, entry in named("e:").items() if event not in quarantined},
        "refs": {event: int(n) for event, n in empty("refs").items()},
        "deliveries": set(named("d:")),
        "seen": {
            int(k): {base + content for base, contents in entry.value.items() for content in contents.split(",")}
            for k, entry in named("known:").items()
            if now // DAY - int(k) < 4
        },
        "last": marks(),
        "once": {key: entry.value for key, entry in named("once:").items()},
        "newest": {key: entry.value for key, entry in named("co:").items()},
        "dead": empty("dead"),
        "deadinfo": set(empty("deadinfo")),
        "drains": {drain: value.split()[0] for drain, value in empty("beats").items()},
        "bells": {pool: len(entry.value) for pool, entry in named("bell:").items()},
        "paused": {
            name: json.loads(room.value["paused"])["by"] for name, room in rooms.items() if "paused" in room.value
        },
        "probes": {
            name: (int(room.value["probe_at"]), int(room.value["probe_every"]))
            for name, room in rooms.items()
            if "probe_at" in room.value
        },
        "failing": {room: boxes.split() for room, boxes in empty("failing").items()},
        "tat": {room: float(entry.value["tat"]) for room, entry in rooms.items() if "tat" in entry.value},
        "memo": {drain: entry.value for drain, entry in named("take:").items()},
        "rooms that nobody knows": {name.split(":")[0] for name in named("b:")} - set(empty("rooms")),
    }
