"""The row of the live tail: what a receiver accepts, and what the console costs, with nobody, one and fifty watching.

Each turn has a store, a receiver and a console of its own; the first has no console. Full load from one process.
"""

import sys
from contextlib import ExitStack
from typing import Any

from bench import processes
from bench.measure import Figures
from bench.session import PageSession
from bench.stage import BenchStage, all_accepted, free_port, requests

CONNECTIONS = 32
#: How many watch; None: there is no console.
TURNS = {"none": None, "nobody": 0, "one": 1, "fifty": 50}


def tail(accepted: int) -> Figures:
    """Accepted webhooks a second while so many watch, and the processor time of store and console for each."""
    taken = {name: _turn(accepted, viewers) for name, viewers in TURNS.items()}
    fifty, one, nobody, none = (taken[name] for name in ("fifty", "one", "nobody", "none"))
    return {
        "ratio": fifty["per_s"] / nobody["per_s"],
        "ratio_one": one["per_s"] / nobody["per_s"],
        "ratio_cost": fifty["console_us"] / one["console_us"],
        "ratio_calls": fifty["calls"] / one["calls"],
        "share_notebook": max(0.0, 1 - none["store_us"] / nobody["store_us"]),
        **{f"{what}_{name}": figures[what] for name, figures in taken.items() for what in figures},
    }


def _turn(accepted: int, viewers: int | None) -> dict[str, float]:
    with BenchStage(cores=processes.apart()) as stage, ExitStack() as watching:
        stage.valkey()
        port = stage.receiver()
        console = free_port()
        tails: list[Any] = []
        stage.load(port, requests(500, start=10_000_000), CONNECTIONS)
        receivers = _clients(stage)
        if viewers is not None:
            environ = (f"RELAIS_NOTEBOOK={stage.folder}/notebook.sqlite", "RELAIS_SPOOL=")
            words = ("-m", "console.cli", "console", "--port", str(console))
            stage.run("console", ["env", *environ, sys.executable, *words])
            stage.wait_for_port(console)
            session = PageSession(console)
            tails = [session.watch() for _ in range(viewers)]
            for each in tails:
                watching.callback(each.close)
        stage.load(port, requests(500, start=20_000_000), CONNECTIONS)
        if tails:
            stage.wait(lambda: all(each.frames for each in tails), "everybody has seen a frame")
        before, calls = stage.cpu(), _clients(stage)
        got = stage.load(port, requests(accepted), CONNECTIONS)
        after = stage.cpu()
        of_console = sum(now - calls.get(id, 0) for id, now in _clients(stage).items() if id not in receivers)
        all_accepted(got)
        spent = {name: (after[name] - before[name]) * 1e6 / accepted for name in after}
        return {"per_s": got["rate"], "store_us": spent["valkey"], "console_us": spent.get("console", 0.0),
                "calls": of_console / got["seconds"]}  # fmt: skip


def _clients(stage: BenchStage) -> dict[str, int]:
    """Return how many commands each connection has sent to the store; the one that asks is new each time."""
    found = [dict(word.split(b"=", 1) for word in line.split()) for line in stage.redis("CLIENT", "LIST").splitlines()]
    return {one[b"id"].decode(): int(one[b"tot-cmds"]) for one in found if one[b"cmd"] != b"client|list"}
