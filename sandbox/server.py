"""The server: all imitated vendors on one port, each below its prefix, and further accounts of them below `/of/NAME`.

Comes in: a host and a port. Goes out: a real HTTP server, in the foreground, in an event loop or in a thread of its
own. Never listens on another address than the given one, by default loopback.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from sandbox import accounts, wire
from sandbox.accounts import Accounts
from sandbox.state import SandboxState

PORT = 8030

#: Seconds that a stopping server waits for delayed answers.
STOP = 1


@dataclass(frozen=True)
class Running:
    """A running sandbox."""

    #: `http://127.0.0.1:41234`
    url: str
    world: SandboxState

    def base(self, vendor: str) -> str:
        """Return the base URL of a vendor's API, for `base:` in a book."""
        return self.url + self.world.vendors[vendor].prefix


def build_app(world: SandboxState | None = None) -> Starlette:
    """Return the app with all vendors and `/_sandbox`."""
    world = world or SandboxState()
    return Starlette(
        routes=[
            Route("/", _index, methods=["GET"]),
            Route("/_sandbox/healthz", _healthz, methods=["GET"]),
            Mount("/_sandbox", routes=world.routes()),
            *(Mount(vendor.prefix, app=world.gates[name]) for name, vendor in world.vendors.items()),
            Mount("/of/{account}", app=_FurtherAccounts(world)),
        ],
        exception_handlers={HTTPException: _refuse},
    )


class _FurtherAccounts:
    """An app for each further account: all of the sandbox once more, made when it is asked first."""

    def __init__(self, world: SandboxState) -> None:
        self._world = world
        self._apps: dict[str, Starlette] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the account's own vendors answer."""
        name = scope["path_params"]["account"]
        if name not in self._apps:
            self._apps[name] = build_app(self._world.open_account(name))
        await self._apps[name](scope, receive, send)


def serve(
    host: str = "127.0.0.1",
    port: int = PORT,
    keys: Accounts | None = None,
    say: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve in the foreground until a signal; `say` is called with the URL. Raises OSError if the port is in use."""
    world = SandboxState(keys or accounts.from_environ(os.environ))
    listening = listen(host, port)
    say(_url(host, listening))
    try:
        server(world).run(sockets=[listening])
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    The protocol is given explicitly because only then asyncio turns Nagle's algorithm off; else an answer takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening


def server(world: SandboxState) -> uvicorn.Server:
    """Return a uvicorn server whose protocol can reset connections."""
    return uvicorn.Server(
        uvicorn.Config(
            build_app(world),
            http=wire.Protocol,
            ws="none",
            loop="uvloop",
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=STOP,
        )
    )


@contextlib.asynccontextmanager
async def running(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Running]:
    """Serve inside a running event loop, without touching its signal handlers."""
    world = SandboxState()
    with contextlib.closing(listen(host, port)) as listening:
        one = server(world)
        one.config.load()
        one.lifespan = one.config.lifespan_class(one.config)
        await one.startup(sockets=[listening])
        ticking = asyncio.create_task(one.main_loop())
        try:
            yield Running(_url(host, listening), world)
        finally:
            one.should_exit = True
            world.close()
            await ticking
            await one.shutdown(sockets=[listening])


@contextlib.contextmanager
def in_thread(host: str = "127.0.0.1", port: int = 0) -> Iterator[Running]:
    """Serve in a thread of its own, for tests and programs without an event loop."""
    started: list[Running] = []
    failed: list[BaseException] = []
    up, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with running(host, port) as one:
            started.append(one)
            up.set()
            await asyncio.to_thread(stop.wait)

    def work() -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(run())
        except BaseException as exc:  # the caller's thread raises it
            failed.append(exc)
        finally:
            up.set()

    thread = threading.Thread(target=work, name="sandbox", daemon=True)
    thread.start()
    up.wait()
    try:
        if failed:
            raise failed[0]
        yield started[0]
    finally:
        stop.set()
        thread.join()


def _url(host: str, listening: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


async def _index(request: Request) -> Response:
    return JSONResponse(
        {"sandbox": "stand-ins for vendors' APIs; see /_sandbox/state, /_sandbox/requests, /_sandbox/faults"}
    )


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _refuse(request: Request, exc: Exception) -> Response:
    status, text = (exc.status_code, exc.detail) if isinstance(exc, HTTPException) else (500, "Internal error")
    return JSONResponse({"error": text}, status)
