"""Which rules of a book do anything: how often each fired, when last, and which never do.

Comes in: a book, and what was counted of its rules. Goes out: a line for each rule, in the book's order. Never asks the
store or reads a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rules.rulebook import Rule, Rulebook

#: What is counted of a rule: it fired; it would have, and is only observed; it would have, and a `stop` above ended its
#: file (of several such rules one for each event: a sample).
RuleEvent = Literal["fired", "observed", "unreached"]
#: off: it is not enabled. observed: it is only observed. fires: it did in the span asked for. quiet: it did before.
#: never_reached: it never fired, and matched what ended at a rule above. never: nothing that it matched is known.
CoverageState = Literal["off", "observed", "fires", "quiet", "never_reached", "never"]


@dataclass(slots=True)
class RuleCount:
    """How often something happened to a rule."""

    #: In the span asked for, and in all days that are kept.
    since: int = 0
    kept: int = 0
    #: When it did last, ms since 1970; 0: never.
    last: int = 0


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """What was counted of all rules."""

    by_rule: Mapping[tuple[RuleEvent, str], RuleCount] = field(default_factory=dict)
    #: When counting began, or the first day that is kept, ms since 1970; 0: nothing was counted.
    first: int = 0


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """What one rule did."""

    rule: Rule
    state: CoverageState
    fired: RuleCount
    observed: RuleCount
    unreached: RuleCount

    @property
    def last(self) -> int:
        """When it fired last, or would have where it is only observed: ms since 1970; 0: never."""
        return (self.observed if self.state == "observed" else self.fired).last


def cover(book: Rulebook, counts: RuleCounts) -> tuple[RuleCoverage, ...]:
    """Return what each rule of a book did."""
    return tuple(_cover(rule, counts.by_rule) for rule in book.rules)


def _cover(rule: Rule, counts: Mapping[tuple[RuleEvent, str], RuleCount]) -> RuleCoverage:
    name = rule.name.replace("\n", " ")  # as counters are written
    fired, observed, unreached = (counts.get((what, name), RuleCount()) for what in ("fired", "observed", "unreached"))
    return RuleCoverage(rule, _judge(rule, fired, unreached), fired, observed, unreached)


def _judge(rule: Rule, fired: RuleCount, unreached: RuleCount) -> CoverageState:
    if not rule.enabled:
        return "off"
    if rule.observed:
        return "observed"
    if fired.kept:
        return "fires" if fired.since else "quiet"
    return "never_reached" if unreached.kept else "never"
