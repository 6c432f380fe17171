"""rules/README.md is true: every example on it is run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rules import filters, operators
from rules.errors import ValueFailed
from rules.values import OMIT
from tests.rules.asking import rendered, truth, yaml

PAGE = (Path(__file__).parents[2] / "rules" / "README.md").read_text(encoding="utf-8")

#: Heading, pattern, examples.
PATTERNS = [
    (section.split("\n")[0], *re.findall(r"```yaml\n(.*?)```\n\n((?:- .*\n)+)", section, re.DOTALL)[0])
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
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
    assert shown == {*filters.FILTERS, "default", "omit"}


def test_nothing_overlooked() -> None:
    """The test reads all examples of the page: there are no others."""
    assert len(EXAMPLES) == len(re.findall(r"^- (?:matches|does not) ", PAGE, re.MULTILINE))
    assert len(VALUES) == PAGE.count(" -> ")
