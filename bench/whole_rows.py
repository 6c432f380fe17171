"""The rows of a whole Relais: back after `kill -9` of everything, from the command to the first 202, idle memory.

Goes out: figures of one round, absolute ones: seconds and MB of this machine. Never a figure of a run that lost
something, or in which nothing was under way at the kill: RuntimeError says so.
"""

import contextlib
import http.client
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from bench import processes
from bench.measure import Figures
from bench.stage import HEADERS, PATH, BenchStage, bodies, free_port, requests

#: Webhooks a second before the kill, few enough for no backlog; how many were delivered by then; and the seconds that
#: the destination takes, so that some deliveries are under way.
RATE, BEFORE, DELAY = 500, 1_000, 0.05
#: The number of the webhook that is sent after the restart.
NEW = 90_000_000
#: Starts that count; one more before them warms byte code and disk cache.
STARTS = 3
#: Seconds without an event before memory is read.
IDLE = 10.0
#: What runs, as /proc/PID/comm says.
PARTS = ("up", "valkey", "console", "work", "worker", "receive")
#: Whatever is not settled yet: items of the inbox, deliveries, boxes of several items.
UNSETTLED = (
    "return redis.call('HLEN', 'relais:{p0}:one:in') "
    "+ #redis.call('KEYS', 'relais:{p0}:d:*') + #redis.call('KEYS', 'relais:{p0}:b:*')"
)


def back() -> Figures:
    """Kill receiver, worker and store with SIGKILL under load, and start them again on what is on disk.

    The clock starts at the kill. The store is started at once, and when it answers receiver and worker together. It
    stops when the last of three has happened: every webhook that was answered 202 before the kill has arrived at the
    destination; the store has no delivery left that is not settled, so that none comes again later; and a new webhook,
    posted every 10 ms until it got its 202, has arrived.
    """
    with BenchStage(sink_delay=DELAY) as stage:
        port = free_port()
        _start(stage, port)
        stage.wait_for_port(port)
        sending = stage.loading(port, requests(10 * BEFORE), 32, rate=RATE, keep=True)
        stage.wait(lambda: stage.sink()["count"] >= BEFORE, "some are delivered")
        killed = time.time()
        stage.kill_all_but("sink")
        _start(stage, port)
        store = time.time()
        accepted = _accepted(stage, port, NEW)
        due = _acknowledged(sending())
        stage.wait(lambda: due | {NEW} <= {number for number, _ in stage.arrivals()}, "all has arrived")
        stage.wait(lambda: not stage.redis("EVAL", UNSETTLED, "0"), "all is settled", every=0.01)
        settled = time.time()
        arrivals = stage.arrivals()
    first = dict(reversed(arrivals))
    sent_after = sum(number in due and at > store for number, at in arrivals)
    if not sent_after:
        raise RuntimeError("nothing was under way when all was killed")
    seconds = {
        "arrived_s": max(0.0, *(first[number] - killed for number in due)),
        "settled_s": settled - killed,
        "new_arrived_s": first[NEW] - killed,
    }
    return {
        "back_s": max(seconds.values()),
        "store_s": store - killed,
        "new_accepted_s": accepted - killed,
        **seconds,
        "accepted_before": float(len(due)),
        "sent_after": float(sent_after),
    }


def _start(stage: BenchStage, port: int) -> None:
    stage.valkey()
    stage.relais("receive", "receive", "--port", str(port))
    stage.relais("work", "work", "--workers", "1")


def _acknowledged(got: Mapping[str, Any]) -> set[int]:
    """Return the numbers of the webhooks that were answered before the kill. Raises RuntimeError if one was refused."""
    statuses = dict(got["statuses"])
    if not statuses.pop("0", 0):
        raise RuntimeError("the load had ended when all was killed")
    if set(statuses) != {"202"}:
        raise RuntimeError(f"not everything was accepted: {statuses}")
    return {number for number, *_ in got["exchanges"]}


def start() -> Figures:
    """Time from the command `relais up`, with its own store, on data of an earlier start, to the first 202.

    A webhook is posted every 10 ms. The median of three starts, after one that does not count.
    """
    with BenchStage() as stage:
        took = []
        for number in range(1 + STARTS):
            with _up(stage, number) as seconds:
                took.append(seconds)
    return {"start_s": statistics.median(took[1:]), "least_s": min(took[1:]), "most_s": max(took[1:])}


def idle_memory() -> Figures:
    """Memory of an idle `relais up` with one worker process, ten seconds after it delivered a webhook.

    It is the sum of the proportional set sizes (`Pss` of /proc/PID/smaps_rollup: what several processes share counts
    once) of the command and all its descendants, the store among them, in millions of bytes.
    """
    with BenchStage() as stage, _up(stage, 0):
        stage.wait(lambda: stage.sink()["count"], "the webhook is delivered")
        time.sleep(IDLE)
        members = processes.family(stage.pids["up"])
        found: dict[str, float] = {}
        for pid in members:
            part = "up" if pid == stage.pids["up"] else processes.name(pid).removeprefix("relais ")
            name = f"{part.removesuffix('-server')}_mb"
            found[name] = found.get(name, 0.0) + processes.pss_bytes(pid) / 1e6
    if missing := {f"{part}_mb" for part in PARTS} - set(found):
        raise RuntimeError(f"not all of it runs: there is no {', '.join(sorted(missing))}")
    return {"pss_mb": sum(found.values()), **found, "processes": float(len(members))}


@contextlib.contextmanager
def _up(stage: BenchStage, number: int) -> Iterator[float]:
    """Run `relais up` in the folder of a stage; give the seconds until it had accepted the webhook of this number."""
    port = free_port()
    environ = (f"RELAIS_DATA={stage.folder}/data", f"RELAIS_CONSOLE_PORT={free_port()}", "RELAIS_WORKERS=1")
    words = ("-m", "console.cli", "up", "--port", str(port))
    began = time.time()
    stage.run("up", ["env", "-C", str(stage.folder), "-u", "REDIS_URL", *environ, sys.executable, *words])
    yield _accepted(stage, port, number) - began
    stage.stop("up")


def _accepted(stage: BenchStage, port: int, number: int) -> float:
    """Post a webhook until it is accepted; return when. Raises RuntimeError where it is refused for good."""
    at = 0.0

    def posted() -> bool:
        nonlocal at
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
        ):
            connection.request("POST", PATH, bodies(1, start=number)[0], dict(HEADERS))
            status, at = connection.getresponse().status, time.time()
            if status not in (202, 503):
                raise RuntimeError(f"the webhook was answered {status}")
            return status == 202
        return False

    stage.wait(posted, "a webhook is accepted", every=0.01)
    return at
