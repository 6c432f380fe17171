"""One RQ job per event: Starlette enqueues, a worker maps four fields and posts over a kept-alive connection.

`python -m bench.baselines.rq_jobs receive PORT` and `… work simple|forking [retrying]`, with REDIS_URL and SINK_PORT in
the environment. The same store and the same sync policy as Relais; JSON, no results kept. `retrying`: what RQ's guide
advises for a destination that may fail, `Retry` with intervals, which needs the worker's scheduler.
"""

import os
import sys

import redis
from rq import Queue, Retry, SimpleWorker, Worker
from rq.serializers import JSONSerializer

from bench.baselines import common

QUEUE = "bench"
#: Seconds between attempts.
INTERVALS = [1, 5, 15, 60]


def connect() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def receive(port: int) -> None:
    """Accept and enqueue."""
    queue = Queue(QUEUE, connection=connect(), serializer=JSONSerializer)
    retry = Retry(max=len(INTERVALS), interval=INTERVALS) if "retrying" in sys.argv else None
    common.serve(port, lambda body: queue.enqueue(common.deliver, body, result_ttl=0, retry=retry))


def work(kind: str) -> None:
    """Work until killed."""
    connection = connect()
    worker = {"simple": SimpleWorker, "forking": Worker}[kind](
        [Queue(QUEUE, connection=connection, serializer=JSONSerializer)],
        connection=connection,
        serializer=JSONSerializer,
    )
    worker.work(logging_level="ERROR", with_scheduler="retrying" in sys.argv)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(next(word for word in sys.argv[2:] if word.isdigit())))
    else:
        work(sys.argv[2])
