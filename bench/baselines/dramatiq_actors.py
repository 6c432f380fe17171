"""One Dramatiq message per event: Starlette sends it, worker processes of eight threads map four fields and post.

`python -m bench.baselines.dramatiq_actors PORT` receives; `dramatiq bench.baselines.dramatiq_actors` works. REDIS_URL
and SINK_PORT come from the environment. Dramatiq acknowledges a message when its actor has ended.
"""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.baselines import common

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(actor_name="deliver")  # type: ignore[untyped-decorator]
def deliver(body: str) -> None:
    """Deliver one event."""
    common.deliver(body)


if __name__ == "__main__":
    common.serve(int(sys.argv[1]), deliver.send)
