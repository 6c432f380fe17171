"""An index of rules, so that an event is not tested against every rule of a large book.

Comes in: the rules of a book, then the facts of an event. Goes out: the candidate rules, in the book's order. Never
decides that a rule fires: it only leaves out rules that cannot fire, because they need another value in some field.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rules.matching.operators import fold
from rules.rule import Rule
from rules.source.look_alikes import nfc

#: With at most this many rules for one source and type, testing each is as fast as an index look-up, and the ledger
#: then says of each why it did not fire.
WORTH_IT = 16

_ABSENT = object()

#: A field of which certain texts are needed, and whether their case is ignored.
_Needed = tuple[tuple[str, ...], bool]


class Index:
    """Rules by source and type, and within those by the most selective field."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        buckets: dict[tuple[str | None, str | None], list[Rule]] = {}
        for rule in rules:
            for source in rule.sources if rule.sources is not None else (None,):
                for type_ in rule.types if rule.types is not None else (None,):
                    buckets.setdefault((source, type_), []).append(rule)
        self._buckets = {key: _Bucket(found) for key, found in buckets.items()}

    def candidates(self, facts: Mapping[str, Any]) -> "Sequence[Rule]":
        """Return the rules that may fire, in the book's order."""
        source, type_ = facts["source"], facts["type"]
        found: list[Rule] = []
        for key in ((source, type_), (source, None), (None, type_), (None, None)):
            bucket = self._buckets.get(key)
            if bucket is not None:
                bucket.add(facts, found)
        found.sort(key=_position)
        return found


def _position(rule: "Rule") -> int:
    return rule.position


class _Bucket:
    """The rules for one source and type."""

    def __init__(self, rules: "Sequence[Rule]") -> None:
        #: Rules without an indexable condition: candidates for every event of this bucket.
        self.always: list[Rule] = []
        #: Field, and whether its case is ignored -> value -> rules that need this value there.
        self.fields: dict[_Needed, dict[str, list[Rule]]] = {}
        if len(rules) <= WORTH_IT:
            self.always = list(rules)
            return
        needs = {id(rule): _needs(rule) for rule in rules}
        values: Counter[_Needed] = Counter()
        for path, _text in {(path, text) for need in needs.values() for path, texts in need.items() for text in texts}:
            values[path] += 1
        for rule in rules:
            need = needs[id(rule)]
            # The most selective field is the one with the most different values over all rules.
            best = max(need, key=lambda path: (values[path] / len(need[path]), path), default=None)
            if best is None:
                self.always.append(rule)
                continue
            by_value = self.fields.setdefault(best, {})
            for text in need[best]:
                by_value.setdefault(text, []).append(rule)

    def add(self, facts: Mapping[str, Any], found: "list[Rule]") -> None:
        """Add the rules that may fire to `found`."""
        found += self.always
        for (path, folded), by_value in self.fields.items():
            value: Any = facts
            for step in path:
                value = value.get(step, _ABSENT) if isinstance(value, Mapping) else _ABSENT
            if isinstance(value, str):
                found += by_value.get(fold(value) if folded else nfc(value), ())


def _needs(rule: "Rule") -> dict[_Needed, frozenset[str]]:
    """Return the fields whose value must be one of certain texts for the rule to fire, with these texts."""
    return {
        (tuple(path.split(".")), folded): texts
        for (path, folded), texts in rule.when.equalities().items()
        if texts and path not in ("source", "type") and "[" not in path
    }
