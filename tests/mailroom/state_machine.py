"""What a state machine may do to the mailroom: draws calls, lets `World` make and check them."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mailroom import INBOX, Mailroom
from mailroom.ledger import Verdict
from tests.mailroom.comparison import DRAINS, ROOMS, Comparison, OracleVerdict
from tests.mailroom.model import Made
from tests.mailroom.random_walk import SAYS
from tests.mailroom.store import DAY, Loop, Store


def profile(examples: int, steps: int, **more: Any) -> settings:
    """Return settings; RELAIS_TEST_EXAMPLES asks for that many examples instead, for long runs."""
    wanted = int(os.environ.get("RELAIS_TEST_EXAMPLES", "0"))
    return settings(
        max_examples=wanted or examples,
        stateful_step_count=steps,
        # Shrinking would ask the store tens of thousands of times; what is found is short enough to read.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
        **more,
    )


drains = st.sampled_from(list(DRAINS))
rooms = st.sampled_from(list(ROOMS))
others = st.sampled_from([name for name in ROOMS if name != INBOX])
wants = st.lists(
    st.tuples(rooms, st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=4, unique_by=lambda w: w[0]
)
#: (position in the past or none, person, named by its sender, body, retain)
new_events = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 2),
        st.booleans(),
        st.sampled_from([b"1", b"2"]),
        st.sampled_from([0, 0, 50_000]),
    ),
    min_size=1,
    max_size=4,
)
new_deliveries = st.lists(
    st.builds(
        Made,
        id=st.just(""),
        room=others,
        box=st.sampled_from("xyz"),
        also=st.sampled_from([(), (), ("u",), ("u", "v"), ("v",)]),
        weak=st.sampled_from([(), (), ("p",)]),
        lease=st.booleans(),
        once=st.sampled_from(["", "", "o1"]),
        coalesce=st.sampled_from(["", "k1", "k2"]),
        delay=st.sampled_from([0, 0, 700]),
        dead=st.sampled_from([False] * 7 + [True]),
    ),
    max_size=3,
)
verdict_words: st.SearchStrategy[Verdict] = st.sampled_from(["done"] * 5 + ["dead", "wait", "wait", "hold", "back"])
steps_of_time = st.sampled_from([1, 100, 100, 300, 700, 1000, 30_000, 60_000, 3_600_000, DAY, 2 * DAY])


class Machine(RuleBasedStateMachine):
    """The mailroom under every call, in every order."""

    def __init__(self, loop: Loop, store: Store, room: Mailroom, *, crashes: bool = False) -> None:
        super().__init__()
        self.loop, self.store, self.room, self.crashes = loop, store, room, crashes
        self.world: Comparison
        self._events = self._steps = 0

    @initialize(twice=st.booleans())
    def begin(self, twice: bool) -> None:
        self.world = Comparison(self.loop, self.store, self.room, twice=twice)
        for drain in DRAINS:
            self.world.beat(drain)

    @invariant()
    def same(self) -> None:
        if hasattr(self, "world"):
            self._steps += 1
            if self.crashes and self._steps % 3 == 0:
                self.world.crash()
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.check_keys()

    def _put(self, events: list[tuple[int, int, bool, bytes, int]]) -> None:
        given = []
        for past, person, named, body, retain in events:
            ever = self.world.put_ever
            if past < min(len(ever), 8) and ever[-1 - past][0] not in self.world.vanished:
                given.append(ever[-1 - past])
            else:
                self._events += 1
                given.append((f"e{self._events}", person, named, body, retain))
        self.world.put(given)

    @rule(events=new_events)
    def put(self, events: list[tuple[int, int, bool, bytes, int]]) -> None:
        self._put(events)

    @rule(drain=drains)
    def beat(self, drain: str) -> None:
        self.world.beat(drain)

    @rule(drain=drains, wants=wants, suspects=st.sampled_from([0, 0, 1, 2, 9]), again=st.booleans())
    def take(self, drain: str, wants: list[tuple[str, int, int]], suspects: int, again: bool) -> None:
        self.world.take(drain, wants, suspects, again=again)

    @rule(drain=drains, n=st.integers(1, 3))
    def take_all(self, drain: str, n: int) -> None:
        self.world.take(drain, [(room, n, n) for room in ROOMS], 0)

    def _settle(
        self, data: st.DataObject, lease: Any, made: list[Made], words: list[Verdict], doubt: int, last: bool, skip: int
    ) -> None:
        pairs: list[tuple[str, OracleVerdict]] = []
        for item, _ in lease.items[skip if skip < len(lease.items) else 0 :][: len(words)]:
            word = words[len(pairs)]
            new = []
            if word in ("done", "dead") and not pairs:
                event, dot, rest = item.partition(".")
                prefix = f"{event}.{rest}n" if dot else f"{event}."
                new = [Made(f"{prefix}{n}", *list(vars(one).values())[1:]) for n, one in enumerate(made)]
                if len(prefix) > 12:
                    new = []
            says = data.draw(st.sampled_from(SAYS[word]), label="says") if lease.room != INBOX else ""
            alone = data.draw(st.sampled_from([0, 300]), label="alone") if says in ("away", "refused") else 0
            pairs.append((item, OracleVerdict(word, 700, lease.attempt + 1, doubt, says, alone, tuple(new))))
            if word not in ("done", "dead"):
                break
        ends = last or len(pairs) == len(lease.items)
        box = self.world.model.boxes.get((lease.room, lease.box))
        drain = (box.drain if box else "") or "d1"
        go_on = data.draw(st.booleans(), label="go on") if ends else False
        self.world.settle(drain, lease, pairs, last=ends, go_on=go_on)

    @precondition(lambda self: self.world.in_force())
    @rule(
        data=st.data(),
        made=new_deliveries,
        words=st.lists(verdict_words, min_size=1, max_size=3),
        doubt=st.integers(0, 2),
        last=st.booleans(),
        skip=st.sampled_from([0, 0, 0, 1]),
    )
    def settle(
        self, data: st.DataObject, made: list[Made], words: list[Verdict], doubt: int, last: bool, skip: int
    ) -> None:
        lease = data.draw(st.sampled_from(self.world.in_force()), label="lease")
        if lease.items:
            self._settle(data, lease, made, words, min(doubt, len(lease.items)), last, skip)

    @precondition(lambda self: self.world.in_force())
    @rule(data=st.data(), made=new_deliveries)
    def route(self, data: st.DataObject, made: list[Made]) -> None:
        lease = data.draw(st.sampled_from(self.world.in_force()), label="lease")
        if lease.items:
            self._settle(data, lease, made, ["done"], 0, False, 0)

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data(), made=new_deliveries, word=verdict_words)
    def settle_anything(self, data: st.DataObject, made: list[Made], word: Verdict) -> None:
        lease = data.draw(st.sampled_from(self.world.leases), label="lease")
        self._settle(data, lease, made, [word], 0, True, 0)

    @rule(gone=st.lists(drains, min_size=1, max_size=2, unique=True), counted=st.sampled_from([True, True, False]))
    def bury(self, gone: list[str], counted: bool) -> None:
        self.world.bury(gone, counted=counted)
        for drain in gone:
            self.world.beat(drain)

    @rule(drain=drains, back=st.booleans())
    def leave(self, drain: str, back: bool) -> None:
        self.world.leave(drain)
        if back:
            self.world.beat(drain)

    @rule(drain=drains, data=st.data())
    def strays(self, drain: str, data: st.DataObject) -> None:
        known = [lease for lease in self.world.in_force() if data.draw(st.booleans())]
        self.world.strays(drain, known)

    @rule(data=st.data())
    def unhold(self, data: st.DataObject) -> None:
        boxes = sorted(self.world.model.boxes)
        held = [key for key in boxes if self.world.model.boxes[key].state == "h"] or boxes
        if held:
            self.world.unhold(*data.draw(st.sampled_from(held)))

    @rule(room=rooms, ms=st.sampled_from([0, 500, 5_000]))
    def pause(self, room: str, ms: int) -> None:
        self.world.pause(room, ms)

    @precondition(lambda self: self.world.model.paused)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.world.resume(data.draw(st.sampled_from(sorted(self.world.model.paused))))

    @rule(room=others)
    def probe(self, room: str) -> None:
        self.world.probe(room)

    @rule(room=others, ms=st.sampled_from([500, 5_000]))
    def rest(self, room: str, ms: int) -> None:
        self.world.rest(room, ms)

    @rule(room=rooms)
    def pace(self, room: str) -> None:
        self.world.pace(room)

    @rule(pool=st.sampled_from(["default", "heavy"]))
    def hear(self, pool: str) -> None:
        self.world.hear(pool)

    @rule(ms=steps_of_time)
    def advance(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(age=st.sampled_from([1000, DAY]))
    def expire(self, age: int) -> None:
        self.world.expire(age)

    @rule(n=st.integers(0, 2))
    def quarantine(self, n: int) -> None:
        self.world.quarantine(f"q{n}")

    @rule(n=st.integers(0, 2))
    def come_again(self, n: int) -> None:
        """What was in quarantine is sent once more, and fits now."""
        if f"q{n}" not in self.world.vanished:
            self.world.put([(f"q{n}", 0, True, b"{}", 0)])

    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        there = [(room, item) for (room, _), box in sorted(self.world.model.boxes.items()) for item in box.own]
        if there:
            self.world.vanish(*data.draw(st.sampled_from(there)))
