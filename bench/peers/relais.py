"""Relais as it is shipped: one receiver, two workers, a Valkey that syncs every write, the book of the bench.

A killed machine that is back finds leases of drains that nobody saw end; they are given to others after
`RELAIS_DEAD_AFTER`, 45 s, and by then what they held has waited so long.
"""

from bench.peers.peer import Peer
from bench.stage import BenchStage


class RelaisPeer(Peer):
    name = "Relais"
    durability = "appendfsync always"
    patience = 75.0

    def install(self) -> None:
        """It is this repository."""

    def start(self, stage: BenchStage, port: int) -> None:
        stage.valkey()
        stage.receiver(port=port)
        stage.workers(2)

    def kept(self, stage: BenchStage) -> int:
        return len(stage.redis("KEYS", "relais:{p0}:e:*"))
