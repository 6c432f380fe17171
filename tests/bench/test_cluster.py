"""What the bench of a cluster counts: a loss, a swap and a double are seen."""

import pytest

from bench import cluster
from bench.nodes import StoreNode


@pytest.mark.parametrize(
    ("effects", "doubled", "expected"),
    [
        ({"p": [0, 1, 2]}, 0, {"lost": 0, "inversions": 0, "doubled": 0}),
        ({"p": [0, 1]}, 0, {"lost": 1, "inversions": 0, "doubled": 0}),
        ({"p": [0, 2, 1]}, 0, {"lost": 0, "inversions": 1, "doubled": 0}),
        ({"p": [0, 1, 2]}, 1, {"lost": 0, "inversions": 0, "doubled": 1}),
    ],
)
def test_faults(effects: dict[str, list[int]], doubled: int, expected: dict[str, int]) -> None:
    """Each kind of fault is counted as what it is."""

    def nowhere() -> StoreNode:
        raise LookupError

    lot = cluster.events(3)
    partition = cluster.Partition(cluster.PREFIXES[0], nowhere)
    partition.seen = cluster.PartitionSeen([event.id for event in lot], effects, doubled)
    assert cluster.faults([partition], [lot]) == expected


def test_split() -> None:
    """Every event goes to one partition, and those of one person to the same."""
    lots = cluster.split(cluster.events(400), 3)
    assert sum(map(len, lots)) == 400
    assert min(map(len, lots)) > 50
    people = [{event.order_key for event in lot} for lot in lots]
    assert len(set().union(*people)) == sum(map(len, people)) == 100
