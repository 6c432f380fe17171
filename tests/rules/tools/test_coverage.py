import pytest

from rules.rulebook import Rulebook
from rules.tools import coverage
from rules.tools.coverage import CoverageState, RuleCount, RuleCounts, RuleEvent
from tests.rules import writing

MORE = {"off": "    enabled: false\n", "try": "    mode: observe\n"}


def book(*names: str) -> Rulebook:
    rules = "".join(
        f"  - name: {name}\n{MORE.get(name, '')}    when:\n      type: contact.changed\n    then: nothing\n"
        for name in names
    )
    return writing.book(f"rules:\n{rules}")


@pytest.mark.parametrize(
    ("name", "counts", "state"),
    [
        ("a", {("fired", "a"): RuleCount(1, 3, 5)}, "fires"),
        ("a", {("fired", "a"): RuleCount(0, 3, 5), ("unreached", "a"): RuleCount(1, 1, 6)}, "quiet"),
        ("a", {("unreached", "a"): RuleCount(0, 1, 6)}, "never_reached"),
        ("a", {("fired", "b"): RuleCount(1, 1, 5)}, "never"),
        ("off", {("fired", "off"): RuleCount(1, 1, 5)}, "off"),
        ("try", {("observed", "try"): RuleCount(1, 1, 7)}, "observed"),
    ],
)
def test_state(name: str, counts: dict[tuple[RuleEvent, str], RuleCount], state: CoverageState) -> None:
    """The state follows from what was counted of the rule, and from what its options let it do."""
    (found,) = coverage.cover(book(name), RuleCounts(counts, 1))
    assert (found.rule.name, found.state) == (name, state)


def test_last() -> None:
    """When a rule fired last is what counts; of one that is only observed, when it would have."""
    counts: dict[tuple[RuleEvent, str], RuleCount] = {
        ("fired", "a"): RuleCount(1, 1, 5),
        ("observed", "a"): RuleCount(1, 1, 9),
        ("observed", "try"): RuleCount(2, 2, 7),
    }
    assert [each.last for each in coverage.cover(book("a", "try", "c"), RuleCounts(counts, 1))] == [5, 7, 0]
