"""Compares what was acknowledged with what the destination holds and what a person can see.

Comes in: facts gathered from outside. Goes out: a Verdict. Never talks to anybody, so it can be tested by planting a
loss, an inversion and a double.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunFacts:
    """What is known after a run. An event is (key, number); numbers of a key rise in the order of their sending."""

    #: Events that were answered 2xx.
    acknowledged: frozenset[tuple[str, int]]
    #: Per key, the numbers in the order in which the destination carried them out (repetitions included).
    effects: Mapping[str, Sequence[int]]
    #: Events that a person sees: dead letters and held keys.
    seen_by_a_person: frozenset[tuple[str, int]]
    #: What exists at the destination, once per thing: contacts by person and by e-mail, invoices by reference.
    things: Iterable[str] = ()
    #: Things that must exist, because the delivery that makes them was acknowledged and not seen by a person.
    wanted: frozenset[str] = frozenset()
    #: What still waits, is leased or held when the run is over and nothing disturbs it any more.
    left: int = 0
    #: What was seen on the way: a message that was taken for another one, a write to somebody else's contact.
    mistaken: Sequence[str] = ()


@dataclass
class StormVerdict:
    """What broke. Empty lists: nothing did."""

    lost: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mistaken: list[str] = field(default_factory=list)
    stuck: int = 0

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.inverted or self.doubled or self.missing or self.mistaken or self.stuck)

    def __str__(self) -> str:
        parts = [
            f"lost {len(self.lost)}",
            f"order inversions {len(self.inverted)}",
            f"effects doubled {len(self.doubled)}",
            f"effects missing {len(self.missing)}",
            f"mistaken {len(self.mistaken)}",
            f"stuck {self.stuck}",
        ]
        broken = (*self.lost, *self.inverted, *self.doubled, *self.missing, *self.mistaken)
        shown = [f"  {text}" for text in broken[:20]]
        return "\n".join([", ".join(parts), *shown])


def check(facts: RunFacts) -> StormVerdict:
    """Return what broke."""
    verdict = StormVerdict(stuck=facts.left, mistaken=list(facts.mistaken))
    done = {(key, number) for key, numbers in facts.effects.items() for number in numbers}
    for key, number in sorted(facts.acknowledged - done - facts.seen_by_a_person):
        verdict.lost.append(f"{key} #{number} was acknowledged and never arrived")
    for key, numbers in facts.effects.items():
        newest = -1
        for number in numbers:
            if number < newest:
                verdict.inverted.append(f"{key}: #{number} was carried out after #{newest}")
            newest = max(newest, number)
    counted = Counter(facts.things)
    verdict.doubled += [f"{thing} exists {n} times" for thing, n in sorted(counted.items()) if n > 1]
    verdict.missing += [f"{thing} does not exist" for thing in sorted(facts.wanted) if not counted[thing]]
    return verdict
