"""Settings of the workers that depend on each other."""

import os

import pytest
from pydantic import ValidationError

from mailroom.keys import BEAT
from workers.settings import LONGEST_REQUEST, WorkSettings


@pytest.mark.parametrize(
    ("dead_after", "longest"), [(5.0, 1.0), (20.0, 16.0), (34.0, 30.0), (45.0, 30.0), (600.0, 30.0)]
)
def test_longest_request(dead_after: float, longest: float) -> None:
    """No request lasts so long that its drain could count as dead meanwhile, even if a beat came late."""
    settings = WorkSettings(dead_after=dead_after)
    assert settings.longest_request == longest <= LONGEST_REQUEST
    assert settings.longest_request + 2 * BEAT < dead_after


@pytest.mark.parametrize(
    "wrong", [{"dead_after": 4.9}, {"workers": -1}, {"in_flight": 0}, {"drain_budget": 0}, {"pool": "Not a name"}]
)
def test_refused(wrong: dict[str, object]) -> None:
    """Settings with which no drain could work are refused at the start."""
    with pytest.raises(ValidationError):
        WorkSettings.model_validate(wrong)


@pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (2, 1), (8, 7)])
def test_workers(monkeypatch: pytest.MonkeyPatch, cores: int | None, workers: int) -> None:
    """Where nobody says how many, a core is left to the receiver and the store."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert (WorkSettings().workers, WorkSettings(workers=3).workers) == (workers, 3)
