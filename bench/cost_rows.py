"""The rows of one person, of everybody at work at once, of ten deliveries of an event and of ten rules.

Goes out: figures of one round. Ratios are of two products that take turns, each with a store of its own; what slows
the machine for a while slows both. Never a figure of a run that lost, doubled or swapped a delivery (`bench.cost`).
"""

import statistics
from collections.abc import Sequence

from bench import cost
from bench.cost import CostWork
from bench.measure import Figures

#: Seconds that the slow destination takes, and how few of the events are sent to it: one after the other.
SLOW, FEWER = 0.02, 10
#: Deliveries of one event, and rules of one source of which one matches.
FAN_OUT, RULES = 10, 10
#: Pairs of turns; one more warms up.
PAIRS = 10

RECEIVING = ("receiver_us", "store_receiving_us")
DELIVERING = ("store_delivering_us", "worker_us")

Pairs = Sequence[tuple[Figures, Figures]]


def hot_key(events: int) -> Figures:
    """Deliveries a second of one person's events, which wait when the worker begins: at once, and at 20 ms each.

    One connection sends them, so that their order is a fact, and is checked.
    """
    at_once = cost.measure(CostWork(events, connections=1, people=1))
    slow = cost.measure(CostWork(events // FEWER, connections=1, people=1, delay=SLOW))
    return {
        "per_s": at_once["delivered_per_s"],
        "slow_per_s": slow["delivered_per_s"],
        "ratio_slow": slow["delivered_per_s"] * SLOW,
        **{name: at_once[name] for name in ("store_delivering_us", "worker_us", "calls_delivering")},
    }


def live(events: int) -> Figures:
    """Processor time of one event while receiver, store and one worker are at work together, over 32 connections."""
    with cost.ready(CostWork(events)) as one:
        return one.at_once()


def fan_out(events: int) -> Figures:
    """Processor time of a delivery where an event has ten, against where it has one; `ratio_all`: with receiving."""
    pairs = _pairs(CostWork(events), CostWork(events, destinations=FAN_OUT, fan_out=True))
    one, ten = _spent(pairs, 0), {name: us / FAN_OUT for name, us in _spent(pairs, 1).items()}
    return {
        "ratio": sum(ten[part] for part in DELIVERING) / sum(one[part] for part in DELIVERING),
        "ratio_all": sum(ten.values()) / sum(one.values()),
        **_named("one", one),
        **_named("ten", ten),
    }


def ten_rules(events: int) -> Figures:
    """Deliveries a second, and processor time of an event, with ten rules of one source against one; one matches."""
    pairs = _pairs(CostWork(events), CostWork(events, idle_rules=RULES - 1))
    one_us, ten_us = _spent(pairs, 0), _spent(pairs, 1)
    return {
        "ratio": statistics.median(ten["delivered_per_s"] / one["delivered_per_s"] for one, ten in pairs),
        "ratio_cpu": sum(ten_us.values()) / sum(one_us.values()),
        "one_per_s": statistics.median(one["delivered_per_s"] for one, _ in pairs),
        "ten_per_s": statistics.median(ten["delivered_per_s"] for _, ten in pairs),
        **_named("one", one_us),
        **_named("ten", ten_us),
    }


def _pairs(one: CostWork, other: CostWork) -> Pairs:
    with cost.ready(one) as first, cost.ready(other) as second:
        return [(first.in_turn(), second.in_turn()) for _ in range(1 + PAIRS)][1:]


def _spent(pairs: Pairs, side: int) -> Figures:
    """Return the mean processor time of an event in each part, in µs."""
    return {part: statistics.mean(pair[side][part] for pair in pairs) for part in RECEIVING + DELIVERING}


def _named(name: str, spent: Figures) -> Figures:
    return {f"{name}_us": sum(spent.values()), **{f"{name}_{part}": us for part, us in spent.items()}}
