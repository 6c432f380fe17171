"""The rows of one person, of ten targets and of ten rules."""

import contextlib
from collections.abc import Iterator
from typing import cast

import pytest

from bench import cost, cost_rows, rows
from bench.cost import CostStage, CostWork
from bench.measure import Figures
from bench.stage import bodies, book
from console import catalogue
from rules.compiler import loader


class _Costs:
    """A stage whose second turn and all later ones cost as much as was said; the first costs a thousandfold."""

    def __init__(self, receiving: float, delivering: float, per_s: float) -> None:
        self.figures = {
            **dict.fromkeys(cost_rows.RECEIVING, receiving),
            **dict.fromkeys(cost_rows.DELIVERING, delivering),
            "delivered_per_s": per_s,
        }
        self.turns = 0

    def in_turn(self) -> Figures:
        self.turns += 1
        return {name: value * (1000 if self.turns == 1 else 1) for name, value in self.figures.items()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CostWork]:
    """What was measured: of the first work 100 µs in all and 1,000/s, of the second 300 µs and 900/s."""
    works: list[CostWork] = []

    @contextlib.contextmanager
    def ready(work: CostWork) -> Iterator[CostStage]:
        works.append(work)
        yield cast(CostStage, _Costs(40.0, 10.0, 1000.0) if len(works) == 1 else _Costs(90.0, 60.0, 900.0))

    monkeypatch.setattr(cost, "ready", ready)
    return works


def test_fan_out(asked: list[CostWork]) -> None:
    """Three times the cost of an event with ten deliveries is 0.3 of that of each; what warms up is left out."""
    found = cost_rows.fan_out(50)
    assert [(work.events, work.deliveries) for work in asked] == [(50, 1), (50, 10)]
    assert found["ratio"] == pytest.approx(0.6)
    assert found["ratio_all"] == pytest.approx(0.3)
    assert (found["one_us"], found["ten_us"]) == (100.0, 30.0)
    assert (found["one_worker_us"], found["ten_worker_us"]) == (10.0, 6.0)


def test_ten_rules(asked: list[CostWork]) -> None:
    """Deliveries a second and cost, ten rules against one."""
    found = cost_rows.ten_rules(50)
    assert [(work.events, work.idle_rules) for work in asked] == [(50, 0), (50, 9)]
    assert (found["ratio"], found["ratio_cpu"], found["ten_per_s"]) == (0.9, 3.0, 900.0)


def test_one_of_ten_rules_matches() -> None:
    """The book has ten rules of one source and type, of which a contact of the bench wants one."""
    checked = loader.check_texts({"book.yaml": book(9, idle_rules=9)}, catalogue.build())
    assert checked.book, checked.errors
    event = rows._event("e1", bodies(1)[0], "2026-01-01T00:00:00Z")
    assert len(checked.book.rules) == 10
    assert [rule.name for rule in checked.book.match(event).fired] == ["contact to mail"]
