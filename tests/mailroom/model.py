"""What the mailroom should do, in plain Python: the reference that the real one is compared with.

Takes the same calls as the mailroom, at a time that it is told. Gives the same answers, and the whole contents that the
store should then have. Keeps sets where the store counts, so that it cannot make the same mistake.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.mailroom.store import DAY, MOMENT, StoredKey

BODY_WINDOW = 60_000
MAX_DEATHS = 3
#: Ms that a box waits whose first item shares a weak name with one that is leased.
WEAK_WAIT = 20
#: Ms until the first probe of a paused room, and the longest time between two, by who paused it.
PROBES = {"breaker": (5_000, 60_000), "key": (60_000, 900_000)}
#: How long `only_once` lasts in these tests, in ms.
ONCE = 100_000
#: Ms at the beginning of a page in which a vendor may still speak of the one before.
LATE = 300_000


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
    #: Where it stands while it waits: waiting, retry, woken or parked.
    queue: str = "waiting"
    #: The source of what made it non-empty, `!` since something urgent came in; empty: none.
    kind: str = ""

    def head(self) -> str:
        """Return its first element as the store writes it."""
        more = {"l": f" {self.token} {self.handed}", "w": f" {self.due}"}.get(self.state, "")
        if self.kind:
            more = {"l": more, "w": f"{more} 0"}.get(self.state, " - 0") + f" {self.kind}"
        return f"{self.state} {self.attempt} {self.doubt} {self.deaths}{more}"

    @property
    def own(self) -> list[str]:
        """Its items, without the marks of what has its home elsewhere."""
        return [element for element in self.items if not element.startswith("=")]

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
    #: ms until a search of its destination shows what was made.
    lag: int = 0
    tat: int = 0
    #: Until when its destination asked to be left alone.
    rests: int = 0


@dataclass
class Key:
    """What a key may be used for, which rooms share."""

    every: int = 0
    burst: int = 1
    limit: int = 0
    reserve: int = 0
    begins: int = 0
    ends: int = 0
    #: When the next page ends; 0: nobody said.
    after: int = 0
    used: int = 0
    told: int = 0
    tat: int = 0
    rests: int = 0

    def turn(self, now: int) -> bool:
        """Begin the next page if it is time; return whether it is known which page it is."""
        if self.ends <= now < self.after:
            self.begins, self.ends, self.after, self.used, self.told = self.ends, self.after, 0, 0, 0
        return self.begins <= now < self.ends


@dataclass
class Paused:
    """Why a room is paused, and when it is looked at again."""

    #: person, breaker or key
    by: str
    probe_at: int = 0
    probe_every: int = 0
    #: Of a person's: when it ends by itself; 0: a person ends it.
    until: int = 0


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
    #: Further boxes and weak names.
    also: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    #: Its class: a source, or `!`.
    source: str = ""


@dataclass
class MailroomOracle:
    """The mailroom as it should be."""

    now: int
    limits: dict[str, Limits]
    #: Room -> what its key may be used for, the same object for all rooms with that key.
    keys: dict[str, Key] = field(default_factory=dict)
    boxes: dict[tuple[str, str], OracleBox] = field(default_factory=dict)
    #: Boxes that are ready, by line: `room` or `room:class`.
    ready: dict[str, list[str]] = field(default_factory=dict)
    turns: dict[str, list[str]] = field(default_factory=dict)
    left: dict[tuple[str, str], int] = field(default_factory=dict)
    #: (room, box, class): an entry that stayed behind.
    notes: set[tuple[str, str, str]] = field(default_factory=set)
    shares: dict[str, int] = field(default_factory=dict)
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
    #: event -> its number among all that were put, and the number of the last.
    taken: dict[str, int] = field(default_factory=dict)
    number: int = 0
    dead: dict[str, int] = field(default_factory=dict)
    #: (room, item) -> the further boxes in which its mark stands, its weak names; while it waits.
    also: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    weak: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: (room, weak name) -> who was leased last under it, and its home.
    under: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    #: The id map: (room, name) -> object, (room, object) -> its names.
    known: dict[tuple[str, str], str] = field(default_factory=dict)
    objects: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    #: Dead item, of which nothing is decided for good -> its room and names when it died, and whether it was born dead.
    watched: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], bool]] = field(default_factory=dict)
    #: (room, name) of such items -> how new the newest is that was sent under it meanwhile.
    passed: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Deliveries whose record says that they may have been sent.
    doubtful: set[str] = field(default_factory=set)
    #: Deliveries whose rule lets them wait, and urgent ones.
    patient: set[str] = field(default_factory=set)
    urgent: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    #: source -> until when it is held, 0: for good. event -> its source, and events that were let go all the same.
    holds: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    let: set[str] = field(default_factory=set)

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

    def _in_front(self, room: str, item: str, home: str) -> bool:
        """Whether an item is first in each box in which it stands."""
        places = [(home, item), *((name, f"={item} {home}") for name in self.also.get((room, item), ()))]
        return all(self.boxes[room, name].items[0] == element for name, element in places)

    def _blocked(self, room: str, name: str) -> bool:
        items = self.boxes[room, name].items
        return bool(items) and (items[0].startswith("=") or not self._in_front(room, items[0], name))

    def _ready(self, room: str, name: str, *, front: bool = False) -> int:
        """A box goes on: it is ready, or blocked. Return how many boxes became ready."""
        box = self.boxes[room, name]
        box.token, box.handed, box.drain, box.due = "", 0, "", 0
        if self._blocked(room, name):
            box.state = "b"
            if not box.items[0].startswith("="):
                return 0
            box.attempt = box.doubt = box.deaths = 0
            item, home = box.items[0][1:].split()
            its = self.boxes[room, home]
            return self._ready(room, home) if its.state == "b" and its.items[0] == item else 0
        box.state = "r"
        if box.deaths:
            self.suspect.setdefault(room, []).append(name)
        else:
            self._enlist(room, box.kind, name, front=front)
        return 1

    def _wait(self, room: str, name: str, due: int, queue: str = "waiting") -> None:
        """A box waits for a time."""
        box = self.boxes[room, name]
        box.state, box.due, box.queue, box.token, box.handed, box.drain = "w", due, queue, "", 0, ""

    def _free_in_doubt(self, room: str, name: str, *, front: bool = False) -> None:
        """A lease ended and nobody knows what was sent: a box goes on, when a search would show it."""
        box = self.boxes[room, name]
        lag = self.limits[room].lag if box.handed else 0
        box.doubt = max(box.doubt, box.handed)
        if lag:
            self._wait(room, name, self.now + lag)
        else:
            self._ring(room, self._ready(room, name, front=front))

    def _line(self, room: str, kind: str) -> list[str]:
        return self.ready.setdefault(f"{room}:{kind}" if kind else room, [])

    def _enlist(self, room: str, kind: str, name: str, *, front: bool = False) -> None:
        if (room, name, kind) in self.notes:
            return
        line = self._line(room, kind)
        if not line and kind not in ("", "!"):
            self.turns.setdefault(room, []).append(kind)
        line.insert(0 if front else len(line), name)

    def _make_urgent(self, room: str, name: str) -> None:
        box = self.boxes[room, name]
        before, box.kind = box.kind, "!"
        if before != "!" and box.state == "r" and not box.deaths:
            self.notes.add((room, name, before))
            self._enlist(room, "!", name)

    def _any_ready(self, room: str) -> bool:
        return bool(self.turns.get(room) or self._line(room, "") or self._line(room, "!"))

    def _serve(
        self,
        room: str,
        n: int,
        per_box: int,
        quantum: int,
        lease: Callable[[str, str, int], int],
        usual: int | None = None,
    ) -> int:
        """Lease boxes, what is urgent first, then classes in turn; return how many."""
        turns, used = self.turns.setdefault(room, []), 0

        def some(kind: str, most: int) -> int | None:
            """Lease from a line; return how many items, None where it is empty."""
            nonlocal n, used
            line = self._line(room, kind)
            names, line[:most] = line[:most], []
            if not line:
                self.left.pop((room, kind), None)
                if kind in turns:
                    turns.remove(kind)
            there = [name for name in names if (box := self.boxes.get((room, name))) and box.kind == kind]
            self.notes -= {(room, name, kind) for name in names}
            items = [got for name in there if (got := lease(room, name, per_box))]
            n, used = n - len(items), used + len(items)
            return sum(items) if names else None

        def all_of(kind: str, most: int) -> int:
            before = used
            while used - before < most and some(kind, most - (used - before)) is not None:
                pass
            return used - before

        if self._line(room, "") and "" not in turns:
            turns.append("")
        if self._line(room, "!"):
            if not turns:
                all_of("!", n)
            elif n >= 4:
                all_of("!", n * 3 // 4)
            else:
                before = self.left.get((room, "!"), 0)
                leased = all_of("!", min(n, 3 - before))
                self.left.pop((room, "!"), None)
                if n == 0 and self._line(room, "!"):
                    self.left[room, "!"] = before + leased
        kept = 0 if usual is None else max(0, n - max(0, usual - used))
        n -= kept
        while n > 0 and turns:
            kind = turns[0]
            if len(turns) == 1:
                all_of(kind, n)
                continue
            turn = quantum * self.shares.get(kind, 1)
            left = self.left.get((room, kind), turn)
            while n > 0 and left > 0 and (got := some(kind, min(n, -(-left // per_box)))) is not None:
                left -= got
            if turns and turns[0] == kind:
                self.left.pop((room, kind), None)
                if left <= 0:
                    turns.append(turns.pop(0))
                    left += turn if left else 0
                if left:
                    self.left[room, kind] = left
        n += kept
        all_of("!", n)
        return used

    def _recheck(self, room: str, name: str) -> int:
        """Another element is first in a box: it may be blocked, or no longer. Return how many boxes became ready."""
        box = self.boxes[room, name]
        wrong = box.state == "b" or (box.state in "rw" and self._blocked(room, name))
        return self._ready(room, name) if box.items and wrong else 0

    # -- order among the dead

    def _age(self, item: str) -> int:
        event = item.split(".")[0]
        return int(event[1:]) if self.record("in", event) else -1

    def _watch(self, room: str, home: str, item: str, *, born: bool = False) -> None:
        also, weak = ((), ()) if born else (self.also.get((room, item), ()), self.weak.get((room, item), ()))
        if item not in self.watched:
            self.watched[item] = (room, (home, *also), weak, born)

    def _pass(self, room: str, names: tuple[str, ...], age: int) -> None:
        for name in names:
            if any(room == its and name in theirs for its, theirs, _, _ in self.watched.values()):
                self.passed[room, name] = max(self.passed.get((room, name), -1), age)

    def _unwatch(self, item: str) -> None:
        self.watched.pop(item, None)
        left = {(room, name) for room, names, _, _ in self.watched.values() for name in names}
        self.passed = {key: age for key, age in self.passed.items() if key in left}

    def _overtaken(self, item: str, room: str, names: tuple[str, ...]) -> bool:
        boxes = [self.boxes[room, name] for name in names if (room, name) in self.boxes]
        ages = [self._age(element.lstrip("=").split()[0]) for box in boxes for element in box.items]
        return max([*ages, *(self.passed.get((room, name), -1) for name in names)]) > self._age(item)

    def _append_again(self, room: str, home: str, item: str, also: tuple[str, ...], weak: tuple[str, ...]) -> None:
        also = (*also, *self._others(room, (home, *also)))
        behind = self._stand(room, home, item, also, weak)
        if (room, home) in self.boxes:
            self.boxes[room, home].items.append(item)
        else:
            self.boxes[room, home] = OracleBox([item], "b")
            if not behind:
                self._ring(room, self._ready(room, home))

    def skip(self, room: str, home: str, item: str, *, drop: bool) -> bool:
        """The first item of a held box leaves it: it is dead, or dropped."""
        box = self.boxes.get((room, home))
        if box is None or box.state != "h" or box.items[0] != item:
            return False
        doubted = box.doubt > 0 and room != "in"
        if self.record(room, item):
            event, names = item.split(".")[0], (home, *self.also.get((room, item), ()))
            if drop:
                if doubted:
                    self._pass(room, names, self._age(item))
                self._unwatch(item)
                self.deliveries.discard(item)
                self._release(event, item, self.retain[event])
            else:
                self.dead[item] = self.now
                self._watch(room, home, item)
                if doubted:
                    self.doubtful.add(item)
                    self._pass(room, names, self._age(item))
        box.drop(item)
        box.attempt = box.deaths = 0
        self._ring(room, self._leave(room, home, item))
        if box.items:
            self._ring(room, self._ready(room, home))
        else:
            del self.boxes[room, home]
        return True

    def revive(self, item: str, *, insist: bool) -> str:
        """A dead letter goes to the tail of its boxes."""
        if item not in self.dead:
            return "gone"
        room, names, weak, born = self.watched[item]
        if room == "in" or born:
            return "never_made"
        if not insist and self._overtaken(item, room, names):
            return "overtaken"
        del self.dead[item]
        self._append_again(room, names[0], item, names[1:], weak)
        return "done"

    def again(self, item: str, inbox: str, also: tuple[str, ...], *, insist: bool) -> str:
        """The event of a dead letter is routed once more."""
        event = item.split(".")[0]
        if item not in self.dead:
            return "gone"
        if not self.record("in", event):
            return "erased"
        room, names, _, _ = self.watched[item]
        if not insist and (self._overtaken(item, "in", (inbox, *also)) or self._overtaken(item, room, names)):
            return "overtaken"
        box = self.boxes.get(("in", inbox))
        there = box is not None and event in box.items
        if there and box and box.items.index(event) < box.handed:
            return "busy"
        del self.dead[item]
        self._unwatch(item)
        if item != event:
            self.deliveries.discard(item)
        if not there:
            self.needs[event] = self.needs[event] - {item} | {event}
            self._append_again("in", inbox, event, also, ())
        elif item != event:
            self._release(event, item, 0)
        return "done"

    # -- names that are learned on the way

    def know(
        self, room: str, id: str, names: Iterable[str], gone: Iterable[str] = (), busy: Collection[str] = ()
    ) -> list[str]:
        """An object has these names, and those no longer; return all that it has. `busy`: told to nobody who asks."""
        for name in names:
            before = self.known.get((room, name))
            if before and before != id and name in self.objects.get((room, before), ()):
                self.objects[room, before].remove(name)
            if name in busy and before != id:
                self.known.pop((room, name), None)
            else:
                self.known[room, name] = id
        for name in gone:
            if self.known.get((room, name)) == id:
                del self.known[room, name]
        every = dict.fromkeys([*self.objects.get((room, id), ()), *names])
        self.objects[room, id] = [name for name in every if name not in set(gone)][-8:]
        self.objects = {key: its for key, its in self.objects.items() if its}
        return self.objects.get((room, id), [])

    def forget_names(self, room: str, names: Iterable[str]) -> None:
        """Nothing is known of the objects that have one of these names."""
        for id in {self.known[room, name] for name in names if (room, name) in self.known}:
            self.known = {key: its for key, its in self.known.items() if key[0] != room or its != id}
            self.objects.pop((room, id), None)

    def _others(self, room: str, names: Sequence[str]) -> list[str]:
        """By which other names the objects of these names are known."""
        ids = [self.known[room, name] for name in names if (room, name) in self.known]
        every = dict.fromkeys(name for id in ids for name in self.objects.get((room, id), ()))
        return [name for name in every if name not in names]

    def _ahead(self, room: str, item: str, home: str) -> set[tuple[str, str]]:
        """Whom an item waits for: (item, home) of all that stand before it, and of all that those wait for."""
        found: set[tuple[str, str]] = set()
        todo = [(item, home)]
        while todo:
            one, its_home = todo.pop()
            for name in (its_home, *self.also.get((room, one), ())):
                elements = self.boxes[room, name].items
                for element in elements[: elements.index(one if name == its_home else f"={one} {its_home}")]:
                    other, box = element[1:].split() if element.startswith("=") else (element, name)
                    if (other, box) not in found:
                        found.add((other, box))
                        todo.append((other, box))
        return found

    def _newness(self, item: str) -> tuple[int, int, str]:
        event = item.split(".")[0]
        return self.taken.get(event, 0) if self.record("in", event) else 0, len(item), item

    def meet(self, room: str, home: str, token: str, item: str, id: str, names: list[str]) -> str:
        """A delivery under way found its object; return go, wait or stale."""
        box = self.boxes.get((room, home))
        if box is None or box.state != "l" or box.token != token or not box.handed or box.items[0] != item:
            return "stale"
        its = (home, *self.also.get((room, item), ()))
        busy = [name for name in names if name not in its and self._under_way(room, name)]
        joined = [name for name in self.know(room, id, names, busy=busy) if name not in its]
        for other, its_home in self._others_in(room, joined, item.split(".")[0]) if item in self.urgent else ():
            if self._is_later(item, other):
                self._end_stale(room, other, its_home)
        if not self._join(room, home, item, joined):
            return "go"
        if (paused := self.paused.get(room)) and paused.by != "person":
            paused.probe_at = min(paused.probe_at, self.now)
        self._ready(room, home, front=True)
        return "wait"

    def _fixed(self, room: str, item: str, home: str) -> bool:
        """Whether an item is under way or held."""
        box = self.boxes[room, home]
        return box.items.index(item) < {"l": box.handed, "h": 1}.get(box.state, 0)

    def _under_way(self, room: str, name: str) -> bool:
        """Whether what stands first under a name is under way or held."""
        box = self.boxes.get((room, name))
        if box is None:
            return False
        first = box.items[0]
        return self._fixed(room, *(first[1:].split() if first.startswith("=") else (first, name)))

    def _join(self, room: str, home: str, item: str, joined: Sequence[str]) -> bool:
        """An item comes into further boxes; return whether it has to wait in one of them."""
        passed: list[tuple[str, int]] = []
        for name in joined:
            other = self.boxes.setdefault((room, name), OracleBox([], "b", kind=self.boxes[room, home].kind))
            place = 0
            for k, element in enumerate(other.items):
                one, one_home = element[1:].split() if element.startswith("=") else (element, name)
                fixed = one_home != home and self._fixed(room, one, one_home)
                if not fixed and (item, home) in self._ahead(room, one, one_home):
                    break
                older = self._newness(one) < self._newness(item)
                if fixed or older or (one, one_home) in self._ahead(room, item, home):
                    place = k + 1
            other.items.insert(place, f"={item} {home}")
            self.also[room, item] = (*self.also.get((room, item), ()), name)
            passed.append((name, place))
        for name, place in passed:
            other = self.boxes[room, name]
            if other.doubt > place:
                self.doubtful |= {x for x in other.items[place + 1 : other.doubt + 1] if x in self.deliveries}
                other.doubt = place
            if place or not other.items[1:] or other.state == "l":
                continue
            if other.items[1].startswith("="):
                one, one_home = other.items[1][1:].split()
                there = self.boxes[room, one_home]
                if there.state == "r" and there.items[0] == one:
                    there.state = "b"
            else:
                other.state, other.attempt, other.doubt, other.deaths, other.due = "b", 0, 0, 0, 0
        return any(place for _, place in passed)

    def _leave(self, room: str, home: str, item: str) -> int:
        """An item waits no more under its further names. Return how many boxes became ready."""
        ready = 0
        for name in self.also.pop((room, item), ()):
            box = self.boxes[room, name]
            was_first = box.items[0] == f"={item} {home}"
            box.items.remove(f"={item} {home}")
            if was_first and box.state == "b":
                if box.items:
                    ready += self._ready(room, name)
                else:
                    del self.boxes[room, name]
        for name in self.weak.pop((room, item), ()):
            if self.under.get((room, name), ("",))[0] == item:
                del self.under[room, name]
        return ready

    def _weak_taken(self, room: str, item: str, home: str) -> bool:
        """Whether a weak name of an item is under way; if none is, they are the item's now."""
        names = self.weak.get((room, item), ())
        for name in names:
            other, its_home = self.under.get((room, name), ("", ""))
            box = self.boxes.get((room, its_home))
            if other not in ("", item) and box and box.state == "l" and box.handed and box.items[0] == other:
                return True
        self.under |= {(room, name): (item, home) for name in names}
        return False

    def _stand(
        self, room: str, home: str, item: str, also: tuple[str, ...], weak: tuple[str, ...], kind: str = ""
    ) -> bool:
        """Write an item's marks; return whether one of them stands behind something."""
        for name in also:
            self.boxes.setdefault((room, name), OracleBox([], "b", kind=kind)).items.append(f"={item} {home}")
        self.also |= {(room, item): also} if also else {}
        self.weak |= {(room, item): weak} if weak else {}
        return any(len(self.boxes[room, name].items) > 1 for name in also)

    def _waiting(self, room: str) -> list[tuple[str, OracleBox]]:
        return [(name, box) for (its, name), box in self.boxes.items() if its == room and box.state == "w"]

    def leased(self, room: str) -> int:
        """How many boxes of a room are leased."""
        return sum(box.state == "l" for (its, _), box in self.boxes.items() if its == room)

    def allowance(self, room: str, want: int, *, urgent: bool = True) -> tuple[int, int]:
        """Return how many may be sent now (`urgent`: also of what is kept for such), and when the next may."""
        limits, key = self.limits[room], self.keys.get(room)
        pace = key or limits
        if (rests := max(limits.rests, pace.rests)) > self.now:
            return 0, rests
        if (paused := self.paused.get(room)) and 0 < paused.until <= self.now:
            paused = None
            del self.paused[room]
            self.failing.pop(room, None)
        if paused:
            if paused.by == "person" or want <= 0 or self.leased(room):
                return 0, paused.until
            if paused.probe_at > self.now:
                return 0, paused.probe_at
            want = 1
        n = min(want, limits.concurrency - self.leased(room)) if limits.concurrency else want
        if key:
            known = key.turn(self.now)
            left = key.limit - key.used - key.told if known else 0
            if left <= 0:
                return 0, key.ends if known else 0
            n = min(n, left if urgent else max(0, left - key.reserve))
        if n <= 0 or not pace.every:
            return max(0, n), 0
        tat = max(pace.tat, self.now)
        free = (pace.every * pace.burst - (tat - self.now)) // pace.every
        if free < 1:
            return 0, tat - pace.every * (pace.burst - 1)
        return min(n, free), 0

    def usual(self, room: str) -> int | None:
        """Return how many may be sent that are not urgent, as far as a reserve is kept; None: none is."""
        key = self.keys.get(room)
        return max(0, key.limit - key.used - key.told - key.reserve) if key else None

    def spend(self, room: str, n: int) -> None:
        """Account for so many items sent."""
        pace = self.keys.get(room) or self.limits[room]
        if pace.every and n:
            pace.tat = max(pace.tat, self.now) + n * pace.every
        if isinstance(pace, Key):
            pace.used += n

    def pace(self, room: str, *, usual: bool) -> tuple[int, int, bool]:
        """One more request: return the ms to wait, the ms for which none may be sent, and whether none is left."""
        limits, key = self.limits[room], self.keys.get(room)
        pace = key or limits
        if (rests := max(limits.rests, pace.rests)) > self.now:
            return 0, rests - self.now, False
        if key:
            known = key.turn(self.now)
            left = key.limit - key.used - key.told - (key.reserve if usual else 0)
            if not known or left < 1:
                return 0, key.ends - self.now if known else DAY, True
        wait = max(0, max(pace.tat, self.now) - self.now - pace.every * (pace.burst - 1)) if pace.every else 0
        self.spend(room, 1)
        return wait, 0, False

    def set_key(self, rooms: Iterable[str], said: Key) -> None:
        """A book says what a key may be used for, and which page it is."""
        key = next((self.keys[room] for room in rooms if room in self.keys), None)
        if key is None:
            key = Key()
            self.keys |= dict.fromkeys(rooms, key)
        if (key.begins, key.ends) != (said.begins, said.ends):
            key.begins, key.ends, key.used, key.told = said.begins, said.ends, 0, 0
        key.after, key.every, key.burst, key.limit, key.reserve = (
            said.after,
            said.every,
            said.burst,
            said.limit,
            said.reserve,
        )

    def learn_key(self, room: str, unsent: int, left: int | None) -> None:
        """A drain has learned something of the key of a room."""
        key = self.keys.get(room)
        if key is None or not key.turn(self.now):
            return
        key.used = max(0, key.used - unsent)
        if left is not None and self.now - key.begins >= LATE:
            key.told = max(0, key.limit - left - key.used)

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
        self.once = {k: v for k, v in self.once.items() if v[1] > self.now + MOMENT}
        self.newest = {k: v for k, v in self.newest.items() if v[1] > self.now + MOMENT}
        self.retained = {k: v for k, v in self.retained.items() if v > self.now + MOMENT}
        self.memo = {k: v for k, v in self.memo.items() if v[2] > self.now + MOMENT}

    def forget_late(self, found: Mapping[str, Any]) -> None:
        """The store's keys live by real time, too: what it forgot a little before its time is forgotten here."""
        late = self.now + 60_000
        self.once = {k: v for k, v in self.once.items() if k in found["once"] or v[1] > late}
        self.newest = {k: v for k, v in self.newest.items() if ":".join(k) in found["newest"] or v[1] > late}
        self.retained = {k: v for k, v in self.retained.items() if k in found["records"] or v > self.now + 20_000}

    def put(self, events: Iterable[tuple[str, str, str, int, tuple[str, ...], str, bool]]) -> list[str]:
        """Put (id, box, digest, retain, further boxes, source, urgent); return the id that each repeats."""
        answers, fresh = [], 0
        new: list[tuple[str, str, str, tuple[str, ...]]] = []
        kinds: dict[str, str] = {}
        hurried: list[str] = []
        for event, name, digest, retain, also, source, urgent in events:
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
            self.number += 1
            self.taken[event] = self.number
            self.sources[event] = source or "shop"
            self.let.discard(event)
            self.needs[event], self.retain[event] = {event}, retain
            if digest:
                self.last[name] = (digest, event, self.now + BODY_WINDOW)
            else:
                self.last.pop(name, None)
            new.append((event, name, source, also))
            kinds.setdefault(name, source)
            if urgent:
                kinds[name] = "!"
                hurried += [name, *also]
        ready: list[str] = []
        for event, name, _, also in new:
            behind = self._stand("in", name, event, also, (), kinds[name])
            if ("in", name) in self.boxes:
                self.boxes["in", name].items.append(event)
            else:
                self.boxes["in", name] = OracleBox([event], "b", kind=kinds[name])
                ready += [] if behind else [name]
        # Boxes enter their lines class by class, in the order in which the classes came.
        for kind in dict.fromkeys(kinds[name] for name in ready):
            fresh += sum(self._ready("in", name) for name in ready if kinds[name] == kind)
        for name in hurried:
            self._make_urgent("in", name)
        self._ring("in", fresh)
        return answers

    def _remembers(self, event: str) -> bool:
        return any(event in self.seen.get(self.now // DAY - page, ()) for page in range(4))

    def _lease(self, room: str, name: str, drain: str, token: str, per_box: int, *, again: bool = False) -> list[str]:
        box = self.boxes.get((room, name))
        if box is None or box.state != "r":
            return []
        while True:
            first = self._together(room, name, per_box)
            if not first:
                del self.boxes[room, name]
                return []
            for item in first:
                if not self.record(room, item):
                    box.drop(item)
                    self._ring(room, self._leave(room, name, item))
            alive = [item for item in first if item in box.items]
            if not alive and self._blocked(room, name):
                self._ring(room, self._ready(room, name))
                return []
            kept = next((item for item in alive if room == "in" and self._kept(item)), None)
            if kept and kept == alive[0]:
                self._wait(room, name, self.taken[kept], "parked")
                return []
            alive = alive[: alive.index(kept)] if kept else alive
            # Its object may have become known by further names while it stood behind others.
            late = self._others(room, (name, *self.also.get((room, alive[0]), ()))) if alive and not again else []
            again = False
            if late and self._join(room, name, alive[0], late):
                box.state = "b"
                return []
            if alive and self._weak_taken(room, alive[0], name):
                self._wait(room, name, self.now + WEAK_WAIT)
                return []
            if alive:
                box.state, box.token, box.handed, box.drain = "l", token, len(alive), drain
                return alive

    def _together(self, room: str, name: str, most: int) -> list[str]:
        """The items at the head of a box that may be handed out together: nobody stands between them."""
        out: list[str] = []
        for item in self.boxes[room, name].items[:most]:
            if out and (item.startswith("=") or (room, item) in self.weak):
                break
            for other in self.also.get((room, item), ()):
                elements = self.boxes[room, other].items
                before = elements[: elements.index(f"={item} {name}")]
                if out and not set(before) <= {f"={one} {name}" for one in out}:
                    return out
            out.append(item)
        return out

    def take(
        self, drain: str, request: str, wants: Iterable[tuple[str, int, int]], suspects: int
    ) -> tuple[list[tuple[str, str, int, int, int, list[str]]], int | None, int]:
        """Return leases (room, box, attempt, doubt, deaths, items), ms until more, suspects waiting."""
        if drain not in self.drains:
            return [], None, 0
        leases = []

        def lease(room: str, name: str, per_box: int, *, again: bool = False) -> int:
            items = self._lease(room, name, drain, request, per_box, again=again)
            if items:
                box = self.boxes[room, name]
                leases.append((room, name, box.attempt, box.doubt, box.deaths, items))
            return len(items)

        memo = self.memo.get(drain)
        if memo and memo[0] == request:
            for room, name in memo[1]:
                box = self.boxes.get((room, name))
                if box and box.state == "l" and box.token == request and box.handed:
                    box.state = "r"
                    lease(room, name, box.handed, again=True)
            return leases, None, 0
        times, alone, waiting = [], False, 0
        for room, boxes, per_box in wants:
            if room == "in" and any(box.queue == "parked" for _, box in self._waiting("in")):
                if over := [source for source, until in self.holds.items() if 0 < until <= self.now]:
                    self._lift(over)
                times += [until for until in self.holds.values() if until]
            for queue in ("woken", "retry", "waiting"):
                for at, name in sorted((b.due, name) for name, b in self._waiting(room) if b.queue == queue):
                    if at <= self.now or queue == "woken":
                        self._ready(room, name)
                    else:
                        times.append(at)
            names = self.suspect.setdefault(room, [])
            want = boxes if not suspects else 0 if alone else min(boxes, suspects - len(leases))
            if want > 0 and (names if suspects else self._any_ready(room)):
                n, at = self.allowance(room, want)
                if at:
                    times.append(at)
                pace = self.keys.get(room) or self.limits[room]
                used, rated, probed = 0, bool(pace.every), room in self.paused
                slow = rated or probed
                if n > 0 and not suspects:
                    quantum = 1 if slow else 64 if room == "in" else 16
                    alone_in_box = slow or room in self.keys
                    used = self._serve(room, n, 1 if alone_in_box else per_box, quantum, lease, self.usual(room))
                    n -= used
                elif n > 0 and room in self.keys:
                    n = min(n, self.usual(room) or 0)
                while n > 0 and suspects and not alone and names:
                    its = self.boxes.get((room, names[0]))  # one that was blocked meanwhile may be gone
                    if its and its.deaths >= MAX_DEATHS - 1:
                        if leases:
                            break
                        alone = True
                    if lease(room, names.pop(0), 1):
                        n, used = n - 1, used + 1
                self._sent(room, used)
                times += [box.due for _, box in self._waiting(room) if box.due == self.now + WEAK_WAIT]
                if rated and not probed and used and n == 0 and (names if suspects else self._any_ready(room)):
                    times.append(pace.tat - pace.every * (pace.burst - 1))
            waiting += len(self.suspect.get(room, []))
        if leases:
            self.memo[drain] = (request, [(room, name) for room, name, *_ in leases], self.now + 600_000)
        return leases, max(0, min(times) - self.now) if times else None, waiting

    def _append(
        self, source: tuple[str, str], event: str, made: Made, drain: str, token: str, leased: set[str], once: set[str]
    ) -> bool:
        if made.id in self.deliveries:
            return False
        if made.once and not made.dead:
            first = self.once.setdefault(made.once, (made.id, self.now + ONCE))[0]
            # What is made once more takes the place of what died, which may have left the mark.
            if first != made.id and not (".a" in made.id and first.split(".")[0] == event):
                once.add(made.id)
                return False
        self.deliveries.add(made.id)
        self.needs[event].add(made.id)
        if made.dead:
            self.dead[made.id] = self.now
            self._watch(*source, made.id, born=True)
            return True
        box = self.boxes.get((made.room, made.box))
        was_first = False
        made.also = (*made.also, *self._others(made.room, (made.box, *made.also)))
        if made.coalesce:
            older = self.newest.get((made.room, made.coalesce), ("", 0))[0]
            if box and older in box.items:
                place = box.items.index(older) + 1
                if (
                    place > box.handed
                    and place > box.doubt
                    and not (box.state == "h" and place == 1)
                    and older not in self.doubtful
                ):
                    box.drop(older)
                    was_first = place == 1
                    self._ring(made.room, self._leave(made.room, made.box, older))
                    if older in self.deliveries:
                        self._unwatch(older)
                        self.deliveries.discard(older)
                        its = older.split(".")[0]
                        self._release(its, older, self.retain[its])
            self.newest[made.room, made.coalesce] = (made.id, self.now + made.delay + DAY)
        if made.source == "!":
            self.urgent.add(made.id)
            for item, home in self._others_in(made.room, (made.box, *made.also), event):
                refilled = home == made.box
                was_first |= (
                    self._is_later(made.id, item)
                    and self._end_stale(made.room, item, home, refilled=refilled)
                    and refilled
                )
            box = self.boxes.get((made.room, made.box))
        elif made.delay:
            self.patient.add(made.id)
        behind = self._stand(made.room, made.box, made.id, made.also, made.weak, made.source)
        hurried = [made.box, *made.also] if made.source == "!" else []
        if box:
            box.items.append(made.id)
            for name in hurried[:1]:
                self._make_urgent(made.room, name)
            if was_first:
                self._ring(made.room, self._recheck(made.room, made.box))
            for name in hurried:
                self._make_urgent(made.room, name)
            return True
        box = self.boxes[made.room, made.box] = OracleBox([made.id], kind=made.source)
        waits = bool(self._line(made.room, "!") if made.source == "!" else made.source and self._any_ready(made.room))
        if behind:
            box.state = "b"
        elif made.delay:
            box.state, box.due = "w", self.now + made.delay
        elif (
            made.lease
            and not waits
            and not self._weak_taken(made.room, made.id, made.box)
            and self.allowance(made.room, 1, urgent=made.source == "!")[0]
        ):
            box.state, box.token, box.handed, box.drain = "l", token, 1, drain
            self._sent(made.room, 1)
            leased.add(made.id)
        else:
            self._ready(made.room, made.box)
            self._ring(made.room)
        for name in hurried:
            self._make_urgent(made.room, name)
        return True

    def _others_in(self, room: str, names: Iterable[str], event: str) -> list[tuple[str, str]]:
        """The deliveries of other events that stand in these boxes, and their homes."""
        found: dict[str, str] = {}
        for name in names:
            for each in self.boxes[room, name].items if (room, name) in self.boxes else ():
                item, home = each[1:].split() if each.startswith("=") else (each, name)
                found[item] = home
        return [(item, home) for item, home in found.items() if item.split(".")[0] != event]

    def _is_later(self, one: str, other: str) -> bool:
        """Whether the event of one delivery was taken after that of another."""
        return self._newness(one)[0] > self._newness(other)[0]

    def _end_stale(self, room: str, item: str, home: str, *, refilled: bool = False) -> bool:
        """What is patient and was not attempted ends: something urgent came. Return whether its box is empty now."""
        box = self.boxes[room, home]
        place = box.items.index(item) + 1
        if item not in self.patient & self.deliveries - self.doubtful or place <= max(box.doubt, box.handed):
            return False
        if place == 1 and (box.attempt or box.state == "h"):
            return False
        empty = box.items == [item]
        box.items.remove(item)
        self._ring(room, self._leave(room, home, item))
        if empty and box.state in "wb":
            del self.boxes[room, home]
        elif empty and not refilled:
            box.items.append(item)  # a tombstone
        elif box.state == "w" and place == 1:
            self._ring(room, self._ready(room, home))
        elif place == 1 and not empty:
            self._ring(room, self._recheck(room, home))
        self._unwatch(item)
        self.deliveries.discard(item)
        event = item.split(".")[0]
        self._release(event, item, self.retain[event])
        return empty

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
        alone: int = 0,
        last: bool = True,
        made: Iterable[Made] = (),
        following: list[tuple[str, str, int, int, int, list[str]]] | None = None,
    ) -> tuple[int, set[str], set[str], list[tuple[str, str]]]:
        """Settle one item; return its status, what was leased at once, what `only_once` refused, news of its room.

        `following`: the drain goes on with what is next in the box, and that lease is added.
        """
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
            if alone:
                self._wait(room, name, self.now + alone)
            else:
                self._ready(room, name)
            return 3, leased, once, news
        event = item.split(".")[0]
        if verdict in ("done", "dead"):
            there = item in box.items
            doubted = there and box.items.index(item) < box.doubt
            names = (name, *self.also.get((room, item), ()))
            if there and self.record(room, item):
                if verdict == "done" and self.watched:
                    if room != "in" or made:
                        self._pass(room, names, self._age(item))
                    self._unwatch(item)
                elif verdict == "dead":
                    dies = (room, names, self.weak.get((room, item), ()), False)
            if there:
                box.drop(item)
                box.deaths = 0
                self._ring(room, self._leave(room, name, item))
            alive = there and self.record(room, item)
            if alive:
                # The item's own need goes last: what follows from it needs the event in the same step.
                for one in made:
                    self._append((room, name), event, one, drain, token, leased, once)
                if verdict == "dead":
                    self.dead[item] = self.now
                    self.watched.setdefault(item, dies)
                    if doubted and room != "in":
                        self.doubtful.add(item)
                        self._pass(room, names, self._age(item))
                else:
                    self.deliveries.discard(item)
                    self._release(event, item, self.retain[event])
            if last:
                if not box.items:
                    del self.boxes[room, name]
                elif following is None or not self._go_on(room, name, drain, token, following):
                    self._ring(room, self._ready(room, name))
            return (1 if alive else 2), leased, once, news
        box.attempt, box.doubt, box.token, box.handed, box.drain = attempt, doubt, "", 0, ""
        if verdict == "wait":
            box.deaths = 0
            self._wait(room, name, self.now + wait, "retry" if says == "away" and not alone else "waiting")
            names = (name, *self.also.get((room, item), ()))
            if (
                not says
                and not attempt
                and any(
                    other in self.urgent and self._is_later(other, item)
                    for other, _ in self._others_in(room, names, event)
                )
            ):
                self._end_stale(room, item, name)
        elif verdict == "hold":
            box.state, box.deaths = "h", 0
        else:
            self._ring(room, self._ready(room, name, front=True))
        return 1, leased, once, news

    def _go_on(
        self,
        room: str,
        name: str,
        drain: str,
        token: str,
        following: list[tuple[str, str, int, int, int, list[str]]],
    ) -> bool:
        """What is next in a box is leased at once where nobody stands in the line. False: it has to go there, too."""
        box = self.boxes[room, name]
        if room == "in" or box.deaths or self._any_ready(room) or self._blocked(room, name):
            return False
        box.state = "r"  # its own place is free
        free, _ = self.allowance(room, 1)
        if not free or room in self.paused or room in self.keys or self.limits[room].every:
            return False
        box.token, box.handed, box.drain, box.due = "", 0, "", 0
        if items := self._lease(room, name, drain, token, 1):
            following.append((room, name, box.attempt, box.doubt, box.deaths, items))
        return True

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
            box.deaths += counted
            if box.deaths >= MAX_DEATHS:
                poison, box.doubt = poison + 1, max(box.doubt, box.handed)
                box.state, box.deaths, box.token, box.handed, box.drain = "h", 0, "", 0, ""
            else:
                self._free_in_doubt(room, name)
        return len(held), poison

    def leave(self, drain: str) -> None:
        """A drain ends by itself."""
        self._forget_drain(drain)
        for room, name in self._held_by([drain]):
            self._free_in_doubt(room, name, front=True)

    def strays(self, drain: str, known: set[tuple[str, str, str]]) -> int:
        """Give back what a drain holds without knowing."""
        freed = [key for key in self._held_by([drain]) if (*key, self.boxes[key].token) not in known]
        for room, name in freed:
            self._ring(room, self._ready(room, name, front=True))
        return len(freed)

    def unhold(self, room: str, name: str) -> bool:
        """Let a held box go on."""
        box = self.boxes.get((room, name))
        if box is None or box.state != "h":
            return False
        box.attempt = box.deaths = 0
        self._ring(room, self._ready(room, name))
        return True

    # -- sources that are held

    def is_held(self, source: str) -> bool:
        """Whether a source is held now."""
        return source in self.holds and (not self.holds[source] or self.holds[source] > self.now)

    def _kept(self, event: str) -> bool:
        return self.is_held(self.sources[event]) and event not in self.let

    def _lift(self, sources: Iterable[str]) -> None:
        for source in sources:
            del self.holds[source]
        for _, box in self._waiting("in"):
            box.queue = "woken" if box.queue == "parked" else box.queue

    def hold(self, source: str, until: int) -> bool:
        """A person holds a source; return whether it was not held before."""
        was = self.is_held(source)
        if not was or self.holds[source] != until:
            self._ring("in")
        self.holds[source] = until
        return not was

    def lift(self, source: str) -> bool:
        """A person releases a source; return whether it was held."""
        if source not in self.holds:
            return False
        self._lift([source])
        self._ring("in", 1000)
        return True

    def _decided(self, event: str, home: str) -> tuple[OracleBox, int] | str:
        box = self.boxes.get(("in", home))
        if box is None or event not in box.items or not self.record("in", event):
            return "gone"
        if not self.is_held(self.sources[event]):
            return "gone"
        place = box.items.index(event)
        if box.state == "h" or (box.state == "l" and (not box.handed or place < box.handed)):
            return "busy"
        return box, place

    def _look_again(self, home: str) -> None:
        box = self.boxes["in", home]
        parked = box.state == "w" and box.queue == "parked"
        self._ring("in", self._ready("in", home) if parked else self._recheck("in", home))

    def let_go(self, event: str, home: str) -> str:
        """One event of a held source is routed when its turn comes."""
        found = self._decided(event, home)
        if isinstance(found, str):
            return found
        if event in self.let:
            return "gone"
        self.let.add(event)
        if found[1] == 0:
            self._look_again(home)
        return "done"

    def discard(self, event: str, home: str) -> str:
        """One event of a held source is given up."""
        found = self._decided(event, home)
        if isinstance(found, str):
            return found
        box, place = found
        box.drop(event)
        self._ring("in", self._leave("in", home, event))
        if not box.items and box.state != "l":
            del self.boxes["in", home]
        elif place == 0 and box.state != "l":
            self._look_again(home)
        self._release(event, event, self.retain[event])
        return "done"

    def pause(self, room: str, until: int = 0) -> bool:
        """A person pauses a room."""
        before = self.paused.get(room)
        self.paused[room] = Paused("person", until=until)
        if (before.until if before else 0) != until:
            self._ring(room, 1)
        return before is None or before.by != "person" or 0 < before.until <= self.now

    def resume(self, room: str) -> bool:
        """A person lets a room go on."""
        self.failing.pop(room, None)
        pace = self.keys.get(room) or self.limits[room]
        changed = self.paused.pop(room, None) is not None or max(self.limits[room].rests, pace.rests) > self.now
        self.limits[room].rests = pace.rests = 0
        if changed:
            self._ring(room, 1000)
        return changed

    def rest(self, room: str, ms: int) -> bool:
        """A destination asks to be left alone."""
        before, self.limits[room].rests = self.limits[room].rests, max(self.limits[room].rests, self.now + ms)
        if room in self.keys:
            self.keys[room].rests = max(self.keys[room].rests, self.now + ms)
        return self.limits[room].rests > before

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
            self._unwatch(item)
            self.deliveries.discard(item)
            event = item.split(".")[0]
            self._release(event, item, self.retain[event])
        return len(old)

    def vanish(self, room: str, item: str) -> None:
        """A person's verb removed the record of an item that waits: it is a tombstone."""
        self.deliveries.discard(item)
        self.doubtful.discard(item)
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
            "turns": {room: names for room, names in self.turns.items() if names},
            "left": self.left,
            "notes": self.notes,
            "suspect": {room: names for room, names in self.suspect.items() if names},
            **{
                queue: {key: b.due for key, b in self.boxes.items() if b.state == "w" and b.queue == queue}
                for queue in ("waiting", "retry", "woken", "parked")
            },
            "holds": self.holds,
            "leased": {key: box.drain for key, box in self.boxes.items() if box.state == "l"},
            "held": {key for key, box in self.boxes.items() if box.state == "h"},
            "records": records,
            "refs": {event: len(needs) for event, needs in self.needs.items() if len(needs) > 1},
            "deliveries": self.deliveries,
            "seen": {bucket: ids for bucket, ids in self.seen.items() if ids and self.now // DAY - bucket < 4},
            "also": {key: " ".join(names) for key, names in self.also.items()},
            "weak": {key: " ".join(names) for key, names in self.weak.items()},
            "under": {key: " ".join(who) for key, who in self.under.items()},
            "known": {**self.known, **{key: " ".join(its) for key, its in self.objects.items()}},
            "doubtful": self.doubtful & self.deliveries,
            "watched": {
                item: " ".join((room, *names, *(f"~{name}" for name in weak), *(("born",) if born else ())))
                for item, (room, names, weak, born) in self.watched.items()
            },
            "passed": {
                f"{room} {name}": (
                    sum(room == its and name in theirs for its, theirs, _, _ in self.watched.values()),
                    self.passed.get((room, name), -1),
                )
                for room, name in {(room, name) for room, names, _, _ in self.watched.values() for name in names}
            },
            "last": {box: f"{digest} {event}" for box, (digest, event, _) in self.last.items()},
            "once": {key: delivery for key, (delivery, _) in self.once.items()},
            "newest": {f"{room}:{key}": delivery for (room, key), (delivery, _) in self.newest.items()},
            "dead": self.dead,
            "deadinfo": set(self.dead),
            "drains": self.drains,
            "bells": {pool: n for pool, n in self.bells.items() if n},
            "paused": {room: paused.by for room, paused in self.paused.items()},
            "pauses_end": {room: paused.until for room, paused in self.paused.items() if paused.until},
            "probes": {room: (p.probe_at, p.probe_every) for room, p in self.paused.items() if p.by != "person"},
            "failing": self.failing,
            "tat": {room: limits.tat for room, limits in self.limits.items() if limits.tat},
            "rests": {room: limits.rests for room, limits in self.limits.items() if limits.rests},
            "keys": {
                room: (key.begins, key.ends, key.after, key.used, key.told, key.tat, key.rests)
                for room, key in self.keys.items()
            },
            "memo": {
                drain: request + "".join(f" {room} {name}" for room, name in taken)
                for drain, (request, taken, _) in self.memo.items()
            },
            "rooms that nobody knows": set(),
        }


def seen_in(dump: Mapping[str, StoredKey], now: int, objects: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a store holds, in the words of `contents`. Quarantined records are checked by examples.

    `objects`: hash of an object in the id map -> its id.
    """

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

    def id_map() -> dict[tuple[str, str], str]:
        """Of a name its object, of an object its names."""
        found = {}
        for name, entry in named("m:").items():
            room, key = name.split(":")
            found[room, (objects or {}).get(key, key)] = (
                entry.value if key in (objects or {}) else entry.value.split()[0]
            )
        return found

    quarantined = set(empty("quarantine"))
    rooms = named("room:")
    return {
        "boxes": {tuple(name.split(":")): entry.value for name, entry in named("b:").items()},
        "ready": {room: entry.value for room, entry in named("ready:").items()},
        "turns": {room: entry.value for room, entry in named("turns:").items()},
        "left": {key: int(n) for key, n in by_room("left:").items()},
        "notes": {(room, *note.split(" ")) for room, entry in named("notes:").items() for note in entry.value},
        "suspect": {room: entry.value for room, entry in named("suspect:").items()},
        **{queue: by_room(f"{queue}:") for queue in ("waiting", "retry", "woken", "parked")},
        "holds": {
            source: its["until"]
            for name, room in rooms.items()
            for source, its in json.loads(room.value.get("holds", "{}")).items()
        },
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
        "also": by_room("also:"),
        "weak": by_room("weak:"),
        "under": by_room("under:"),
        "known": id_map(),
        "doubtful": {name for name, entry in named("d:").items() if entry.value.startswith('{"doubtful":true,')},
        "last": marks(),
        "watched": empty("deadbox"),
        "passed": {
            place: (int(text.split()[0]), int(text.split()[2]) if len(text.split()) > 1 else -1)
            for place, text in empty("passed").items()
        },
        "once": {key: entry.value for key, entry in named("once:").items()},
        "newest": {key: entry.value for key, entry in named("co:").items()},
        "dead": empty("dead"),
        "deadinfo": set(empty("deadinfo")),
        "drains": {drain: value.split()[0] for drain, value in empty("beats").items()},
        "bells": {pool: len(entry.value) for pool, entry in named("bell:").items()},
        "paused": {
            name: json.loads(room.value["paused"])["by"] for name, room in rooms.items() if "paused" in room.value
        },
        "pauses_end": {
            name: until
            for name, room in rooms.items()
            if (until := json.loads(room.value.get("paused", "{}")).get("until"))
        },
        "probes": {
            name: (int(room.value["probe_at"]), int(room.value["probe_every"]))
            for name, room in rooms.items()
            if "probe_at" in room.value
        },
        "failing": {room: boxes.split() for room, boxes in empty("failing").items()},
        "tat": {room: float(entry.value["tat"]) for room, entry in rooms.items() if "tat" in entry.value},
        "rests": {room: int(entry.value["rests"]) for room, entry in rooms.items() if "rests" in entry.value},
        "keys": {
            name: tuple(
                int(float(dump[f"quota:{entry.value['quota']}"].value.get(word, 0)))
                for word in ("begins", "ends", "after", "used", "told", "tat", "rests")
            )
            for name, entry in rooms.items()
            if "quota" in entry.value
        },
        "memo": {drain: entry.value for drain, entry in named("take:").items()},
        "rooms that nobody knows": {name.split(":")[0] for name in named("b:")} - set(empty("rooms")),
    }
