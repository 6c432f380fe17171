"""The model of one object under several names holds; and each thing that it checks is found when it is planted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.model.checks import INTRODUCED, RENAMED, UNKNOWN, UNKNOWN_THREE
from tests.model.names import NamesFaults, NamesModel, NamesSetup
from tests.model.search import search


@pytest.mark.parametrize(
    ("planted", "what", "faults", "wrong"),
    [
        ("what is known is not asked", RENAMED, NamesFaults(), "e2.0 is written while e3.0 is"),
        ("what is known is not asked", INTRODUCED, NamesFaults(), "e2.0 is written while e3.0 is"),
        ("who joins does not wait", UNKNOWN, NamesFaults(), "x is l and may not go"),
        ("who is under way takes it for known", UNKNOWN_THREE, NamesFaults(), "e2.0 is written while e3.0 is"),
        ("marks stay", INTRODUCED, NamesFaults(), "marks [('a', '=e1.0 x')], not []"),
        ("bury forgets doubt", INTRODUCED, NamesFaults(crashes=1), "e1.0 in x had its effect and is not marked"),
    ],
)
def test_planted(planted: str, what: Mapping[str, Any], faults: NamesFaults, wrong: str) -> None:
    """A fault planted in the store is found, with the steps that lead to it; without it nothing is."""
    setup = NamesSetup(faults=faults, planted=planted, **what)
    verdict = search(NamesModel(setup), most=60_000)
    assert verdict.wrong.startswith(wrong), verdict
    assert len(verdict.trace) > 0
    assert not search(NamesModel(replace(setup, planted="")), most=60_000).wrong


def test_a_trace_of_names_can_be_read() -> None:
    """A counterexample names who did what to which delivery."""
    verdict = search(NamesModel(NamesSetup(faults=NamesFaults(), planted="marks stay", **INTRODUCED)))
    assert verdict.trace[0] == "drain 1: route 1 leased at once"


def test_three_under_way_that_nobody_knew_to_be_one() -> None:
    """The first that tells it waits for both others; these find the id map as cold as before, and tell it, too."""
    verdict = search(NamesModel(NamesSetup(faults=NamesFaults(), **UNKNOWN_THREE)))
    assert not verdict.wrong, verdict
