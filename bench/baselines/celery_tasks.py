"""One Celery task per event: Starlette sends it, a prefork worker maps four fields and posts.

`python -m bench.baselines.celery_tasks PORT` receives; `celery -A bench.baselines.celery_tasks worker` works. REDIS_URL
(a unix socket) and SINK_PORT come from the environment. JSON, no results, and `task_acks_late`, without which a worker
that is killed takes its task with it.
"""

import os
import sys

from celery import Celery

from bench.baselines import common

app = Celery("bench", broker=os.environ["REDIS_URL"].replace("unix://", "redis+socket://"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_serializer="json",
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="deliver")  # type: ignore[untyped-decorator]
def deliver(body: str) -> None:
    """Deliver one event."""
    common.deliver(body)


if __name__ == "__main__":
    common.serve(int(sys.argv[1]), lambda body: app.send_task("deliver", (body,)))
