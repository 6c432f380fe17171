"""rules/README.md is true: every example on it is run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from console import catalogue
from receiver import payload
from rules.compiler import loader, rules_section
from rules.errors import ValueFailed
from rules.matching import operators
from rules.rulebook import Rulebook
from rules.tools import testing
from rules.values import filters
from rules.values.arguments import OMIT
from tests.rules.asking import rendered, truth, yaml

RULES = Path(__file__).parents[2] / "rules"
PAGE = (RULES / "README.md").read_text(encoding="utf-8")
#: The part about rules as wholes, whose examples are files of one book; the part about patterns and values.
WHOLES, PARTS = re.split(r"^## Patterns", PAGE, maxsplit=1, flags=re.MULTILINE)
FILES = re.findall(r"```yaml\n(.*?)```", WHOLES, re.DOTALL)

#: Heading, pattern, examples.
PATTERNS = [
    (section.split("\n")[0], *re.findall(r"```yaml\n(.*?)```\n\n((?:- .*\n)+)", section, re.DOTALL)[0])
    for section in re.split(r"^##+ ", PARTS, flags=re.MULTILINE)
    if "```yaml" in section
]
EXAMPLES = [
    (heading, pattern, example)
    for heading, pattern, examples in PATTERNS
    for example in re.findall(r"^- (.*)$", examples, re.MULTILINE)
]
VALUES = re.findall(r"^(\S.*?) {2,}(\{.*?\}) +-> (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("heading", "pattern", "example"), EXAMPLES, ids=lambda text: str(text)[:40])
def test_patterns(heading: str, pattern: str, example: str) -> None:
    """Each pattern matches what the page says it matches, and nothing of what it says it does not."""
    word, data = re.fullmatch(r"(matches|does not) `(.*)`", example).groups()  # type: ignore[union-attr]
    said = truth(yaml(pattern), json.loads(data))
    assert (said == "true") is (word == "matches")


def test_each_pattern_both_ways() -> None:
    """Each pattern has an example that matches and one that does not."""
    for heading, _, examples in PATTERNS:
        assert "- matches " in examples, heading
        assert "- does not " in examples, heading


def test_all_operators() -> None:
    """Each operator has its place on the page, with examples."""
    headings = {heading.strip("`") for heading, _, _ in PATTERNS}
    assert set(operators.NAMES) <= headings
    assert {"a value", "a list", "any_of", "[]", "[id=12]"} <= headings


@pytest.mark.parametrize(("template", "data", "gives"), VALUES, ids=lambda text: str(text)[:40])
def test_values(template: str, data: str, gives: str) -> None:
    """Each template gives what the page says."""
    assert outcome(template, json.loads(data)) == gives


def outcome(template: str, data: Any) -> str:
    try:
        value = rendered(template, data)
    except ValueFailed as exc:
        return f"error {exc}"
    return "omitted" if value is OMIT else json.dumps(value, ensure_ascii=False)


def test_all_filters() -> None:
    """Each filter is shown on the page."""
    shown = set(re.findall(r"\| (\w+)", " ".join(template for template, _, _ in VALUES)))
    assert shown == {*filters.FILTERS, "default", "omit", "clear"}


@pytest.fixture(scope="module")
def book() -> Rulebook:
    """The systems of the starter book, with all rules and tests of the page."""
    files = {f"{n}0-page.yaml": text for n, text in enumerate(FILES, 1)}
    systems = (RULES / "book" / "00-systems.yaml").read_text(encoding="utf-8")
    # As the page says: it adds a second house.
    systems = systems.replace("    api: sd_nord_api", "    tenant: nord\n    api: sd_nord_api")
    checked = loader.check_texts({"00-systems.yaml": systems, **files}, catalogue.build())
    assert checked.problems == ()
    assert checked.book is not None
    return checked.book


def test_rules(book: Rulebook) -> None:
    """The rules of the page are right, and its tests pass."""
    results = testing.run(book, RULES / "book", payload.read_payload)
    assert [result.lines for result in results.failed] == []
    assert (len(results.results), len(book.rules)) == (9, 13)


def test_all_options() -> None:
    """Each option of a rule is in the table."""
    assert set(re.findall(r"^\| `(\w+): ", WHOLES, re.MULTILINE)) == set(rules_section.OPTIONS)


def test_nothing_overlooked() -> None:
    """The test reads all examples of the page: there are no others."""
    assert len(EXAMPLES) == len(re.findall(r"^- (?:matches|does not) ", PAGE, re.MULTILINE))
    assert len(VALUES) == PAGE.count(" -> ")
