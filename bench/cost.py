"""What one event costs: processor time in receiver, store and workers, calls, bytes on disk and on the wire.

Comes in: what the events are like and who works on them. Goes out: figures per event, of receiving and of delivering
apart: the workers stand still while the events come in, and then find them waiting. Curves and capacity come from it.
`CostStage.at_once` lets everybody work at the same time instead. Never a figure of a run in which a delivery was
missing, came twice, or, where one connection sent them, came before an earlier one of its person: RuntimeError says so.
"""

import contextlib
import os
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Figures
from bench.stage import ROOT, BenchStage, all_accepted, requests

#: Events that warm everybody up.
WARM = 200
#: Syncs of the disk whose median counts, and bytes before each.
SYNCS, SYNCED = 100, 4096


@dataclass(frozen=True)
class CostWork:
    """Events to be received and delivered, and by how many."""

    events: int
    connections: int = 32
    receivers: int = 1
    workers: int = 1
    #: Seconds that a destination takes.
    delay: float = 0.0
    #: How many people they are about; 0: each about another.
    people: int = 0
    destinations: int = 1
    #: Whether an event goes to all destinations, or to one of them.
    fan_out: bool = False
    #: Characters of each of five fields that nobody asks for.
    filler: int = 90
    #: Rules of the same source and type beside those that match; each wants another city.
    idle_rules: int = 0

    @property
    def deliveries(self) -> int:
        """Deliveries that one event makes."""
        return self.destinations if self.fan_out else 1


@dataclass(frozen=True)
class _CostReading:
    """What was used so far."""

    receive: float
    work: float
    store: float
    calls: int
    appended: int
    network: int


def measure(work: CostWork, tree: Path = ROOT) -> Figures:
    """Let the events in, then let them out; return what each cost with the product in a folder."""
    with ready(work, tree) as one:
        return {**one.in_turn(), "sync_ms": sync_seconds(one.stage.folder) * 1000}


@contextlib.contextmanager
def ready(work: CostWork, tree: Path = ROOT) -> Iterator["CostStage"]:
    """Start everybody, and warm them up."""
    with BenchStage(
        sink_delay=work.delay,
        concurrency=3000,
        tree=tree,
        destinations=work.destinations,
        fan_out=work.fan_out,
        idle_rules=work.idle_rules,
    ) as stage:
        stage.valkey()
        ports = [stage.receiver(f"receive {n}") for n in range(work.receivers)]
        stage.workers(work.workers)
        one = CostStage(stage, ports, work)
        one.send(_requests(work, WARM, 10_000_000))
        one.settle(WARM * work.deliveries)
        yield one


class CostStage:
    """Everybody at work and warm. Each measurement sends events that were never sent before."""

    def __init__(self, stage: BenchStage, ports: list[int], work: CostWork) -> None:
        self.stage = stage
        self._ports = ports
        self._work = work
        self._sent = 0

    def in_turn(self) -> Figures:
        """Receive with workers that stand still, then deliver what waits."""
        work, stage, n = self._work, self.stage, self._work.events
        sent = self._next()
        stage.send("work", signal.SIGSTOP)
        first = _read(stage)
        got = self.send(sent)
        second = _read(stage)
        stage.reset_sink()
        began = time.time()
        stage.send("work", signal.SIGCONT)
        seen = self.settle(n * work.deliveries)
        third = _read(stage)
        return {
            "accepted_per_s": got["rate"],
            "delivered_per_s": n / (seen["last"] - began),
            "receiver_us": (second.receive - first.receive) / n * 1e6,
            "store_receiving_us": (second.store - first.store) / n * 1e6,
            "store_delivering_us": (third.store - second.store) / n * 1e6,
            "worker_us": (third.work - second.work) / n * 1e6,
            "calls_receiving": (second.calls - first.calls) / n,
            "calls_delivering": (third.calls - second.calls) / n,
            "appended_bytes": (third.appended - first.appended) / n,
            "store_network_bytes": (third.network - first.network) / n,
            "request_bytes": statistics.mean(map(len, sent)),
            "delivery_bytes": seen["bytes"] / n,
        }

    def at_once(self) -> Figures:
        """Receive and deliver at the same time, from the first event sent until the last one is settled."""
        n, sent = self._work.events, self._next()
        self.stage.reset_sink()
        first, began = _read(self.stage), time.time()
        got = self.send(sent)
        seen = self.settle(n * self._work.deliveries)
        last = _read(self.stage)
        parts = {
            "receiver_us": (last.receive - first.receive) / n * 1e6,
            "store_us": (last.store - first.store) / n * 1e6,
            "worker_us": (last.work - first.work) / n * 1e6,
        }
        return {
            "all_us": sum(parts.values()),
            **parts,
            "calls": (last.calls - first.calls) / n,
            "accepted_per_s": got["rate"],
            "delivered_per_s": n / (seen["last"] - began),
        }

    def _next(self) -> list[bytes]:
        sent = _requests(self._work, self._work.events, self._sent)
        self._sent += self._work.events
        return sent

    def send(self, sent: list[bytes]) -> dict[str, Any]:
        """Let webhooks in; return what the load generator measured. Raises RuntimeError if one was not accepted."""
        got = self.stage.load(self._ports, sent, self._work.connections)
        all_accepted(got)
        return got

    def settle(self, deliveries: int) -> dict[str, Any]:
        """Wait until so much was delivered and all of it is settled; return what the sink counted."""
        self.stage.wait(lambda: self.stage.sink()["count"] >= deliveries, f"{deliveries} deliveries", 300)
        self.stage.wait(lambda: not self.stage.leased(), "all is settled")
        seen = self.stage.sink()
        # Over several connections a later number may be accepted first.
        all_delivered(seen, deliveries, in_order=self._work.connections == self._work.destinations == 1)
        return seen


def all_delivered(seen: dict[str, Any], deliveries: int, *, in_order: bool) -> None:
    """Raise RuntimeError if the sink counted other deliveries than these, or, `in_order`, a swapped pair."""
    if seen["count"] != deliveries:
        raise RuntimeError(f"{seen['count']} deliveries arrived instead of {deliveries}")
    if in_order and seen["swapped"]:
        raise RuntimeError(f"{seen['swapped']} deliveries came after a later one of the same person")


def sync_seconds(folder: Path) -> float:
    """Return what one sync of a few written kilobytes takes on the disk of the store, with nobody else at work."""
    took = []
    with (folder / "synced").open("ab", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(SYNCED))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def _requests(work: CostWork, count: int, start: int = 0) -> list[bytes]:
    zips = 1 if work.fan_out else work.destinations
    return requests(count, start, people=work.people, zips=zips, filler=work.filler)


def _read(stage: BenchStage) -> _CostReading:
    cpu = stage.cpu()
    stats = stage.redis("INFO", "commandstats")
    net = stage.redis("INFO", "stats")
    return _CostReading(
        receive=sum(seconds for name, seconds in cpu.items() if name.startswith("receive")),
        work=cpu["work"],
        store=cpu["valkey"],
        calls=_calls(stats),
        appended=int(stage.redis("INFO", "persistence")["aof_current_size"]),
        network=int(net["total_net_input_bytes"]) + int(net["total_net_output_bytes"]),
    )


def _calls(stats: dict[str, Any]) -> int:
    """Return how many calls of the mailroom's functions the store has answered."""
    return sum(int(each["calls"]) for name, each in stats.items() if name.startswith("cmdstat_fcall"))
