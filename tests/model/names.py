"""One object under several names as a model: what the store holds, two drains, the destination, and what may fail.

Comes in: a NamesSetup (deliveries with their names, what is known of the object, how many faults). Goes out: states,
steps and what must never be, for `search`. What the store does is done by the oracle that random walks compare with the
real one (`tests/mailroom/model.py`), so nothing of it is written a second time here. Time is not modelled.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tests.mailroom.model import Limits, Made, MailroomOracle, OracleBox
from tests.model.search import Act, Step

ROOM, OBJECT = "crm", "c1"
DRAINS = ("d0", "d1")
#: Boxes of one take, and deliveries that a drain has under way at once.
AT_ONCE = 2


class NamesFaults(NamedTuple):
    """How often each kind of fault may still happen."""

    #: A drain dies without a word.
    crashes: int = 0
    #: A drain lives and is declared dead all the same.
    stalls: int = 0
    #: A call was carried out and its answer is lost: it is made again.
    lost: int = 0
    #: A destination is busy, or silent with or without effect.
    bad: int = 0
    #: The store fails over: whatever is leased is doubtful.
    failovers: int = 0


@dataclass(frozen=True)
class NamesSetup:
    """Deliveries about one object, in the order in which they are routed: e1.0, e2.0 and so on."""

    #: Their names, the home first.
    touches: tuple[str, ...]
    faults: NamesFaults
    #: Names that the object shows in the beginning; none: it is not there. And whether the id map knows them.
    shows: str = ""
    known: bool = False
    #: Delivery number -> the name that it takes from the object.
    takes: Mapping[int, str] | None = None
    #: All of them in the order received; else only those that share a name that they were given.
    in_order: bool = True
    #: A fault planted in the oracle, which the search has to find.
    planted: str = ""


class NamesHand(NamedTuple):
    """A lease as its drain knows it, and how far the delivery is."""

    box: str
    token: str
    item: str
    #: find, meet, write, learn, done, wait
    stage: str
    doubt: int = 0


class NamesDrain(NamedTuple):
    """A drain as it knows itself."""

    up: bool = True
    hands: tuple[NamesHand, ...] = ()
    #: Token of a take whose answer was lost.
    asked: str = ""
    #: The store may think that it holds more than it knows of.
    unsure: bool = False


class NamesState(NamedTuple):
    """Everything there is. `store` is the oracle, frozen."""

    store: tuple[object, ...]
    routed: int
    drains: tuple[NamesDrain, ...]
    faults: NamesFaults
    #: Numbers of the deliveries in the order in which the destination carried them out.
    effects: tuple[int, ...] = ()
    #: The object's names at the destination.
    shows: str = ""
    wrong: str = ""


class PlantedOracle(MailroomOracle):
    """The oracle with one fault in it."""

    planted = ""

    def _others(self, room: str, names: object) -> list[str]:
        return [] if self.planted == "what is known is not asked" else super()._others(room, names)  # type: ignore[arg-type]

    def _join(self, room: str, home: str, item: str, joined: object) -> bool:
        behind = super()._join(room, home, item, joined)  # type: ignore[arg-type]
        return behind and self.planted != "who joins does not wait"

    def _under_way(self, room: str, name: str) -> bool:
        return super()._under_way(room, name) and self.planted != "who is under way takes it for known"

    def _leave(self, room: str, home: str, item: str) -> int:
        return 0 if self.planted == "marks stay" else super()._leave(room, home, item)

    def bury(self, drains: list[str], *, counted: bool = True) -> tuple[int, int]:
        doubts = {key: box.doubt for key, box in self.boxes.items()}
        answer = super().bury(drains, counted=counted)
        if self.planted == "bury forgets doubt":
            for key, box in self.boxes.items():
                box.doubt = doubts[key]
        return answer


class NamesModel:
    """The model of one setup."""

    def __init__(self, setup: NamesSetup) -> None:
        self.setup = setup
        self.takes = setup.takes or {}

    # -- the store

    def thaw(self, s: NamesState) -> PlantedOracle:
        """Return the store of a state, to be changed."""
        boxes, ready, suspect, also, known, objects, doubtful, deliveries, drains, memo = s.store
        store = PlantedOracle(0, {ROOM: Limits(), "in": Limits()})
        store.planted = self.setup.planted
        store.boxes = {(ROOM, name): OracleBox(list(items), *more) for name, items, *more in boxes}  # type: ignore[attr-defined]
        store.ready, store.suspect = {ROOM: list(ready)}, {ROOM: list(suspect)}  # type: ignore[call-overload]
        store.also, store.known = dict(also), dict(known)  # type: ignore[call-overload]
        store.objects = {key: list(names) for key, names in objects}  # type: ignore[attr-defined]
        store.doubtful, store.deliveries = set(doubtful), set(deliveries)  # type: ignore[call-overload]
        store.drains = dict.fromkeys(drains, "default")  # type: ignore[call-overload]
        store.memo = {name: (token, list(leases), 1_000_000) for name, token, leases in memo}  # type: ignore[attr-defined]
        events = [f"e{n}" for n in range(1, len(self.setup.touches) + 1)]
        store.needs = {event: {event, *({f"{event}.0"} & store.deliveries)} for event in events}
        store.retain = dict.fromkeys(events, 0)
        return store

    def freeze(self, store: MailroomOracle) -> tuple[object, ...]:
        """Return a store as it is kept in a state."""
        boxes = sorted(store.boxes.items())
        return (
            tuple(
                (
                    name,
                    tuple(box.items),
                    box.state,
                    box.attempt,
                    box.doubt,
                    box.deaths,
                    box.token,
                    box.handed,
                    box.drain,
                )
                for (_, name), box in boxes
            ),
            # A box that is listed and not ready is passed over: the list says nothing more.
            tuple(dict.fromkeys(name for name in store.ready.get(ROOM, ()) if self._listed(store, name))),
            tuple(dict.fromkeys(name for name in store.suspect.get(ROOM, ()) if self._listed(store, name))),
            tuple(sorted(store.also.items())),
            tuple(sorted(store.known.items())),
            tuple(sorted((key, tuple(names)) for key, names in store.objects.items())),
            tuple(sorted(store.doubtful & store.deliveries)),
            tuple(sorted(store.deliveries)),
            tuple(sorted(store.drains)),
            tuple(sorted((name, token, tuple(leases)) for name, (token, leases, _) in store.memo.items())),
        )

    @staticmethod
    def _listed(store: MailroomOracle, name: str) -> bool:
        return (ROOM, name) in store.boxes and store.boxes[ROOM, name].state == "r"

    def first(self) -> NamesState:
        """Return an idle store, and what is known of the object."""
        store = MailroomOracle(0, {ROOM: Limits()})
        store.drains = dict.fromkeys(DRAINS, "default")
        if self.setup.known:
            store.know(ROOM, OBJECT, self.setup.shows)
        drains = (NamesDrain(), NamesDrain())
        return NamesState(self.freeze(store), 0, drains, self.setup.faults, shows=self.setup.shows)

    # -- what may happen

    def steps(self, s: NamesState) -> Iterator[Step[NamesState]]:
        """Return everything that may happen next."""
        if s.routed < len(self.setup.touches):
            yield from self._routes(s)
        store = self.thaw(s)
        for (_, name), box in store.boxes.items():
            if box.state == "w":
                yield Step(("due", name), self._does(s, partial(MailroomOracle._ready, room=ROOM, name=name)), True)
        if s.faults.failovers and any(box.state == "l" for box in store.boxes.values()):
            yield Step(("fail over",), self._does(_spend(s, "failovers"), _doubt), False)
        for d, drain in enumerate(s.drains):
            known = DRAINS[d] in store.drains
            if not drain.up or not known:
                yield from self._comes_back(s, d, known)
                continue
            if s.faults.crashes:
                yield Step(("crash", d), _drain(_spend(s, "crashes"), d, NamesDrain(up=False)), False)
            if s.faults.stalls:
                yield Step(
                    ("bury alive", d),
                    self._does(_spend(s, "stalls"), partial(PlantedOracle.bury, drains=[DRAINS[d]])),
                    False,
                )
            yield from self._takes(s, d, drain)
            for k, hand in enumerate(drain.hands):
                yield from self._works(s, d, k, hand)

    def _does(self, s: NamesState, act: Callable[[PlantedOracle], object]) -> NamesState:
        store = self.thaw(s)
        act(store)
        return s._replace(store=self.freeze(store))

    def _comes_back(self, s: NamesState, d: int, known: bool) -> Iterator[Step[NamesState]]:
        if s.drains[d].up:  # It was declared dead, notices, and begins anew.
            yield Step(("notice", d), _drain(s, d, NamesDrain(up=False)), True)
        elif known:
            yield Step(("bury", d), self._does(s, lambda it: it.bury([DRAINS[d]])), True)
        else:
            started = self._does(s, lambda it: it.drains.update({DRAINS[d]: "default"}))
            yield Step(("start", d), _drain(started, d, NamesDrain()), True)

    def _routes(self, s: NamesState) -> Iterator[Step[NamesState]]:
        n = s.routed + 1
        home, also = self.setup.touches[n - 1][0], self.setup.touches[n - 1][1:]
        for d, drain in enumerate(s.drains):
            for at_once in (False, True) if drain.up and len(drain.hands) < AT_ONCE else ():
                store, token, leased = self.thaw(s), _fresh(s), set[str]()
                if DRAINS[d] not in store.drains:
                    continue
                made = Made(f"e{n}.0", ROOM, home, lease=at_once, also=tuple(also))
                store._append(("in", "k"), f"e{n}", made, DRAINS[d], token, leased, set())
                after = s._replace(store=self.freeze(store), routed=n)
                told = drain
                if leased:
                    told = drain._replace(hands=(*drain.hands, NamesHand(home, token, made.id, "find")))
                    if s.faults.lost:
                        lost = _drain(_spend(after, "lost"), d, drain._replace(unsure=True))
                        yield Step(("route", d, n, "leased at once, answer lost"), lost, False)
                elif at_once or (d and s.drains[0].up):
                    continue  # The same as not at once, or by the other drain.
                yield Step(
                    ("route", d, n, "leased at once" if leased else "in its boxes"), _drain(after, d, told), True
                )

    def _takes(self, s: NamesState, d: int, drain: NamesDrain) -> Iterator[Step[NamesState]]:
        if drain.unsure and not drain.asked:
            held = {(ROOM, hand.box, hand.token) for hand in drain.hands}
            freed = self._does(s, lambda it: it.strays(DRAINS[d], held))
            yield Step(("strays", d), _drain(freed, d, drain._replace(unsure=False)), True)
        store, token = self.thaw(s), drain.asked or _fresh(s)
        free = AT_ONCE - len(drain.hands)
        if not free and not drain.asked:
            return
        suspects = 1 if store.suspect[ROOM] and not store.ready[ROOM] else 0
        leases, _, _ = store.take(DRAINS[d], token, [(ROOM, free, 1)], suspects)
        after = s._replace(store=self.freeze(store))
        if not leases and not drain.asked and after == s:
            return
        hands = tuple(
            NamesHand(box, token, items[0], "find", int(doubt > 0 or items[0] in store.doubtful))
            for _, box, _, doubt, _, items in leases
        )
        told = drain._replace(hands=(*drain.hands, *hands), asked="")
        boxes = " ".join(hand.box for hand in hands) or "nothing"
        yield Step(("take again" if drain.asked else "take", d, boxes), _drain(after, d, told), True)
        if s.faults.lost and leases and not drain.asked:
            lost = _drain(_spend(after, "lost"), d, drain._replace(asked=token))
            yield Step(("take", d, boxes, "answer lost"), lost, False)

    def _works(self, s: NamesState, d: int, k: int, hand: NamesHand) -> Iterator[Step[NamesState]]:
        n = int(hand.item[1:].split(".")[0])
        touches = self.setup.touches[n - 1]
        match hand.stage:
            case "find":
                known = dict(self.thaw(s).known)
                found = [name for name in touches if name in s.shows]
                if s.shows and not found and not any((ROOM, name) in known for name in touches):
                    yield Step(("find", d, hand.item, "nothing"), s._replace(wrong="a second object is made"), True)
                    return
                news = any((ROOM, name) not in known for name in found)
                yield Step(
                    ("find", d, hand.item), _hand(s, d, k, hand._replace(stage="meet" if news else "write")), True
                )
            case "meet":
                store = self.thaw(s)
                answer = store.meet(ROOM, hand.box, hand.token, hand.item, OBJECT, list(s.shows))
                after = s._replace(store=self.freeze(store))
                on = hand._replace(stage="write") if answer == "go" else None
                yield Step(("meet", d, hand.item, answer), _hand(after, d, k, on), True)
                if s.faults.lost:
                    yield Step(("meet", d, hand.item, answer, "answer lost"), _spend(after, "lost"), False)
            case "write":
                yield from self._writes(s, d, k, hand, n)
            case "learn":
                gone = self.takes.get(n, "")
                names = [name for name in touches if name != gone]
                after = self._does(s, lambda it: it.know(ROOM, OBJECT, names, gone))
                yield Step(("learn", d, hand.item), _hand(after, d, k, hand._replace(stage="done")), True)
            case verdict:
                store = self.thaw(s)
                store.settle(
                    DRAINS[d], "t", ROOM, hand.box, hand.token, hand.item, verdict, attempt=1, doubt=hand.doubt
                )
                after = s._replace(store=self.freeze(store))
                yield Step(("settle", d, hand.item, verdict), _hand(after, d, k, None), True)
                if s.faults.lost:
                    yield Step(("settle", d, hand.item, verdict, "answer lost"), _spend(after, "lost"), False)

    def _writes(self, s: NamesState, d: int, k: int, hand: NamesHand, n: int) -> Iterator[Step[NamesState]]:
        gone = self.takes.get(n, "")
        names = [name for name in self.setup.touches[n - 1] if name != gone]
        shows = "".join(dict.fromkeys([*(name for name in s.shows if name != gone), *names]))
        done = s._replace(effects=(*s.effects, n), shows=shows, wrong=self._too_late(s, n) or self._beside(s, hand))
        on = hand._replace(stage="learn" if shows != s.shows else "done")
        yield Step(("write", d, hand.item), _hand(done, d, k, on), True)
        if s.faults.bad:
            wait = hand._replace(stage="wait")
            yield Step(("busy", d, hand.item), _hand(_spend(s, "bad"), d, k, wait), False)
            yield Step(("silent", d, hand.item), _hand(_spend(s, "bad"), d, k, wait._replace(doubt=1)), False)
            wrote = _hand(_spend(done, "bad"), d, k, wait._replace(doubt=1))
            yield Step(("silent after effect", d, hand.item), wrote, False)

    def _too_late(self, s: NamesState, n: int) -> str:
        mine = set(self.setup.touches[n - 1])
        for later in s.effects:
            if later > n and (self.setup.in_order or mine & set(self.setup.touches[later - 1])):
                return f"e{n}.0 is written after e{later}.0"
        return ""

    def _beside(self, s: NamesState, hand: NamesHand) -> str:
        store = self.thaw(s)
        for drain in s.drains:
            for other in drain.hands:
                its = store.boxes.get((ROOM, other.box))
                under_way = its is not None and its.state == "l" and its.token == other.token
                if other.item != hand.item and under_way and other.stage in ("write", "learn"):
                    return f"{hand.item} is written while {other.item} is"
        return ""

    # -- what must never be

    def wrong(self, s: NamesState) -> str:
        """Return what must not be and is."""
        store = self.thaw(s)
        boxes = {name: box for (_, name), box in store.boxes.items()}
        return s.wrong or self._lost(s, store, boxes) or _misplaced(store, boxes) or _leased_twice(store, boxes)

    def _lost(self, s: NamesState, store: MailroomOracle, boxes: Mapping[str, OracleBox]) -> str:
        there = [item for box in boxes.values() for item in box.own]
        for n in range(1, s.routed + 1):
            if n not in s.effects and f"e{n}.0" not in there:
                return f"e{n}.0 is lost"
        if len(there) != len(set(there)):
            return "a delivery is there twice"
        for name, box in boxes.items():
            for item in box.own[box.doubt :] if box.state != "l" else ():
                if int(item[1:].split(".")[0]) in s.effects and item not in store.doubtful:
                    return f"{item} in {name} had its effect and is not marked as doubtful"
        if not boxes and (store.also or store.deliveries):
            return "all has ended, and names are left"
        return ""

    def at_rest(self, s: NamesState) -> bool:
        """Whether every delivery has ended."""
        return s.routed == len(self.setup.touches) and not s.store[0]

    def same(self, s: NamesState) -> NamesState:
        """Return the state itself: nothing differs by names only."""
        return s

    def tell(self, act: Act) -> str:
        """Return a step in words."""
        word, *details = act
        if details and isinstance(details[0], int):
            return " ".join([f"drain {details[0] + 1}: {word}", *map(str, details[1:])])
        return " ".join(["store:", str(word), *map(str, details)])


def _misplaced(store: MailroomOracle, boxes: Mapping[str, OracleBox]) -> str:
    """Marks and items are where they belong, and what may not go is blocked."""
    wanted = sorted(
        (name, f"={item} {home}")
        for home, box in boxes.items()
        for item in box.own
        for name in store.also.get((ROOM, item), ())
    )
    marks = sorted((name, mark) for name, box in boxes.items() for mark in box.items if mark.startswith("="))
    if marks != wanted:
        return f"marks {marks}, not {wanted}"
    for name, box in boxes.items():
        blocked = store._blocked(ROOM, name)
        if (box.state == "b") != blocked and not (box.state == "w" and not box.items[0].startswith("=")):
            return f"{name} is {box.state} and {'may not' if blocked else 'may'} go"
    return ""


def _leased_twice(store: MailroomOracle, boxes: Mapping[str, OracleBox]) -> str:
    names: set[str] = set()
    for name, box in boxes.items():
        if box.state == "l":
            its = {name, *store.also.get((ROOM, box.items[0]), ())}
            if names & its:
                return f"two that share {min(names & its)} are leased"
            names |= its
    return ""


def _doubt(store: MailroomOracle) -> None:
    """After a failover whatever is leased may have been sent by somebody who is not known any more."""
    for box in store.boxes.values():
        if box.state == "l":
            box.doubt = max(box.doubt, box.handed)


def _fresh(s: NamesState) -> str:
    """Return the first token that nobody knows."""
    used = {drain.asked for drain in s.drains} | {hand.token for drain in s.drains for hand in drain.hands}
    boxes, *_, memo = s.store
    used |= {box[6] for box in boxes} | {one[1] for one in memo}  # type: ignore[attr-defined]
    return next(token for token in map("t{}".format, range(1, 99)) if token not in used)


def _spend(s: NamesState, kind: str) -> NamesState:
    return s._replace(faults=s.faults._replace(**{kind: getattr(s.faults, kind) - 1}))


def _drain(s: NamesState, d: int, drain: NamesDrain) -> NamesState:
    drain = drain._replace(hands=tuple(sorted(drain.hands)))
    return s._replace(drains=(drain, s.drains[1]) if d == 0 else (s.drains[0], drain))


def _hand(s: NamesState, d: int, k: int, hand: NamesHand | None) -> NamesState:
    """One hand of a drain goes on, or ends."""
    hands = s.drains[d].hands
    return _drain(s, d, s.drains[d]._replace(hands=(*hands[:k], *((hand,) if hand else ()), *hands[k + 1 :])))
