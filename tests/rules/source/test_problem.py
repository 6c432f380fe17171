import json

import pytest

from rules.source import problem
from rules.source.problem import Problem

WRONG = Problem(
    "shop.yaml", 5, 9, '"crm.upsert_contct" is no action', 'did you mean "crm.upsert_contact"?', "unknown_action"
)
DOUBT = Problem("shop.yaml", 9, 1, "never fires", code="shadowed", severity="warning")


def test_line() -> None:
    """A problem is one line that editors can jump to."""
    assert str(WRONG) == 'shop.yaml:5:9 "crm.upsert_contct" is no action; did you mean "crm.upsert_contact"?'
    assert str(DOUBT) == "shop.yaml:9:1 warning: never fires"


def test_one_line() -> None:
    """Line ends, control characters and endless words of a file do not reach the terminal."""
    nasty = str(Problem("a.yaml", 1, 1, "a\nb\x1b[31mc" + "d" * 10_000))
    assert "\n" not in nasty
    assert "\x1b" not in nasty
    assert len(nasty) < 1_000


@pytest.mark.parametrize(
    ("word", "mend"),
    [
        ("contcat", 'did you mean "contact"?'),
        ("CONTACT", 'did you mean "contact"?'),
        ("zzz", "there is booking, contact"),
        ("x" * 1_000_000, "there is booking, contact"),
    ],
)
def test_did_you_mean(word: str, mend: str) -> None:
    """The mend is the nearest word, else what there is."""
    assert problem.did_you_mean(word, ["contact", "booking"]) == mend


def test_annotations() -> None:
    """GitHub's commands carry file, line and column; signs that mean something there are escaped."""
    line = problem.as_annotations([Problem("a.yaml", 2, 3, "50% more\nless", code="odd")], "book")
    assert line == "::error file=book/a.yaml,line=2,col=3,title=odd::50%25 more%0Aless"


def test_sarif() -> None:
    """SARIF names rule, level and place."""
    (run,) = json.loads(problem.as_sarif([WRONG, DOUBT], "book"))["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["unknown_action", "shadowed"]
    assert [result["level"] for result in run["results"]] == ["error", "warning"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "book/shop.yaml"
    assert place["region"] == {"startLine": 5, "startColumn": 9}


def test_as_json() -> None:
    """JSON has every part on its own."""
    assert json.loads(json.dumps(WRONG.as_json()))["code"] == "unknown_action"


@pytest.mark.parametrize(
    ("word", "near"),
    [("tax", "tax_rate"), ("Text", "text"), ("quantty", "quantity"), ("unit", "unit_price"), ("zip", None), ("", None)],
)
def test_nearest(word: str, near: str | None) -> None:
    """The nearest word is one that looks alike, or the only one that begins so."""
    assert problem.find_nearest(word, ["text", "quantity", "unit_price", "tax_rate"]) == near
