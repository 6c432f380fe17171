"""Relais as it is shipped: one receiver, two workers, a Valkey that syncs every write, the book of the bench.

On a killed machine that is back, drains whose process is no more are buried at once; what they held is doubtful, and
goes to others.
"""

from bench.peers.peer import Peer
from bench.stage import BenchStage


class RelaisPeer(Peer):
    name = "Relais"
    durability = "appendfsync always"

    def install(self) -> None:
        """It is this repository."""

    def start(self, stage: BenchStage, port: int) -> None:
        stage.valkey()
        stage.receiver(port=port)
        stage.workers(2)

    def kept(self, stage: BenchStage) -> int:
        return len(stage.redis("KEYS", "relais:{p0}:e:*"))
