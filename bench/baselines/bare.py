"""A bare Starlette endpoint that parses JSON and keeps nothing: `python -m bench.baselines.bare PORT`."""

import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def take(request: Request) -> JSONResponse:
    json.loads(await request.body())
    return JSONResponse({"ok": True}, status_code=202)


app = Starlette(routes=[Route("/in/{source}/{event}", take, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, loop="uvloop")
