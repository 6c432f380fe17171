"""What the baselines with a job per event have in common: the endpoint, the mapping of four fields, the POST.

Knows no queue: `serve` is told how to enqueue. Imports nothing of Relais.
"""

import http.client
import json
import os
import threading
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "bench-token"
_kept = threading.local()


def serve(port: int, enqueue: Callable[[str], object]) -> None:
    """Accept webhooks of the right token and hand their bodies over before they are acknowledged."""

    async def take(request: Request) -> Response:
        if request.headers.get("x-relais-token") != TOKEN:
            return JSONResponse({"error": "wrong_token"}, status_code=401)
        body = (await request.body()).decode()
        json.loads(body)
        await run_in_threadpool(enqueue, body)
        return JSONResponse({"ok": True}, status_code=202)

    app = Starlette(routes=[Route("/in/{source}/{event}", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")


class Unanswered(Exception):
    """The destination did not take it."""


def deliver(body: str) -> None:
    """The job: what a rule with one condition and four mapped fields does. Raises Unanswered."""
    out = fill(body)
    if not out:
        return
    status = _post(out)
    if status >= 300:
        raise Unanswered(status)


def fill(body: str | bytes) -> str:
    """Return what a webhook makes for the destination: four mapped fields, nothing where it does not match."""
    contact = json.loads(body)
    if contact.get("city") != "Berlin":
        return ""
    return json.dumps(
        {
            "email": contact["email"].strip().lower(),
            "FIRSTNAME": contact.get("first_name"),
            "LASTNAME": contact.get("last_name"),
            "CITY": contact.get("city"),
        }
    )


def _post(body: str) -> int:
    """POST over a connection that this thread keeps; returns the status."""
    if not hasattr(_kept, "sink"):
        _kept.sink = http.client.HTTPConnection("127.0.0.1", int(os.environ["SINK_PORT"]))
    sink: http.client.HTTPConnection = _kept.sink
    try:
        sink.request("POST", "/contacts", body, {"Content-Type": "application/json"})
        answer = sink.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as exc:
        sink.close()
        raise Unanswered(0) from exc
    return answer.status
