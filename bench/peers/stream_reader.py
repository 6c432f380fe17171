"""A Redis stream and one asyncio reader (`bench.baselines.stream_reader`): the shape of Redpanda Connect, not the tool.

As there, a consumer of a fixed name reads entries with XREADGROUP, several deliveries are under way at once, which
gives up the order, and a refused one is sent again from its place. On the same store as Relais, every write synced.
"""

import sys

from bench.baselines.stream_reader import STREAM
from bench.peers.peer import Peer
from bench.stage import BenchStage


class StreamReader(Peer):
    name = "stream reader"
    durability = "appendfsync always"

    def install(self) -> None:
        """It is in this repository, and needs what Relais needs."""

    def start(self, stage: BenchStage, port: int) -> None:
        stage.valkey()
        module = [sys.executable, "-m", "bench.baselines.stream_reader"]
        stage.run("stream receive", [*module, "receive", str(port)])
        stage.run("stream read", [*module, "read"])
        stage.wait_for_port(port)
        stage.wait(lambda: stage.redis("EXISTS", STREAM), "the reader listens")

    def kept(self, stage: BenchStage) -> int:
        (group,) = stage.redis("XINFO", "GROUPS", STREAM)
        return int(group[b"pending"]) + int(group[b"lag"])
