"""One RQ job per event: Starlette enqueues, a worker parses, maps four fields and posts over a kept-alive connection.

`python -m bench.baselines.rq_jobs receive PORT` and `… work simple|forking`, with REDIS_URL and SINK_PORT in the
environment. The same store and the same sync policy as Relais; JSON, no results kept.
"""

import http.client
import json
import os
import sys

import redis
import uvicorn
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

QUEUE = "bench"
_kept: dict[str, http.client.HTTPConnection] = {}


def connect() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def deliver(body: str) -> None:
    """The job: what a rule with four mapped fields would do."""
    contact = json.loads(body)
    out = json.dumps(
        {
            "email": contact["email"].strip().lower(),
            "first_name": contact.get("first_name"),
            "last_name": contact.get("last_name"),
            "phone": contact.get("phone1"),
        }
    )
    if "sink" not in _kept:
        _kept["sink"] = http.client.HTTPConnection("127.0.0.1", int(os.environ["SINK_PORT"]))
    sink = _kept["sink"]
    sink.request("POST", "/contacts", out, {"Content-Type": "application/json"})
    answer = sink.getresponse()
    answer.read()
    if answer.status >= 300:
        raise RuntimeError(answer.status)


def receive(port: int) -> None:
    """Accept and enqueue."""
    queue = Queue(QUEUE, connection=connect(), serializer=JSONSerializer)

    async def take(request: Request) -> JSONResponse:
        body = (await request.body()).decode()
        json.loads(body)
        await run_in_threadpool(queue.enqueue, "bench.baselines.rq_jobs.deliver", body, result_ttl=0)
        return JSONResponse({"ok": True}, status_code=202)

    app = Starlette(routes=[Route("/in/{source}/{event}", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")


def work(kind: str) -> None:
    """Work until killed."""
    connection = connect()
    worker = {"simple": SimpleWorker, "forking": Worker}[kind](
        [Queue(QUEUE, connection=connection, serializer=JSONSerializer)],
        connection=connection,
        serializer=JSONSerializer,
    )
    worker.work(logging_level="ERROR")


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        work(sys.argv[2])
