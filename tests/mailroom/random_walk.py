"""A walk through the mailroom: calls drawn with plain chances, as a busy day has them.

Takes a world and a source of chance. Sooner deep in than the state machine, which is what planted faults need; cannot
shrink what it finds.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from mailroom import INBOX, Lease
from mailroom.keys import SCHEMA
from mailroom.ledger import Verdict
from tests.mailroom.comparison import DRAINS, OBJECTS, PAGE, ROOMS, SOURCES, Comparison, OracleVerdict
from tests.mailroom.model import Made
from tests.mailroom.store import DAY

#: What an attempt that ends so may tell of its destination.
SAYS: dict[Verdict, list[str]] = {
    "done": ["there", ""],
    "dead": ["there", "", "away"],
    "wait": ["", "away", "away", "refused", "there"],
    "hold": ["", "away"],
    "back": [""],
}
NAMES = "vwxyz"
OTHERS = [name for name in ROOMS if name != INBOX]


class Walk:
    """One walk."""

    def __init__(
        self,
        world: Comparison,
        chance: Random,
        *,
        names: int = 3,
        kills: float = 0.0,
        dense: bool = False,
        goes_on: bool = False,
    ) -> None:
        self.world, self.chance = world, chance
        #: So many names a delivery has at the most.
        self.names = names
        #: Each event makes several deliveries, and they are settled as fast as they are made.
        self.dense = dense
        #: Drains go on with what is next in their boxes.
        self.goes_on = goes_on
        #: Chance that the store is killed after a step, and how often it was.
        self.kills, self.killed = kills, 0
        self._events = 0
        self._steps: dict[Callable[[], None], int] = {
            self.put: 6,
            self.take: 8,
            self.settle: 12,
            self.settle_stale: 3,
            self.advance: 4,
            self.bury: 1,
            self.ordeal: 2,
            self.leave: 2,
            self.strays: 2,
            self.unhold: 2,
            self.pause: 1,
            self.resume: 2,
            self.outage: 3,
            self.stumble: 2,
            self.probe: 1,
            self.pace: 1,
            self.rest: 1,
            self.hear: 1,
            self.expire: 2,
            self.vanish: 1,
            self.quarantine: 1,
        }
        if world.keyed:
            self._steps |= {self.say_key: 2, self.learn_key: 2}
        if world.schema != SCHEMA:
            self._steps |= {self.migrate: 1}
        if world.holds:
            self._steps |= {self.hold: 3, self.lift: 2, self.decide: 6}
        if names > 1:
            self._steps |= {self.meet: 4, self.learn: 1, self.skip: 1, self.retry: 3}
        if dense:
            self._steps |= {
                self.put: 5,
                self.shift: 25,
                self.settle: 10,
                self.advance: 8,
                self.unhold: 5,
            }

        if goes_on:
            self._steps |= {self.go_on: 6}
        if dense and names > 1:
            self._steps |= {self.meet: 10, self.learn: 5}
        elif dense:
            self._steps |= {self.pause: 6, self.outage: 10, self.flap: 10, self.take: 20}

    def go(self, steps: int) -> None:
        """Walk so many steps; raises AssertionError at the first that goes wrong."""
        for drain in DRAINS:
            self.world.beat(drain)
        for _ in range(steps):
            (step,) = self.chance.choices(list(self._steps), list(self._steps.values()))
            step()
            if self.kills and self.chance.random() < self.kills:
                self.world.crash()
                self.killed += 1
            self.world.check()
        if self.dense:
            self.finish()
        self.world.check_keys()

    def migrate(self) -> None:
        """Nobody speaks the former schema any more."""
        self.world.migrate()

    def put(self) -> None:
        """Events, some of them for the second time."""
        chance, ever, given = self.chance, self.world.put_ever, []
        for _ in range(chance.randint(1, 4)):
            if ever and chance.random() < 0.25:
                again = chance.choice(ever[-8:])
                if again[0] not in self.world.vanished:
                    given.append(again)
                    continue
            self._events += 1
            body, retain = chance.choice([b"1", b"2"]), chance.choice([0, 0, 50_000])
            given.append((f"e{self._events}", chance.randint(0, 2), chance.random() < 0.5, body, retain))
        if given:
            self.world.put(given)

    def take(self) -> None:
        """Mostly of everything, sometimes the last take again."""
        chance = self.chance
        rooms = list(ROOMS) if chance.random() < 0.7 else chance.sample(list(ROOMS), 2)
        wants = [(room, chance.randint(1, 3), chance.randint(1, 3)) for room in chance.sample(rooms, len(rooms))]
        drain, suspects = chance.choice(list(DRAINS)), chance.choice([0, 0, 1, 9])
        self.world.take(drain, wants, suspects, again=chance.random() < 0.2)

    def _made(self, item: str) -> tuple[Made, ...]:
        chance = self.chance
        event, dot, rest = item.partition(".")
        round = self.world.rounds.get(event, 0)
        prefix = f"{event}.{rest}n" if dot else f"{event}.a{round}." if round else f"{event}."
        if len(prefix) > 12:
            return ()
        return tuple(
            Made(
                f"{prefix}{n}",
                chance.choice(OTHERS),
                **self._names(),
                source=chance.choice([*SOURCES, "!", ""]) if self.world.classes else "",
                lease=chance.random() < 0.4,
                once=chance.choice(["", "", "", "o"]),
                coalesce=chance.choice(["", "k", "k"]),
                delay=chance.choice([0, 0, 0, 700]),
                dead=chance.random() < 0.1,
            )
            for n in range(chance.choice(([2, 3, 4] if self.dense else [0, 1, 1, 2, 3]) if not dot else [0, 0, 0, 1]))
        )

    def _names(self) -> dict[str, Any]:
        chance = self.chance
        if self.names == 1:
            return {"box": chance.choice("xxyz")}
        boxes = chance.sample(NAMES, chance.randint(1, self.names))
        weak = chance.sample("pq", chance.choice([0, 0, 0, 1, 2]))
        return {"box": boxes[0], "also": tuple(boxes[1:]), "weak": tuple(weak)}

    def _settle(self, lease: Lease) -> None:
        chance, pairs = self.chance, []
        if lease.items[0][0] in self.world.model.patient and chance.random() < 0.4:
            early = OracleVerdict("wait", 700, lease.attempt)  # it was handed out before its time
            self.world.settle("d1", lease, [(lease.items[0][0], early)], last=True)
            return
        for item, _ in lease.items[: chance.randint(1, 3)]:
            (word,) = chance.choices(list(SAYS), [8, 2, 3, 1, 1])
            made = self._made(item) if word in ("done", "dead") else ()
            says = chance.choice(SAYS[word]) if lease.room != INBOX else ""
            alone = chance.choice([0, 0, 300]) if says in ("away", "refused") else 0
            verdict = OracleVerdict(word, 700, lease.attempt + 1, chance.choice([0, 0, 1]), says, alone, made)
            pairs.append((item, verdict))
            if word not in ("done", "dead"):
                break
        last = len(pairs) == len(lease.items) or chance.random() < 0.3
        box = self.world.model.boxes.get((lease.room, lease.box))
        go_on = self.goes_on and chance.random() < 0.5
        self.world.settle((box.drain if box else "") or "d1", lease, pairs, last=last, go_on=go_on)

    def shift(self) -> None:
        """Every drain takes what it can, and most of it is settled."""
        self.put()
        for drain in DRAINS:
            self.world.take(
                drain, [(room, 3, self.chance.randint(1, 3)) for room in ROOMS], self.chance.choice([0, 0, 9])
            )
        if self.names > 1:
            self.meet()
        for lease in self.world.in_force():
            if lease.items and self.chance.random() < 0.8:
                self._settle(lease)

    def meet(self) -> None:
        """What is under way finds its objects, mostly by names of its own."""
        chance, world = self.chance, self.world
        leases = [lease for lease in world.in_force() if lease.room != INBOX and lease.items]
        for lease in chance.sample(leases, min(len(leases), 3)):
            own = sorted({lease.box, *world.model.also.get((lease.room, lease.items[0][0]), ())})
            name = chance.choice(own) if chance.random() < 0.5 else self._name()
            world.meet(lease, chance.choice(OBJECTS), [name])

    def learn(self) -> None:
        """A destination made or renamed an object, or a person is forgotten."""
        chance, room = self.chance, self.chance.choice(OTHERS)
        if chance.random() < 0.2:
            self.world.forget_names(room, [self._name()])
        else:
            names = chance.sample(NAMES, chance.choice([0, 1, 2, 2, 3]))
            gone = [name for name in chance.sample(NAMES, chance.choice([0, 0, 1])) if name not in names]
            self.world.learn(room, chance.choice(OBJECTS), names, gone)

    def _name(self) -> str:
        return self.chance.choice(NAMES)

    def go_on(self) -> None:
        """One box gets a lot, the others of its room are worked off, and what is next in it follows at once."""
        self.put()
        self.world.take("d1", [(INBOX, 3, 3)], 0)
        for lease in self.world.in_force():
            if lease.room == INBOX and lease.items:
                item = lease.items[0][0]
                made = tuple(
                    replace(one, room="crm", box="x", also=tuple(sorted({*one.also} - {"x"})), delay=0)
                    for one in self._made(item)
                )
                self.world.settle("d1", lease, [(item, OracleVerdict("done", made=made))], last=len(lease.items) == 1)
        for _ in range(5):
            self.world.take("d1", [("crm", 9, 1)], 0)
            for lease in self._at_crm():
                drain = self.world.model.boxes[lease.room, lease.box].drain
                done = OracleVerdict(self.chance.choice(["done", "done", "dead"]), says="there")
                self.world.settle(drain, lease, [(lease.items[0][0], done)], last=len(lease.items) == 1, go_on=True)

    def finish(self) -> None:
        """All that waits is done, whatever the limits; then nothing is left of boxes and names."""
        world, model = self.world, self.world.model
        for _ in range(400):
            if not model.boxes:
                break
            for room in sorted(model.paused):
                world.resume(room)
            for source in sorted(model.holds):
                world.lift(source)
            for key in sorted(key for key, box in model.boxes.items() if box.state == "h"):
                world.unhold(*key)
            world.advance(PAGE if world.keyed else 60_000)
            world.say_key()
            for drain in DRAINS:
                for suspects in (0, 9):
                    world.take(drain, [(room, 9, 3) for room in ROOMS], suspects)
            for lease in world.in_force():
                done = [(item, OracleVerdict("done", says="there")) for item, _ in lease.items]
                if done:
                    world.settle("d1", lease, done, last=True)
                else:
                    world.bury([model.boxes[lease.room, lease.box].drain], counted=False)
                    for drain in DRAINS:
                        world.beat(drain)
        world.check()
        kinds = ("b:", "also:", "weak:", "under:", "leased:", "held:")
        left = [key for key in world.loop(world.store.dump()) if key.startswith(kinds)]
        assert not left, f"{left} are left"

    def settle(self) -> None:
        """Something that a drain holds."""
        leases = [lease for lease in self.world.in_force() if lease.items]
        if leases:
            self._settle(self.chance.choice(leases))

    def settle_stale(self) -> None:
        """Something that a drain held once, perhaps still."""
        boxes = self.world.model.boxes
        stale = [x for x in self.world.leases if (box := boxes.get((x.room, x.box))) and box.token not in ("", x.token)]
        stale = stale or self.world.leases
        if stale:
            self._settle(self.chance.choice(stale[-12:]))

    def advance(self) -> None:
        """Time passes, mostly little."""
        steps = [1, 100, 100, 300, 700, 1000, 1000, 30_000, 60_000, DAY, 2 * DAY]
        self.world.advance(self.chance.choice(steps))

    def bury(self) -> None:
        """A drain dies; another takes its name."""
        drain = self.chance.choice(list(DRAINS))
        self.world.bury([drain], counted=self.chance.random() < 0.8)
        self.world.beat(drain)

    def ordeal(self) -> None:
        """Drains die one after the other over the same boxes."""
        drain = self.chance.choice(list(DRAINS))
        for n in range(self.chance.randint(2, 3)):
            self.world.take(drain, [(room, 3, 2) for room in ROOMS], min(n, 1) * 9)
            self.world.bury([drain], counted=True)
            self.world.beat(drain)

    def leave(self) -> None:
        """A drain leaves; before another takes its name it may still ask."""
        drain = self.chance.choice(list(DRAINS))
        self.world.leave(drain)
        self.world.take(drain, [(INBOX, 1, 1)], 0)
        self.world.beat(drain)

    def strays(self) -> None:
        """A drain knows some of what it holds."""
        known = [lease for lease in self.world.in_force() if self.chance.random() < 0.5]
        self.world.strays(self.chance.choice(list(DRAINS)), known)

    def unhold(self) -> None:
        """A person lets a box go on."""
        held = sorted(key for key, box in self.world.model.boxes.items() if box.state == "h")
        if held:
            self.world.unhold(*self.chance.choice(held))

    def skip(self) -> None:
        """A person goes on without the first item of a box."""
        held = sorted(key for key, box in self.world.model.boxes.items() if box.state == "h")
        if held:
            room, box = self.chance.choice(held)
            item = self.world.model.boxes[room, box].items[0]
            self.world.skip(room, box, item, drop=self.chance.random() < 0.5)

    def hold(self) -> None:
        """A person holds a source, for good or for a while."""
        until = self.chance.choice([0, 0, 1, 700, 60_000])
        self.world.hold(self.chance.choice(list(SOURCES)), self.world.model.now + until if until else 0)

    def lift(self) -> None:
        """A person releases a source, held or not."""
        self.world.lift(self.chance.choice(sorted(self.world.model.holds) or list(SOURCES)))

    def decide(self) -> None:
        """A person decides about an event of a held source, mostly of one that waits."""
        model, chance = self.world.model, self.chance
        there = [item for (room, _), box in sorted(model.boxes.items()) if room == INBOX for item in box.own]
        there = [item for item in there if model.is_held(model.sources[item])] or there or list(self.world.inbox)
        if there:
            self.world.decide(chance.choice(there), chance.choice(["discard", "let_go"]))

    def retry(self) -> None:
        """A person retries a dead letter, as it was or by the rules of today."""
        dead = sorted(self.world.model.dead)
        if dead:
            item, insist = self.chance.choice(dead), self.chance.random() < 0.5
            if self.chance.random() < 0.6:
                self.world.revive(item, insist=insist)
            elif item in self.world.inbox or item.split(".")[0] not in dead:
                # An event that died while it was routed has made nothing; here it may have.
                self.world.again(item, insist=insist)

    def quarantine(self) -> None:
        """An event is refused by its model; it may come again and be valid."""
        name = f"e{self._events + self.chance.randint(1, 3)}"
        self.world.quarantine(name)

    def pause(self) -> None:
        """A room is paused, where people hold sources, too, mostly for a while."""
        room = self.chance.choice(list(ROOMS))
        self.world.pause(room, self.chance.choice([0, 500, 5_000]) if self.world.holds else 0)

    def resume(self) -> None:
        """A room goes on."""
        if self.world.model.paused:
            self.world.resume(self.chance.choice(sorted(self.world.model.paused)))

    def outage(self) -> None:
        """What is under way at a destination fails, one after the other."""
        for lease in self.world.in_force():
            if lease.room != INBOX and lease.items and self.chance.random() < 0.8:
                verdict = OracleVerdict("wait", self.chance.choice([700, 3_600_000]), lease.attempt + 1, 0, "away")
                self.world.settle("d1", lease, [(lease.items[0][0], verdict)], last=True)

    def stumble(self) -> None:
        """One delivery fails, and again as soon as it may."""
        for _ in range(2):
            for lease in self._at_crm()[:1]:
                verdict = OracleVerdict("wait", 1, lease.attempt + 1, 0, "away")
                self.world.settle("d1", lease, [(lease.items[0][0], verdict)], last=True)
            self.world.advance(1)
            self.world.take("d1", [("crm", 2, 1)], 0)

    def flap(self) -> None:
        """A destination goes away, is resumed, and goes away again before anybody takes from it."""
        self._away()
        self.world.resume("crm")
        self.put()
        self.world.take("d2", [(INBOX, 3, 1)], 0)
        for lease in self.world.in_force():
            if lease.room == INBOX and lease.items:
                item = lease.items[0][0]
                box = self.chance.choice("abcdef")  # mostly idle
                made = tuple(replace(one, room="crm", box=box, lease=True, dead=False) for one in self._made(item)[:1])
                self.world.settle("d2", lease, [(item, OracleVerdict("done", made=made))], last=True)
        if self.chance.random() < 0.3:
            self._away(1)
            self.world.pause("crm")
            for lease in self._at_crm()[:1]:
                self.world.settle("d1", lease, [(lease.items[0][0], OracleVerdict("done", says="there"))], last=True)
        self._away()

    def _at_crm(self) -> list[Lease]:
        return [lease for lease in self.world.in_force() if lease.room == "crm" and lease.items]

    def _away(self, most: int = 9) -> None:
        for lease in self._at_crm()[:most]:
            verdict = OracleVerdict("wait", 3_600_000, lease.attempt + 1, 0, "away")
            self.world.settle("d1", lease, [(lease.items[0][0], verdict)], last=True)

    def probe(self) -> None:
        """A new book."""
        self.world.probe(self.chance.choice(OTHERS))

    def rest(self) -> None:
        """A destination asks to be left alone."""
        self.world.rest(self.chance.choice(OTHERS), self.chance.choice([500, 5_000]))

    def pace(self) -> None:
        """One request more."""
        self.world.pace(self.chance.choice(list(ROOMS)), usual=self.world.keyed and self.chance.random() < 0.5)

    def say_key(self) -> None:
        """A worker says which page it is."""
        self.world.say_key()

    def learn_key(self) -> None:
        """A lease asked nobody, or a vendor says what is left."""
        chance = self.chance
        unsent, left = chance.choice([(0, None), (1, None), (0, 2), (1, 5), (0, 0)])
        self.world.learn_key(chance.choice(list(DRAINS)), chance.choice(OTHERS), unsent, left)

    def hear(self) -> None:
        """A bell is heard."""
        self.world.hear(self.chance.choice(["default", "heavy"]))

    def expire(self) -> None:
        """Old dead letters are given up."""
        self.world.expire(self.chance.choice([1000, DAY]))

    def vanish(self) -> None:
        """A record is removed by a person's verb."""
        there = [(room, item) for (room, _), box in sorted(self.world.model.boxes.items()) for item in box.own]
        if there:
            self.world.vanish(*self.chance.choice(there))
