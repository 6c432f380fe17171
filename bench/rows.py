"""The rows of the bench: each takes its measurement and its baseline in one go, and returns figures of one round.

A row never judges: the bounds stand beside the medians in the table.
"""

import asyncio
import contextlib
import itertools
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import cost, cost_rows, notebook_rows, processes, rule_rows, tail_row, trace, whole_rows
from bench.measure import Figures, quantile
from bench.stage import ROOT, VENV, BenchStage, all_accepted, bodies, requests
from mailroom import Mailroom
from receiver import sources
from rules.event import Event
from rules.event_types.base import rfc3339

ALWAYS, NO_STORE = "appendfsync always", "no store"
#: Connections of the rows that are taken with few and with many.
FEW, MANY = 32, 128
#: Events in a burst, bursts for each slice of a large backlog, and how many slices are taken.
BURST, BURSTS, SLICES = 1_000, 4, 20
#: Turns of ours and of each queue that it is measured against.
TURNS = 3
#: Events in one call of a row that puts them itself, and calls under way at once.
PUT_BATCH, PUT_CALLS = 500, 2

#: Each lot of requests is about other people than the one before it.
_LOTS = itertools.count(1_000_000, 1_000_000)


@dataclass(frozen=True)
class Size:
    """How much of everything: a quick look or the real thing."""

    accepted: int = 15_000
    #: Of a turn: events, jobs of a SimpleWorker, of a forking one, and tasks of the other queues.
    delivered: int = 4_000
    jobs: int = 200
    forked: int = 40
    tasks: int = 800
    idle: int = 150
    steady: int = 3_000
    spooled: int = 8_000
    memory: int = 10_000
    backlog: int = 1_000_000
    drained: int = 5_000
    in_flight: int = 4_000
    noted: int = 1_000_000
    dead: int = 100_000


QUICK = Size(3_000, 1_000, 60, 15, 150, 40, 800, 1_500, 2_000, 40_000, 1_000, 2_500, 10_000, 1_000)


@dataclass(frozen=True)
class TableLine:
    """One line of the table: a figure of a row, and what it is held against."""

    about: str
    figure: str = "ratio"
    bound: str = ""
    #: What the bound is to become; nobody is held against it.
    goal: str = ""


@dataclass(frozen=True)
class BenchRow:
    """One measurement with its baselines, and under which conditions it is taken."""

    name: str
    take: Callable[[Size], Figures]
    lines: tuple[TableLine, ...]
    connections: str = "none"
    policy: str = ALWAYS
    pinned: str = "nothing"
    #: What does not vary, or takes minutes, is taken in the first round only.
    once: bool = False


def notebook(size: Size) -> Figures:
    """Questions to the console's notebook, and its memory."""
    return notebook_rows.notebook(size.noted, size.dead)


def tail(size: Size) -> Figures:
    """The live tail: what a receiver accepts while people watch."""
    return tail_row.tail(size.accepted)


def harness(size: Size) -> Figures:
    """The load generator against the sink: what the harness itself can do."""
    with BenchStage(cores=processes.apart()) as stage:
        got = stage.load(stage.sink_port, requests(size.accepted), 32)
        bare = stage.load(stage.bare(), requests(size.accepted), 32)
    return {
        "ratio": got["rate"] / bare["rate"],
        "requests_per_s": got["rate"],
        "bare_per_s": bare["rate"],
        "load_busy_beside_bare": bare["busy"],
    }


def accept(size: Size, connections: int) -> Figures:
    """Acknowledged webhooks per second, verified, validated, deduped and on disk, against a bare endpoint."""
    with BenchStage(cores=processes.apart()) as stage:
        port = stage.bare()
        stage.load(port, requests(cost.WARM), connections)
        bare = stage.load(port, requests(size.accepted), connections)
    with BenchStage(cores=processes.apart()) as stage:
        stage.valkey()
        port = stage.receiver()
        stage.load(port, requests(500, start=10_000_000), connections)
        before = stage.cpu()
        ours = stage.load(port, requests(size.accepted), connections)
        after = stage.cpu()
        all_accepted(ours)
    return {
        "ratio": ours["rate"] / bare["rate"],
        "ours_per_s": ours["rate"],
        "bare_per_s": bare["rate"],
        "ours_p50_ms": ours["p50_ms"],
        "ours_p99_ms": ours["p99_ms"],
        "bare_p99_ms": bare["p99_ms"],
        "receiver_busy": (after["receive"] - before["receive"]) / ours["seconds"],
        "store_busy": (after["valkey"] - before["valkey"]) / ours["seconds"],
        "load_busy": ours["busy"],
    }


def spool(size: Size) -> Figures:
    """Acknowledged webhooks per second while the store is down, out of the spool, against a bare endpoint."""
    with BenchStage(cores=processes.apart()) as stage:
        bare = stage.load(stage.bare(), requests(size.spooled), 32)
        stage.valkey()
        port = stage.receiver()
        stage.load(port, requests(cost.WARM, start=10_000_000), 32)
        stage.kill("valkey")
        stage.load(port, requests(cost.WARM, start=20_000_000), 32)
        ours = stage.load(port, requests(size.spooled), 32)
        all_accepted(ours)
    return {
        "ratio": ours["rate"] / bare["rate"],
        "ours_per_s": ours["rate"],
        "bare_per_s": bare["rate"],
        "ours_p99_ms": ours["p99_ms"],
    }


def _delivered(stage: BenchStage, port: int, count: int, connections: int) -> float:
    """POST in to POST out: events per second from the first sent to the last that the sink answered."""
    stage.reset_sink()
    started = time.time()
    got = stage.load(port, requests(count, start=next(_LOTS)), connections, keep=True)
    all_accepted(got)
    stage.wait(lambda: stage.sink()["count"] >= count, f"the sink got {count}", seconds=300)
    started = min((due for _, due, *_ in got["exchanges"]), default=started)
    return count / float(stage.sink()["last"] - started)


@contextlib.contextmanager
def _working(warm: int, connections: int, tree: Path = ROOT) -> Iterator[tuple[BenchStage, int]]:
    """A stage with receiver and two workers that have delivered some events, and the receiver's port."""
    with BenchStage(tree=tree) as stage:
        stage.valkey()
        port = stage.receiver()
        stage.workers(2)
        _delivered(stage, port, warm, connections)
        yield stage, port


def deliver(size: Size, connections: int) -> Figures:
    """Delivered events per second, POST in to POST out, against one job per event of several queues.

    Ours and each of the others get their events in turn, so that what slows the machine for a while slows both.
    """
    figures: Figures = {}
    rates: list[float] = []
    with _working(500, connections) as (ours, port):
        for name, start, count in _baselines(size, connections):
            with BenchStage() as stage:
                stage.valkey()
                other = start(stage)
                _delivered(stage, other, 20, connections)
                turns = [
                    (_delivered(ours, port, size.delivered, connections), _delivered(stage, other, count, connections))
                    for _ in range(TURNS)
                ]
            rates += [mine for mine, _ in turns]
            figures[f"{name}_per_s"] = statistics.median(theirs for _, theirs in turns)
            figures[f"ratio_{name}"] = statistics.median(mine / theirs for mine, theirs in turns)
    return {"ours_per_s": statistics.median(rates), **figures}


def _baselines(size: Size, connections: int) -> list[tuple[str, Callable[[BenchStage], int], int]]:
    """Return what can be started here: a name, what starts it with two workers, how many events it gets."""
    every: list[tuple[str, Callable[[BenchStage], int], int]] = [
        ("rq_simple", lambda stage: stage.rq("simple", 2), size.jobs),
        ("rq_forking", lambda stage: stage.rq("forking", 2), size.forked),
    ]
    if has_venv() and connections == FEW:
        every += [
            ("celery", lambda stage: stage.celery(2), size.tasks),
            ("dramatiq", lambda stage: stage.dramatiq(2), size.tasks),
        ]
    return every


def has_venv() -> bool:
    """Whether the environment of Celery and Dramatiq was made."""
    return (VENV / "bin" / "celery").exists()


def idle(size: Size) -> Figures:
    """Time from the answer to one webhook to its delivery, idle, against LPUSH, BRPOP and the same POST by hand."""
    with BenchStage() as stage:
        stage.valkey()
        done = subprocess.run(
            [sys.executable, "-m", "bench.baselines.by_hand", str(stage.sink_port)],
            env=stage.environ,
            capture_output=True,
            check=True,
            cwd=ROOT,
        )
        hand = json.loads(done.stdout)
    took, _ = paced_idle(size)
    return {
        "ratio": quantile(took, 0.99) / quantile(hand, 0.99),
        "ours_p50_ms": quantile(took, 0.5) * 1000,
        "ours_p99_ms": quantile(took, 0.99) * 1000,
        "hand_p50_ms": quantile(hand, 0.5) * 1000,
        "hand_p99_ms": quantile(hand, 0.99) * 1000,
    }


def paced_idle(size: Size, tree: Path = ROOT) -> tuple[list[float], list[float]]:
    """Return what `_paced` does of an idle product, which lies in a folder."""
    with _working(100, 4, tree) as (stage, port):
        return _paced(stage, port, size.idle, 25)


def _paced(stage: BenchStage, port: int, count: int, rate: float) -> tuple[list[float], list[float]]:
    """Send webhooks at a rate; return the seconds from each answer to its delivery, and from due to the answer."""
    stage.reset_sink()
    start = next(_LOTS)
    got = stage.load(port, requests(count, start=start), 32, rate=rate, keep=True)
    all_accepted(got)
    stage.wait(lambda: stage.sink()["count"] >= count, "all is delivered", seconds=120)
    arrived = dict(reversed(stage.arrivals()))
    exchanges = got["exchanges"]
    return (
        [max(0.0, arrived[start + number] - answered) for number, _, answered, _ in exchanges],
        [answered - due for _, due, answered, _ in exchanges],
    )


def half_load(size: Size) -> Figures:
    """Time from accepted to delivered at half of what the same stage delivered at most, against the same idle."""
    with _working(500, 32) as (stage, port):
        most = _delivered(stage, port, size.delivered // 2, 32)
        quiet, _ = _paced(stage, port, size.idle, 25)
        took, answered = _paced(stage, port, size.steady, most / 2)
    return {
        "ratio": quantile(took, 0.5) / quantile(quiet, 0.5),
        "rate_per_s": most / 2,
        "p50_ms": quantile(took, 0.5) * 1000,
        "p99_ms": quantile(took, 0.99) * 1000,
        "accepted_p50_ms": quantile(answered, 0.5) * 1000,
        "accepted_p99_ms": quantile(answered, 0.99) * 1000,
        "idle_p50_ms": quantile(quiet, 0.5) * 1000,
    }


def stages(size: Size) -> Figures:
    """Where the time goes from webhook to settled, idle and with 300 events/s."""
    with _working(200, 4) as (stage, port):
        quiet = trace.take(stage, port, count=size.idle, rate=25, start=next(_LOTS))
        busy = trace.take(stage, port, count=size.steady // 2, rate=300, start=next(_LOTS))
    figures = {f"idle {name}": ms for name, ms in quiet.items()} | {f"busy {name}": ms for name, ms in busy.items()}
    figures["whole"] = sum(ms for name, ms in quiet.items() if name != "on disk_ms")
    return figures


def each(size: Size) -> Figures:
    """What one event costs in receiver, store and worker."""
    return cost.measure(cost.CostWork(events=size.delivered))


def hot_key(size: Size) -> Figures:
    """All events about one person."""
    return cost_rows.hot_key(size.steady)


def live(size: Size) -> Figures:
    """What one event costs while receiver, store and worker are at work together."""
    return cost_rows.live(size.accepted)


def fan_out(size: Size) -> Figures:
    """What a delivery costs where an event has ten."""
    return cost_rows.fan_out(size.delivered // 4)


def ten_rules(size: Size) -> Figures:
    """What rules cost that do not match."""
    return cost_rows.ten_rules(size.delivered // 2)


def back(_: Size) -> Figures:
    """How long Relais is away after everything was killed."""
    return whole_rows.back()


def start(_: Size) -> Figures:
    """How long `relais up` takes to accept."""
    return whole_rows.start()


def idle_memory(_: Size) -> Figures:
    """What an idle `relais up` occupies."""
    return whole_rows.idle_memory()


def memory(size: Size) -> Figures:
    """Bytes of the store per waiting event, against its payload.

    In its first minute an event without a sender's id also has a mark by which a repeated body is known; the ratio is
    that of an event that waits longer. The marks are removed here, as their end would do, instead of waited for.
    """
    with BenchStage() as stage:
        stage.valkey()
        port = stage.receiver()
        stage.load(port, requests(100, start=50_000_000), 32)
        before = int(stage.redis("INFO", "memory")["used_memory"])
        stage.load(port, requests(size.memory), 32)
        at_once = int(stage.redis("INFO", "memory")["used_memory"])
        marks = stage.redis("SCAN", "0", "MATCH", "relais:{p0}:last:*", "COUNT", "10000000")[1]
        stage.redis("DEL", *marks)
        stage.wait(lambda: not int(stage.redis("INFO", "memory")["lazyfree_pending_objects"]), "the marks are freed")
        after = int(stage.redis("INFO", "memory")["used_memory"])
    payload = statistics.mean(len(body) for body in bodies(100))
    one = (after - before) / size.memory
    return {
        "ratio": one / (1.3 * payload + 400),
        "bytes_each": one,
        "bytes_in_the_first_minute": (at_once - before) / size.memory,
        "payload_bytes": payload,
    }


def in_flight(size: Size) -> Figures:
    """Deliveries under way at once from one worker process, when the destination answers after 300 ms."""
    with BenchStage(sink_delay=0.3, concurrency=3000) as stage:
        stage.valkey()
        port = stage.receiver()
        all_accepted(stage.load(port, requests(size.in_flight), 32))
        stage.workers(1)
        stage.wait(lambda: stage.sink()["count"] >= size.in_flight, "all arrived", seconds=120)
        most = stage.sink()["open"]
    return {"ratio": most / 1000, "most": most}


@dataclass(frozen=True)
class _Drained:
    """What workers did while they were let go on."""

    #: Deliveries that were waited for, and seconds until the last of them arrived.
    count: int
    seconds: float
    #: All that arrived until the workers stood still again, and seconds of processor time of store and workers.
    arrived: int
    cpu: float

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu / self.arrived * 1e6

    @classmethod
    def sum(cls, of: Sequence["_Drained"]) -> "_Drained":
        """Return what they did together."""
        return cls(
            sum(each.count for each in of),
            sum(each.seconds for each in of),
            sum(each.arrived for each in of),
            sum(each.cpu for each in of),
        )


def backlog(size: Size) -> Figures:
    """How fast a large backlog drains against 1,000 waiting: a slice of the one and bursts of the other in turn.

    Each has a store and workers of its own, which stand still while the other's work: what slows the machine for a
    while slows both. A time begins when the workers may go on, not with the first arrival: a good part of a burst is
    routed before that. A slice also pays for the answers to the one before it; what a burst has to settle after its
    last arrival is not in its time. The first slice and its bursts warm up.
    """
    with _working(2 * BURST, 32) as (small, _), _working(2 * BURST, 32) as (large, _):
        large.stop("work")
        began = time.monotonic()
        asyncio.run(_put(large, size.backlog))
        filled = time.monotonic() - began
        large.wait(lambda: not large.redis("INFO", "persistence")["aof_rewrite_in_progress"], "the file is rewritten")
        large.workers(2)
        for stage in (large, small):
            stage.send("work", signal.SIGSTOP)
        turns = [_turn(large, small, size.drained) for _ in range(1 + SLICES)][1:]
    slices, bursts = (_Drained.sum(its) for its in zip(*turns, strict=True))
    return {
        "ratio": statistics.median(one.per_s / other.per_s for one, other in turns),
        "ratio_cpu": slices.cpu_us / bursts.cpu_us,
        "large_per_s": slices.per_s,
        "small_per_s": bursts.per_s,
        "large_us": slices.cpu_us,
        "small_us": bursts.cpu_us,
        "waiting": float(size.backlog),
        "put_per_s": size.backlog / filled,
    }


def _turn(large: BenchStage, small: BenchStage, count: int) -> tuple[_Drained, _Drained]:
    """Drain a slice of the large backlog, and bursts between whose halves it lies."""
    before = [_burst(small) for _ in range(BURSTS // 2)]
    piece = _drain(large, count)
    return piece, _Drained.sum([*before, *(_burst(small) for _ in range(BURSTS // 2))])


def _burst(stage: BenchStage) -> _Drained:
    asyncio.run(_put(stage, BURST))
    return _drain(stage, BURST, to_the_end=True)


def _drain(stage: BenchStage, count: int, *, to_the_end: bool = False) -> _Drained:
    """Let workers that stand still go on until so many arrived; `to_the_end`: and until all that is settled."""
    stage.reset_sink()
    before = stage.cpu()
    stage.send("work", signal.SIGCONT)
    began = time.time()
    stage.wait(lambda: stage.sink()["count"] >= count, "the backlog drains", seconds=300)
    if to_the_end:
        stage.wait(lambda: not stage.redis("HLEN", "relais:{p0}:leased:mail"), "all is settled")
    stage.send("work", signal.SIGSTOP)
    after, at = stage.cpu(), [when for _, when in stage.arrivals()]
    cpu = sum(after[name] - before[name] for name in ("valkey", "work"))
    return _Drained(count, at[count - 1] - began, len(at), cpu)


async def _put(stage: BenchStage, count: int) -> None:
    """Put events as the receiver does, without HTTP: a million of them in minutes."""
    lot = next(_LOTS)
    now = rfc3339(datetime.now(UTC))
    firsts = iter(range(0, count, PUT_BATCH))
    async with await Mailroom.open(stage.url) as mailroom:

        async def some() -> None:
            for first in firsts:
                lots = bodies(min(PUT_BATCH, count - first), start=lot * 100 + first)
                await mailroom.put([_event(f"{lot}x{first + n}", body, now) for n, body in enumerate(lots)])

        await asyncio.gather(*(some() for _ in range(PUT_CALLS)))


def _event(name: str, body: bytes, now: str) -> Event:
    return Event(
        id=name,
        source="at",
        kind="activetrail",
        type="contact.updated",
        order_key=name,
        received_at=now,
        body=body,
        data=sources.read("activetrail", "contact.updated", body),
    )


def rows() -> tuple[BenchRow, ...]:
    """Return all rows that can be taken here."""
    return (*_receiving(), *_delivering(), *_costing(), *_standing(), *_waiting(), *_thinking(), *_looking())


def _receiving() -> list[BenchRow]:
    apart = str(processes.apart())
    fast = TableLine("the load generator against the sink: faster than the fastest that it measures", bound="> 1")
    accepted = "acknowledged webhooks/s against a bare Starlette endpoint"
    bounds = {FEW: ("≥ 0.65", "≥ 0.75"), MANY: ("≥ 0.6", "")}
    spooled = TableLine("the same while the store is down: all goes to the spool")
    return [
        BenchRow("harness", harness, (fast,), "32", NO_STORE, apart),
        *(
            BenchRow(
                f"accept@{many}",
                partial(accept, connections=many),
                (TableLine(accepted, "ratio", *bounds[many]),),
                str(many),
                pinned=apart,
            )
            for many in (FEW, MANY)
        ),
        BenchRow("spool", spool, (spooled,), "32", "SQLite synchronous=FULL", apart),
    ]


def _delivering() -> list[BenchRow]:
    against = {
        FEW: {
            "rq_simple": ("one RQ job per event, SimpleWorker", "≥ 20", "≥ 40"),
            "rq_forking": ("the forking worker", "≥ 60", "≥ 120"),
        },
        MANY: {
            "rq_simple": ("one RQ job per event, SimpleWorker", "≥ 15", ""),
            "rq_forking": ("the forking worker", "≥ 40", ""),
        },
    }
    others = {"celery": ("one Celery task per event", "", ""), "dramatiq": ("one Dramatiq message per event", "", "")}
    out = []
    for many in (FEW, MANY):
        lines = tuple(
            TableLine(f"delivered events/s, two workers each, against {words}", f"ratio_{name}", *bounds)
            for name, (words, *bounds) in (against[many] | (others if many == FEW and has_venv() else {})).items()
        )
        out.append(BenchRow(f"deliver@{many}", partial(deliver, connections=many), lines, str(many)))
    quiet = TableLine(
        "accepted to delivered, idle, p99, against LPUSH, BRPOP and the POST by hand", bound="≤ 2.0", goal="≤ 1.5"
    )
    half = TableLine("accepted to delivered, p50, at half the rate that goes through at most, against idle")
    way = TableLine("webhook to settled outcome, idle, in ms (sum of the stages)", "whole")
    return [
        *out,
        BenchRow("idle", idle, (quiet,), "32, 25 events/s"),
        BenchRow("half_load", half_load, (half,), "32"),
        BenchRow("trace", stages, (way,), "32", once=True),
        BenchRow("cost", each, (TableLine("processor time of one event in the worker, in µs", "worker_us"),), "32"),
    ]


def _costing() -> list[BenchRow]:
    hot = TableLine("delivered/s of one order key, destination answering at once", "per_s", "≥ 1500", "≥ 3000")
    slow = TableLine("the same at 20 ms, against the 50/s of one delivery after the other", "ratio_slow")
    together = TableLine("processor time of one event while all are at work, in µs", "all_us", "≤ 380", "≤ 290")
    fanned = TableLine(
        "processor time of store and worker for a delivery, ten of one event against one", bound="≤ 0.6", goal="≤ 0.5"
    )
    whole = TableLine("the same with what receiving the event costs", "ratio_all")
    routed = TableLine("delivered/s with ten rules of one source against the one that matches", bound="≥ 0.97")
    spent = TableLine("processor time of one event, the same way", "ratio_cpu")
    return [
        BenchRow("hot_key", hot_key, (hot, slow), "1"),
        BenchRow("live", live, (together,), "32"),
        BenchRow("fan_out", fan_out, (fanned, whole), "32"),
        BenchRow("ten_rules", ten_rules, (routed, spent), "32"),
    ]


def _standing() -> list[BenchRow]:
    away = TableLine(
        "`kill -9` of everything under load until all accepted before is settled and a new webhook arrived, in s",
        "back_s",
        "≤ 3",
        "≤ 1",
    )
    begun = TableLine("from the command `relais up` to the first 202, in s", "start_s", "≤ 1.8", "≤ 1.2")
    held = TableLine("idle `relais up` with its store, PSS of all its processes, in MB", "pss_mb", "≤ 180", "≤ 120")
    return [
        BenchRow("back", back, (away,), f"32, {whole_rows.RATE} events/s"),
        BenchRow("start", start, (begun,)),
        BenchRow("idle_memory", idle_memory, (held,)),
    ]


def _waiting() -> list[BenchRow]:
    many = TableLine("deliveries under way at one worker, destination answering in 300 ms, in thousands", bound="≥ 1")
    bytes_each = TableLine("memory per waiting event against 1.3 × its payload + 400 B", bound="≤ 1")
    drained = TableLine("drain rate with a large backlog against 1,000 waiting", bound="≥ 0.9")
    spent = TableLine("processor time of store and workers for one of these deliveries, the same way", "ratio_cpu")
    return [
        BenchRow("in_flight", in_flight, (many,), "32"),
        BenchRow("memory", memory, (bytes_each,), "32", once=True),
        BenchRow("backlog", backlog, (drained, spent), once=True),
    ]


def _thinking() -> list[BenchRow]:
    routed = TableLine("routing at 10,000 rules against 10", bound="≤ 1.5")
    loop = TableLine("a plain loop over 10,000 rules against ours", "ratio_loop", "> 1")
    compiled = TableLine("compiling 10,000 rules, per rule against 1,000", bound="≤ 1.5")
    filled = TableLine("filling an action with ten fields against plain Python")
    return [
        BenchRow("routing", rule_rows.routing, (routed, loop), policy=NO_STORE, once=True),
        BenchRow("compile", rule_rows.compiling, (compiled,), policy=NO_STORE, once=True),
        BenchRow("render", rule_rows.rendering, (filled,), policy=NO_STORE, once=True),
    ]


def _looking() -> list[BenchRow]:
    pages = TableLine("newest page and one person at 1,000,000 events in the notebook, against 30 ms", bound="≤ 1")
    causes = TableLine("100,000 dead letters by cause, against 200 ms", "ratio_causes", "≤ 1")
    memory = TableLine("the console's memory at most, against 150 MB", "ratio_memory", "≤ 1")
    slowest = TableLine("the slowest of the console's pages at 1,000,000 events, against 30 ms", "ratio_page", "≤ 1")
    largest = TableLine("the largest of them, compressed, against 60 kB", "ratio_size", "≤ 1")
    watched = TableLine("acknowledged webhooks/s while fifty watch the tail, against nobody", bound="≥ 0.98")
    spent = TableLine("processor time of the console with fifty who watch, against one", "ratio_cost", "≤ 1.5")
    calls = TableLine(
        "calls of the console to the store a second with fifty who watch, against one", "ratio_calls", "≤ 1.2"
    )
    return [
        BenchRow("notebook", notebook, (pages, causes, memory, slowest, largest), once=True),
        BenchRow("tail", tail, (watched, spent, calls), str(tail_row.CONNECTIONS), pinned=str(processes.apart())),
    ]
