"""The hand-over from receiver to store as a model: two receiver processes, the spool of their host, a store that fails.

Comes in: a Setup (events of one order key, how many faults). Goes out: states, steps and what must never be, for
`search`. The platform may send an event until it is acknowledged, and once more. What was acknowledged before another
event arrived has to reach the inbox before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.search import Act, Step


class ModelReceiver(NamedTuple):
    """A receiver process: the event that it answers for, and what it hands over from the spool."""

    up: bool = True
    #: idle | received | puts | unknown (the store did not answer) | appended (not synced) | kept
    phase: str = "idle"
    event: str = ""
    #: What it believes of the spool; asked anew for each event, unless a fault is planted.
    spooling: bool = False
    #: It hands over: rows that it has read.
    reads: tuple[str, ...] = ()
    #: The store has those rows.
    handed: bool = False


class HandoverFaults(NamedTuple):
    """How often each kind of fault may still happen."""

    #: The store goes away (and comes back).
    outages: int = 0
    #: A call to the store is carried out and its answer lost, never carried out, or carried out later.
    lost: int = 0
    #: A receiver process dies.
    crashes: int = 0
    #: The host loses its power: what was not synced is gone, what was deleted may be back.
    power_cuts: int = 0
    #: The platform sends an event again that was acknowledged, or is still being answered.
    again: int = 0


class HandoverState(NamedTuple):
    """Everything there is."""

    receivers: tuple[ModelReceiver, ModelReceiver]
    faults: HandoverFaults
    store_up: bool = True
    #: The inbox in order; what was put once is remembered.
    stored: tuple[str, ...] = ()
    #: Rows of the spool, oldest first; the first `synced` of them are on disk.
    spool: tuple[str, ...] = ()
    synced: int = 0
    #: Rows deleted, but not yet on disk.
    ghosts: tuple[str, ...] = ()
    acknowledged: frozenset[str] = frozenset()
    #: Per event that arrived and is not stored: what had been acknowledged before.
    before: tuple[tuple[str, frozenset[str]], ...] = ()
    #: A put that the store has not carried out yet, and whose caller has given up.
    late: tuple[str, ...] = ()
    wrong: str = ""


@dataclass(frozen=True)
class HandoverSetup:
    """What happens in a model, and how much of it."""

    events: tuple[str, ...]
    faults: HandoverFaults
    #: Rows that the spool holds before it is full.
    most: int = 3
    #: A receiver may believe that the store is away although it is not, and spool without asking it.
    wary: bool = False
    #: Both receivers may hand over at once, as when one of them was stopped in the middle of it.
    both: bool = False
    #: Rows in one call when they are handed over.
    batch: int = 2
    #: Faults planted in the model, which the search has to find.
    planted: frozenset[str] = frozenset()


class Handover:
    """The model of one setup."""

    def __init__(self, setup: HandoverSetup) -> None:
        self.setup = setup
        self.planted = setup.planted

    def first(self) -> HandoverState:
        """Return a store that answers, an empty spool, two idle receivers."""
        return HandoverState((ModelReceiver(), ModelReceiver()), self.setup.faults)

    # -- store and spool

    def put(self, s: HandoverState, events: tuple[str, ...]) -> HandoverState:
        """Append events to the inbox, each once."""
        for event in events:
            if event in s.stored and "put without memory" not in self.planted:
                continue
            for other in dict(s.before).get(event, ()):
                if other not in s.stored:
                    s = s._replace(wrong=s.wrong or f"{event} overtakes {other}, which was acknowledged before it came")
            s = s._replace(stored=(*s.stored, event))
        return s

    def append(self, s: HandoverState, event: str) -> HandoverState:
        """Write a row behind those that wait; not synced yet. An event that waits already is not written again."""
        return s if event in s.spool else s._replace(spool=(*s.spool, event))

    def sync(self, s: HandoverState) -> HandoverState:
        """Everything written so far is on disk."""
        return s._replace(synced=len(s.spool), ghosts=())

    def delete(self, s: HandoverState, rows: tuple[str, ...]) -> HandoverState:
        """Delete rows that the store has; not synced."""
        there = tuple(row for row in rows if row in s.spool[: s.synced])
        left = tuple(row for row in s.spool if row not in rows)
        return s._replace(spool=left, synced=s.synced - len(there), ghosts=(*s.ghosts, *there))

    # -- what may happen

    def steps(self, s: HandoverState) -> Iterator[Step[HandoverState]]:
        """Return everything that may happen next."""
        yield from self._fails(s)
        if s.late and s.store_up:
            yield Step(("lands", *s.late), self.put(s._replace(late=()), s.late), True)
        for r, receiver in enumerate(s.receivers):
            if not receiver.up:
                yield Step(("start", r), _receiver(s, r, ModelReceiver()), True)
                continue
            yield from self._receives(s, r, receiver)
            yield from self._hands_over(s, r, receiver)

    def _fails(self, s: HandoverState) -> Iterator[Step[HandoverState]]:
        if not s.store_up:
            yield Step(("store comes back",), s._replace(store_up=True), True)
        elif s.faults.outages:
            yield Step(("store goes away",), _spend(s, "outages")._replace(store_up=False), False)
        if s.faults.crashes:
            for r, receiver in enumerate(s.receivers):
                if receiver.up:
                    yield Step(("crash", r), _receiver(_spend(s, "crashes"), r, ModelReceiver(up=False)), False)
        if s.faults.power_cuts:
            down = _spend(s, "power_cuts")._replace(receivers=(ModelReceiver(up=False), ModelReceiver(up=False)))
            kept = s.spool[: s.synced]
            yield Step(("power cut",), down._replace(spool=kept, ghosts=()), False)
            if s.ghosts:
                back = (*s.ghosts, *kept)
                cut = down._replace(spool=back, synced=len(back), ghosts=())
                yield Step(("power cut, deleted rows are back",), cut, False)

    def _receives(self, s: HandoverState, r: int, receiver: ModelReceiver) -> Iterator[Step[HandoverState]]:
        event = receiver.event
        match receiver.phase:
            case "idle":
                yield from self._arrives(s, r, receiver)
            case "received":
                # Asked at the last moment: what was acknowledged before this event came is then seen.
                full = receiver.spooling if "belief is cached" in self.planted else bool(s.spool)
                yield Step(("looks", r, event, full), _phase(s, r, "unknown" if full else "puts"), True)
                if not full and self.setup.wary:
                    yield Step(("believes", r, event), _phase(s, r, "unknown"), True)
            case "puts":
                then = "unknown" if "answer is not awaited" not in self.planted else "kept"
                if s.store_up:
                    yield Step(("puts", r, event, "answered"), _phase(self.put(s, (event,)), r, "kept"), True)
                    if s.faults.lost:
                        lost = _phase(_spend(s, "lost"), r, then)
                        yield Step(("puts", r, event, "answer lost"), self.put(lost, (event,)), False)
                        yield Step(("puts", r, event, "never carried out"), lost, False)
                        if not s.late:
                            yield Step(("puts", r, event, "carried out later"), lost._replace(late=(event,)), False)
                else:
                    yield Step(("puts", r, event, "store is away"), _phase(s, r, then), True)
                    if s.faults.lost and not s.late:
                        later = _phase(_spend(s, "lost"), r, then)._replace(late=(event,))
                        yield Step(("puts", r, event, "carried out later"), later, False)
            case "unknown":
                if len(s.spool) >= self.setup.most and event not in s.spool:
                    yield Step(("refuses", r, event), _phase(s, r, "idle", ""), True)
                else:
                    then = "kept" if "acknowledged before synced" in self.planted else "appended"
                    believes = _receiver(s, r, receiver._replace(spooling=True))
                    yield Step(("appends", r, event), _phase(self.append(believes, event), r, then), True)
            case "appended":
                yield Step(("syncs", r, event), _phase(self.sync(s), r, "kept"), True)
            case "kept":
                after = _phase(s._replace(acknowledged=s.acknowledged | {event}), r, "idle", "")
                yield Step(("acknowledges", r, event), after, True)

    def _arrives(self, s: HandoverState, r: int, receiver: ModelReceiver) -> Iterator[Step[HandoverState]]:
        known = {event for event, _ in s.before}.union(s.stored)
        for event in self.setup.events:
            if event in s.acknowledged or any(other.event == event for other in s.receivers):
                if not s.faults.again:
                    continue
                after = _spend(s, "again")
            elif event in known:
                after = s
            else:
                after = s._replace(before=tuple(sorted((*s.before, (event, s.acknowledged)))))
            yield Step(("receives", r, event), _phase(after, r, "received", event), False)
            if event not in known:
                break  # Events differ by their names only: they come first in this order.

    def _hands_over(self, s: HandoverState, r: int, receiver: ModelReceiver) -> Iterator[Step[HandoverState]]:
        if receiver.handed:
            done = receiver._replace(reads=(), handed=False, spooling=len(s.spool) > len(receiver.reads))
            after = _receiver(s, r, done)
            if "handed over before it is deleted" not in self.planted:
                after = self.delete(after, receiver.reads)
            yield Step(("deletes", r, *receiver.reads), after, True)
        elif receiver.reads:
            idle = receiver._replace(reads=())
            if s.store_up:
                has = _receiver(s, r, receiver._replace(handed=True))
                yield Step(("hands over", r, *receiver.reads, "answered"), self.put(has, receiver.reads), True)
                if s.faults.lost:
                    lost = _receiver(_spend(s, "lost"), r, idle)
                    lost_call = self.put(lost, receiver.reads)
                    yield Step(("hands over", r, *receiver.reads, "answer lost"), lost_call, False)
                    yield Step(("hands over", r, *receiver.reads, "never carried out"), lost, False)
                    if not s.late:
                        late = lost._replace(late=receiver.reads)
                        yield Step(("hands over", r, *receiver.reads, "carried out later"), late, False)
            else:
                yield Step(("hands over", r, *receiver.reads, "store is away"), _receiver(s, r, idle), True)
        elif s.spool and (not _handing_over(s) or self.setup.both or "each takes its own" in self.planted):
            yield from self._reads(s, r, receiver)

    def _reads(self, s: HandoverState, r: int, receiver: ModelReceiver) -> Iterator[Step[HandoverState]]:
        rows = s.spool[: self.setup.batch]
        if "each takes its own" in self.planted:
            others = {row for other in s.receivers for row in other.reads}
            rows = tuple(row for row in s.spool if row not in others)[: self.setup.batch]
        if "newest first" in self.planted:
            rows = s.spool[::-1][:1]
        if rows:
            after = s
            if "deleted before it is put" in self.planted:
                after = self.delete(s, rows)
            yield Step(("reads", r, *rows), _receiver(after, r, receiver._replace(reads=rows)), True)

    # -- what must never be

    def wrong(self, s: HandoverState) -> str:
        """Return what must not be and is."""
        if s.wrong:
            return s.wrong
        if len(set(s.stored)) < len(s.stored):
            return "an event is in the inbox twice"
        for event in sorted(s.acknowledged):
            if event not in s.stored and event not in s.spool:
                return f"event {event} was acknowledged and is lost"
        return ""

    def at_rest(self, s: HandoverState) -> bool:
        """Whether the store has all that was acknowledged, the spool is empty and nobody is being answered."""
        return not s.spool and not s.late and all(one.up and one.phase == "idle" for one in s.receivers)

    def same(self, s: HandoverState) -> HandoverState:
        """Receivers differ by their names only; what came before an event no longer matters once it is stored."""
        if any(event in s.stored for event, _ in s.before):
            s = s._replace(before=tuple(each for each in s.before if each[0] not in s.stored))
        if "belief is cached" not in self.planted and any(one.spooling for one in s.receivers):
            s = s._replace(receivers=(s.receivers[0]._replace(spooling=False), s.receivers[1]._replace(spooling=False)))
        one, other = s.receivers
        return s if one <= other else s._replace(receivers=(other, one))

    def tell(self, act: Act) -> str:
        """Return a step in words."""
        word, *details = act
        match word, details:
            case str(), []:
                return word
            case "lands", events:
                return f"store: carries out a put of long ago: {' '.join(map(str, events))}"
            case "looks", [int(r), event, full]:
                where = "the spool, which holds something" if full else "the store, for the spool is empty"
                return f"receiver {r + 1}: event {event} goes to {where}"
            case ("believes", [int(r), event]):
                return f"receiver {r + 1}: event {event} goes to the spool, for the store is believed to be away"
            case (("puts" | "hands over"), [int(r), *events, how]):
                return f"receiver {r + 1}: {word} {' '.join(map(str, events))}: {how}"
            case str(), [int(r), *events]:
                return " ".join([f"receiver {r + 1}:", word, *map(str, events)])
        raise AssertionError(f"a step without words: {act}")


def _handing_over(s: HandoverState) -> bool:
    """Whether somebody holds the lock; a process that dies loses it."""
    return any(receiver.reads for receiver in s.receivers)


def _receiver(s: HandoverState, r: int, receiver: ModelReceiver) -> HandoverState:
    return s._replace(receivers=(receiver, s.receivers[1]) if r == 0 else (s.receivers[0], receiver))


def _phase(s: HandoverState, r: int, phase: str, event: str | None = None) -> HandoverState:
    receiver = s.receivers[r]
    return _receiver(s, r, receiver._replace(phase=phase, event=receiver.event if event is None else event))


def _spend(s: HandoverState, kind: str) -> HandoverState:
    return s._replace(faults=s.faults._replace(**{kind: getattr(s.faults, kind) - 1}))
