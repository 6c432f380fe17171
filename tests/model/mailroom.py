"""The mailroom as a model: what the store holds, two drains that work on it, and everything that may fail.

Comes in: a Setup (which events, what follows from them, how many faults). Goes out: states, steps and what must never
be, for `search`. Each function of `mailroom/lua` is one small function here, over frozen states. Time is not modelled:
what is due may become ready at any time, who stalls may be declared dead at any time.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mailroom.ledger import Verdict
from tests.model.search import Act, Step

#: Drains that die with a box before it is held.
MAX_DEATHS = 3
#: The drain of a call whose drain is gone.
GONE = -1


class ModelBox(NamedTuple):
    """A box of a room; its room and name are its place in `State.boxes`."""

    items: tuple[str, ...] = ()
    #: - none, r ready, l leased, w waiting, h held
    state: str = "-"
    attempt: int = 0
    doubt: int = 0
    deaths: int = 0
    drain: int = GONE
    token: int = 0
    handed: int = 0


NO_BOX = ModelBox()


class ItemVerdict(NamedTuple):
    """What became of an item, before the store knows it."""

    word: Verdict
    attempt: int = 0
    doubt: int = 0

    @property
    def ends(self) -> bool:
        """Whether the item stays in its box."""
        return self.word not in ("done", "dead")


class Hand(NamedTuple):
    """A lease as its drain knows it; what is settled leaves it."""

    box: int
    token: int
    items: tuple[str, ...]
    attempt: int
    doubt: int
    deaths: int
    #: Verdicts of the first items, not yet written.
    pending: tuple[ItemVerdict, ...] = ()


class ModelDrain(NamedTuple):
    """A drain, and whether the store knows of it."""

    up: bool = False
    #: It has a beat in the store.
    known: bool = False
    hands: tuple[Hand, ...] = ()
    #: An answer was lost: the store may think that it holds more than it knows of.
    unsure: bool = False
    #: Token of a take that was carried out and whose answer was lost, to ask again with; 0: none.
    asked: int = 0


NO_DRAIN = ModelDrain()


class Faults(NamedTuple):
    """How often each kind of fault may still happen."""

    #: A drain dies without a word.
    crashes: int = 0
    #: A drain lives and is declared dead all the same: it was stopped, or cut off.
    stalls: int = 0
    #: A call to the store fails: carried out and the answer lost, never carried out, or carried out later.
    lost: int = 0
    #: A destination or a look-up fails: refused, busy, or silent with or without effect.
    bad: int = 0
    #: A drain is asked to stop: gives back what it has not begun, and leaves.
    stops: int = 0
    #: A person lets a held box go on, or uses another verb.
    people: int = 0
    #: The platform sends an event again, or the receiver puts it again.
    again: int = 0


class MailroomState(NamedTuple):
    """Everything there is."""

    boxes: tuple[ModelBox, ...]
    drains: tuple[ModelDrain, ModelDrain]
    #: Per event what still needs it; 0: its payload is not there.
    refs: tuple[int, ...]
    faults: Faults
    put: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    #: Deliveries that had their effect at the destination.
    effects: frozenset[str] = frozenset()
    bell: int = 0
    #: A call that the store has not carried out yet and whose caller has given up: its drain and its details.
    late: tuple[str, int, Hand] | None = None
    #: What a step did that it must not do.
    wrong: str = ""
    # The rest is known only where people use more verbs than `unhold`.
    #: Deliveries whose record says that they may have been sent.
    marked: frozenset[str] = frozenset()
    #: Items that a person gave up, or had replaced by what the rules of today make.
    over: frozenset[str] = frozenset()
    #: Items that died and of which nothing is decided for good, and per box the newest event sent from it meanwhile.
    watched: frozenset[str] = frozenset()
    passed: tuple[int, ...] = ()
    #: Per event how often it was routed once more, and the deliveries that this is to make.
    rounds: tuple[int, ...] = ()
    asked: frozenset[str] = frozenset()
    #: Events and deliveries that a person sends although they are older than what was sent.
    insisted: frozenset[str] = frozenset()


#: The verbs of people beyond `unhold`. not sent: a person has looked, and says so of the first item of a held box.
VERBS = frozenset({"not sent", "skip", "revive", "again", "drop"})
#: How often an event is routed once more, at the most.
ROUNDS = 2


@dataclass(frozen=True)
class MailroomSetup:
    """What happens in a model, and how much of it."""

    #: Event -> the box of its order key. Events of one key are put in the order of this mapping.
    events: Mapping[str, str]
    #: Item -> what follows from it: delivery -> its box. Deliveries are named `event.n`, `event.n.m` for `next`.
    makes: Mapping[str, Mapping[str, str]]
    faults: Faults
    #: Deliveries that cannot be looked for at their destination: in doubt they are held, or sent again if they say so.
    no_find: frozenset[str] = frozenset()
    resend: frozenset[str] = frozenset()
    #: Failed attempts after which a delivery is dead, or held if it is doubtful.
    tries: int = 1
    #: Items of a box in one take: of an order key, and of an object at a destination.
    per_box: int = 2
    in_a_row: int = 1
    #: What follows is leased to the same drain at once where its box was idle; both: sometimes.
    at_once: tuple[bool, ...] = (True,)
    #: Whether the bell is modelled.
    bell: bool = False
    #: A drain that was declared dead may go on sending until it notices. The promise holds only without this.
    sends_when_buried: bool = False
    #: Order is asked for what `next` makes, too, and not only for what events make.
    next_in_order: bool = False
    #: What people do beside letting a held box go on.
    verbs: frozenset[str] = frozenset()
    #: Deliveries whose rule lets them wait, and urgent ones, which end such of other events.
    patient: frozenset[str] = frozenset()
    urgent: frozenset[str] = frozenset()
    #: Faults planted in the model, which the search has to find.
    planted: frozenset[str] = frozenset()
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        boxes = dict.fromkeys(self.events.values())
        for made in self.makes.values():
            boxes |= dict.fromkeys(made.values())
        object.__setattr__(self, "names", tuple(boxes))


class MailroomModel:
    """The model of one setup. Boxes, events and drains are numbers in states; `Setup.names` and `tell` name them."""

    def __init__(self, setup: MailroomSetup) -> None:
        self.setup = setup
        self.planted = setup.planted
        self.number = {name: n for n, name in enumerate(setup.names)}
        self.inboxes = frozenset(self.number[name] for name in setup.events.values())
        self.events = tuple(setup.events)
        self.makes = {
            item: tuple((d, self.number[box]) for d, box in made.items()) for item, made in setup.makes.items()
        }
        self.box_of = {event: self.number[box] for event, box in setup.events.items()}
        self.box_of |= {d: n for made in self.makes.values() for d, n in made}
        #: Delivery -> the one whose effect it has: what is made once more is to do what the first could not.
        self.origin = {item: item for item in self.box_of}
        if "again" in setup.verbs:
            for n in range(1, ROUNDS + 1):
                named = {item: _renamed(item, n) for item in self.box_of if "." in item and item == self.origin[item]}
                self.origin |= {new: item for item, new in named.items()}
                self.makes |= {
                    named[item]: tuple((named[d], at) for d, at in made)
                    for item, made in list(self.makes.items())
                    if item in named
                }
            self.box_of |= {item: self.box_of[origin] for item, origin in self.origin.items()}
        #: Delivery -> those of later events of the same order key that write the same object.
        self.later: dict[str, frozenset[str]] = {}
        #: Event -> its deliveries.
        self.children: dict[str, tuple[str, ...]] = dict.fromkeys(self.events, ())
        for item in self.box_of:
            event = item.partition(".")[0]
            if item != event:
                self.children[event] += (item,)
            if item != event and item == self.origin[item]:
                self.later[item] = frozenset(other for other in self.box_of if self._after(self.origin[other], item))

    def _after(self, one: str, other: str) -> bool:
        """Whether one delivery has to leave after the other: same order key, same object, later event."""
        if any(item.count(".") != 1 and not self.setup.next_in_order for item in (one, other)):
            return False
        mine, its = one.partition(".")[0], other.partition(".")[0]
        same_key, same_object = self.box_of[mine] == self.box_of[its], self.box_of[one] == self.box_of[other]
        return same_key and same_object and one != mine and self.events.index(mine) > self.events.index(its)

    def first(self) -> MailroomState:
        """Return an empty store, and nobody who works."""
        s = MailroomState(
            (NO_BOX,) * len(self.number), (NO_DRAIN, NO_DRAIN), (0,) * len(self.events), self.setup.faults
        )
        if not self.setup.verbs:
            return s
        return s._replace(passed=(-1,) * len(self.number), rounds=(0,) * len(self.events))

    def follows(self, s: MailroomState, item: str) -> tuple[tuple[str, int], ...]:
        """Return what follows from an item: of an event that is routed once more, only what a person asked for."""
        if s.rounds and "." not in item and s.rounds[self.events.index(item)]:
            return tuple((d, self.box_of[d]) for d in sorted(s.asked) if _event(d) == item)
        return self.makes.get(item, ())

    # -- the store's functions

    def ring(self, s: MailroomState, n: int = 1) -> MailroomState:
        """Ring for what became takeable; never more rings than drains."""
        if not self.setup.bell:
            return s
        drains = sum(drain.known for drain in s.drains)
        if "ring without bound" in self.planted:
            drains += 1
        return s._replace(bell=max(s.bell, min(s.bell + n, drains)))

    def put(self, s: MailroomState, event: str) -> MailroomState:
        """Keep an event and append it to the box of its order key. Put again, it changes nothing."""
        if event in s.put and "put without memory" not in self.planted:
            return s
        n = self.box_of[event]
        box = s.boxes[n]
        refs = _at(s.refs, self.events.index(event), 1)
        s = s._replace(put=s.put | {event}, refs=refs)
        if box.state == "-":
            return self.ring(_box(s, n, ModelBox((event,), "r")))
        return _box(s, n, box._replace(items=(*box.items, event)))

    def lease(self, s: MailroomState, d: int, n: int, token: int, per_box: int) -> tuple[MailroomState, Hand]:
        """Lease a ready box to a drain. Returns what the drain is told."""
        box = s.boxes[n]
        handed = box.items[:per_box]
        leased = box._replace(state="l", drain=d, token=token, handed=len(handed))
        return _box(s, n, leased), Hand(n, token, handed, box.attempt, box.doubt, box.deaths)

    def settle(
        self, s: MailroomState, d: int, hand: Hand, at_once: bool, goes_on: bool = False
    ) -> tuple[MailroomState, tuple[Hand, ...]]:
        """Write what became of the first item of a hand, and what follows from it.

        Returns what is leased in that step: new deliveries (`at_once`), and what is next in the box (`goes_on`).
        """
        n, item, verdict = hand.box, hand.items[0], hand.pending[0]
        box = s.boxes[n]
        if (box.state != "l" or box.token != hand.token) and (
            "settle without token" not in self.planted or box.state == "-"
        ):
            return s, ()
        if verdict.ends:
            return self._put_off(s, n, box, verdict), ()
        leased: tuple[Hand, ...] = ()
        if "settle by count" in self.planted and box.items:
            item = box.items[0]
        if item in box.items:
            doubted = box.items.index(item) < box.doubt
            box = _without(box, item)
            s = _box(s, n, box)
            event = self.events.index(_event(item))
            if verdict.word == "dead":
                s = self._dies(s, n, item, doubted=doubted)
                if "dead letter without payload" in self.planted:
                    s = s._replace(refs=_at(s.refs, event, s.refs[event] - 1))
            else:
                token, made = self.fresh(s), 0
                follows = self.follows(s, item)
                if self.setup.verbs:
                    if n not in self.inboxes or follows:
                        s = self._pass(s, n, event)
                    s = self._unwatch(s, item)._replace(marked=s.marked - {item})
                for delivery, target in follows:
                    s, hand_of_it = self._append(s, d, delivery, target, token, at_once)
                    leased += hand_of_it
                    made += 1
                if "route counts nothing" in self.planted and made:
                    made = 1
                if "payload kept for ever" in self.planted:
                    made = max(made, 1)
                s = s._replace(done=s.done | {item}, refs=_at(s.refs, event, s.refs[event] + made - 1))
        if len(hand.items) == 1 or verdict.ends:
            if not box.items or "last settle deletes the box" in self.planted:
                s = _box(s, n, NO_BOX)
            elif goes_on and self._may_go_on(s, n, box):
                s, following = self.lease(_box(s, n, _ready(box)), d, n, self.fresh(s), 1)
                leased += (following,)
            else:
                s = self.ring(_box(s, n, _ready(box)))
        return s, leased

    def _may_go_on(self, s: MailroomState, n: int, box: ModelBox) -> bool:
        """Whether what is next in a box may be leased to whoever had the one before: nobody stands in the line."""
        if n in self.inboxes or box.deaths:
            return False
        room = self.setup.names[n].partition("/")[0]
        return not any(
            other.state == "r" and not other.deaths and self.setup.names[k].partition("/")[0] == room
            for k, other in enumerate(s.boxes)
        )

    def _put_off(self, s: MailroomState, n: int, box: ModelBox, verdict: ItemVerdict) -> MailroomState:
        doubt = 0 if "wait forgets doubt" in self.planted and verdict.word == "wait" else verdict.doubt
        box = box._replace(attempt=verdict.attempt, doubt=doubt, drain=GONE, token=0, handed=0)
        if verdict.word == "back":
            return self.ring(_box(s, n, _ready(box)))
        if "retry goes to the end" in self.planted:
            box = box._replace(items=(*box.items[1:], box.items[0]))
        return _box(s, n, box._replace(state="h" if verdict.word == "hold" else "w", deaths=0))

    def _append(
        self, s: MailroomState, d: int, delivery: str, n: int, token: int, at_once: bool
    ) -> tuple[MailroomState, tuple[Hand, ...]]:
        for item in s.boxes[n].items if delivery in self.setup.urgent else ():
            if self._is_later(delivery, item):
                s = self._end_stale(s, n, item)
        box = s.boxes[n]
        if box.state != "-":
            items = (delivery, *box.items) if "append in front" in self.planted else (*box.items, delivery)
            box = box._replace(items=items)
            return _box(s, n, _ready(box) if "append makes ready" in self.planted else box), ()
        if delivery in self.setup.patient:
            return _box(s, n, ModelBox((delivery,), "w")), ()
        s = _box(s, n, ModelBox((delivery,), "r"))
        if not at_once:
            return self.ring(s), ()
        s, hand = self.lease(s, d, n, token, 1)
        return s, (hand,)

    def _end_stale(self, s: MailroomState, n: int, item: str) -> MailroomState:
        """What is patient and was not attempted ends unsent: something urgent comes into its box."""
        if not self._unattempted(s, n, item) or "what waits stays" in self.planted:
            return s
        box = s.boxes[n]
        first = box.items[0] == item
        left = box._replace(items=tuple(other for other in box.items if other != item))
        s = self._give_up(s, item)
        if first and box.state == "w":
            return self.ring(_box(s, n, _ready(left))) if left.items else _box(s, n, NO_BOX)
        return _box(s, n, left)

    def _is_later(self, one: str, other: str) -> bool:
        """Whether the event of one delivery was put after that of another: of one order key, in their order."""
        return self.events.index(_event(one)) > self.events.index(_event(other))

    def _unattempted(self, s: MailroomState, n: int, item: str) -> bool:
        """Whether an item of a box is patient, and nobody has had it in hand."""
        box, place = s.boxes[n], s.boxes[n].items.index(item)
        if item not in self.setup.patient or item in s.marked:
            return False
        if "what was attempted ends" in self.planted:
            return True
        return place >= max(box.doubt, box.handed) and not (place == 0 and (box.attempt or box.state == "h"))

    def due(self, s: MailroomState, n: int) -> MailroomState:
        """A box has waited long enough."""
        return _box(s, n, _ready(s.boxes[n]))

    def unhold(self, s: MailroomState, n: int, *, not_sent: bool = False) -> MailroomState:
        """A person lets a held box go on."""
        box = s.boxes[n]._replace(attempt=0, deaths=0)
        if not_sent:
            others = frozenset(item for item in box.items[1 : box.doubt] if "." in item)
            if "a person's word is for all" in self.planted:
                others = frozenset()
            s = s._replace(marked=(s.marked | others) - {box.items[0]})
            box = box._replace(doubt=0)
        if "unhold forgets doubt" in self.planted:
            box = box._replace(doubt=0)
        return self.ring(_box(s, n, _ready(box)))

    def skip(self, s: MailroomState, n: int, *, drop: bool) -> MailroomState:
        """The first item of a held box leaves it: it dies, or is given up."""
        box = s.boxes[n]
        item = box.items[0]
        doubted = box.doubt > 0
        if drop and doubted and n not in self.inboxes:
            s = self._pass(s, n, self.events.index(_event(item)))
        s = self._give_up(s, item) if drop else self._dies(s, n, item, doubted=doubted)
        box = _without(box, item)._replace(attempt=0)
        if not box.items or "skip deletes the box" in self.planted:
            return _box(s, n, NO_BOX)
        return self.ring(_box(s, n, _ready(box)))

    def revive(self, s: MailroomState, item: str) -> MailroomState:
        """A dead letter goes to the tail of its box, to be sent as it was."""
        n = self.box_of[item]
        if self.overtaken(s, item, n):
            s = s._replace(insisted=s.insisted | {self.origin[item]})
        return self._tail(s._replace(dead=s.dead - {item}), item, n)

    def again(self, s: MailroomState, item: str) -> MailroomState:
        """The event of a dead letter goes back into the inbox, for what died of it."""
        event = _event(item)
        k, inbox = self.events.index(event), self.box_of[event]
        waits = event in s.boxes[inbox].items
        insisted = self.too_old(s, item)
        made: tuple[str, ...] = tuple(d for d, _ in self.follows(s, event))
        if item != event:
            if not waits:
                s = s._replace(
                    rounds=_at(s.rounds, k, s.rounds[k] + 1),
                    asked=frozenset(d for d in s.asked if _event(d) != event),
                )
            if s.rounds[k]:
                made = (_renamed(self.origin[item], s.rounds[k]),)
                s = s._replace(asked=s.asked | {made[0]})
            s = s._replace(over=s.over | {item})
            if item in s.marked and "doubt ends with a delivery" not in self.planted:
                s = s._replace(marked=s.marked | set(made))
        s = self._unwatch(s._replace(dead=s.dead - {item}, marked=s.marked - {item}), item)
        if insisted:
            s = s._replace(insisted=s.insisted | {self.origin[item]})
        if not waits:
            return self._tail(s._replace(done=s.done - {event}), event, inbox)
        if item != event and "again counts nothing" not in self.planted:
            s = s._replace(refs=_at(s.refs, k, s.refs[k] - 1))
        return s

    def drop(self, s: MailroomState, item: str) -> MailroomState:
        """A dead letter is given up for good."""
        return self._give_up(s._replace(dead=s.dead - {item}), item)

    def overtaken(self, s: MailroomState, item: str, n: int) -> bool:
        """Whether something newer than an item was sent from a box, or stands in it."""
        if "nothing is too old" in self.planted:
            return False
        its, items = self.events.index(_event(item)), s.boxes[n].items
        if "only the last is looked at" in self.planted:
            items = items[-1:]
        return s.passed[n] > its or any(self.events.index(_event(other)) > its for other in items)

    def too_old(self, s: MailroomState, item: str) -> bool:
        """Whether an event cannot be routed once more for a dead letter, unless a person insists."""
        return self.overtaken(s, item, self.box_of[_event(item)]) or self.overtaken(s, item, self.box_of[item])

    def _tail(self, s: MailroomState, item: str, n: int) -> MailroomState:
        box = s.boxes[n]
        if box.state == "-":
            return self.ring(_box(s, n, ModelBox((item,), "r")))
        return _box(s, n, box._replace(items=(*box.items, item)))

    def _dies(self, s: MailroomState, n: int, item: str, *, doubted: bool) -> MailroomState:
        s = s._replace(dead=s.dead | {item})
        if not self.setup.verbs:
            return s
        s = s._replace(watched=s.watched | {item})
        if doubted and n not in self.inboxes and "the dead forget doubt" not in self.planted:
            s = s._replace(marked=s.marked | {item})
            if "the dead overtake nobody" not in self.planted:
                s = self._pass(s, n, self.events.index(_event(item)))
        return s

    def _give_up(self, s: MailroomState, item: str) -> MailroomState:
        k = self.events.index(_event(item))
        if "given up for ever" not in self.planted:  # by a person, or because it is stale
            s = s._replace(refs=_at(s.refs, k, s.refs[k] - 1))
        return self._unwatch(s._replace(over=s.over | {item}, marked=s.marked - {item}), item)

    def _unwatch(self, s: MailroomState, item: str) -> MailroomState:
        if item not in s.watched:
            return s
        n, left = self.box_of[item], s.watched - {item}
        if not any(self.box_of[other] == n for other in left):
            s = s._replace(passed=_at(s.passed, n, -1))
        return s._replace(watched=left)

    def _pass(self, s: MailroomState, n: int, event: int) -> MailroomState:
        """An event was sent from a box; that is kept as long as something that died there may come back."""
        if event <= s.passed[n] or not any(self.box_of[item] == n for item in s.watched):
            return s
        return s._replace(passed=_at(s.passed, n, event))

    def _forget(self, s: MailroomState, d: int) -> MailroomState:
        s = _drain(s, d, s.drains[d]._replace(known=False, asked=0))
        if s.late and s.late[1] == d and "take without beat" not in self.planted:
            s = s._replace(late=(s.late[0], GONE, s.late[2]))
        if "bell outlives drains" in self.planted:
            return s
        return s._replace(bell=min(s.bell, sum(drain.known for drain in s.drains)))

    def _free(self, s: MailroomState, d: int, n: int, *, doubtful: bool, deaths: int) -> MailroomState:
        box = s.boxes[n]
        doubt = max(box.doubt, box.handed) if doubtful else box.doubt
        box = box._replace(doubt=doubt, deaths=box.deaths + deaths)
        if box.deaths >= MAX_DEATHS:
            return _box(s, n, _ready(box)._replace(state="h", deaths=0))
        return self.ring(_box(s, n, _ready(box)))

    def bury(self, s: MailroomState, d: int, *, counted: bool) -> MailroomState:
        """Declare a drain dead: what it holds is doubtful and becomes takeable again."""
        s = self._forget(s, d)
        if "bury frees nothing" in self.planted:
            return s
        for n, box in enumerate(s.boxes):
            if box.state == "l" and box.drain == d:
                s = self._free(s, d, n, doubtful="bury forgets doubt" not in self.planted, deaths=int(counted))
        return s

    def leave(self, s: MailroomState, d: int) -> MailroomState:
        """A drain ends by itself; what the store thinks that it still holds is takeable again, and doubtful."""
        s = self._forget(s, d)
        for n, box in enumerate(s.boxes):
            if box.state == "l" and box.drain == d and "leave frees nothing" not in self.planted:
                s = self._free(s, d, n, doubtful=True, deaths=0)
        return s

    def strays(self, s: MailroomState, d: int) -> MailroomState:
        """Give back what the store thinks that a drain holds and the drain does not know of."""
        tokens = {(hand.box, hand.token) for hand in s.drains[d].hands}
        if "strays frees all" in self.planted:
            tokens = set()
        for n, box in enumerate(s.boxes):
            if box.state == "l" and box.drain == d and (n, box.token) not in tokens:
                s = self._free(s, d, n, doubtful=False, deaths=0)
        return s

    def fresh(self, s: MailroomState) -> int:
        """Return a token that nobody knows: the smallest that is nowhere, which is as good as a random one."""
        if "tokens repeat" in self.planted:
            return 1
        used = {box.token for box in s.boxes}
        for drain in s.drains:
            used.add(drain.asked)
            used.update(hand.token for hand in drain.hands)
        if s.late:
            used.add(s.late[2].token)
        token = 1
        while token in used:
            token += 1
        return token

    # -- what may happen

    def steps(self, s: MailroomState) -> Iterator[Step[MailroomState]]:
        """Return everything that may happen next."""
        yield from self._people(s)
        for d, drain in enumerate(s.drains):
            if not drain.up:
                if drain.known:
                    yield Step(("bury", d), _drain(self.bury(s, d, counted=True), d, NO_DRAIN), True)
                else:
                    yield Step(("start", d), _drain(s, d, ModelDrain(up=True, known=True)), True)
                continue
            if drain.known:
                yield from self._fails(s, d, drain)
                yield from self._takes(s, d, drain)
                yield from self._tidies(s, d, drain)
                if s.bell and not drain.hands:
                    yield Step(("hear", d), s._replace(bell=s.bell - 1), True)
            else:
                yield Step(("notice", d), _drain(s, d, NO_DRAIN), True)
            for k, hand in enumerate(drain.hands):
                yield from self._works(s, d, k, hand)
        if any(drain.known for drain in s.drains):
            for n, box in enumerate(s.boxes):
                if box.state == "w" and "nobody looks what is due" not in self.planted:
                    yield Step(("due", n), self.due(s, n), True)
        if s.late:
            yield from self._lands(s, *s.late)

    def _people(self, s: MailroomState) -> Iterator[Step[MailroomState]]:
        for k, event in enumerate(self.events):
            if event not in s.put:
                before = self.events[:k]
                if all(other in s.put for other in before if self.box_of[other] == self.box_of[event]):
                    yield Step(("put", event), self.put(s, event), False)
            elif s.faults.again:
                yield Step(("put again", event), self.put(_spend(s, "again"), event), False)
        if s.faults.people:
            for n, box in enumerate(s.boxes):
                if box.state == "h":
                    yield Step(("unhold", n), self.unhold(_spend(s, "people"), n), False)
            if self.setup.verbs:
                yield from self._verbs(s, _spend(s, "people"))

    def _verbs(self, s: MailroomState, spent: MailroomState) -> Iterator[Step[MailroomState]]:
        verbs = self.setup.verbs
        for n, box in enumerate(s.boxes):
            if box.state != "h":
                continue
            if "not sent" in verbs and self.origin[box.items[0]] not in s.effects:
                yield Step(("not sent", n), self.unhold(spent, n, not_sent=True), False)
            if "skip" in verbs:
                yield Step(("skip", n, "dead"), self.skip(spent, n, drop=False), False)
                yield Step(("skip", n, "dropped"), self.skip(spent, n, drop=True), False)
        for item in sorted(s.dead):
            event = _event(item)
            if "drop" in verbs:
                yield Step(("drop", item), self.drop(spent, item), False)
            if "revive" in verbs and item != event:
                insists = self.overtaken(s, item, self.box_of[item])
                if insists:
                    yield Step(("revive", item, "overtaken"), s, False)
                yield Step(("revive", item, "insists" if insists else "done"), self.revive(spent, item), False)
            # What `next` made comes of another delivery: an event alone does not bring it about.
            if "again" not in verbs or self.origin[item].count(".") > 1:
                continue
            inbox = s.boxes[self.box_of[event]]
            insists = self.too_old(s, item)
            if insists:
                yield Step(("again", item, "overtaken"), s, False)
            if event in inbox.items and inbox.state == "l" and inbox.items.index(event) < inbox.handed:
                yield Step(("again", item, "insists on busy" if insists else "busy"), s, False)
            elif s.rounds[self.events.index(event)] < ROUNDS:
                yield Step(("again", item, "insists" if insists else "done"), self.again(spent, item), False)

    def _fails(self, s: MailroomState, d: int, drain: ModelDrain) -> Iterator[Step[MailroomState]]:
        if s.faults.crashes:
            yield Step(("crash", d), _drain(_spend(s, "crashes"), d, ModelDrain(known=True)), False)
        if s.faults.stalls:
            yield Step(("bury alive", d), self.bury(_spend(s, "stalls"), d, counted=True), False)
        if not drain.hands:
            stray = any(box.state == "l" and box.drain == d for box in s.boxes)
            if stray and not drain.unsure:
                # Nobody knows of it: the drain's budget has to end.
                yield Step(("leave", d), _drain(self.leave(s, d), d, NO_DRAIN), True)
            elif s.faults.stops:
                yield Step(("leave", d), _drain(self.leave(_spend(s, "stops"), d), d, NO_DRAIN), False)

    def _takes(self, s: MailroomState, d: int, drain: ModelDrain) -> Iterator[Step[MailroomState]]:
        if drain.asked:
            for n, box in enumerate(s.boxes):
                if box.state == "l" and box.token == drain.asked:
                    again, hand = self.lease(s, d, n, box.token, box.handed)
                    told = _holds(drain._replace(asked=0), hand)
                    yield Step(("take again", d, n), _drain(again, d, told), True)
        if s.faults.lost and not s.late and not drain.hands:
            later = _drain(_spend(s, "lost"), d, drain._replace(unsure=True))
            late = ("take", d, Hand(-1, self.fresh(s), (), 0, 0, 0))
            yield Step(("take", d, "carried out later"), later._replace(late=late), False)
        for n, box in enumerate(s.boxes):
            if box.state != "r" or not self._may_take(drain, box):
                continue
            token = self.fresh(s)
            taken, hand = self.lease(s, d, n, token, self._per_box(n, box))
            told = _holds(drain._replace(asked=0), hand)
            yield Step(("take", d, n, "answered"), _drain(taken, d, told), True)
            if s.faults.lost:
                unsure = drain._replace(unsure=True, asked=token)
                yield Step(("take", d, n, "answer lost"), _drain(_spend(taken, "lost"), d, unsure), False)

    def _may_take(self, drain: ModelDrain, box: ModelBox) -> bool:
        if "suspects travel together" in self.planted:
            return True
        if box.deaths:
            return not drain.hands
        return not any(hand.deaths for hand in drain.hands)

    def _per_box(self, n: int, box: ModelBox) -> int:
        if box.deaths:
            return 1
        return self.setup.per_box if n in self.inboxes else self.setup.in_a_row

    def _tidies(self, s: MailroomState, d: int, drain: ModelDrain) -> Iterator[Step[MailroomState]]:
        if drain.unsure and not any(hand.pending for hand in drain.hands):
            told = drain._replace(unsure=False, asked=0)
            freed = self.strays(s, d)
            yield Step(("strays", d, "answered"), _drain(freed, d, told), True)
            if s.faults.lost:
                yield Step(("strays", d, "answer lost"), _spend(freed, "lost"), False)

    def _works(self, s: MailroomState, d: int, k: int, hand: Hand) -> Iterator[Step[MailroomState]]:
        if hand.pending:
            yield from self._settles(s, d, k, hand)
        n = len(hand.pending)
        if n == len(hand.items) or (n and hand.pending[-1].ends):
            return
        if not s.drains[d].known and not self.setup.sends_when_buried:
            return  # Nothing is sent any more when the lease may be somebody else's.
        outcomes = self._routes(s, hand, n) if hand.box in self.inboxes else self._sends(s, hand, n)
        for how, after, verdict in outcomes:
            judged = hand._replace(pending=(*hand.pending, verdict))
            yield Step((how, d, hand.items[n]), _hand(after, d, k, judged), _by_itself(how))
        if s.faults.stops and s.drains[d].known:
            doubt = max(0, hand.doubt - n)
            back = hand._replace(pending=(*hand.pending, ItemVerdict("back", hand.attempt if n == 0 else 0, doubt)))
            yield Step(("give back", d, hand.items[n]), _hand(_spend(s, "stops"), d, k, back), False)

    def _routes(self, s: MailroomState, hand: Hand, n: int) -> Iterator[tuple[str, MailroomState, ItemVerdict]]:
        yield "route", s, ItemVerdict("done")
        if s.faults.bad:
            attempt = (hand.attempt if n == 0 else 0) + 1
            yield "cannot read", _spend(s, "bad"), ItemVerdict("dead")
            if attempt <= self.setup.tries:
                yield "look-up fails for", _spend(s, "bad"), ItemVerdict("wait", attempt)

    def _sends(self, s: MailroomState, hand: Hand, n: int) -> Iterator[tuple[str, MailroomState, ItemVerdict]]:
        """What a destination does with a delivery, and what the drain makes of it."""
        item = hand.items[n]
        doubtful, origin = n < hand.doubt or item in s.marked, self.origin[item]
        attempt = (hand.attempt if n == 0 else 0) + 1
        box = s.boxes[hand.box]
        if (box.state != "l" or box.token != hand.token) and not self.setup.sends_when_buried:
            s = s._replace(wrong=f"{item} is sent without a lease on {self.setup.names[hand.box]}")
        if doubtful and origin in self.setup.no_find and origin not in self.setup.resend:
            yield "hold in doubt", s, ItemVerdict("hold", attempt, max(hand.doubt - n, 1))
            return
        if doubtful and origin in s.effects and origin not in self.setup.no_find:
            yield "find the effect of", s, ItemVerdict("done")
            return
        effect = self._effect(s, item, doubtful)
        yield "deliver", effect, ItemVerdict("done")
        if s.faults.bad:
            rest = max(0, hand.doubt - n, int(item in s.marked))
            again = attempt <= self.setup.tries
            spent = _spend(s, "bad")
            busy = ItemVerdict("wait", attempt, rest) if again else ItemVerdict("dead")
            silent = ItemVerdict("wait" if again else "hold", attempt, max(rest, 1))
            yield "are refused", spent, ItemVerdict("dead")
            yield "find the destination busy for", spent, busy
            yield "get no answer, no effect for", spent, silent
            yield "get no answer, but an effect for", _spend(effect, "bad"), silent

    def _effect(self, s: MailroomState, item: str, doubtful: bool) -> MailroomState:
        origin = self.origin[item]
        if origin in s.effects and not (doubtful and origin in self.setup.resend):
            wrong = f"the effect of {item} happens twice" + ("" if doubtful else ", and no doubt was recorded")
            return s._replace(wrong=s.wrong or wrong)
        if s.insisted.isdisjoint({origin, _event(item)}) and not self.later[origin].isdisjoint(s.effects):
            return s._replace(wrong=s.wrong or f"{item} is delivered after {min(self.later[origin] & s.effects)}")
        return s._replace(effects=s.effects | {origin})

    def _settles(self, s: MailroomState, d: int, k: int, hand: Hand) -> Iterator[Step[MailroomState]]:
        drain = s.drains[d]
        verdict = hand.pending[0]
        over = verdict.ends or len(hand.items) == 1
        rest: tuple[Hand, ...] = (
            () if over else (hand._replace(items=hand.items[1:], pending=hand.pending[1:], attempt=0),)
        )
        rest = tuple(one._replace(doubt=max(0, one.doubt - 1)) for one in rest)
        hands = (*drain.hands[:k], *rest, *drain.hands[k + 1 :])
        act = ("settle", d, hand.box, hand.items[0], verdict.word, k)
        makes = verdict.word == "done" and self.follows(s, hand.items[0])
        more = over and not verdict.ends and hand.box not in self.inboxes and len(s.boxes[hand.box].items) > 1
        either = self.setup.at_once if not hand.deaths else (False,)
        for at_once, goes_on in itertools.product(either if makes else (False,), either if more else (False,)):
            settled, leased = self.settle(s, d, hand, at_once, goes_on)
            how = (at_once, goes_on)
            told = drain._replace(hands=tuple(sorted((*hands, *leased))))
            yield Step((*act, "answered", *how), _drain(settled, d, told), True)
            if s.faults.lost and drain.known:
                unsure = drain._replace(unsure=True)
                lost = _spend(settled, "lost")
                yield Step((*act, "answer lost", *how), _drain(lost, d, unsure), False)
                if not s.late:
                    later = _spend(s, "lost")._replace(late=("settle", d, hand._replace(pending=hand.pending[:1])))
                    yield Step((*act, "carried out later", *how), _drain(later, d, unsure), False)

    def _lands(self, s: MailroomState, what: str, d: int, hand: Hand) -> Iterator[Step[MailroomState]]:
        landed = s._replace(late=None)
        if what == "settle":
            settled, _ = self.settle(landed, d, hand, False)
            yield Step(("settle lands", d, hand.box, hand.items[0]), settled, True)
            return
        yield Step(("take lands", d), landed, True)
        for n, box in enumerate(s.boxes):
            if d != GONE and box.state == "r" and not box.deaths:
                taken, _ = self.lease(landed, d, n, hand.token, self._per_box(n, box))
                # The store remembers the last take only.
                yield Step(("take lands", d, n), _drain(taken, d, taken.drains[d]._replace(asked=0)), True)

    # -- what must never be

    def wrong(self, s: MailroomState) -> str:
        """Return what must not be and is."""
        held = self._lost(s) or self._needed(s) or self._held_twice(s) or self._unmarked(s)
        return s.wrong or held or self._overruled(s)

    def _overruled(self, s: MailroomState) -> str:
        """Nothing urgent waits for what nobody has had in hand, and what ended unsent had no effect."""
        for n, box in enumerate(s.boxes):
            for place, item in enumerate(box.items):
                for other in box.items[:place] if item in self.setup.urgent else ():
                    if self._is_later(item, other) and self._unattempted(s, n, other):
                        return f"{item} waits behind {other}"
        for item in s.over & self.setup.patient & s.effects:
            return f"{item} had its effect, and counts as unsent"
        return ""

    def _lost(self, s: MailroomState) -> str:
        there = [item for box in s.boxes for item in box.items]
        accounted = s.done | s.dead | s.over
        if len(set(there)) < len(there) or not accounted.isdisjoint(there):
            return "an item is there twice"
        accounted = accounted.union(there)
        for event in s.put:
            if event not in accounted:
                return f"event {event} was acknowledged and is lost"
        for item in s.done:
            for delivery, _ in (*self.follows(s, item), *self.makes.get(item, ())):
                if delivery not in accounted:
                    return f"delivery {delivery} is lost"
            if "." in item and self.origin[item] not in s.effects:
                return f"delivery {item} counts as delivered and never was"
        return ""

    def _needed(self, s: MailroomState) -> str:
        there = {item for box in s.boxes for item in box.items} | s.dead
        for k, event in enumerate(self.events):
            need = (event in there) + sum(child in there for child in self.children[event])
            if need != s.refs[k]:
                return f"{need} need the payload of event {event}, and its count is {s.refs[k]}"
        return ""

    def _held_twice(self, s: MailroomState) -> str:
        for n, box in enumerate(s.boxes):
            if box.state == "l":
                if not s.drains[box.drain].known:
                    return f"{self.setup.names[n]} is leased to a drain that nobody would miss"
                if sum(hand.token == box.token and hand.box == n for drain in s.drains for hand in drain.hands) > 1:
                    return f"{self.setup.names[n]} is leased twice"
        if s.bell > sum(drain.known for drain in s.drains):
            return f"the bell holds {s.bell} rings, more than there are drains"
        for drain in s.drains:
            if len(drain.hands) > 1 and drain.known and any(hand.deaths > 1 for hand in drain.hands):
                return "a box that killed two drains travels with another"
        return ""

    def _unmarked(self, s: MailroomState) -> str:
        """What had its effect and may be sent again has to be marked as doubtful."""
        for item in s.dead if self.setup.verbs else ():
            if self.origin[item] in s.effects and item not in s.marked:
                return f"{item} had its effect, died, and is not marked as doubtful"
        for box in s.boxes:
            if box.state in "rwh":
                for item in box.items[box.doubt :]:
                    if self.origin.get(item) in s.effects and item not in s.marked:
                        return f"{item} had its effect and is not marked as doubtful"
        return ""

    def at_rest(self, s: MailroomState) -> bool:
        """Whether every event has ended, or is held for a person."""
        return all(box.state in "-h" for box in s.boxes)

    # -- names

    def same(self, s: MailroomState) -> MailroomState:
        """Drains differ by their names only, and a call that comes too late to change anything is as good as none."""
        if s.late:
            what, d, hand = s.late
            changes = d != GONE if what == "take" else s.boxes[hand.box].token == hand.token
            if not changes and not self.planted:
                s = s._replace(late=None)
        one, other = s.drains
        if one < other:
            return s
        holders = [box.drain for box in s.boxes] + [s.late[1] if s.late else GONE]
        if one == other and holders <= [_swapped(d) for d in holders]:
            return s
        late = s.late and (s.late[0], _swapped(s.late[1]), s.late[2])
        boxes = tuple(box if box.drain == GONE else box._replace(drain=1 - box.drain) for box in s.boxes)
        return s._replace(boxes=boxes, drains=(other, one), late=late)

    def tell(self, act: Act) -> str:
        """Return a step in words."""
        word, *details = act
        match word, details:
            case (("put" | "put again"), [event]):
                return f"receiver: {word} event {event}"
            case (("due" | "unhold"), [int(n)]):
                return f"{self.setup.names[n]}: " + ("its wait is over" if word == "due" else "a person lets it go on")
            case "not sent", [int(n)]:
                return f"{self.setup.names[n]}: a person says that its first item was not sent, and lets it go on"
            case "skip", [int(n), how]:
                return f"{self.setup.names[n]}: a person lets it go on without its first item: {how}"
            case "drop", [item]:
                return f"a person gives up {item}"
            case (("revive" | "again"), [item, how]):
                what = "sends" if word == "revive" else "has routed, once more,"
                return f"a person {what} {item}: {how}"
            case (("settle lands" | "take lands"), [int(d), *at]):
                what = "nothing" if not at else self.setup.names[int(str(at[0]))]
                whose = "a drain that is gone" if d == GONE else f"drain {d + 1}"
                return f"store: carries out what {whose} asked for long ago, {word.split()[0]} {what}"
            case "settle", [int(d), int(n), item, verdict, int(), how, at_once, goes_on]:
                more = ", what follows leased at once" if at_once else ""
                more += ", what is next leased" if goes_on else ""
                return f"drain {d + 1}: settle {item} of {self.setup.names[n]} as {verdict}{more}: {how}"
            case "take", [int(d), str() as how]:
                return f"drain {d + 1}: take: {how}"
            case (("take" | "take again"), [int(d), int(n), *how]):
                return f"drain {d + 1}: {word} {self.setup.names[n]}" + "".join(f": {x}" for x in how)
            case str(), [int(d), *more]:
                return " ".join([f"drain {d + 1}:", word, *map(str, more)])
        raise AssertionError(f"a step without words: {act}")


def _by_itself(how: str) -> bool:
    return how in ("route", "deliver", "find the effect of", "hold in doubt")


def _event(item: str) -> str:
    return item.partition(".")[0]


def _renamed(item: str, n: int) -> str:
    """Return the name of a delivery in a round of routing once more."""
    event, _, rest = item.partition(".")
    return f"{event}.a{n}.{rest}"


def _swapped(d: int) -> int:
    return d if d == GONE else 1 - d


def _at(values: tuple[int, ...], n: int, value: int) -> tuple[int, ...]:
    return (*values[:n], value, *values[n + 1 :])


def _box(s: MailroomState, n: int, box: ModelBox) -> MailroomState:
    return s._replace(boxes=(*s.boxes[:n], box, *s.boxes[n + 1 :]))


def _drain(s: MailroomState, d: int, drain: ModelDrain) -> MailroomState:
    return s._replace(drains=(drain, s.drains[1]) if d == 0 else (s.drains[0], drain))


def _hand(s: MailroomState, d: int, k: int, hand: Hand) -> MailroomState:
    drain = s.drains[d]
    return _drain(s, d, drain._replace(hands=(*drain.hands[:k], hand, *drain.hands[k + 1 :])))


def _holds(drain: ModelDrain, hand: Hand) -> ModelDrain:
    return drain._replace(hands=tuple(sorted((*drain.hands, hand))))


def _spend(s: MailroomState, kind: str) -> MailroomState:
    return s._replace(faults=s.faults._replace(**{kind: getattr(s.faults, kind) - 1}))


def _ready(box: ModelBox) -> ModelBox:
    return box._replace(state="r", drain=GONE, token=0, handed=0)


def _without(box: ModelBox, item: str) -> ModelBox:
    """Take an item out: attempts were the first one's, doubt and what was handed count from the head."""
    place = box.items.index(item)
    return box._replace(
        items=box.items[:place] + box.items[place + 1 :],
        attempt=0 if place == 0 else box.attempt,
        doubt=box.doubt - (place < box.doubt),
        handed=box.handed - (place < box.handed),
        deaths=0,
    )
