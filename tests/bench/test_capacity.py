"""Capacity on paper is arithmetic over measured costs."""

import dataclasses

import pytest

from bench import capacity

COST = capacity.Cost(
    receiver=100e-6,
    store=50e-6,
    worker=200e-6,
    calls=0.1,
    disk=3_000,
    network=1_500,
    store_network=4_000,
    waiting=1_200,
    sync=1e-3,
)


def test_what_a_rate_needs() -> None:
    """Cores, processes, syncs and bytes follow from the rate."""
    found = capacity.need(COST, 10_000)
    assert found.cores == pytest.approx(3.5)
    assert (found.receivers, found.workers) == (2, 3)
    assert found.store_share == pytest.approx(1.5)
    assert found.stores == 3
    assert found.syncs == pytest.approx((1_000, 40_000))
    assert found.disk == pytest.approx(30e6)
    assert found.outage == pytest.approx(10_000 * 1_200 * 3_600)


def test_a_small_rate_needs_one_of_each() -> None:
    """Nothing needs less than one process."""
    found = capacity.need(COST, 100)
    assert (found.receivers, found.workers, found.stores) == (1, 1, 1)


def test_the_scarcest_comes_first() -> None:
    """Which part is full first depends on what each costs, the store's disk included."""
    assert list(capacity.most(COST)) == ["one worker process", "the store", "one receiver process"]
    slow_disk = dataclasses.replace(COST, sync=10e-3)
    assert next(iter(capacity.most(slow_disk))) == "the store"
