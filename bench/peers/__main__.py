"""The same webhooks through other tools: `python -m bench.peers` keeps the figures in docs/figures/peers.json.

`--peers webhook,Relais` some only · `--quick` · `--json` prints instead of keeping. Tools are installed from Debian's
and npm's registries into .cache/peers; one that cannot be is named and left out.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from bench import figures, machine, wire
from bench.peers import scenario, sender
from bench.peers.node_red import NodeRed
from bench.peers.peer import CannotInstall, Peer
from bench.peers.relais import RelaisPeer
from bench.peers.rq import Rq
from bench.peers.scenario import PeerVerdict
from bench.peers.stream_reader import StreamReader
from bench.peers.webhook import Webhook
from bench.stage import HEADERS, BenchStage, free_port

PROGRESS = Console(stderr=True)
PEERS: Sequence[Peer] = (RelaisPeer(), StreamReader(), Rq(), NodeRed(), Webhook())
CONNECTIONS = 32


@dataclass(frozen=True)
class Run:
    """One run of one tool."""

    acknowledged_per_s: float
    delivered_per_s: float
    verdict: PeerVerdict
    #: Webhooks that the tool still had on disk at the end.
    kept: int
    #: Seconds of processor time of all of its processes for 1,000 acknowledged webhooks; 0 where they were killed.
    cpu_s: float


def main() -> int:
    """Take the tools one after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--peers", default="", help="names, separated by commas; default: all")
    parser.add_argument("--quick", action="store_true", help="few webhooks: a look, not a figure to publish")
    parser.add_argument("--json", action="store_true", help="JSON on standard output, nothing is kept")
    words = parser.parse_args()
    wanted = [peer for peer in PEERS if not words.peers or peer.name in words.peers.split(",")]
    if not wanted:
        parser.error(f"no tool is called so; there are: {', '.join(peer.name for peer in PEERS)}")
    machine.raise_limits()
    count = 500 if words.quick else 2_000
    began = time.monotonic()
    taken, left_out = [], {}
    for peer in wanted:
        try:
            peer.install()
        except CannotInstall as exc:
            left_out[peer.name] = str(exc)
            PROGRESS.print(f"[bold]{peer.name} is left out: {exc}[/bold]")
            continue
        taken.append(_measure(peer, count))
    report = {
        "kind": "peers",
        "command": "make bench-peers" + (f" ARGS='{' '.join(sys.argv[1:])}'" if sys.argv[1:] else ""),
        "machine": machine.describe(),
        "quick": words.quick,
        "seconds": round(time.monotonic() - began),
        "scenario": scenario.WORDS.format(count=f"{count:,}"),
        "peers": taken,
        "left_out": left_out,
    }
    if words.json:
        figures.show(report)
    else:
        PROGRESS.print(f"kept in {figures.save('peers', report)}; `make performance` writes the page")
    return 0


def _measure(peer: Peer, count: int) -> dict[str, Any]:
    began = time.monotonic()
    quiet = run(peer, count, kill=False)
    killed = run(peer, count, kill=True)
    PROGRESS.print(f"{peer.name}, {time.monotonic() - began:.0f} s", style="dim")
    return {
        "name": peer.name,
        "durability": peer.durability,
        "acknowledged_per_s": quiet.acknowledged_per_s,
        "delivered_per_s": quiet.delivered_per_s,
        "cpu_s_per_1000": quiet.cpu_s,
        "quiet": _told(quiet),
        "killed": _told(killed),
    }


def _told(run: Run) -> dict[str, int]:
    """Return a run's verdict; what is missing and not kept is lost."""
    missing, kept = run.verdict.missing, min(run.kept, run.verdict.missing)
    return {**asdict(run.verdict), "kept": kept, "lost": missing - kept}


def run(peer: Peer, count: int, *, kill: bool) -> Run:
    """Send everything through one tool; with `kill` it is killed when half was acknowledged, and started again."""
    with BenchStage(sink="bench.peers.destination", sink_delay=scenario.DELAY) as stage:
        port = free_port()
        peer.start(stage, port)
        requests = [wire.request(peer.path, body, HEADERS) for body in scenario.webhooks(count)]
        began, before = time.time(), _cpu(stage)
        sent = asyncio.run(_send(stage, peer, port, requests, kill=kill))
        taken = _wait(stage, peer, sent.acknowledged)
        spent = 0.0 if kill else _cpu(stage) - before
        kept = peer.kept(stage)
    verdict = scenario.judge(sent.acknowledged, [number for number, _ in taken])
    many = len(sent.acknowledged)
    speed = scenario.speed([at - began for _, at in taken])
    return Run(many / sent.seconds, speed, verdict, kept, spent / many * 1000)


def _cpu(stage: BenchStage) -> float:
    """Return the seconds of processor time that all of a tool's processes, its store among them, used so far."""
    return sum(seconds for name, seconds in stage.cpu().items() if name != "sink")


async def _send(stage: BenchStage, peer: Peer, port: int, requests: list[bytes], *, kill: bool) -> sender.Acknowledged:
    half = asyncio.Event()

    def each(sent: sender.Acknowledged) -> None:
        if len(sent.acknowledged) == len(requests) // 2:
            half.set()

    sending = asyncio.create_task(sender.send(port, requests, scenario.lanes(len(requests), CONNECTIONS), each))
    if kill:
        await half.wait()
        await asyncio.to_thread(stage.kill_all_but, "sink")
        await asyncio.to_thread(peer.start, stage, port)
    return await sending


def _wait(stage: BenchStage, peer: Peer, acknowledged: list[int]) -> list[tuple[int, float]]:
    """Wait until everything was delivered, or nothing more came for as long as the tool may take; return what came."""
    due = {number for number in acknowledged if scenario.matches(number)}
    taken = stage.taken()
    changed = time.monotonic()
    while not due <= {number for number, _ in taken} and time.monotonic() - changed < peer.patience:
        time.sleep(0.2)
        now = stage.taken()
        if len(now) != len(taken):
            taken, changed = now, time.monotonic()
    time.sleep(1)  # What comes twice comes now.
    return stage.taken()


if __name__ == "__main__":
    sys.exit(main())
