"""The mailroom and its model side by side: every call goes to both, and both must then be the same.

Takes calls in the model's words. Raises AssertionError where answers or contents differ, or where the store breaks a
rule that holds whatever was called. Knows nothing of hypothesis.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mailroom import INBOX, DeadLetterInfo, Lease, Mailroom, NewDelivery, RoomRequest, Settlement
from mailroom.ledger import Verdict
from tests.mailroom.model import ONCE, Limits, Made, MailroomOracle, seen_in
from tests.mailroom.store import CLOCK, START, Loop, Store, StoredKey, event, key_faults

#: What people are told of what died or is held.
INFO = DeadLetterInfo("crm", "", "x", "")

DAY = "2026-11-21"
#: Rooms of every kind: one that takes what comes, one within a concurrency, one within a rate, one of another pool.
ROOMS = {
    INBOX: Limits(),
    "crm": Limits(concurrency=2, breaker=2),
    "mail": Limits(every=100, burst=2, breaker=1),
    "bill": Limits(pool="heavy", concurrency=1, every=1000, burst=3),
}
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
    made: tuple[Made, ...] = ()


class Comparison:
    """A store and a model, empty at first."""

    def __init__(self, loop: Loop, store: Store, room: Mailroom, *, twice: bool = False) -> None:
        self.loop, self.store, self.room = loop, store, room
        #: Every call is made twice, as if the first answer had been lost.
        self.twice = twice
        self.model = MailroomOracle(START, {name: Limits(**vars(limits)) for name, limits in ROOMS.items()})
        self.leases: list[Lease] = []
        self.put_ever: list[tuple[str, int, bool, bytes, int]] = []
        self.vanished: set[str] = set()
        self.sent: dict[str, list[int]] = {name: [] for name in ROOMS}
        self._calls = 0
        loop(self._begin())

    async def _begin(self) -> None:
        await self.store.raw.flushall()
        await self.store.raw.set(CLOCK, START)
        await self.room.prepare()
        for name, limits in ROOMS.items():
            await self.room.configure(
                name,
                pool=limits.pool,
                concurrency=limits.concurrency,
                every=limits.every,
                burst=limits.burst,
                breaker=limits.breaker,
            )

    # -- comparing

    def _call(self, call: Callable[[], Awaitable[Any]], *, may_change: Sequence[str] = ()) -> list[Any]:
        """Make a call, or make it twice; what it said each time. The second time nothing changes."""
        answers = [self.loop(call())]
        if self.twice:
            before = self.loop(self.store.dump())
            answers.append(self.loop(call()))
            after = self.loop(self.store.dump())
            for name in set(before) | set(after):
                if name not in may_change:
                    one, other = (found[name].value if name in found else None for found in (before, after))
                    assert one == other, f"{name} changed at the second call: {one}, then {other}"
        return answers

    def check(self) -> None:
        """Compare everything."""
        dump = self.loop(self.store.dump())
        self._check_by_itself(dump)
        found, expected = seen_in(dump, self.model.now), self.model.contents()
        for word, mine in expected.items():
            theirs = found[word]
            if word == "records":
                assert set(theirs) == set(mine), f"records of {theirs}, not {mine}"
                for name, left in mine.items():
                    known = theirs[name]
                    assert (left is None) == (known is None), f"record of {name} lives {known}, not {left}"
                    assert left is None or abs(known - left) < 5000, f"record of {name} lives {known}, not {left}"
            else:
                assert theirs == mine, f"{word}: {theirs}, not {mine}"

    def _check_by_itself(self, dump: dict[str, StoredKey]) -> None:
        """Rules that hold whatever was called."""
        found = seen_in(dump, self.model.now)
        items: list[tuple[str, str]] = []
        for (room, box), (head, *inside) in found["boxes"].items():
            items += [(room, item) for item in inside]
            assert inside, f"{room}/{box} has a state and no items"
            places = {
                "r": found["ready"].get(room, []).count(box) + found["suspect"].get(room, []).count(box),
                "l": (room, box) in found["leased"],
                "w": sum((room, box) in found[queue] for queue in ("waiting", "retry", "woken")),
                "h": (room, box) in found["held"],
            }
            assert places[head[0]] == 1, f"{room}/{box} is {head} and in {places}"
            assert sum(places.values()) == 1, f"{room}/{box} is {head} and in {places}"
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

    def check_keys(self) -> None:
        """Compare all keys with the schema table."""
        faults = key_faults(self.loop(self.store.dump()))
        assert not faults, faults

    def _sent(self, room: str, n: int) -> None:
        """Account for what was sent from a room; never more than its rate allows between any two moments."""
        limits, now = ROOMS[room], self.model.now
        times = self.sent[room]
        times += [now] * n
        if limits.every and n:
            for first, at in enumerate(times):
                allowed = limits.burst + (now - at) // limits.every
                assert len(times) - first <= allowed, f"{len(times) - first} from {room} in {now - at} ms"

    # -- what happens

    def put(self, events: list[tuple[str, int, bool, bytes, int]]) -> None:
        """Put (id, person, named by the sender, body, retain)."""
        given, expected = [], []
        for name, person, named, body, retain in events:
            one = event(name, f"email:p{person}@example.org", sender=named, body=body, retain=retain)
            given.append(one)
            box = self.room.hash(one.order_key or "")
            hasher = self.room._hasher
            assert hasher is not None
            digest = "" if named else hasher.body(f"{one.source}|{one.type}", body)
            expected.append((name, box, digest, retain))
        want = self.model.put(expected)
        answers = self._call(lambda: self.room.put(given), may_change=["counts"])
        receipts = [(r.id, r.duplicate) for r in answers[0]]
        assert receipts == [(known or e.id, bool(known)) for known, e in zip(want, given, strict=True)], receipts
        assert all(r.duplicate for answer in answers[1:] for r in answer)
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
            again, self._calls = False, self._calls + 1
            request = f"r{self._calls}"
        paused = {room: self.model.leased(room) for room in self.model.paused}
        leases, wait, waiting = self.model.take(drain, request, wants, suspects)
        asked = [RoomRequest(*want) for want in wants]
        answers = self._call(lambda: self.room.take(drain, request, asked, suspects=suspects))
        for taken in answers:
            got = [(x.room, x.box, x.attempt, x.doubt, x.deaths, [item for item, _ in x.items]) for x in taken.leases]
            assert got == leases, f"take gave {got}, not {leases}"
            assert all(x.token == request for x in taken.leases)
        assert (answers[0].wait, answers[0].suspects) == (wait, waiting), f"{answers[0]}, not {wait}, {waiting}"
        for room, before in paused.items():
            taken_there = sum(lease.room == room for lease in answers[0].leases)
            assert again or taken_there <= (not before), f"{taken_there} probes of {room} beside {before}"
        if not again:
            for lease in answers[0].leases:
                self._sent(lease.room, len(lease.items))
        self.leases = [*self.leases, *answers[0].leases][-40:]

    def in_force(self) -> list[Lease]:
        """Return the leases whose token is the current one, as their drains know them."""
        out = []
        for lease in self.leases:
            box = self.model.boxes.get((lease.room, lease.box))
            if box and box.state == "l" and box.token == lease.token:
                left = [(item, record) for item, record in lease.items if item in box.items]
                out.append(Lease(lease.room, lease.box, lease.token, box.attempt, box.doubt, box.deaths, left))
        return out

    def settle(self, drain: str, lease: Lease, verdicts: Iterable[tuple[str, OracleVerdict]], *, last: bool) -> None:
        """Settle items of a lease in one call."""
        self._calls += 1
        token = f"s{self._calls}"
        given: list[Settlement] = []
        statuses: list[int] = []
        leased: set[str] = set()
        once: set[str] = set()
        news: list[tuple[str, str]] = []
        pairs = list(verdicts)
        for n, (item, v) in enumerate(pairs):
            ends = last and n == len(pairs) - 1
            name = item.split(".")[0]
            new = [
                NewDelivery(
                    d.id,
                    d.room,
                    d.box,
                    b"{}",
                    d.lease,
                    d.once,
                    ONCE,
                    d.coalesce,
                    d.delay,
                    INFO if d.dead else None,
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
                    last=ends,
                    retain=self.model.retain.get(name, 0),
                    new=new,
                )
            )
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
                last=ends,
                made=v.made,
            )
            statuses.append(status)
            leased |= now_leased
            once |= now_once
            news += now_new
            for d in v.made:
                if d.id in now_leased:
                    self._sent(d.room, 1)
                    self.leases.append(Lease(d.room, d.box, token, 0, 0, 0, [(d.id, b"{}")]))
        pool = self.model.drains.get(drain, "default")
        answers = self._call(lambda: self.room.settle(drain, token, given, pool=pool))
        got = answers[0]
        assert (got.statuses, got.leased, got.once) == (statuses, leased, once), (
            f"{got}, not {statuses} {leased} {once}"
        )
        assert [(one.what, one.room) for one in got.room_changes] == news, f"{got.room_changes}, not {news}"
        for answer in answers[1:]:
            assert not {1, 3} & set(answer.statuses)
            assert not answer.leased
            assert not answer.room_changes

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
        assert self._call(lambda: self.room.unhold(room, box))[0] == want

    def pause(self, room: str) -> None:
        """A person pauses a room."""
        want = self.model.pause(room)
        assert self._call(lambda: self.room.pause(room, "why"), may_change=["counts"])[0] == want

    def resume(self, room: str) -> None:
        """A person lets a room go on."""
        want = self.model.resume(room)
        assert self._call(lambda: self.room.resume(room), may_change=["counts"])[0] == want

    def probe(self, room: str) -> None:
        """A new book or process."""
        want = self.model.probe(room)
        assert self._call(lambda: self.room.probe(room))[0] == want

    def pace(self, room: str) -> None:
        """One more request."""
        limits = self.model.limits[room]
        wait = max(0, max(limits.tat, self.model.now) - self.model.now - limits.every * (limits.burst - 1))
        self.model.spend(room, 1)
        assert self.loop(self.room.pace(room)) == (wait / 1000 if limits.every else 0)
        if limits.every:
            # It goes out when it may, which counts as then; `take` sees it through the room's own account.
            self.sent[room] = []

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
        assert self.loop(self.store.advance(ms)) == self.model.now
