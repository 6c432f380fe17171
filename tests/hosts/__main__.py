"""`python -m tests.hosts [--seed N] [--keys 60] [--rate 60]`: machines apart, and the checker's verdict.

Five network namespaces on a bridge: receiver, workers, two stores, and the world (senders and vendors). A Sentinel is
on three of them. Needs root and iproute2; without them it says so and ends with status 3, for what could not be seen.
"""

import argparse
import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping

from tests.chaos.checker import StormVerdict, check
from tests.hosts.network import Impossible, Network
from tests.hosts.stage import HostsStage
from tests.hosts.stores import HostPlace, Keeper

MACHINES = ("receive", "work", "one", "two")
INSIDE = "RELAIS_HOSTS_INSIDE"
SKIPPED = 3
Happenings = Callable[[HostsStage, Network], Coroutine[None, None, None]]


def main() -> int:
    """Make the network and run in it; status 0 only if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the same seed sends about the same people")
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--rate", type=float, default=60, help="events per second")
    parser.add_argument("--only", choices=tuple(ACTS), default=None, help="one act instead of all")
    words = parser.parse_args()
    if tag := os.environ.get(INSIDE):
        return act(Network(MACHINES, tag), words)
    # However it ends, the blocks below end with it: nothing of ours stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="rh") as folder, Network(MACHINES) as network:
            return subprocess.run(
                [*network.within("world"), sys.executable, "-m", "tests.hosts", *sys.argv[1:]],
                env={**os.environ, INSIDE: network.tag, "RELAIS_TEST_TMP": folder},
            ).returncode
    except Impossible as exc:
        print(f"SKIPPED, nothing was tested: no network namespaces here: {exc}", file=sys.stderr)
        return SKIPPED


def act(network: Network, words: argparse.Namespace) -> int:
    """Run the acts, from inside the world."""
    seed = words.seed if words.seed is not None else secrets.randbelow(2**31)
    print(f"seed {seed}", flush=True)
    good = True
    for name, (replicas, settings, happenings, lost) in ACTS.items():
        if words.only in (None, name):
            print(f"{name}: RELAIS_REPLICAS={replicas} {' '.join(settings.split(chr(10)))}", flush=True)
            with set_up(network, replicas, settings, seed) as stage:
                verdict = asyncio.run(run(stage, network, happenings, words))
                good &= judge(stage, verdict, lost if lost is None else lost * words.rate)
    return 0 if good else 1


def set_up(network: Network, replicas: int, settings: str, seed: int) -> HostsStage:
    """Return a stage with everybody on a machine of his own."""

    def place(machine: str, port: int) -> HostPlace:
        return HostPlace(network.address(machine), port, network.within(machine))

    return HostsStage(
        replicas,
        stores=[place("one", 6379), place("two", 6379)],
        sentinels=[place(machine, 26379) for machine in ("receive", "work", "two")],
        places={"receive": place("receive", 8080), "work": place("work", 0)},
        settings=settings,
        seed=seed,
        far=network.address("world"),
    )


async def run(stage: HostsStage, network: Network, happenings: Happenings, words: argparse.Namespace) -> StormVerdict:
    """Let it happen under load, and return the verdict."""
    await stage.open()
    async with stage.load(keys=words.keys, rate=words.rate):
        await stage.acknowledged(words.rate)
        await happenings(stage, network)
        await stage.acknowledged(words.rate)
    return check(await stage.outcome(120))


def judge(stage: HostsStage, verdict: StormVerdict, lost: float | None) -> bool:
    """Print the verdict; return whether what is promised was kept. `lost`: events that may be, None: any number."""
    report = stage.report
    print(
        f"  {report.sent} sent, {report.acknowledged} acknowledged (slowest after {report.longest_answer:.1f} s), "
        f"{report.unanswered} never; settled {report.settled_after:.0f} s after"
    )
    if lost == 0:
        print(f"  verdict: {verdict}", flush=True)
        if not verdict.good:
            print(stage.logs(), stage.keepers.logs(), sep="\n")
        return verdict.good
    # What was lost is neither in order nor there; but all that is left must come to an end.
    may = "any number may be" if lost is None else f"{lost:g} may be"
    print(f"  verdict: lost {len(verdict.lost)} acknowledged events ({may}), stuck {verdict.stuck}", flush=True)
    return verdict.stuck == 0 and (lost is None or len(verdict.lost) <= lost)


def say(text: str) -> None:
    """Tell what happens."""
    print(f"  {text}", flush=True)


def primary(stage: HostsStage) -> Keeper:
    """Return the primary. Raises RuntimeError."""
    found = stage.keepers.primary()
    if found is None:
        raise RuntimeError(f"the Sentinels agree on no primary\n{stage.keepers.logs()}")
    return found


async def back(stage: HostsStage) -> None:
    """Wait until the primary has its replica again."""
    took = await asyncio.to_thread(stage.keepers.until, lambda: stage.keepers.replicas() == 1, "a replica", 60)
    say(f"the old primary is a replica {took:.1f} s later")


async def durable(stage: HostsStage, network: Network) -> None:
    """Cut every link in turn, make one slow, and fail over twice: by a cut and by SIGKILL."""
    for machine in ("receive", "work"):
        say(f"the link of {machine} is cut for 4 s")
        network.cut(machine)
        await asyncio.sleep(4)
        network.mend(machine)
        await stage.acknowledged(60)
    await slow(stage, network)
    old = primary(stage)
    machine = "one" if old is stage.keepers.stores[0] else "two"
    say("the link of the primary is cut")
    network.cut(machine)
    took = await asyncio.to_thread(stage.keepers.failed_over, old)
    say(f"another one is primary after {took:.1f} s")
    await stage.acknowledged(60)
    network.mend(machine)
    await back(stage)
    await stage.acknowledged(60)
    old = primary(stage)
    say("the primary is killed with SIGKILL")
    old.kill(signal.SIGKILL)
    took = await asyncio.to_thread(stage.keepers.failed_over, old)
    say(f"another one is primary after {took:.1f} s")
    await stage.acknowledged(60)
    old.start()
    await back(stage)


async def slow(stage: HostsStage, network: Network) -> None:
    """Make the way to the stores long for some seconds, or narrow where the kernel cannot delay."""
    try:
        network.delay("one", 100)
        say("the primary is 200 ms away")
    except Impossible as exc:
        say(f"SKIPPED, nothing is delayed: this kernel has no sch_netem ({exc})")
        network.narrow("one", "256kbit")
        say("the line of the primary is narrowed to 256 kbit/s instead")
    await stage.acknowledged(200, 60)
    network.even("one")


async def split(stage: HostsStage, network: Network) -> None:
    """The receiver is left alone with the primary, and the others choose another one."""
    ours, theirs = ["receive", "one"], ["work", "two"]
    say("receiver and primary are parted from workers, replica and two Sentinels")
    network.part(ours, theirs)
    took = await asyncio.to_thread(stage.keepers.failed_over, stage.keepers.stores[0])
    say(f"another one is primary after {took:.1f} s; the old one does not know yet")
    await stage.acknowledged(120)
    network.join(ours, theirs)
    await back(stage)


#: Seconds that a primary goes on without hearing of its replica (`min-replicas-max-lag`).
LAG = 3
#: Name -> RELAIS_REPLICAS, settings of the stores, what happens, seconds of events that may be lost (None: any number).
#: A replica gives a sign once a second and the primary looks once a second, in whole seconds: three more than the lag.
ACTS: Mapping[str, tuple[int, str, Happenings, int | None]] = {
    "durable": (1, "", durable, 0),
    "split": (1, "", split, 0),
    "lagging": (0, f"min-replicas-to-write 1\nmin-replicas-max-lag {LAG}\n", split, LAG + 3),
    "bare": (0, "", split, None),
}


if __name__ == "__main__":
    sys.exit(main())
