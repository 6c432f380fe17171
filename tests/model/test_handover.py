"""What is checked of the hand-over is found when it is planted; that it holds is checked with the mailroom's."""

import pytest

from tests.model.handover import Handover, HandoverFaults, HandoverSetup
from tests.model.search import search


@pytest.mark.parametrize(
    ("planted", "faults", "wrong"),
    [
        ("acknowledged before synced", HandoverFaults(outages=1, power_cuts=1), "event 1 was acknowledged and is lost"),
        ("answer is not awaited", HandoverFaults(outages=1), "event 1 was acknowledged and is lost"),
        ("deleted before it is put", HandoverFaults(outages=1), "event 1 was acknowledged and is lost"),
        ("belief is cached", HandoverFaults(outages=1), "2 overtakes 1, which was acknowledged before it came"),
        ("newest first", HandoverFaults(outages=1), "2 overtakes 1, which was acknowledged before it came"),
        ("each takes its own", HandoverFaults(outages=1), "2 overtakes 1, which was acknowledged before it came"),
        ("put without memory", HandoverFaults(lost=1), "an event is in the inbox twice"),
        ("handed over before it is deleted", HandoverFaults(outages=1), "stuck"),
    ],
)
def test_planted(planted: str, faults: HandoverFaults, wrong: str) -> None:
    """A fault planted in the model is found, with the steps that lead to it."""
    verdict = search(Handover(HandoverSetup(("1", "2", "3"), faults, batch=1, planted=frozenset([planted]))))
    assert verdict.wrong.startswith(wrong), verdict
    assert len(verdict.trace) > 0
