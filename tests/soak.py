"""`python -m tests.soak [--minutes 60] [--rate 60] [--seed N]`: a steady load for long, and whether anything grows.

Comes in: how long, how fast. Goes out: a line of figures every ten seconds, then a table that compares the last third
with the middle one, and the verdict of the checker on every event. Nobody is killed here: that is the storm's business.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from mailroom import Mailroom, StoreUnavailable
from mailroom.keys import PREFIX
from sandbox.faults import SandboxFault
from tests.chaos.checker import RunFacts, check
from tests.chaos.processes import TOKEN, StormProcesses
from tests.chaos.storm import Storm
from tests.conftest import PrivateValkey
from tests.mailroom.store import Store, key_faults

#: Seconds between two samples.
EVERY = 10.0
#: People there are at first, and those who join in a second.
KEYS, JOIN = 200, 0.5
#: Of a hundred events: so many times the destination errs, limits, and refuses for good.
ERRS, LIMITS, REFUSES = 1.0, 1.0, 0.05
#: Of a hundred events: so many more that no rule wants, that come twice, and that show a wrong token.
UNMATCHED, TWICE, UNVERIFIED = 2.0, 1.0, 1.0
#: What an event or a person leaves behind for stated days (the table in mailroom/lua/00-keys.lua): it is counted apart.
KEPT = frozenset({"ledger", "seen", "m", "e", "d", "dead", "deadinfo", "deadbox", "passed", "counts"})
#: A figure grows if its median in the last third is above that of the middle third by more than this share of it, and
#: by more than so much of its unit: MiB of memory, keys, descriptors, threads.
SHARE = 0.02
LEAST = {"MiB": 1.0, "keys": 20.0, "files": 2.0, "threads": 0.0}

Sample = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Growth:
    """How a figure moved."""

    middle: float
    last: float
    #: Of a line through both thirds.
    per_hour: float
    grows: bool


def growth(points: Sequence[tuple[float, float]], least: float) -> Growth:
    """Compare the last third of (seconds, figure) with the middle one; the first is warm-up."""
    third = len(points) // 3
    middle, last = points[third : 2 * third], points[2 * third :]
    before, after = statistics.median(y for _, y in middle), statistics.median(y for _, y in last)
    both = [*middle, *last]
    slope = statistics.linear_regression([x for x, _ in both], [y for _, y in both]).slope
    return Growth(before, after, slope * 3600, after - before > max(least, SHARE * before))


class Soak(Storm):
    """A storm without wind. Use it as a `with` block."""

    def __init__(self, seed: int, *, rate: float) -> None:
        super().__init__(seed, keys=KEYS, rate=rate, say=print)
        self._draw = random.Random(f"{seed} faults")
        self.samples: list[tuple[float, Sample]] = []
        self.invoice_every = 50
        # A client that takes its connections by turns never lets one idle: each burst would leave some more for good.
        self.connections = 50

    def _key(self) -> str:
        people = KEYS + int((time.monotonic() - self.began) * JOIN)
        return f"p{self._whose.randrange(people)}@example.org"

    def names_of(self, key: str) -> dict[str, str]:
        """One name: what dies here is sent again by nobody, and another name would make a second contact."""
        return StormProcesses.names_of(self, key)

    async def _send(self, session: aiohttp.ClientSession, key: str) -> None:
        for share, fault in (
            (ERRS, SandboxFault("crm", status=503)),
            (LIMITS, SandboxFault("crm", status=429, retry_after="1")),
            (REFUSES, SandboxFault("crm", method="PATCH", status=422)),
        ):
            if self._draw.uniform(0, 100) < share:
                self.sandbox.world.faults.add(fault)
        await super()._send(session, key)
        url = f"http://{self.host}:{self.port}/in/shop"
        drawn = self._draw.uniform(0, 100)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            if drawn < TWICE:
                await self.repeat(session, next(reversed(self.promised)))
            elif drawn < TWICE + UNMATCHED:
                body = {"id": f"u{len(self.promised)}-{drawn}", "event": "nobody.cares", "customer": {"email": key}}
                await session.post(url, json=body, headers={"X-Token": TOKEN})
            elif drawn < TWICE + UNMATCHED + UNVERIFIED:
                await session.post(url, json={}, headers={"X-Token": "wrong"})

    async def _trouble(self, ends: float) -> None:
        """Take a sample every ten seconds, instead of trouble."""
        self.began = began = time.monotonic()
        while time.monotonic() < ends:
            await asyncio.sleep(min(EVERY, max(0.0, ends - time.monotonic())))
            self.forget_bodies()
            self.sandbox.world.faults.clear(None)
            try:
                sample = await self._sample()
            except (StoreUnavailable, OSError) as exc:
                self._say(f"no sample: {exc}")
                continue
            self.samples.append((time.monotonic() - began, sample))
            words = " ".join(f"{who} {what} {figure:.5g};" for (who, what), figure in sample.items())
            print(f"{time.monotonic() - began:6.0f} s {self.report.acknowledged:7d} acknowledged; {words}", flush=True)

    async def _sample(self) -> Sample:
        pids = {"receiver": self.processes["receive"].pid, "parent": self.processes["work"].pid}
        pids |= {f"worker {n}": pid for n, pid in enumerate(self.workers(), 1)} | {"store": self.processes["store"].pid}
        sample: Sample = {}
        for who, pid in pids.items():
            folder = Path(f"/proc/{pid}")
            pages = int((folder / "statm").read_text().split()[1])
            sample[who, "MiB"] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
            sample[who, "files"] = len(list((folder / "fd").iterdir()))
            sample[who, "threads"] = len(list((folder / "task").iterdir()))
        used, kept, keys, others = await self._stored()
        sample["data, kept as stated", "MiB"] = kept / 2**20
        sample["data, all the rest", "MiB"] = (used - kept) / 2**20
        sample["keys, kept as stated", "keys"] = keys
        sample["keys, all the rest", "keys"] = others
        return sample

    async def _stored(self) -> tuple[int, int, int, int]:
        """Return the store's memory, that of what is kept as stated, its keys, and all other keys."""
        kept = keys = others = 0
        async with await Mailroom.open(self.url) as mailroom:
            store = mailroom.store
            cursor = 0
            while True:
                cursor, found = await store.scan(cursor, count=1000)
                ours = [name for name in found if _kind(name) in KEPT]
                others += len(found) - len(ours)
                keys += len(ours)
                pipe = store.pipeline(transaction=False)
                for name in ours:
                    pipe.memory_usage(name, samples=0)
                kept += sum(size or 0 for size in await pipe.execute())  # None: it went meanwhile
                if not cursor:
                    break
            return int((await store.info("memory"))["used_memory"]), kept, keys, others

    async def strays(self) -> list[str]:
        """Return what is wrong with the keys of the store."""
        store = Store(PrivateValkey(self.folder), real_clock=True)
        try:
            return key_faults(await store.dump())
        finally:
            await store.close()


def _kind(name: bytes | str) -> str:
    text = name.decode() if isinstance(name, bytes) else name
    return text.removeprefix(PREFIX).partition(":")[0] if text.startswith(PREFIX) else ""


def table(samples: Sequence[tuple[float, Sample]]) -> Mapping[tuple[str, str], Growth]:
    """Return how each figure moved. Where a process was replaced its figures count on."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for at, sample in samples:
        for name, figure in sample.items():
            points[name].append((at, figure))
    return {name: growth(some, LEAST[name[1]]) for name, some in points.items() if len(some) >= 6}


async def _run(soak: Soak, seconds: float) -> tuple[RunFacts, list[str]]:
    return await soak.run(seconds, patience=600), await soak.strays()


def main(words: Sequence[str] | None = None) -> int:
    """Run it; status 0 only if nothing grew and every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=60, help="events per second")
    parser.add_argument("--seed", type=int, default=20261121)
    chosen = parser.parse_args(words)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"commit {commit}, {chosen.minutes:g} minutes, {chosen.rate:g} events/s, seed {chosen.seed}", flush=True)
    with Soak(chosen.seed, rate=chosen.rate) as soak:
        facts, strays = asyncio.run(_run(soak, chosen.minutes * 60))
        verdict, report = check(facts), soak.report
        if not verdict.good:
            print(soak.logs())
    moved = table(soak.samples)
    # The store as a process has what is kept as stated in it: it is judged by its data.
    lawful = {name for name in moved if "kept as stated" in name[0] or name == ("store", "MiB")}
    print(f"\n{'':32}{'middle third':>14}{'last third':>14}{'per hour':>12}")
    for name, one in moved.items():
        who, what = name
        judged = "as stated" if name in lawful else "GROWS" if one.grows else "no growth"
        print(f"{f'{who}, {what}':32}{one.middle:14.2f}{one.last:14.2f}{one.per_hour:12.2f}  {judged}")
    grown = [", ".join(name) for name, one in moved.items() if one.grows and name not in lawful]
    print(
        f"{report.sent} sent, {report.acknowledged} acknowledged (slowest after {report.longest_answer:.1f} s), "
        f"{report.unanswered} never; {sum(map(len, facts.effects.values()))} effects on {len(facts.effects)} keys, "
        f"{len(facts.seen_by_a_person)} seen by a person; settled {report.settled_after:.0f} s after the end"
    )
    print(f"keys without owner: {len(strays)}", *strays[:20], sep="\n  ")
    print(f"grown by more than {SHARE:.0%} (and 1 MiB, {LEAST['keys']:g} keys, {LEAST['files']:g} files): {grown or 0}")
    print(f"verdict: {verdict}")
    return 0 if verdict.good and not grown and not strays and moved else 1


if __name__ == "__main__":
    sys.exit(main())
