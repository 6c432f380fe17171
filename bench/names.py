"""What a delivery with several names costs the store: `python -m bench.names [--before old.lua]`.

Comes in: the library of an older version to compare with, if any. Goes out: µs of the store per delivery, in batches of
100, each kind in turn with the others. Only the time that the store's own thread runs is in it.
"""

import argparse
import asyncio
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from bench.nodes import StoreNode
from mailroom import INBOX, Lease, Mailroom, NewDelivery, RoomRequest, Settlement
from mailroom.client import client, library_text
from rules.event import Event

BATCH = 100
DAY = "2026-11-28"
#: The size of a usual delivery record.
RECORD = b'{"args":"' + b"x" * 300 + b'"}'


@dataclass
class NamesKind:
    """One kind of run and what it took, in µs per delivery."""

    name: str
    lua: str
    names: int
    took: list[float] = field(default_factory=list)


async def run(store: StoreNode, kind: NamesKind, batches: int, *, at_once: bool) -> float:
    """Route, take and settle; return µs per delivery."""
    raw = client(store.url)
    await raw.flushall()
    await raw.config_set("appendonly", "no")  # what a disk costs is none of it
    room = Mailroom(client(store.url), hash_key=b"k" * 32, text=kind.lua)
    await room.prepare()
    await room.beat("d", register=True)
    took = 0.0
    for n in range(batches):
        names = [f"e{n}x{k:013d}" for k in range(BATCH)]
        await room.put([an_event(name) for name in names])
        before = await used(raw)
        routed = []
        for lease in (await room.take("d", f"i{n}", [RoomRequest(INBOX, BATCH)])).leases:
            item = lease.items[0][0]
            boxes = tuple(f"{item}.{k}" for k in range(kind.names))
            new = [NewDelivery(f"{item}.0", "crm", boxes, RECORD, lease=at_once)]
            routed.append(Settlement(lease, item, "done", item, DAY, line='{"t":"routed"}', new=new))
        settled = await room.settle("d", f"t{n}", routed)
        leases = [Lease("crm", new.box, f"t{n}", 0, 0, 0, [(new.id, b"")]) for s in routed for new in s.new]
        if not at_once:
            leases = (await room.take("d", f"r{n}", [RoomRequest("crm", BATCH)])).leases
        assert len(leases) == BATCH, settled
        ends = [
            Settlement(x, x.items[0][0], "done", x.items[0][0].split(".")[0], DAY, line='{"t":"done"}', says="there")
            for x in leases
        ]
        await room.settle("d", f"u{n}", ends)
        took += await used(raw) - before
    await room.close()
    await raw.aclose()
    return took / (batches * BATCH)


def an_event(name: str) -> Event:
    """Return an event of an invented person."""
    return Event(
        id=name,
        source="shop",
        kind="generic",
        type="booking.created",
        received_at=f"{DAY}T10:00:00.000Z",
        body=b"x" * 600,
        order_key=f"email:{name}@example.org",
        sender_id=name,
    )


async def used(raw: redis.asyncio.Redis) -> float:
    """Return µs that the store has run so far, on whichever core."""
    return run_time((await raw.info("server"))["process_id"])


def run_time(pid: int) -> float:
    """Return µs that the first thread of a process has run."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1000


def main() -> None:
    """Measure, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--before", type=Path, help="library of an older version, in one file")
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--batches", type=int, default=10)
    chosen = options.parse_args()
    lua = library_text()
    kinds = [NamesKind("one name", lua, 1), NamesKind("two names", lua, 2), NamesKind("three names", lua, 3)]
    if chosen.before:
        kinds.insert(0, NamesKind("before", chosen.before.read_text(), 1))
    with tempfile.TemporaryDirectory() as folder:
        store = StoreNode(Path(folder) / "store", alone=True)
        store.start()
        for at_once in (True, False):
            for kind in kinds:
                kind.took.clear()
            for _ in range(chosen.rounds):
                for kind in kinds:
                    kind.took.append(asyncio.run(run(store, kind, chosen.batches, at_once=at_once)))
            print("leased in the step that routes it:" if at_once else "through `take`:")
            for kind in kinds:
                quarters = statistics.quantiles(kind.took, n=4)
                print(f"  {kind.name:12} {min(kind.took):6.1f} least, {quarters[0]:6.1f} to {quarters[2]:6.1f} µs")
        store.end()


if __name__ == "__main__":
    main()
