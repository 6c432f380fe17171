"""Bare RQ: Starlette enqueues a job per webhook, two SimpleWorkers deliver, on the same store as Relais.

As RQ's guide on exceptions and retries advises: `Retry(max=4, interval=[1, 5, 15, 60])`, carried out by a worker's
scheduler. SimpleWorker, for it is three times as fast here as the forking one. RQ waits for intervals of its own, not
for `Retry-After`. What was under way or waited for a retry when all was killed lies in RQ's registries until its
maintenance, ten minutes later; what is there after `patience` counts as kept.
"""

from bench.baselines.rq_jobs import QUEUE
from bench.peers.peer import Peer
from bench.stage import BenchStage


class Rq(Peer):
    name = "RQ"
    durability = "appendfsync always"
    patience = 75.0

    def install(self) -> None:
        """Relais needs it, so it is here."""

    def start(self, stage: BenchStage, port: int) -> None:
        stage.valkey()
        stage.rq("simple", 2, "retrying", port=port)

    def kept(self, stage: BenchStage) -> int:
        registries = (f"rq:{name}:{QUEUE}" for name in ("wip", "scheduled", "failed"))
        waiting = int(stage.redis("LLEN", f"rq:queue:{QUEUE}"))
        return waiting + sum(int(stage.redis("ZCARD", registry)) for registry in registries)
