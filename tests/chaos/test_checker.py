from dataclasses import replace

from tests.chaos.checker import RunFacts, check

GOOD = RunFacts(
    acknowledged=frozenset({("eva", 1), ("eva", 2), ("kim", 1)}),
    effects={"eva": [1, 1, 2], "kim": [1]},
    seen_by_a_person=frozenset(),
    things=["contact eva", "contact kim", "invoice 1"],
    wanted=frozenset({"invoice 1"}),
)


def test_good() -> None:
    """What arrived in order, also repeated in place, keeps every promise."""
    assert check(GOOD).good


def test_planted_loss() -> None:
    """An acknowledged event that never arrived is found."""
    verdict = check(replace(GOOD, effects={"eva": [1], "kim": [1]}))
    assert verdict.lost == ["eva #2 was acknowledged and never arrived"]
    assert not verdict.good


def test_seen_by_a_person() -> None:
    """A dead letter or a held key is not lost: somebody sees it."""
    facts = replace(GOOD, effects={"eva": [1], "kim": [1]}, seen_by_a_person=frozenset({("eva", 2)}))
    assert check(facts).good


def test_planted_inversion() -> None:
    """An older event that is carried out after a newer one is found, also when it is a repetition."""
    verdict = check(replace(GOOD, effects={"eva": [1, 2, 1], "kim": [1]}))
    assert verdict.inverted == ["eva: #1 was carried out after #2"]


def test_planted_double() -> None:
    """A second contact or invoice is found."""
    verdict = check(replace(GOOD, things=["contact eva", "contact eva", "contact kim", "invoice 1"]))
    assert verdict.doubled == ["contact eva exists 2 times"]


def test_planted_gap() -> None:
    """An invoice that should exist and does not is found."""
    assert check(replace(GOOD, things=["contact eva"])).missing == ["invoice 1 does not exist"]


def test_stuck() -> None:
    """What still waits when nothing disturbs it any more is found."""
    assert not check(replace(GOOD, left=1)).good


def test_planted_mistake() -> None:
    """A message that was taken for another one, or a write to somebody else's contact, breaks a promise."""
    verdict = check(replace(GOOD, mistaken=["eva #2 was taken for #1"]))
    assert not verdict.good
    assert "mistaken 1, stuck 0\n  eva #2 was taken for #1" in str(verdict)
