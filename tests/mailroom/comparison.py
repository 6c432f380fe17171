"""The mailroom and its model side by side: every call goes to both, and both must then be the same.

Takes calls in the model's words. Raises AssertionError where answers or contents differ, or where the store breaks a
rule that holds whatever was called. Knows nothing of hypothesis.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailroom import INBOX, DeadLetterInfo, Lease, Mailroom, NewDelivery, RoomRequest, Settlement, migration
from mailroom.keys import SCHEMA
from mailroom.ledger import Verdict
from mailroom.records import as_json
from tests.conftest import PrivateValkey
from tests.mailroom.model import ONCE, Key, Limits, Made, MailroomOracle, seen_in
from tests.mailroom.store import CLOCK, MOMENT, START, Loop, Store, StoredKey, event, key_faults

#: What people are told of what died or is held.
INFO = DeadLetterInfo("crm", "", "x", "")

DAY = "2026-11-21"
#: Rooms of every kind: one that takes what comes, one within a concurrency, one within a rate (and the search of its
#: destination is behind), one of another pool.
ROOMS = {
    INBOX: Limits(),
    "crm": Limits(concurrency=2, breaker=2),
    "mail": Limits(every=100, burst=2, breaker=1, lag=300),
    "bill": Limits(pool="heavy", concurrency=1, every=1000, burst=3),
}
#: Two of them may have one key, with a rate and a quota: pages of so many ms, the first minutes of which count as any.
KEYED = ("mail", "bill")
KEY = Key(every=100, burst=2, limit=9, reserve=4)
PAGE = 600_000
#: Where events come from, and how many times the usual turn each gets.
SOURCES = {"shop": 1, "desk": 2, "forms": 1}
#: Objects at a destination, by their ids.
OBJECTS = ("1", "2", "3")
DRAINS = {"d1": "default", "d2": "default", "h1": "heavy"}


@dataclass(frozen=True)
class OracleVerdict:
    """What becomes of one item, as the model sees it."""

    word: Verdict
    wait: int = 0
    attempt: int = 0
    doubt: int = 0
    #: there, away, refused, or nothing.
    says: str = ""
    #: ms for which it is to be left alone all the same.
    alone: int = 0
    made: tuple[Made, ...] = ()


def record_of(made: Made) -> bytes:
    """Return the record of a delivery: its head says what the mailroom must know."""
    head = '"leaves":true,' if made.source == "!" else '"waits":true,' if made.delay else ""
    return f'{{{head}"n":1}}'.encode()


def name_faults(dump: dict[str, StoredKey]) -> list[str]:
    """Return what is wrong with boxes and marks of a store, by the rules alone."""
    faults = []
    by_room: dict[str, dict[str, list[str]]] = {}
    for key, entry in dump.items():
        if key.startswith("b:"):
            _, room, box = key.split(":")
            by_room.setdefault(room, {})[box] = entry.value

    def named(kind: str, room: str) -> dict[str, list[str]]:
        entry = dump.get(f"{kind}:{room}")
        return {item: text.split() for item, text in entry.value.items()} if entry else {}

    for room in {name.split(":")[1] for name in dump if name.startswith(("b:", "also:", "weak:", "under:"))}:
        boxes, also, weak = by_room.get(room, {}), named("also", room), named("weak", room)
        homes = {item: box for box, (_, *inside) in boxes.items() for item in inside if item[0] != "="}
        expected = sorted((o, f"={item} {homes.get(item)}") for item, others in also.items() for o in others)
        marks = sorted((box, each) for box, (_, *inside) in boxes.items() for each in inside if each[0] == "=")
        if expected != marks:
            faults.append(f"{room}: marks {marks}, not {expected}")
            continue
        faults += [f"{room}: weak names of {item}, which is nowhere" for item in weak if item not in homes]
        leased: dict[str, str] = {}
        for box, (head, *inside) in boxes.items():
            handed = int(head.split()[5]) if head[0] == "l" else 0
            if head[0] == "l" and not handed:
                continue  # its drain is through with all that it was given, and has not said so yet
            first = inside[0]
            alone = first[0] != "=" and all(boxes[o][1] == f"={first} {box}" for o in also.get(first, ()))
            # What waits for its time and was passed meanwhile is blocked when that has come.
            if (head[0] == "b") == alone and not (head[0] == "w" and first[0] != "="):
                faults.append(f"{room}/{box} is {head}, and {first} is {'' if alone else 'not '}first")
            for item in inside[:handed]:
                for name in (box, *also.get(item, ()), *(f"~{name}" for name in weak.get(item, ()))):
                    if leased.setdefault(name, box) != box:
                        faults.append(f"{room}: {leased[name]} and {box} are leased, and share {name}")
    return faults


class Comparison:
    """A store and a model, empty at first."""

    def __init__(
        self,
        loop: Loop,
        store: Store,
        room: Mailroom,
        *,
        twice: bool = False,
        inbox_names: bool = False,
        classes: bool = False,
        keyed: bool = False,
        holds: bool = False,
        schema: str = SCHEMA,
    ) -> None:
        self.loop, self.store, self.room = loop, store, room
        #: What the store speaks.
        self.schema = schema
        #: Every call is made twice, as if the first answer had been lost.
        self.twice = twice
        #: Some events have further names.
        self.inbox_names = inbox_names
        #: Events come from several sources, and some are urgent.
        self.classes = classes
        #: The rooms of KEYED have one key.
        self.keyed = keyed
        #: Page -> requests that were spent of the key in it, and given back.
        self.spent: Counter[int] = Counter()
        #: Sources are held now and then.
        self.holds = holds
        self.model = MailroomOracle(START, {name: Limits(**vars(limits)) for name, limits in ROOMS.items()})
        self.leases: list[Lease] = []
        self.put_ever: list[tuple[str, int, bool, bytes, int]] = []
        self.vanished: set[str] = set()
        self.sent: dict[str, list[int]] = {name: [] for name in ROOMS}
        #: room -> its deliveries in the order in which they were appended, and the strong and weak names of each.
        self.appended: dict[str, list[str]] = {}
        self.names: dict[str, tuple[set[str], set[str]]] = {}
        #: What `meet` said, and how often.
        #: event -> its box in the inbox, and the further ones.
        self.inbox: dict[str, tuple[str, tuple[str, ...]]] = {}
        #: event -> how often it was routed once more.
        self.rounds: dict[str, int] = {}
        #: (room, class) -> class -> items that it was handed while the first one waited and got nothing.
        self.passed_over: dict[tuple[str, str], dict[str, int]] = {}
        #: room -> takes, one after the other, that gave nothing urgent while that waited.
        self.urgent_waits: dict[str, int] = {}
        self.met = dict.fromkeys(("go", "wait", "stale"), 0)
        #: How often what was next in a box was leased as the one before was settled.
        self.went_on = 0
        self.calls = 0
        loop(self._begin())

    def migrate(self) -> None:
        """The last program of the former schema has ended."""
        self.loop(migration.migrate(self.room))
        self.schema = SCHEMA

    async def _begin(self) -> None:
        self.model.shares = dict(SOURCES)
        await self.store.raw.flushall()
        await self.store.raw.set(CLOCK, START)
        await self.store.raw.set(self.room.key("schema"), self.schema)
        await self.room.prepare()
        await self.room.share_out(SOURCES)
        for name, limits in ROOMS.items():
            await self.room.configure(
                name,
                pool=limits.pool,
                concurrency=limits.concurrency,
                every=limits.every,
                burst=limits.burst,
                breaker=limits.breaker,
                lag=limits.lag,
            )
        if self.keyed:
            await self._say_key()

    async def _say_key(self) -> None:
        begins = self.model.now // PAGE * PAGE
        said = replace(KEY, begins=begins, ends=begins + PAGE, after=begins + 2 * PAGE)
        self.model.set_key(KEYED, said)
        pages = (said.begins, said.ends, said.after)
        id = self.room.hash("quota:a key")
        args = (id, "A_KEY", KEY.every, KEY.burst, KEY.limit, KEY.reserve, *pages, *KEYED)
        for _ in range(1 + self.twice):
            assert await self.room.call("set_quota", *args) == [b"go"]

    # -- comparing

    def _call(
        self, call: Callable[[], Awaitable[Any]], *, may_change: Sequence[str] = (), same: bool = True
    ) -> list[Any]:
        """Make a call, or make it twice; what it said each time. The second time nothing changes."""
        answers = [self.loop(call())]
        if self.twice:
            before = self.loop(self.store.dump())
            answers.append(self.loop(call()))
            after = self.loop(self.store.dump())
            for name in set(before) | set(after):
                # Of its two forms a box may change the one for the other.
                if same and name not in may_change and not name.startswith("one:"):
                    if name in before and name not in after and (before[name].ttl or 9_999) < 1_000:
                        continue  # its time was over
                    one, other = (found[name].value if name in found else None for found in (before, after))
                    assert one == other, f"{name} changed at the second call: {one}, then {other}"
        return answers

    def check(self) -> None:
        """Compare everything."""
        dump = self.loop(self.store.dump())
        self._check_by_itself(dump)
        found = seen_in(dump, self.model.now, {self.room._object("contact", id): id for id in OBJECTS})
        self.model.forget_late(found)
        expected = self.model.contents()
        for word, mine in expected.items():
            theirs = found[word]
            if word == "records":
                assert set(theirs) == set(mine), f"records of {theirs}, not {mine}"
                for name, left in mine.items():
                    known = theirs[name]
                    assert (left is None) == (known is None), f"record of {name} lives {known}, not {left}"
                    assert left is None or abs(known - left) < 30_000, f"record of {name} lives {known}, not {left}"
            else:
                assert theirs == mine, f"{word}: {theirs}, not {mine}"

    def _check_by_itself(self, dump: dict[str, StoredKey]) -> None:
        """Rules that hold whatever was called."""
        found = seen_in(dump, self.model.now)
        items: list[tuple[str, str]] = []
        for (room, box), (head, *inside) in found["boxes"].items():
            items += [(room, item) for item in inside if not item.startswith("=")]
            assert inside, f"{room}/{box} has a state and no items"
            kind = head.split()[6] if len(head.split()) > 6 else ""
            line = found["ready"].get(f"{room}:{kind}" if kind else room, [])
            listed = line.count(box) + found["suspect"].get(room, []).count(box)
            noted = [note[2] for note in found["notes"] if note[:2] == (room, box)]
            assert len(noted) == len(set(noted)), f"{room}/{box} left notes {noted}"
            places = {
                # One that was blocked after it was listed stands in the list all the same, and once more afterwards.
                "r": min(1, listed) * (head[0] == "r") if room in self.appended or kind in noted else listed,
                "l": (room, box) in found["leased"],
                "w": sum((room, box) in found[queue] for queue in ("waiting", "retry", "woken", "parked")),
                "h": (room, box) in found["held"],
                "b": head[0] == "b",
            }
            assert places[head[0]] == 1, f"{room}/{box} is {head} and in {places}"
            assert sum(places.values()) == 1, f"{room}/{box} is {head} and in {places}"
        self._check_lines(found)
        faults = name_faults(dump)
        assert not faults, faults
        for room in {room for room, _ in self.model.boxes if room in self.appended}:
            boxes = {name: box for (its, name), box in self.model.boxes.items() if its == room}
            assert {box.state for box in boxes.values()} != {"b"}, f"all wait for each other in {room}"
            for name, box in boxes.items():
                for item in box.own:
                    assert (item, name) not in self.model._ahead(room, item, name), f"{item} waits for itself"
        assert len(items) == len(set(items)), f"an item twice in {items}"
        in_boxes = {item for room, item in items if room != INBOX}
        assert found["deliveries"] - in_boxes <= set(found["dead"]), "a delivery that is nowhere"
        for name in set(found["paused"]) & set(found["failing"]):
            late = [box for room, box in found["retry"] if room == name and found["paused"][name] != "person"]
            assert not late, f"{name} is probed, and {late} wait for a time of their own"
        for name, drain in found["leased"].items():
            assert drain in found["drains"], f"{name} is leased to {drain}, whom nobody would miss"
        for name, limits in ROOMS.items():
            leased = sum(room == name for room, _ in found["leased"])
            assert not limits.concurrency or leased <= limits.concurrency, f"{leased} boxes of {name} at once"
        for pool, rings in found["bells"].items():
            assert rings <= sum(its == pool for its in found["drains"].values()), f"{rings} rings in {pool}"

    def _check_lines(self, found: dict[str, Any]) -> None:
        """What is ready stands in lines that have their turns, and only notes stand in others."""
        for room in ROOMS:
            lines = {
                line.partition(":")[2]: names for line, names in found["ready"].items() if line.split(":")[0] == room
            }
            turns = found["turns"].get(room, [])
            assert len(turns) == len(set(turns)), f"{room}: turns {turns}"
            # What has no class gets its turn from `take`.
            assert set(turns) | {""} == set(lines) - {"!"} | {""}, f"{room}: turns {turns}, and lines {set(lines)}"
            for its, box, kind in found["notes"]:
                assert its != room or box in lines.get(kind, []), f"{room}/{box} has left no note in {kind}"
            if room in self.appended:
                continue  # one that was blocked after it was listed stands there twice
            for kind, names in lines.items():
                assert len(names) == len(set(names)), f"{room}: twice in the line of {kind}: {names}"

    def check_keys(self) -> None:
        """Compare all keys with the schema table."""
        faults = key_faults(self.loop(self.store.dump()))
        assert not faults, faults

    def _append(self, made: Made) -> None:
        if made.id in self.model.deliveries and not made.dead:
            order = self.appended.setdefault(made.room, [])
            self.appended[made.room] = [one for one in order if one != made.id] + [made.id]
            self.names[made.id] = ({made.box, *made.also}, set(made.weak))

    def _check_order(self, room: str, items: list[str]) -> None:
        """What is leased now stands behind nobody who shares a name with it."""
        model = self.model
        there = {item for (its, _), box in model.boxes.items() if its == room for item in box.own}
        live = [x for x in self.appended.get(room, []) if x in there and model.record(room, x)]
        for item in items:
            for other in live[: live.index(item)] if item in live else []:
                shared = self.names[item][0] & self.names[other][0]
                assert not shared or other in items, f"{item} is leased before {other}, and both are {shared}"

    def _sent(self, room: str, n: int, urgent: int = 0) -> None:
        """Account for what was sent from a room; never more than its rate and quota allow, those of its key if any."""
        keyed, now = self.keyed and room in KEYED, self.model.now
        every, burst = (KEY.every, KEY.burst) if keyed else (ROOMS[room].every, ROOMS[room].burst)
        times = self.sent[KEYED[0] if keyed else room]
        times += [now] * n
        if every and n:
            for first, at in enumerate(times):
                allowed = burst + (now - at) // every
                assert len(times) - first <= allowed, f"{len(times) - first} from {room} in {now - at} ms"
        if keyed and n:
            self.spent[now // PAGE] += n
            most = KEY.limit - (KEY.reserve if n > urgent else 0)
            assert self.spent[now // PAGE] <= most, f"{self.spent[now // PAGE]} of {most} requests of the key"

    # -- what happens

    def crash(self) -> None:
        """The store is killed and started again."""
        server = self.store.server
        assert isinstance(server, PrivateValkey)
        server.stop(kill=True)
        server.start()
        # A connection that the kill has cut says so only when it is used: `test_store_away` is about that.
        for client in (self.store.raw, self.room.store):
            self.loop(client.connection_pool.disconnect())

    def put(self, events: list[tuple[str, int, bool, bytes, int]]) -> None:
        """Put (id, person, named by the sender, body, retain)."""
        given, expected = [], []
        for name, person, named, body, retain in events:
            number = int(name[1:])
            source = list(SOURCES)[number * 7 // 3 % 3] if self.classes else "shop"
            type = "contact.unsubscribed" if self.classes and number % 6 == 0 else "booking.created"
            key = f"email:p{person}@example.org"
            one = event(name, key, sender=named, body=body, retain=retain, source=source, type=type)
            others = [f"email:p{(person + k) % 3}@example.org" for k in range(1, 3)]
            further = tuple(others[: (number % 4 == 0) + (number % 8 == 0)]) if self.inbox_names else ()
            # The position, so that each is received after the one before.
            one = replace(one, position=number, names=further)
            given.append(one)
            box = self.room.hash(one.order_key or "")
            also = tuple(self.room.hash(other) for other in further)
            hasher = self.room._hasher
            assert hasher is not None
            digest = "" if named else hasher.body(f"{one.source}|{one.type}", body)
            expected.append((name, box, digest, retain, also, source, type == "contact.unsubscribed"))
            self.inbox[name] = (box, also)
        want = self.model.put(expected)
        answers = self._call(lambda: self.room.put(given), may_change=["counts"])
        receipts = [(r.id, r.duplicate) for r in answers[0]]
        assert receipts == [(known or e.id, bool(known)) for known, e in zip(want, given, strict=True)], receipts
        assert all(r.duplicate for answer in answers[1:] for r in answer)
        for one, known in zip(given, want, strict=True):
            if not known and self.inbox_names:
                order = self.appended.setdefault(INBOX, [])
                self.appended[INBOX] = [other for other in order if other != one.id] + [one.id]  # days later it is new
                self.names[one.id] = ({self.inbox[one.id][0], *self.inbox[one.id][1]}, set())
        self.put_ever += [e for e, known in zip(events, want, strict=True) if not known]

    def beat(self, drain: str) -> None:
        """A drain says that it lives."""
        assert self.loop(self.room.beat(drain, DRAINS[drain], register=True))
        self.model.drains[drain] = DRAINS[drain]

    def take(self, drain: str, wants: list[tuple[str, int, int]], suspects: int, *, again: bool = False) -> None:
        """Take; or ask for the last take again."""
        if again and drain in self.model.memo:
            request = self.model.memo[drain][0]
        else:
            again, self.calls = False, self.calls + 1
            request = f"r{self.calls}"
        paused = {
            room: self.model.leased(room)
            for room, pause in self.model.paused.items()
            if not 0 < pause.until <= self.model.now
        }
        kinds = {key: box.kind for key, box in self.model.boxes.items() if box.state == "r" and not box.deaths}
        asked = [RoomRequest(*want) for want in wants]
        # A take that leases nothing is not remembered: who asks again asks anew.
        expected = [self.model.take(drain, request, wants, suspects) for _ in range(1 + self.twice)]
        answers = self._call(
            lambda: self.room.take(drain, request, asked, suspects=suspects), same=bool(expected[0][0])
        )
        wait, waiting = expected[0][1:]
        for taken, (leases, _, _) in zip(answers, expected, strict=True):
            got = [(x.room, x.box, x.attempt, x.doubt, x.deaths, [item for item, _ in x.items]) for x in taken.leases]
            assert got == leases, f"take gave {got}, not {leases}"
            assert all(x.token == request for x in taken.leases)
        assert (answers[0].wait, answers[0].suspects) == (wait, waiting), f"{answers[0]}, not {wait}, {waiting}"
        for room, before in paused.items():
            taken_there = sum(lease.room == room for lease in answers[0].leases)
            assert again or taken_there <= (not before), f"{taken_there} probes of {room} beside {before}"
        got_now = answers[0].leases or answers[-1].leases
        if self.model.holds:  # who is parked had its turn, too
            self.passed_over, self.urgent_waits = {}, {}
        elif not again and not suspects and not self.twice:
            for room, _, per_box in wants:
                ready_before = {name: k for (its, name), k in kinds.items() if its == room}
                self._check_turns(room, per_box, ready_before, [lease for lease in got_now if lease.room == room])
        if not again:
            for lease in got_now:
                urgent = self.model.boxes[lease.room, lease.box].kind == "!"
                self._sent(lease.room, len(lease.items), len(lease.items) if urgent else 0)
                self._check_order(lease.room, [item for item, _ in lease.items])
        self.leases = [*self.leases, *got_now][-40:]

    def _check_turns(self, room: str, per_box: int, kinds: dict[str, str], leases: list[Lease]) -> None:
        """A class that waits sees one turn of each other one at the most, and what is urgent waits for one call."""
        quantum = 1 if ROOMS[room].every else 64 if room == INBOX else 16
        waiting = Counter(kinds.values())
        for key in [key for key in self.passed_over if key[0] == room and not waiting[key[1]]]:
            del self.passed_over[key]
        urgent = 0
        for lease in leases:
            kind = self.model.boxes[room, lease.box].kind
            if kind == "!":
                urgent += 1
                continue
            waiting[kind] -= 1
            self.passed_over.pop((room, kind), None)
            for other in [other for other, n in waiting.items() if n > 0 and other not in ("!", kind)]:
                items = self.passed_over.setdefault((room, other), {})
                items[kind] = items.get(kind, 0) + len(lease.items)
                most = quantum * SOURCES.get(kind, 1) + per_box - 1
                assert items[kind] <= most, f"{room}: {other} waits, and {kind} was handed {items[kind]} items"
        if not waiting["!"] or urgent:
            self.urgent_waits[room] = 0
        elif leases:
            self.urgent_waits[room] = self.urgent_waits.get(room, 0) + 1
            assert self.urgent_waits[room] < 2, f"{room}: something urgent waits, and others are served"

    def in_force(self) -> list[Lease]:
        """Return the leases whose token is the current one, as their drains know them."""
        out = []
        for lease in self.leases:
            box = self.model.boxes.get((lease.room, lease.box))
            if box and box.state == "l" and box.token == lease.token:
                left = [(item, record) for item, record in lease.items if item in box.items]
                out.append(Lease(lease.room, lease.box, lease.token, box.attempt, box.doubt, box.deaths, left))
        return out

    def settle(
        self,
        drain: str,
        lease: Lease,
        verdicts: Iterable[tuple[str, OracleVerdict]],
        *,
        last: bool,
        go_on: bool = False,
    ) -> None:
        """Settle items of a lease in one call."""
        self.calls += 1
        token = f"s{self.calls}"
        given: list[Settlement] = []
        statuses: list[int] = []
        leased: set[str] = set()
        once: set[str] = set()
        news: list[tuple[str, str]] = []
        following: list[tuple[str, str, int, int, int, list[str]]] = []
        pairs = list(verdicts)
        for n, (item, v) in enumerate(pairs):
            ends = last and n == len(pairs) - 1
            name = item.split(".")[0]
            new = [
                NewDelivery(
                    d.id,
                    d.room,
                    (d.box, *d.also),
                    record_of(d),
                    d.lease,
                    d.once,
                    ONCE,
                    d.coalesce,
                    d.delay,
                    INFO if d.dead else None,
                    d.weak,
                    d.source.strip("!"),
                    d.source == "!",
                )
                for d in v.made
            ]
            given.append(
                Settlement(
                    lease,
                    item,
                    v.word,
                    name,
                    DAY,
                    line='{"t":"x"}',
                    counter="settled",
                    wait_ms=v.wait if v.word == "wait" else 0,
                    info=INFO if v.word in ("dead", "hold") else None,
                    attempt=v.attempt,
                    doubt=v.doubt,
                    says={"away": "away:timeout", "refused": "refused:unauthorised"}.get(v.says, v.says),
                    alone_ms=v.alone,
                    last=ends,
                    retain=self.model.retain.get(name, 0),
                    new=new,
                )
            )
            known = set(self.model.deliveries)
            status, now_leased, now_once, now_new = self.model.settle(
                drain,
                token,
                lease.room,
                lease.box,
                lease.token,
                item,
                v.word,
                wait=v.wait,
                attempt=v.attempt,
                doubt=v.doubt,
                says=v.says,
                alone=v.alone,
                last=ends,
                made=v.made,
                following=following if go_on and self.schema == SCHEMA else None,
            )
            statuses.append(status)
            leased |= now_leased
            once |= now_once
            news += now_new
            for d in v.made:
                if d.id not in known:
                    self._append(d)
                if d.id in now_leased:
                    self._check_order(d.room, [d.id])
                    self._sent(d.room, 1, int(d.source == "!"))
                    self.leases.append(Lease(d.room, d.box, token, 0, 0, 0, [(d.id, record_of(d))]))
        pool = self.model.drains.get(drain, "default")
        answers = self._call(lambda: self.room.settle(drain, token, given, pool=pool, go_on=go_on))
        got = answers[0]
        got_next = [(x.room, x.box, x.attempt, x.doubt, x.deaths, [item for item, _ in x.items]) for x in got.following]
        assert got_next == following, f"{got_next} are next, not {following}"
        self.went_on += len(following)
        assert (got.statuses, got.leased, got.once) == (statuses, leased, once), (
            f"{got}, not {statuses} {leased} {once}"
        )
        assert [(one.what, one.room) for one in got.room_changes] == news, f"{got.room_changes}, not {news}"
        for answer in answers[1:]:
            assert not {1, 3} & set(answer.statuses)
            assert not answer.leased
            assert answer.following == got.following
            assert not answer.room_changes
        for one in got.following:
            self._sent(one.room, 1, int(self.model.boxes[one.room, one.box].kind == "!"))
            self._check_order(one.room, [one.items[0][0]])
        self.leases += got.following

    def meet(self, lease: Lease, id: str, names: list[str]) -> str:
        """A delivery under way found its object."""
        item = lease.items[0][0]
        want = self.model.meet(lease.room, lease.box, lease.token, item, id, names)
        answers = self._call(lambda: self.room.meet(lease.room, lease.box, lease.token, item, names, "contact", id))
        again = "go" if want == "go" else "stale"
        assert answers == [want, *[again] * (len(answers) - 1)], f"meet said {answers}, not {want}"
        self.met[want] += 1
        return want

    def learn(self, room: str, id: str, names: list[str], gone: list[str]) -> None:
        """A destination knows by which names an object is found."""
        self.model.know(room, id, names, gone)
        self._call(lambda: self.room.learn(room, names, "contact", id, gone=gone))

    def forget_names(self, room: str, names: list[str]) -> None:
        """Nothing is remembered of some objects."""
        self.model.forget_names(room, names)
        self._call(lambda: self.room.forget_names(room, names))

    def _adopt_order(self) -> None:
        """Boxes that were freed together come in no stated order: take over theirs, if they are the same boxes."""
        found = seen_in(self.loop(self.store.dump()), self.model.now)
        for word, mine in (("ready", self.model.ready), ("suspect", self.model.suspect)):
            for room, names in mine.items():
                theirs = found[word].get(room, [])
                if sorted(theirs) == sorted(names):
                    mine[room] = list(theirs)

    def bury(self, drains: list[str], *, counted: bool) -> None:
        """Declare drains dead."""
        before = {room: list(names) for room, names in self.model.ready.items()}
        want = self.model.bury(drains, counted=counted)
        answers = self._call(lambda: self.room.bury(drains, counted=counted))
        assert answers == [want, *[(0, 0)] * (len(answers) - 1)], f"bury said {answers}, not {want}"
        self._adopt_order()
        for room, names in before.items():
            assert self.model.ready[room][: len(names)] == names, "the freed pushed in"

    def leave(self, drain: str) -> None:
        """A drain ends."""
        self.model.leave(drain)
        self._call(lambda: self.room.leave(drain, DRAINS[drain]))
        self._adopt_order()

    def strays(self, drain: str, known: list[Lease]) -> None:
        """Give back what a drain does not know of."""
        want = self.model.strays(drain, {(x.room, x.box, x.token) for x in known})
        answers = self._call(lambda: self.room.strays(drain, known))
        assert answers == [want, *[0] * (len(answers) - 1)], f"strays said {answers}, not {want}"
        self._adopt_order()

    def unhold(self, room: str, box: str) -> None:
        """A person lets a box go on."""
        want = self.model.unhold(room, box)
        assert self._call(lambda: self.room.call("unhold", room, box, "default"))[0] == want

    def skip(self, room: str, box: str, item: str, *, drop: bool) -> None:
        """The first item of a held box leaves it."""
        want = self.model.skip(room, box, item, drop=drop)
        args = (room, box, item, "" if drop else as_json({"code": "x", "room": room}), "default", DAY, '{"t":"x"}')
        answers = self._call(lambda: self.room.call("skip", *args))
        assert answers == [int(want), *[0] * (len(answers) - 1)], f"skip said {answers}, not {want}"

    def revive(self, item: str, *, insist: bool) -> None:
        """A dead letter is sent once more."""
        want = self.model.revive(item, insist=insist)
        self._verb(want, "revive", item, int(insist), "default", DAY, '{"t":"x"}')
        if want == "done":
            room, names, weak, _ = self.model.watched[item]
            self.appended[room] = [one for one in self.appended.get(room, []) if one != item] + [item]
            self.names[item] = ({*names, *self.model.also.get((room, item), ())}, set(weak))

    def again(self, item: str, *, insist: bool) -> None:
        """The event of a dead letter is routed once more."""
        inbox = self.inbox[item.split(".")[0]]
        its_event = item.split(".")[0]
        waits = any(its_event in box.own for (room, _), box in self.model.boxes.items() if room == INBOX)
        want = self.model.again(item, *inbox, insist=insist)
        if want == "done" and not waits and its_event in self.appended.get(INBOX, []):
            self.appended[INBOX].remove(its_event)
            self.appended[INBOX].append(its_event)
        self.rounds[item.split(".")[0]] = self.rounds.get(item.split(".")[0], 0) + (want == "done")
        self._verb(want, "again", item, int(insist), "default", DAY, '{"t":"x"}', inbox[0], "")

    def _verb(self, want: str, *words: Any) -> None:
        answers = [answer.decode() for answer in self._call(lambda: self.room.call(*words))]
        second = "gone" if want == "done" else want
        assert answers == [want, *[second] * (len(answers) - 1)], f"{words} said {answers}, not {want}"

    def pause(self, room: str, ms: int = 0) -> None:
        """A person pauses a room: for so long, or until a person resumes it."""
        until = self.model.now + ms if ms else 0
        want = self.model.pause(room, until)
        assert self._call(lambda: self.room.pause(room, "why", until=until), may_change=["counts"])[0] == want

    def resume(self, room: str) -> None:
        """A person lets a room go on."""
        want = self.model.resume(room)
        assert self._call(lambda: self.room.resume(room), may_change=["counts"])[0] == want

    def probe(self, room: str) -> None:
        """A new book or process."""
        want = self.model.probe(room)
        assert self._call(lambda: self.room.probe(room))[0] == want

    def hold(self, source: str, until: int) -> None:
        """A person holds a source."""
        want = self.model.hold(source, until)
        answers = self._call(
            lambda: self.room.call("hold_source", source, until, "why", "who"), may_change=["room:in", "counts"]
        )
        assert answers == [int(want), *[0] * (len(answers) - 1)], f"hold said {answers}, not {want}"

    def lift(self, source: str) -> None:
        """A person releases a source."""
        want = self.model.lift(source)
        answers = self._call(lambda: self.room.call("release_source", source, "default"), may_change=["room:in"])
        assert answers == [int(want), *[0] * (len(answers) - 1)], f"release said {answers}, not {want}"

    def decide(self, event: str, verb: str) -> None:
        """A person lets an event of a held source go, or discards it."""
        home = self.inbox[event][0]
        want = self.model.discard(event, home) if verb == "discard" else self.model.let_go(event, home)
        self._verb(want, verb, event, home, "default", DAY, '{"t":"x"}')

    def rest(self, room: str, ms: int) -> None:
        """A destination asks to be left alone."""
        want = self.model.rest(room, ms)
        assert self._call(lambda: self.room.rest(room, ms / 1000))[0] == want

    def pace(self, room: str, *, usual: bool = False) -> None:
        """One more request."""
        keyed = self.keyed and room in KEYED
        every = KEY.every if keyed else ROOMS[room].every
        wait, rest, used_up = self.model.pace(room, usual=usual)
        assert self.loop(self.room.pace(room, usual=usual)) == (wait / 1000, rest / 1000, used_up)
        if every and not rest:
            # It goes out when it may, which counts as then; `take` sees it through the room's own account.
            self.sent[KEYED[0] if keyed else room] = []
        if keyed and not rest:
            self.spent[self.model.now // PAGE] += 1

    def say_key(self) -> None:
        """A worker says which page it is."""
        if self.keyed:
            self.loop(self._say_key())

    def learn_key(self, drain: str, room: str, unsent: int, left: int | None) -> None:
        """A drain says what it has learned of the key of a room."""
        if drain not in self.model.drains:
            return
        before = self.model.keys[room].used if room in self.model.keys else 0
        self.model.learn_key(room, unsent, left)
        self.loop(self.room.beat(drain, self.model.drains[drain], learned=[(room, unsent, left)]))
        if room in self.model.keys:
            self.spent[self.model.now // PAGE] -= max(0, before - self.model.keys[room].used)

    def hear(self, pool: str) -> None:
        """A drain hears the bell, if it rings."""
        rang = self.loop(self.store.raw.lpop(self.room.key(f"bell:{pool}"))) is not None
        assert rang == bool(self.model.bells.get(pool))
        self.model.bells[pool] = max(0, self.model.bells.get(pool, 0) - 1)

    def expire(self, age: int) -> None:
        """Give up dead letters."""
        want = self.model.expire(age)
        answers = self._call(lambda: self.room.expire(age))
        assert answers == [want, *[0] * (len(answers) - 1)]

    def quarantine(self, name: str) -> None:
        """Keep what its model refuses."""
        want = self.model.quarantine(name)
        answers = self._call(lambda: self.room.quarantine([(event(name), "x")]))
        assert answers[0][0].duplicate == want
        assert all(answer[0].duplicate for answer in answers[1:])

    def vanish(self, room: str, item: str) -> None:
        """The record of an item that waits is removed, as a person's verb does."""
        if not self.model.record(room, item) or item in self.model.dead:
            return
        if room == INBOX and self.model.needs.get(item) != {item}:
            return  # it is routed once more, and others need it
        name = item.split(".")[0]
        self.model.vanish(room, item)
        self.vanished.add(name)

        async def remove() -> None:
            raw, key = self.store.raw, self.room.key
            await raw.delete(key(f"{'e' if room == INBOX else 'd'}:{item}"))
            if room != INBOX:
                left = int(await raw.hget(key("refs"), name) or 1) - 1
                if left > 1:
                    await raw.hset(key("refs"), name, str(left))
                else:
                    await raw.hdel(key("refs"), name)
                if left == 0:
                    await raw.delete(key(f"e:{name}"))

        self.loop(remove())

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.model.advance(ms)
        assert self.loop(self.store.advance(ms, early=MOMENT)) == self.model.now
