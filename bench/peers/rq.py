"""Bare RQ: Starlette enqueues a job per webhook, two SimpleWorkers deliver, on the same store as Relais.

As RQ's guide on exceptions and retries advises: `Retry(max=4, interval=[1, 5, 15, 60])`, carried out by a worker's
scheduler. SimpleWorker, for it is three times as fast here as the forking one. RQ waits for intervals of its own, not
for `Retry-After`. A job whose worker was killed lies in the registry of started jobs until RQ's maintenance, which a
worker does when it starts and every ten minutes; what is still there after `patience` counts as lost.
"""

from bench.peers.peer import Peer
from bench.stage import Stage


class Rq(Peer):
    name = "RQ"
    durability = "appendfsync always"
    patience = 75.0

    def install(self) -> None:
        """Relais needs it, so it is here."""

    def start(self, stage: Stage, port: int) -> None:
        stage.valkey()
        stage.rq("simple", 2, "retrying", port=port)
