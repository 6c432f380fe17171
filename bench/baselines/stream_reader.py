"""A stream and its reader: Starlette adds to a Redis stream, one asyncio process reads it with XREADGROUP and posts.

`python -m bench.baselines.stream_reader receive PORT` and `… read`, with REDIS_URL and SINK_PORT in the environment.
The shape of Redpanda Connect (a webhook becomes an entry of the stream, a consumer group's entries become requests)
without its code: 32 are under way at once, a refused one waits in its place and is sent again, what is done is
acknowledged with the next read, and what was not acknowledged when the reader died is read again first. No order, no
ledger, no dedupe.
"""

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

import aiohttp
import redis
import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.baselines import common

STREAM, GROUP, READER = "bench", "readers", "one"
IN_FLIGHT = 32
#: Milliseconds that a read waits for something new.
BLOCK = 1_000


def connect() -> "redis.asyncio.Redis":
    return redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])


def receive(port: int) -> None:
    """Accept webhooks of the right token and add them to the stream before they are acknowledged."""
    store = connect()

    async def take(request: Request) -> Response:
        if request.headers.get("x-relais-token") != common.TOKEN:
            return JSONResponse({"error": "wrong_token"}, status_code=401)
        body = await request.body()
        json.loads(body)
        await store.xadd(STREAM, {"body": body})
        return JSONResponse({"ok": True}, status_code=202)

    app = Starlette(routes=[Route("/in/{source}/{event}", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")


async def read() -> None:
    """Deliver what is in the stream, for ever: first what an earlier reader had not acknowledged."""
    store = connect()
    with contextlib.suppress(redis.ResponseError):  # It is there from an earlier start.
        await store.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    under_way: set[asyncio.Task[None]] = set()
    done: list[bytes] = []
    after = b"0"
    async with aiohttp.ClientSession(f"http://127.0.0.1:{os.environ['SINK_PORT']}") as sink:

        async def deliver(number: bytes, body: bytes) -> None:
            if out := common.fill(body):
                await _post(sink, out)
            done.append(number)

        while True:
            while len(under_way) >= IN_FLIGHT:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            if done:
                acknowledged, done = done, []
                await store.xack(STREAM, GROUP, *acknowledged)
            free = IN_FLIGHT - len(under_way)
            found: Any = await store.xreadgroup(GROUP, READER, {STREAM: after}, count=free, block=BLOCK)
            entries = found[0][1] if found else []
            if after != b">":
                after = entries[-1][0] if entries else b">"
            for number, fields in entries:
                task = asyncio.create_task(deliver(number, fields[b"body"]))
                under_way.add(task)
                task.add_done_callback(under_way.discard)


async def _post(sink: aiohttp.ClientSession, body: str) -> None:
    """Post until it is taken, as often as it takes."""
    wait = 0.0
    while True:
        try:
            async with sink.post("/contacts", data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()
                if answer.status < 300:
                    return
                wait = float(answer.headers.get("Retry-After", 1))
        except aiohttp.ClientError:
            wait = 1.0
        await asyncio.sleep(wait)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        uvloop.run(read())
