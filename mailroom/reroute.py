"""What of an event is to be done once more, by the rules of today: a person's way to mend a dead letter.

Comes in: an event's record, whose head says which places of which rules had failed. Goes out: the part of what today's
rules ask for that was asked for again. Never lets anything through that was done before.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rules.action import AskedAction
from rules.rulebook import Matching, Rulebook


@dataclass(frozen=True)
class Reroute:
    """One round of it."""

    #: Counted from 1; the deliveries of each round have ids of their own.
    round: int
    #: Rule -> the places in it that failed; an empty place is the whole rule.
    only: Mapping[str, tuple[tuple[int, ...], ...]]
    #: Places, as the mailroom keeps them, whose delivery may have been sent before it died.
    doubt: frozenset[str] = frozenset()

    def narrow(self, matching: Matching) -> Matching:
        """Return what matters of a matching."""
        return replace(
            matching,
            fired=tuple(rule for rule in matching.fired if rule.name in self.only),
            observed=tuple(rule for rule in matching.observed if rule.name in self.only),
            missed=tuple(miss for miss in matching.missed if miss.rule.name in self.only),
        )

    def wanted(self, rule: str, asked: Sequence[AskedAction]) -> list[AskedAction]:
        """Return what a rule asks for now at the places that had failed."""
        places = self.only[rule]
        return [one for one in asked if () in places or one.path in places]

    def doubtful(self, rule: str, path: Sequence[int]) -> bool:
        """Say whether what is done at a place may have been done already."""
        return written(rule, path) in self.doubt

    def lost(self, book: Rulebook) -> dict[str, str]:
        """Return rule -> why nothing can be done for it: the book of today has no such rule, or no such place."""
        rules = {rule.name: rule for rule in book.rules}
        out = {}
        for name, places in self.only.items():
            if name not in rules:
                out[name] = "the book in force has no rule of this name"
            elif any(rules[name].step(place) is None for place in places if place):
                out[name] = "the rule has no action at this place any more"
        return out


def written(rule: str, path: Sequence[int]) -> str:
    """Return a place of a rule as the mailroom keeps it: `0.1 paid orders`."""
    return f"{'.'.join(str(at) for at in path)} {rule}"


def read(record: bytes) -> Reroute | None:
    """Return what is to be done again; None for an event that is routed for the first time."""
    end = record.find(b"\n")
    if end < 0 or record.find(b'"again":', 0, end) < 0:
        return None
    mark = json.loads(record[:end]).get("again")
    if mark is None:
        return None
    return collect(mark["n"], mark["only"], mark.get("doubt", ()))


def collect(round: int, places: Iterable[str], doubt: Iterable[str] = ()) -> Reroute:
    """Return a round of it, of places as the mailroom keeps them."""
    only: dict[str, tuple[tuple[int, ...], ...]] = {}
    for place in places:
        path, _, rule = place.partition(" ")
        only[rule] = (*only.get(rule, ()), tuple(int(at) for at in path.split(".") if at))
    return Reroute(round, only, frozenset(doubt))
