import asyncio
import functools
import importlib

import pytest

from tests.chaos.checker import check
from tests.chaos.steps import EVENTS, STEPS, Steps


@pytest.mark.parametrize("name", STEPS)
def test_function(name: str) -> None:
    """The function at which a process dies exists under this name."""
    module, _, path = STEPS[name].function.partition(":")
    assert callable(functools.reduce(getattr, path.split("."), importlib.import_module(module)))


@pytest.mark.parametrize("name", STEPS)
def test_death(name: str) -> None:
    """A process that dies at this step loses nothing, swaps nothing and doubles nothing."""
    with Steps(name) as steps:
        facts = asyncio.run(steps.run())
        verdict = check(facts)
        assert steps.report.unanswered == 0
        assert len(facts.acknowledged) == EVENTS
        assert facts.seen_by_a_person == frozenset()
        assert verdict.good, f"{verdict}\n{steps.logs()}"
