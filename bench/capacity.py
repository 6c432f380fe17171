"""Capacity on paper: what a rate of events needs, from what one event was measured to cost.

Comes in: figures of the rows `cost` and `memory`. Goes out: cores, memory, syncs, disk and network for a rate, and
which part is full first. Arithmetic only; it measures nothing and knows no machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

RATES = (100, 1_000, 10_000, 100_000)
#: Planned utilisation of a core: above it, waiting times grow fast.
FULL = 0.7
#: Calls that write for one event that travels alone: put, take and settle in the inbox, settle at the destination.
ALONE = 4
#: Bytes around a payload on the wire: TCP and IP, both ways, and our short answers.
AROUND = 300
#: Seconds that a destination is down in the column of memory.
OUTAGE = 3_600


@dataclass(frozen=True)
class Cost:
    """The cost of one event: seconds of processor time, bytes, and calls to the store under full load."""

    receiver: float
    store: float
    worker: float
    calls: float
    disk: float
    network: float
    store_network: float
    waiting: float
    #: Seconds of one sync of the disk.
    sync: float

    @property
    def store_turn(self) -> float:
        """Seconds that an event occupies the store's single thread: processor time, and waiting for the disk."""
        return self.store + self.calls * self.sync


def cost_of(each: Mapping[str, float], memory: Mapping[str, float]) -> Cost:
    """Return the cost of an event from the figures of the rows `cost` and `memory`."""
    return Cost(
        receiver=each["receiver_us"] / 1e6,
        store=(each["store_receiving_us"] + each["store_delivering_us"]) / 1e6,
        worker=each["worker_us"] / 1e6,
        calls=each["calls_receiving"] + each["calls_delivering"],
        disk=each["appended_bytes"],
        network=each["request_bytes"] + each["delivery_bytes"] + 2 * AROUND,
        store_network=each["store_network_bytes"],
        waiting=memory["bytes_each"],
        sync=each["sync_ms"] / 1e3,
    )


@dataclass(frozen=True)
class Need:
    """The resources that a rate needs."""

    rate: int
    #: Processes, each with a core of its own, no fuller than `FULL`.
    receivers: int
    workers: int
    #: Stores that share the events. Today there is one.
    stores: int
    #: Share of its one thread that one store would need for all: above 1 it cannot.
    store_share: float
    cores: float
    #: Syncs per second: when events share calls as under full load, and when each travels alone.
    syncs: tuple[float, float]
    disk: float
    network: float
    store_network: float
    #: Bytes of the store after an hour in which a destination took nothing.
    outage: float


def need(cost: Cost, rate: int) -> Need:
    """Return the resources that a rate needs."""
    turn = rate * cost.store_turn
    return Need(
        rate=rate,
        receivers=max(1, math.ceil(rate * cost.receiver / FULL)),
        workers=max(1, math.ceil(rate * cost.worker / FULL)),
        stores=max(1, math.ceil(turn / FULL)),
        store_share=turn,
        cores=rate * (cost.receiver + cost.store + cost.worker),
        syncs=(rate * cost.calls, float(rate * ALONE)),
        disk=rate * cost.disk,
        network=rate * cost.network,
        store_network=rate * cost.store_network,
        outage=rate * cost.waiting * OUTAGE,
    )


def most(cost: Cost) -> dict[str, float]:
    """Return for each resource the events per second at which one unit of it is full, the scarcest first."""
    limits = {
        "one receiver process": FULL / cost.receiver,
        "one worker process": FULL / cost.worker,
        "the store": FULL / cost.store_turn,
    }
    return dict(sorted(limits.items(), key=lambda each: each[1]))
