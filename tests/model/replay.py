"""The model of the mailroom beside the real one: a walk through the model, each step of the store made for real.

Takes a walk's seed. Raises AssertionError where the real store did what the model does not know, or holds what the
model does not. What a drain or a destination does by itself has no counterpart in the store and is only walked.
"""

import json
import random
from dataclasses import replace
from typing import Any

import mailroom as real
from mailroom import INBOX, DeadLetterInfo, Lease, NewDelivery, RoomRequest, Settlement
from tests.mailroom.store import CLOCK, START, Loop, Store, StoredKey, event
from tests.model.mailroom import GONE, VERBS, Faults, Hand, MailroomModel, MailroomSetup, MailroomState
from tests.model.search import Act, Step

DAY = "2026-11-21"
#: What people are told of what died or is held.
INFO = DeadLetterInfo("crm", "", "x", "")
#: When each event was received: in the order of their numbers.
RECEIVED = "2026-11-21T10:00:0{}.000Z"
#: Steps that seldom can be made: then they are so many times as likely as others.
RARE = {"not sent": 3}
#: Everything that the model knows, often enough.
SETUP = MailroomSetup(
    events={"1": "in/a", "2": "in/a", "3": "in/b", "4": "in/b"},
    makes={
        "1": {"1.0": "crm/O", "1.1": "mail/O"},
        "1.1": {"1.1.0": "crm/O"},
        "2": {"2.0": "crm/O"},
        "3": {"3.0": "crm/O", "3.1": "crm/P"},
        "4": {"4.0": "mail/O"},
    },
    faults=Faults(crashes=4, stalls=2, lost=4, bad=6, stops=2, people=2, again=2),
    no_find=frozenset({"1.0", "2.0", "3.0", "4.0"}),
    tries=1,
    at_once=(True, False),
    bell=True,
)
#: What waits as its rule says, and what ends that.
LESS = MailroomSetup(
    events={"1": "in/a", "2": "in/a", "3": "in/a", "4": "in/a", "5": "in/a"},
    makes={
        "1": {"1.0": "crm/O", "1.1": "mail/O", "1.2": "crm/P"},
        "1.2": {"1.2.0": "crm/O"},
        "2": {"2.0": "crm/O"},
        "3": {"3.0": "crm/O", "3.1": "mail/O"},
        "4": {"4.0": "crm/O"},
        "5": {"5.0": "crm/O", "5.1": "crm/O"},
    },
    faults=Faults(crashes=1, bad=9, lost=1, people=1),
    no_find=frozenset({"1.0", "3.0"}),
    at_once=(True, False),
    bell=True,
    patient=frozenset({"1.0", "1.1", "2.0", "5.0"}),
    urgent=frozenset({"1.2.0", "3.0", "3.1", "5.1"}),
)
#: People who have a lot to do.
PEOPLE = MailroomSetup(
    events={"1": "in/a", "2": "in/a", "3": "in/a"},
    makes={"1": {"1.0": "crm/O", "1.1": "crm/P"}, "2": {"2.0": "crm/O"}, "3": {"3.0": "crm/O"}},
    faults=Faults(crashes=1, bad=12, people=12),
    no_find=frozenset({"1.0", "2.0", "3.0"}),
    bell=True,
    verbs=VERBS,
)


class Replay:
    """One walk over an empty store."""

    def __init__(
        self, loop: Loop, store: Store, room: real.Mailroom, seed: int, model: MailroomModel | None = None
    ) -> None:
        self.loop, self.store, self.room = loop, store, room
        self.model = model or MailroomModel(SETUP)
        self.random = random.Random(seed)
        self.state = self.model.first()
        #: Kinds of steps that were made.
        self.seen: set[str] = set()
        self.told: list[str] = []
        self._names = ["", ""]
        self._late_name = ""
        self._tokens: dict[int, str] = {}
        self._due: dict[int, int] = {}
        self._calls = 0
        self._now = START
        loop(store.raw.flushall())
        loop(store.raw.set(CLOCK, START))
        loop(room.prepare())

    def walk(self, steps: int) -> None:
        """Go so many steps."""
        for _ in range(steps):
            choices = [step for step in self.model.steps(self.state) if self._can(step.act)]
            if not choices:
                return
            words = sorted({str(step.act[0]) for step in choices})
            (word,) = self.random.choices(words, [RARE.get(word, 1) for word in words])
            self.go(self.random.choice([step for step in choices if step.act[0] == word]), choices)

    def _can(self, act: Act) -> bool:
        """Time goes one way: the box whose wait ends first comes first."""
        return act[0] != "due" or act[1] == min(self._due, key=lambda n: self._due[n])

    def go(self, step: Step[MailroomState], choices: list[Step[MailroomState]]) -> None:
        """Make a step for real and compare. Which box a take gets is the store's choice, among those that may be."""
        self._calls += 1
        call = f"c{self._calls}"
        before = self.state
        act = self._make(step, choices, call)
        step = next((other for other in choices if other.act == act), step)
        self.told.append(self.model.tell(act))
        assert step.act == act, f"the model does not know: {self.told[-1]}"
        self.seen.add(str(act[0]))
        self.state = step.state
        for n, box in enumerate(self.state.boxes):
            if box.state == "l" and box.token != before.boxes[n].token:
                self._tokens[box.token] = call
            if box.state != "w":
                self._due.pop(n, None)
        self.check()

    # -- making steps

    def _make(self, step: Step[MailroomState], choices: list[Step[MailroomState]], call: str) -> Act:
        act = step.act
        match act:
            case (("put" | "put again"), str(name)):
                self._put(name, again=act[0] == "put again")
            case ("start", int(d)):
                self._names[d] = f"d{d}-{self._calls}"
                assert self.loop(self.room.beat(self._names[d], register=True))
            case (("bury" | "bury alive"), int(d)):
                self.loop(self.room.bury([self._names[d]]))
            case ("leave", int(d)):
                self.loop(self.room.leave(self._names[d]))
            case ("strays", int(d), *_):
                known = [self._lease(hand) for hand in self.state.drains[d].hands]
                self.loop(self.room.strays(self._names[d], known))
            case ("hear", int()):
                assert self.loop(self.store.raw.lpop(self.room.key("bell:default"))), "the bell does not ring"
            case ("unhold", int(n)):
                assert self.loop(self.room.call("unhold", *self._where(n), "default"))
            case (("not sent" | "skip" | "revive" | "again" | "drop"), *_):
                self._by_hand(act)
            case ("due", int(n)):
                self._wait_for(n, call)
            case ("take", int(d), "carried out later"):
                self._late_name = self._names[d]
            case ("take", int(d), int(n), how):
                return ("take", d, self._take(self._names[d], n, call, choices), how)
            case ("take lands", int(d)):
                # Whoever is gone gets nothing, whatever there is.
                rooms = {self._where(n)[0] for n in range(len(self.state.boxes)) if d == GONE}
                wants = [RoomRequest(room, 1) for room in sorted(rooms)]
                leases = self.loop(self.room.take(self._late_name, call, wants)).leases
                assert not leases, f"the store gives {leases}, the model knows of none"
            case ("take lands", int(d), int(n)):
                return ("take lands", d, self._take(self._late_name, n, call, choices))
            case ("take again", int(d), int(n)):
                token = self._tokens[self.state.drains[d].asked]
                (lease,) = self.loop(self.room.take(self._names[d], token, [])).leases
                self._compare(lease, step, d, n)
            case ("settle", int(d), *_, "carried out later", bool(), bool()):
                self._late_name = self._names[d]
            case ("settle", int(d), int(), str(), str(), int(k), str(), bool(at_once), bool(goes_on)):
                hand = self.state.drains[d].hands[k]
                return (*act[:-1], self._settle(self._names[d], hand, call, at_once, goes_on))
            case ("settle lands", *_):
                assert self.state.late
                self._settle(self._late_name, self.state.late[2], call)
        return act

    def _by_hand(self, act: Act) -> None:
        line = '{"t":"x"}'
        expected: object = 1
        match act:
            case ("not sent", int(n)):
                args: tuple[Any, ...] = ("unhold", *self._where(n), "default", 1, DAY, line)
            case ("skip", int(n), how):
                info = '{"code":"x"}' if how == "dead" else ""
                args = ("skip", *self._where(n), self.state.boxes[n].items[0], info, "default", DAY, line)
            case ("drop", item):
                args = ("drop", item, DAY, line)
            case ("revive", item, how):
                expected = b"overtaken" if how == "overtaken" else b"done"
                args = ("revive", item, int(how == "insists"), "default", DAY, line)
            case ("again", str(item), str(how)):
                expected = {"overtaken": b"overtaken"}.get(how, b"busy" if how.endswith("busy") else b"done")
                event = item.partition(".")[0]
                _, inbox = self._where(self.model.box_of[event])
                what = "" if item == event else self.model.origin[item]
                args = ("again", item, int(how.startswith("insists")), "default", DAY, line, inbox, what)
            case _:
                raise AssertionError(act)
        assert self.loop(self.room.call(*args)) == expected, f"the model says {expected!r}: {self.model.tell(act)}"

    def _where(self, n: int) -> tuple[str, str]:
        room, _, box = self.model.setup.names[n].partition("/")
        return room, self.room.hash(f"email:{box}@example.org") if room == INBOX else box

    def _lease(self, hand: Hand) -> Lease:
        items = [(item, b"{}") for item in hand.items]
        return Lease(*self._where(hand.box), self._tokens[hand.token], hand.attempt, hand.doubt, hand.deaths, items)

    def _put(self, name: str, *, again: bool) -> None:
        box = self.model.setup.events[name].partition("/")[2]
        order = list(self.model.setup.events)
        received = RECEIVED.format(order.index(name))
        one = replace(event(name, f"email:{box}@example.org"), received_at=received)
        (receipt,) = self.loop(self.room.put([one]))
        assert receipt.duplicate == again

    def _take(self, drain: str, n: int, call: str, choices: list[Step[MailroomState]]) -> int:
        """Take one box of the room of box `n`; return which one it was."""
        suspects = int(self.state.boxes[n].deaths > 0)
        setup = self.model.setup
        per_box = setup.per_box if self._where(n)[0] == "in" else setup.in_a_row
        want = RoomRequest(self._where(n)[0], 1, 1 if suspects else per_box)
        leases = self.loop(self.room.take(drain, call, [want], suspects=suspects)).leases
        assert len(leases) == 1, f"the store gives {leases}, the model knows of one"
        (lease,) = leases
        got = next(k for k in range(len(self.state.boxes)) if self._where(k) == (lease.room, lease.box))
        for step in choices:
            if (
                step.act[0] == "take"
                and step.act[2:] == (got, "answered")
                and self._names[int(str(step.act[1]))] == drain
            ):
                self._compare(lease, step, int(str(step.act[1])), got)
        return got

    def _compare(self, lease: Lease, step: Step[MailroomState], d: int, n: int) -> None:
        hand = next(x for x in step.state.drains[d].hands if x.box == n and x.token == step.state.boxes[n].token)
        got = (tuple(item for item, _ in lease.items), lease.attempt, lease.doubt, lease.deaths)
        assert got == (hand.items, hand.attempt, hand.doubt, hand.deaths), f"take gave {got}, not {hand}"

    def _wait_for(self, n: int, call: str) -> None:
        self.loop(self.store.advance(self._due[n] - self._now))
        self._now = self._due[n]
        anybody = next(self._names[d] for d, drain in enumerate(self.state.drains) if drain.known)
        assert not self.loop(self.room.take(anybody, call, [RoomRequest(self._where(n)[0], 0)])).leases

    def _settle(self, drain: str, hand: Hand, call: str, at_once: bool = False, goes_on: bool = False) -> bool:
        """Settle the first item of a hand; return whether what is next was leased, which the store decides.

        What stands in a line for a box that was pulled forward keeps others from going on, and the model has no lines.
        """
        item, verdict = hand.items[0], hand.pending[0]
        wait_ms = 0
        box = self.state.boxes[hand.box]
        if verdict.word == "wait":
            due = max([self._now, *self._due.values()]) + 1
            wait_ms = due - self._now
            if (box.state, box.token) == ("l", hand.token):
                self._due[hand.box] = due
        new = []
        if verdict.word == "done":
            for delivery, target in self.model.follows(self.state, item):
                room, name = self._where(target)
                patient, urgent = (delivery in each for each in (self.model.setup.patient, self.model.setup.urgent))
                said = (
                    "doubtful" if delivery in self.state.marked else "leaves" if urgent else "waits" if patient else "x"
                )
                delay = 0
                if patient:
                    due = max([self._now, *self._due.values()]) + 1
                    delay = due - self._now
                    if self.state.boxes[target].state == "-":
                        self._due[target] = due
                record = f'{{"{said}":true,"y":1}}'.encode()
                new.append(NewDelivery(delivery, room, (name,), record, lease=at_once, delay=delay, urgent=urgent))
        settlement = Settlement(
            self._lease(hand),
            item,
            verdict.word,
            item.partition(".")[0],
            DAY,
            wait_ms=wait_ms,
            info=INFO if verdict.word in ("dead", "hold") else None,
            attempt=verdict.attempt,
            doubt=verdict.doubt,
            last=len(hand.items) == 1,
            new=new,
        )
        return bool(self.loop(self.room.settle(drain, call, [settlement], go_on=goes_on)).following)

    # -- comparing

    def check(self) -> None:
        """Compare what the store holds with the state of the model."""
        found, expected = self._found(self.loop(self.store.dump())), self._expected()
        for what, mine in expected.items():
            assert found[what] == mine, "\n".join([f"{what}: {found[what]}, the model says {mine}, after", *self.told])

    def _expected(self) -> dict[str, Any]:
        s = self.state
        where = {n: self._where(n) for n in range(len(s.boxes))}
        heads = {}
        for n, box in enumerate(s.boxes):
            more = {"l": f" {self._tokens.get(box.token)} {box.handed}", "w": f" {self._due.get(n)}"}.get(box.state, "")
            if box.state != "-":
                heads[where[n]] = [f"{box.state} {box.attempt} {box.doubt} {box.deaths}{more}", *box.items]
        inside = {item for box in s.boxes for item in box.items} | s.dead
        return {
            "boxes": heads,
            "ready": {where[n] for n, box in enumerate(s.boxes) if box.state == "r" and not box.deaths},
            "suspect": {where[n] for n, box in enumerate(s.boxes) if box.state == "r" and box.deaths},
            "waiting": {where[n] for n, box in enumerate(s.boxes) if box.state == "w"},
            "held": {where[n] for n, box in enumerate(s.boxes) if box.state == "h"},
            "leased": {where[n]: self._names[box.drain] for n, box in enumerate(s.boxes) if box.state == "l"},
            "payloads": {name for name, refs in zip(self.model.events, s.refs, strict=True) if refs},
            "counts": {name: refs for name, refs in zip(self.model.events, s.refs, strict=True) if refs > 1},
            "deliveries": {item for item in inside if "." in item},
            "dead": set(s.dead),
            "drains": {name for name, drain in zip(self._names, s.drains, strict=True) if drain.known},
            "bell": s.bell,
            **(self._expected_of_people(s, inside) if self.model.setup.verbs else {}),
        }

    def _expected_of_people(self, s: MailroomState, inside: set[str]) -> dict[str, Any]:
        boxes = self.model.box_of
        return {
            "marked": {item for item in s.marked & inside if "." in item},
            "watched": {item: " ".join(self._where(boxes[item])) for item in s.watched},
            "passed": self._passed(s),
            "again": {name: self._again(s, k) for k, name in enumerate(self.model.events) if s.refs[k] and s.rounds[k]},
        }

    def _passed(self, s: MailroomState) -> dict[str, str]:
        out = {}
        for n, newest in enumerate(s.passed):
            if count := sum(self.model.box_of[item] == n for item in s.watched):
                out[" ".join(self._where(n))] = (
                    f"{count} {RECEIVED.format(newest)} 000000" if newest >= 0 else f"{count} "
                )
        return out

    def _again(self, s: MailroomState, k: int) -> tuple[int, set[str]]:
        name = self.model.events[k]
        return s.rounds[k], {self.model.origin[d] for d in s.asked if d.partition(".")[0] == name}

    def _found(self, dump: dict[str, StoredKey]) -> dict[str, Any]:
        def named(kind: str) -> dict[str, Any]:
            return {name.removeprefix(kind): x.value for name, x in dump.items() if name.startswith(kind)}

        def listed(kind: str) -> list[tuple[str, str]]:
            """What stands in lines, without notes: places of boxes that were pulled forward."""
            found = []
            for line, boxes in named(kind).items():
                room, _, kind_of_line = line.partition(":")
                notes = named("notes:").get(room, ())
                for box in map(str, boxes):
                    head = named("b:").get(f"{room}:{box}", [""])[0].split()
                    its = head[6] if len(head) > 6 else ""
                    if f"{box} {kind_of_line}" not in notes or (head[:1] == ["r"] and its == kind_of_line):
                        found.append((room, box))
            return found

        def inside(kind: str) -> set[tuple[str, str]]:
            return {(line.partition(":")[0], str(box)) for line, boxes in named(kind).items() for box in boxes}

        heads = {name: json.loads(record.partition("\n")[0]) for name, record in named("e:").items()}
        asked = {name: head["again"] for name, head in heads.items() if "again" in head}
        for name, again in asked.items():
            waiting = self.state.boxes[self.model.box_of[name]].items
            doubt = {self.model.origin[d] for d in self.state.marked & self.state.asked if d.partition(".")[0] == name}
            assert name not in waiting or set(again.get("doubt", ())) == doubt, (
                f"doubt of {again}, the model says {doubt}"
            )
        lists = listed("ready:") + listed("suspect:")
        assert len(lists) == len(set(lists)), f"a box twice among {lists}"
        return {
            "boxes": {tuple(name.split(":")): [_without_class(head), *x] for name, (head, *x) in named("b:").items()},
            "ready": set(listed("ready:")),
            "suspect": inside("suspect:"),
            "waiting": inside("waiting:"),
            "held": inside("held:"),
            "leased": {(room, box): d for room, boxes in named("leased:").items() for box, d in boxes.items()},
            "payloads": set(named("e:")),
            "counts": {name: int(n) for name, n in named("refs").get("", {}).items()},
            "deliveries": set(named("d:")),
            "dead": set(dump["dead"].value) if "dead" in dump else set(),
            "drains": set(dump["beats"].value) if "beats" in dump else set(),
            "bell": len(named("bell:").get("default", [])),
            "marked": {name for name, record in named("d:").items() if record.startswith('{"doubtful":true,')},
            "watched": named("deadbox").get("", {}),
            "passed": named("passed").get("", {}),
            "again": {name: (again["n"], set(again["only"])) for name, again in asked.items()},
        }


def _without_class(head: str) -> str:
    """Return the state of a box without its class, of which the model knows nothing."""
    words = head.split()
    return " ".join(words[: {"l": 6, "w": 5}.get(words[0], 4)])
