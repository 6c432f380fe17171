"""An index of rules, so that an event is not tested against every rule of a large book.

Comes in: the rules of a book, then the facts of an event. Goes out: the candidate rules, in the book's order, each with
what follows for it from texts that decided of it before. Left out are only rules that cannot fire, because they need
another value in some field.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.matching.operators import fold
from rules.matching.path import ABSENT, Path, Reader, parse, reader_of
from rules.rule import FIRES, Facts, Miss, Rule, RuleVerdict
from rules.source.look_alikes import nfc

#: With at most this many rules for one source and type, none is left out: the ledger says of each why it did not fire.
WORTH_IT = 16

#: Combinations of texts that are kept in mind of one source and type; a book that has more begins anew.
MOST_KNOWN = 1_000

#: A rule that may fire, and what is known of it: that it fires, why it does not, or nothing (None).
Candidate = tuple[Rule, Miss | RuleVerdict | None]


@dataclass(slots=True)
class Candidates:
    """Rules that may fire. Where texts decide of all of them, the same object comes for all events that have these."""

    rules: Sequence[Candidate]
    #: True: what follows is the same for all events for which this object comes. `matching`: the book keeps it here.
    decided: bool = False
    matching: Any = None


#: A field of which certain texts are needed, and whether their case is ignored.
_Needed = tuple[str, bool]


class Index:
    """Rules by source and type, and within those by the most selective field."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        buckets: dict[tuple[str | None, str | None], list[Rule]] = {}
        for rule in rules:
            for source in rule.sources if rule.sources is not None else (None,):
                for type_ in rule.types if rule.types is not None else (None,):
                    buckets.setdefault((source, type_), []).append(rule)
        self._buckets = {key: _Bucket(found) for key, found in buckets.items()}

    def candidates(self, facts: Facts) -> Candidates:
        """Return the rules that may fire, in the book's order, each with what is known of it without a test."""
        source, type_ = facts["source"], facts["type"]
        keys = ((source, type_), (source, None), (None, type_), (None, None))
        buckets = [bucket for key in keys if (bucket := self._buckets.get(key)) is not None]
        if len(buckets) == 1 and (table := buckets[0].table) is not None:
            return table.candidates(facts)
        found: list[Candidate] = []
        for bucket in buckets:
            bucket.add(facts, found)
        found.sort(key=_position)
        return Candidates(found)


def _position(candidate: Candidate) -> int:
    return candidate[0].position


class _Bucket:
    """The rules for one source and type."""

    def __init__(self, rules: "Sequence[Rule]") -> None:
        #: Rules without an indexable condition: candidates for every event of this bucket.
        self.always: list[Candidate] = []
        self.table: _Table | None = None
        #: How a field is read, whether its case is ignored, and value -> rules that need this value there.
        self.fields: list[tuple[Reader, bool, dict[str, list[Candidate]]]] = []
        if len(rules) <= WORTH_IT:
            self.table = _Table(rules)
            return
        needs = {id(rule): _needs(rule) for rule in rules}
        values: Counter[_Needed] = Counter()
        fields: dict[_Needed, dict[str, list[Candidate]]] = {}
        for path, _text in {(path, text) for need in needs.values() for path, texts in need.items() for text in texts}:
            values[path] += 1
        for rule in rules:
            need = needs[id(rule)]
            # The most selective field is the one with the most different values over all rules.
            best = max(need, key=lambda path: (values[path] / len(need[path]), path), default=None)
            if best is None:
                self.always.append((rule, None))
                continue
            by_value = fields.setdefault(best, {})
            for text in need[best]:
                by_value.setdefault(text, []).append((rule, None))
        self.fields = [(reader_of(parse(path)), folded, by_value) for (path, folded), by_value in fields.items()]

    def add(self, facts: Facts, found: "list[Candidate]") -> None:
        """Add the rules that may fire to `found`."""
        if self.table is not None:
            found += self.table.candidates(facts).rules
            return
        found += self.always
        for read, folded, by_value in self.fields:
            value = read(facts)
            if isinstance(value, str):
                found += by_value.get(fold(value) if folded else nfc(value), ())


class _Table:
    """A few rules of one source and type: what texts in some fields decide of them, each combination tested once.

    Most conditions compare a field with texts. Whether they hold, and why not, is the same for all events that have the
    same of these texts there, or none of them.
    """

    def __init__(self, rules: "Sequence[Rule]") -> None:
        #: Each rule with its first conditions, and whether these are all.
        self._rules = [(rule, *rule.when.first_texts()) for rule in rules]
        texts: dict[Path, set[str]] = {}
        for _, conditions, _ in self._rules:
            for path, wanted in conditions:
                texts.setdefault(path, set()).update(wanted)
        self._fields = tuple((path, reader_of(path), frozenset(wanted)) for path, wanted in texts.items())
        #: What is in the fields -> the rules, with what follows from that.
        self._known: dict[tuple[Any, ...], Candidates] = {}
        #: Whether one of them may end its file: then an event's own id tells which rule behind it is looked at.
        self._stops = any(rule.stop for rule in rules)

    def candidates(self, facts: Facts) -> Candidates:
        """Return the rules, each with what is known of it without a test."""
        found = tuple([_name_text(read(facts), texts) for _, read, texts in self._fields])
        known = self._known.get(found)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            here = {path: value for (path, _, _), value in zip(self._fields, found, strict=True)}
            rules = [(rule, _decide(rule, facts, first, whole, here)) for rule, first, whole in self._rules]
            known = Candidates(rules, not self._stops and all(decided is not None for _, decided in rules))
            self._known[found] = known
        return known


def _name_text(value: Any, texts: frozenset[str]) -> Any:
    """Return a value as far as it matters: one of some texts, ABSENT, or None for any other."""
    if value.__class__ is str:
        text = value if value.isascii() else nfc(value)
        return text if text in texts else None
    return ABSENT if value is ABSENT else None


def _decide(
    rule: "Rule", facts: Facts, first: Sequence[tuple[Path, frozenset[str]]], whole: bool, here: Mapping[Path, Any]
) -> Miss | RuleVerdict | None:
    """Return what texts decide of a rule, however the rest of the event is; None: they do not."""
    for path, wanted in first:
        if here[path] is ABSENT:  # A later condition may be false, and where it is missing is to be told.
            return None
        if here[path] not in wanted:
            verdict = rule.test(facts)
            return Miss(rule, verdict.at, verdict.why)
    return FIRES if whole and rule.unless is None else None


def _needs(rule: "Rule") -> dict[_Needed, frozenset[str]]:
    """Return the fields whose value must be one of certain texts for the rule to fire, with these texts."""
    return {
        field: texts
        for field, texts in rule.when.equalities().items()
        if texts and field[0] not in ("source", "type") and "[" not in field[0]
    }
