"""The mailroom's model holds; and each thing that it checks is found when it is planted."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.model import checks
from tests.model.checks import AS_SENT, BLIND, CHAIN, EITHER, KEYS, OPT_OUT, PAIR, SMALL, TODAY, ModelCheck
from tests.model.mailroom import VERBS, Faults, MailroomModel, MailroomSetup
from tests.model.search import SearchVerdict, search

BELL: Mapping[str, Any] = {**PAIR, "bell": True}


def found(what: Mapping[str, Any], faults: Faults, *planted: str, **options: Any) -> SearchVerdict:
    """Search a model with what is planted in it."""
    setup = MailroomSetup(faults=faults, planted=frozenset(planted), **{**EITHER, **what, **options})
    return search(MailroomModel(setup), most=60_000)


@pytest.mark.parametrize("check", SMALL, ids=lambda check: check.name)
def test_holds(check: ModelCheck) -> None:
    """Within its bounds nothing is lost, doubled, overtaken or stuck, whatever fails."""
    verdict = check.run()
    assert verdict.complete
    assert not verdict.wrong, verdict


@pytest.mark.parametrize(
    ("planted", "what", "faults", "wrong"),
    [
        ("settle without token", PAIR, Faults(lost=1), "2.0 is sent without a lease on crm/O"),
        (
            "settle by count",
            {**PAIR, "in_a_row": 2},
            Faults(lost=1),
            "delivery 2.0 counts as delivered and never was",
        ),
        ("tokens repeat", PAIR, Faults(stalls=1), "in/a is leased twice"),
        ("put without memory", PAIR, Faults(again=1), "an item is there twice"),
        ("append makes ready", PAIR, Faults(), "1.0 is sent without a lease on crm/O"),
        ("append in front", PAIR, Faults(), "1.0 is delivered after 2.0"),
        ("last settle deletes the box", PAIR, Faults(), "event 2 was acknowledged and is lost"),
        ("route counts nothing", CHAIN, Faults(), "2 need the payload of event 1, and its count is 1"),
        ("payload kept for ever", PAIR, Faults(), "0 need the payload of event 1, and its count is 1"),
        (
            "dead letter without payload",
            PAIR,
            Faults(bad=1),
            "1 need the payload of event 1, and its count is 0",
        ),
        ("wait forgets doubt", PAIR, Faults(bad=1), "1.0 had its effect and is not marked as doubtful"),
        (
            "unhold forgets doubt",
            BLIND,
            Faults(bad=1, people=1),
            "1.0 had its effect and is not marked as doubtful",
        ),
        ("bury forgets doubt", PAIR, Faults(crashes=1), "1.0 had its effect and is not marked as doubtful"),
        ("bury frees nothing", PAIR, Faults(crashes=1), "in/a is leased to a drain that nobody would miss"),
        ("leave frees nothing", PAIR, Faults(lost=1), "in/a is leased to a drain that nobody would miss"),
        (
            "take without beat",
            PAIR,
            Faults(stalls=1, lost=1),
            "in/a is leased to a drain that nobody would miss",
        ),
        ("strays frees all", PAIR, Faults(lost=1), "1.0 is sent without a lease on crm/O"),
        ("nobody looks what is due", PAIR, Faults(bad=1), "stuck"),
        (
            "suspects travel together",
            KEYS,
            Faults(crashes=3),
            "a box that killed two drains travels with another",
        ),
        ("ring without bound", BELL, Faults(), "the bell holds 1 rings, more than there are drains"),
        ("bell outlives drains", BELL, Faults(crashes=1), "the bell holds 1 rings, more than there are drains"),
        ("retry goes to the end", PAIR, Faults(bad=1), "1.0 had its effect and is not marked as doubtful"),
        (
            "the dead forget doubt",
            {**BLIND, **AS_SENT},
            Faults(bad=1, people=2),
            "1.0 had its effect, died, and is not marked",
        ),
        (
            "the dead overtake nobody",
            {**BLIND, **AS_SENT},
            Faults(bad=2, crashes=1, people=1),
            "1.0 is delivered after",
        ),
        ("skip deletes the box", {**BLIND, **AS_SENT}, Faults(bad=1, people=1), "delivery 2.0 is lost"),
        ("nothing is too old", {**PAIR, **AS_SENT}, Faults(bad=1, people=1), "1.0 is delivered after 2.0"),
        (
            "only the last is looked at",
            {**CHAIN, **AS_SENT},
            Faults(bad=1, people=1),
            "1.0 is delivered after 2.0",
        ),
        (
            "given up for ever",
            {**PAIR, **AS_SENT},
            Faults(bad=1, people=1),
            "0 need the payload of event 1, and its count is 1",
        ),
        (
            "doubt ends with a delivery",
            {**BLIND, **TODAY},
            Faults(bad=1, people=2),
            "1.a1.0 had its effect and is not marked",
        ),
        (
            "again counts nothing",
            {**CHAIN, **TODAY},
            Faults(bad=2, people=2),
            "1 need the payload of event 1, and its count is 2",
        ),
        ("what waits stays", OPT_OUT, Faults(), "3.0 waits behind 1.0"),
        ("what was attempted ends", OPT_OUT, Faults(crashes=1), "1.0 had its effect, and counts as unsent"),
        ("given up for ever", OPT_OUT, Faults(), "0 need the payload of event 1, and its count is 1"),
        (
            "a person's word is for all",
            {**BLIND, **AS_SENT, "in_a_row": 2},
            Faults(bad=1, people=1, crashes=1),
            "2.0 had",
        ),
    ],
)
def test_planted(planted: str, what: Mapping[str, Any], faults: Faults, wrong: str) -> None:
    """A fault planted in the model is found, with the steps that lead to it."""
    verdict = found(what, faults, planted)
    assert verdict.wrong.startswith(wrong), verdict
    assert len(verdict.trace) > 0


def test_sends_when_buried() -> None:
    """The promise of one effect rests on this: who was declared dead sends nothing that is not on the wire yet."""
    verdict = found(PAIR, Faults(stalls=1), sends_when_buried=True)
    assert verdict.wrong == "the effect of 1.0 happens twice, and no doubt was recorded"


def test_several_in_a_row() -> None:
    """Why a destination leases out one item: who sends the next before a refusal is written, and dies, is too late."""
    assert found(PAIR, Faults(bad=1, crashes=1), in_a_row=2).wrong == "1.0 is delivered after 2.0"
    assert found(PAIR, Faults(bad=1, crashes=1)).wrong == ""


def test_next_comes_when_it_is_made() -> None:
    """Known: what `next` makes takes its place when it is made, behind what later events made meanwhile."""
    assert found(CHAIN, Faults(), next_in_order=True).wrong == "1.1.0 is delivered after 2.0"


def test_both_ways_at_once() -> None:
    """Known: what is to be routed once more waits in the inbox; a newer letter that is sent as it was overtakes it."""
    assert found(PAIR, Faults(bad=2, people=2), verbs=VERBS).wrong == "1.a1.0 is delivered after 2.0"


def test_a_trace_can_be_read() -> None:
    """A counterexample is a numbered list of who did what to which box, and names stay what they are."""
    text = str(found(PAIR, Faults(crashes=1), "bury forgets doubt", at_once=(True,)))
    assert text.splitlines()[0].endswith(": 1.0 had its effect and is not marked as doubtful")
    assert [line.partition(". ")[2] for line in text.splitlines()[1:]] == [
        "receiver: put event 1",
        "drain 1: start",
        "drain 1: take in/a: answered",
        "drain 1: route 1",
        "drain 1: settle 1 of in/a as done, what follows leased at once: answered",
        "drain 1: deliver 1.0",
        "drain 1: crash",
        "drain 1: bury",
    ]


def test_large_setups() -> None:
    """The large setups that `make model` searches are models, too: each has steps."""
    for check in checks.LARGE:
        assert ModelCheck(check.name, check.setup, most=200).run().states == 200
