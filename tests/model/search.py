"""An exhaustive search through the states of a model, the shortest way to each first.

Takes a model: its first state, the steps from a state, what is wrong with a state, when nothing is left to do. Gives a
verdict: how much was seen, and the first thing that is wrong with the steps that lead there. Never samples: a search
that reached its limit says so.
"""

from array import array
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)

#: What happens in a step, for `tell` and for whoever replays it: a word, then its details.
Act = tuple[object, ...]


class Step(NamedTuple, Generic[S]):
    """What may happen next."""

    act: Act
    state: S
    #: It happens by itself when nothing fails any more: what is stuck has to come free by such steps alone.
    helps: bool


class SearchModel(Protocol[S]):
    """What the search asks of a model. States are frozen and equal when they are the same."""

    def first(self) -> S:
        """Return the state in which it starts."""
        ...

    def steps(self, state: S) -> Iterable[Step[S]]:
        """Return everything that may happen next."""
        ...

    def wrong(self, state: S) -> str:
        """Return what must not be and is; empty: all is well."""
        ...

    def at_rest(self, state: S) -> bool:
        """Whether everything has ended or waits for a person."""
        ...

    def same(self, state: S) -> S:
        """Return the one state that stands for all that differ from this one by names only."""
        ...

    def tell(self, act: Act) -> str:
        """Return a step in words."""
        ...


@dataclass(frozen=True)
class SearchVerdict:
    """What a search found."""

    states: int
    steps: int
    #: Steps on the shortest way to the farthest state.
    depth: int
    #: False: the limit was reached, nothing is known of what lies beyond.
    complete: bool
    #: What is wrong; empty: nothing.
    wrong: str = ""
    #: The steps that lead there, shortest way.
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        seen = f"{self.states:,} states, {self.steps:,} steps, depth {self.depth}"
        if not self.wrong:
            return f"{seen}: {'nothing wrong' if self.complete else 'nothing wrong so far, limit reached'}"
        numbered = (f"  {n:2}. {words}" for n, words in enumerate(self.trace, 1))
        return "\n".join([f"{seen}: {self.wrong}", *numbered])


def search(model: SearchModel[S], *, most: int = 5_000_000) -> SearchVerdict:
    """Visit every state of a model, at most so many, and stop at the first that is wrong or stuck."""
    start = model.same(model.first())
    numbers: dict[S, int] = {start: 0}
    parents, depths = array("l", [-1]), array("l", [0])
    sources, targets = array("l"), array("l")  # of the steps that help
    resting = bytearray([model.at_rest(start)])
    steps, complete = 0, True
    queue = deque([start])

    def found(number: int, wrong: str) -> SearchVerdict:
        return SearchVerdict(len(numbers), steps, depths[-1], complete, wrong, _trace(model, numbers, parents, number))

    if wrong := model.wrong(start):
        return found(0, wrong)
    while queue:
        state = queue.popleft()
        here = numbers[state]
        for _, reached, helps in model.steps(state):
            steps += 1
            nxt = model.same(reached)
            there = numbers.get(nxt)
            if there is None:
                if len(numbers) >= most:
                    complete = False
                    continue
                there = numbers[nxt] = len(numbers)
                parents.append(here)
                depths.append(depths[here] + 1)
                resting.append(model.at_rest(nxt))
                if wrong := model.wrong(nxt):
                    return found(there, wrong)
                queue.append(nxt)
            if helps and there != here:
                sources.append(here)
                targets.append(there)
    if complete:
        stuck = _stuck(len(numbers), sources, targets, resting)
        if stuck >= 0:
            return found(stuck, "stuck: even if nothing fails from here on, something never ends")
    return SearchVerdict(len(numbers), steps, depths[-1], complete)


def _stuck(n: int, sources: "array[int]", targets: "array[int]", resting: bytearray) -> int:
    """Return the first state from which no state at rest can be reached, -1 if there is none."""
    heads = array("l", [-1]) * n
    nexts = array("l", [-1]) * len(sources)
    for k, target in enumerate(targets):
        nexts[k] = heads[target]
        heads[target] = k
    ends = bytearray(resting)
    stack = [number for number in range(n) if ends[number]]
    while stack:
        k = heads[stack.pop()]
        while k >= 0:
            source = sources[k]
            if not ends[source]:
                ends[source] = 1
                stack.append(source)
            k = nexts[k]
    return ends.find(0)


def _trace(model: SearchModel[S], numbers: dict[S, int], parents: "array[int]", number: int) -> tuple[str, ...]:
    """Return the way to a state in words, walked again from the start so that names stay what they are."""
    way = [number]
    while parents[way[-1]] >= 0:
        way.append(parents[way[-1]])
    state, words = model.first(), []
    for number in reversed(way[:-1]):
        for act, nxt, _ in model.steps(state):
            if numbers.get(model.same(nxt)) == number:
                words.append(model.tell(act))
                state = nxt
                break
        else:
            raise AssertionError("the model has other steps the second time: its states are not frozen")
    return tuple(words)
