"""What one event costs: processor time in receiver, store and workers, calls, bytes on disk and on the wire.

Comes in: what the events are like and who works on them. Goes out: figures per event, of receiving and of delivering
apart: the workers stand still while the events come in, and then find them waiting. Curves and capacity come from it.
"""

import os
import signal
import statistics
import time
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
    with BenchStage(
        sink_delay=work.delay, concurrency=3000, tree=tree, destinations=work.destinations, fan_out=work.fan_out
    ) as stage:
        stage.valkey()
        ports = [stage.receiver(f"receive {n}") for n in range(work.receivers)]
        stage.workers(work.workers)
        everybody = _requests(work, WARM, 10_000_000)
        all_accepted(stage.load(ports, everybody, work.connections))
        _wait_for(stage, WARM * work.deliveries)
        stage.send("work", signal.SIGSTOP)
        first = _read(stage)
        sent = _requests(work, work.events)
        got = stage.load(ports, sent, work.connections)
        all_accepted(got)
        second = _read(stage)
        stage.reset_sink()
        began = time.time()
        stage.send("work", signal.SIGCONT)
        _wait_for(stage, work.events * work.deliveries)
        third, seen = _read(stage), stage.sink()
        sync = sync_seconds(stage.folder)
    n = work.events
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
        "sync_ms": sync * 1000,
    }


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


def _wait_for(stage: BenchStage, deliveries: int) -> None:
    """Wait until so much was delivered and all of it is settled."""
    stage.wait(lambda: stage.sink()["count"] >= deliveries, f"{deliveries} deliveries", 300)
    stage.wait(lambda: not stage.redis("HLEN", "relais:{p0}:leased:mail"), "all is settled")


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
