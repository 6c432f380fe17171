"""The search itself: what it sees, what it says of a limit, and that names do not matter."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.search import Act, Step, search


@dataclass(frozen=True)
class Glasses:
    """Two glasses that are filled by one, up to a most; equal ones are as good as each other."""

    most: int = 3
    forbidden: tuple[int, int] = (-1, -1)
    #: Emptying is what brings them to rest; without it what is full is stuck.
    helps: bool = True

    def first(self) -> tuple[int, int]:
        return 0, 0

    def steps(self, state: tuple[int, int]) -> Iterator[Step[tuple[int, int]]]:
        one, other = state
        if one < self.most:
            yield Step(("fill", "left"), (one + 1, other), False)
        if other < self.most:
            yield Step(("fill", "right"), (one, other + 1), False)
        yield Step(("empty",), (0, 0), self.helps)

    def wrong(self, state: tuple[int, int]) -> str:
        return "forbidden" if state == self.same(self.forbidden) else ""

    def at_rest(self, state: tuple[int, int]) -> bool:
        return state == (0, 0)

    def same(self, state: tuple[int, int]) -> tuple[int, int]:
        return min(state), max(state)

    def tell(self, act: Act) -> str:
        return " ".join(map(str, act))


def test_sees_everything_once() -> None:
    """Every state is visited, and those that differ by names only count as one."""
    verdict = search(Glasses())
    assert (verdict.states, verdict.depth, verdict.complete, verdict.wrong) == (10, 6, True, "")


def test_shortest_way() -> None:
    """What is wrong comes with the shortest way there."""
    verdict = search(Glasses(forbidden=(2, 0)))
    assert verdict.wrong == "forbidden"
    assert verdict.trace in (("fill left", "fill left"), ("fill right", "fill right"))


def test_wrong_from_the_start() -> None:
    """A first state that is wrong needs no step."""
    assert search(Glasses(forbidden=(0, 0))).trace == ()


def test_stuck() -> None:
    """What cannot come to rest by steps that happen by themselves is stuck, and the first such state is shown."""
    verdict = search(Glasses(helps=False))
    assert verdict.wrong.startswith("stuck")
    assert len(verdict.trace) == 1


def test_limit() -> None:
    """A search that reached its limit says that it knows nothing of the rest."""
    verdict = search(Glasses(), most=4)
    assert not verdict.complete
    assert str(verdict).endswith("nothing wrong so far, limit reached")
