"""Network namespaces on one bridge: machines whose links can be cut, made slow, or kept from each other.

Comes in: names of machines. Goes out: their addresses, and words that start something there. Everything carries the
process id of its maker in its name, and is gone when the block ends. Needs root and iproute2; says so otherwise.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

#: Addresses from a range for documentation: no real network has them.
SUBNET = "192.0.2"


class Impossible(Exception):
    """This machine lets nobody make network namespaces; the text says why."""


def run(*words: str) -> str:
    """Run a command. Raises Impossible."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"`{' '.join(words)}`: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Network:
    """Machines on one bridge. The first one, `world`, holds the bridge: senders and vendors are there."""

    def __init__(self, machines: Sequence[str], tag: str = "") -> None:
        self._tag = tag or f"relais{os.getpid()}"
        self.machines = ("world", *machines)

    def __enter__(self) -> Self:
        if not shutil.which("ip"):
            raise Impossible("there is no `ip`: install iproute2")
        if os.geteuid() != 0:
            raise Impossible("only root makes network namespaces")
        try:
            self._make()
        except BaseException:
            self.clear()
            raise
        return self

    def _make(self) -> None:
        for machine in self.machines:
            run("ip", "netns", "add", self.space(machine))
            self.ip(machine, "link", "set", "lo", "up")
        self.ip("world", "link", "add", "bridge", "type", "bridge")
        self.ip("world", "addr", "add", f"{self.address('world')}/24", "dev", "bridge")
        self.ip("world", "link", "set", "bridge", "up")
        for machine in self.machines[1:]:
            there = ("peer", "name", "eth", "netns", self.space(machine))
            self.ip("world", "link", "add", machine, "type", "veth", *there)
            self.ip("world", "link", "set", machine, "master", "bridge", "up")
            self.ip(machine, "addr", "add", f"{self.address(machine)}/24", "dev", "eth")
            self.ip(machine, "link", "set", "eth", "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """End what still runs there, and remove everything; the links go with their namespaces."""
        for machine in self.machines:
            with contextlib.suppress(Impossible):
                for pid in run("ip", "netns", "pids", self.space(machine)).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                run("ip", "netns", "delete", self.space(machine))

    @property
    def tag(self) -> str:
        """What the names of the namespaces begin with."""
        return self._tag

    def space(self, machine: str) -> str:
        """Return the name of a machine's namespace."""
        return f"{self._tag}-{machine}"

    def address(self, machine: str) -> str:
        """Return the address of a machine."""
        return f"{SUBNET}.{self.machines.index(machine) + 1}"

    def within(self, machine: str) -> list[str]:
        """Return the words that start something there; they become that process, none is in between."""
        return ["ip", "netns", "exec", self.space(machine)]

    def ip(self, machine: str, *words: str) -> str:
        """Run `ip` there. Raises Impossible."""
        return run("ip", "-n", self.space(machine), *words)

    # -- trouble

    def cut(self, machine: str) -> None:
        """Pull the plug: what is sent gets lost, nobody is told."""
        self.ip("world", "link", "set", machine, "down")

    def mend(self, machine: str) -> None:
        """Put it in again."""
        self.ip("world", "link", "set", machine, "up")

    def part(self, ours: Sequence[str], theirs: Sequence[str]) -> None:
        """Let two groups of machines hear nothing of each other; both still hear the world."""
        for one in ours:
            for other in theirs:
                self.ip(one, "route", "add", "blackhole", f"{self.address(other)}/32")

    def join(self, ours: Sequence[str], theirs: Sequence[str]) -> None:
        """Let them hear each other again."""
        for one in ours:
            for other in theirs:
                self.ip(one, "route", "del", "blackhole", f"{self.address(other)}/32")

    def delay(self, machine: str, ms: int) -> None:
        """Let everything that a machine is sent and sends come later. Raises Impossible without sch_netem."""
        for space, device in (("world", machine), (machine, "eth")):
            run("tc", "-n", self.space(space), "qdisc", "replace", "dev", device, "root", "netem", "delay", f"{ms}ms")

    def narrow(self, machine: str, rate: str) -> None:
        """Let everything that a machine sends queue for a narrow line."""
        words = ("tbf", "rate", rate, "burst", "4kb", "latency", "2s")
        run("tc", "-n", self.space(machine), "qdisc", "replace", "dev", "eth", "root", *words)

    def even(self, machine: str) -> None:
        """End delay and narrowness."""
        for space, device in (("world", machine), (machine, "eth")):
            with contextlib.suppress(Impossible):
                run("tc", "-n", self.space(space), "qdisc", "delete", "dev", device, "root")
