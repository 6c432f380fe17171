"""The receiver process: bind, serve until SIGTERM, finish what has been accepted.

Comes in: settings and the catalogue of what exists. Goes out: a running server, and an exit when it is told to stop.
Never listens without a book or its spool, and never drops a request that it has taken.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import uvicorn

from mailroom import Mailroom, StoreUnavailable, tracing
from receiver import connection_limits
from receiver.app import MakePuller, build_app
from receiver.failover import SpoolingMailroom
from receiver.intake import EventStore
from receiver.pull import PullRunner
from receiver.rulebook import RulebookWatcher
from receiver.settings import ReceiverSettings, in_url
from receiver.spool import Spool
from receiver.vendor_api import VendorApi
from rules.catalogue import Catalogue
from rules.errors import BookRefused

log = logging.getLogger("relais.receiver")

#: Connections that the kernel holds while the loop is busy.
BACKLOG = 2048
#: Thresholds of the garbage collector: a request makes some hundred objects, and next to no cycles.
GC_THRESHOLDS = (20_000, 20, 20)
#: The descriptor of the first socket that systemd hands over (sd_listen_fds(3)).
FIRST_OF_SYSTEMD = 3
#: Seconds that a receiver which starts waits for the store to say which book is in force.
STORE_PATIENCE = 2.0


class CannotListen(OSError):
    """The address cannot be had; the text says which and why."""


def run(settings: ReceiverSettings, catalogue: Catalogue, api: VendorApi | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `api`: how sources are asked; None: nothing is fetched.

    Raises BookRefused, CannotListen, spool.Unusable."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    book = RulebookWatcher(settings.book, catalogue, os.environ, settings.secrets, approve_all=settings.approve)
    load(book, settings)
    keeping = mailroom(settings)
    connection_limits.raise_limit()
    listening = socket_of(settings)
    host, port = listening.getsockname()[:2]
    log.info(
        "receiver.listening address=http://%s:%d book=%s sources=%s http=%s",
        in_url(host),
        port,
        book.version,
        ",".join(book.names) or "none",
        "plain" if settings.plain_http else "own",
    )
    serving = server(settings, book, keeping, pulling(settings, book, api))

    def stop(*_: object) -> None:
        # One that comes before uvicorn listens to signals counts, too.
        serving.should_exit = True

    # uvicorn sends a caught signal on to itself when it has stopped; a clean stop should end with status 0.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    # Objects made so far live as long as the process: the collector need not look through them again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with tracing.to(settings, "receive"):
        serving.run(sockets=[listening])


def load(book: RulebookWatcher, settings: ReceiverSettings) -> None:
    """Take the book in force, which the store keeps, and where there is none the files. Raises BookRefused.

    A receiver that dies while somebody is editing must come back as it was: no webhook waits for a typing error, and a
    restart is no approval of a book that has lost its sources.
    """
    files, approved = asyncio.run(read_books(settings))
    if files is not None:
        with contextlib.suppress(BookRefused):  # another version of this program kept it
            book.load_kept(files)
    try:
        book.load(approved)
    except BookRefused as exc:
        if not book.version:
            raise
        book.problem = str(exc)
        log.error("book.refused stays=%s problems=%s", book.version, exc)


async def read_books(settings: ReceiverSettings) -> tuple[Mapping[str, str] | None, str]:
    """Return the files of the book in force (None without one, or while the store is away) and the approved version."""
    async with Mailroom.connect(settings.redis_url) as room:
        try:
            async with asyncio.timeout(STORE_PATIENCE):
                return await room.kept_book(), await room.approved_book()
        except (StoreUnavailable, TimeoutError):
            return None, ""


def mailroom(settings: ReceiverSettings) -> EventStore:
    """Return what keeps the events: the mailroom, with a spool before it unless told otherwise. Raises Unusable."""
    key = settings.hash_key.get_secret_value().encode()
    room = Mailroom.connect(settings.redis_url, hash_key=key, replicas=settings.replicas)
    if not settings.spool:
        return room
    return SpoolingMailroom(room, Spool(Path(settings.spool), settings.spool_bytes))


def pulling(settings: ReceiverSettings, book: RulebookWatcher, api: VendorApi | None) -> MakePuller | None:
    """Return what makes the process fetch from sources, over a connection of its own."""
    if api is None:
        return None
    key = settings.hash_key.get_secret_value().encode()
    room = Mailroom.connect(settings.redis_url, hash_key=key, replicas=settings.replicas)
    return lambda taking: PullRunner(book, room, taking, api).run()


def inherited(settings: ReceiverSettings) -> int:
    """Return the descriptor of the listening socket that whoever started us holds, -1 if there is none."""
    if settings.listen_fd < 0 and os.environ.get("LISTEN_PID") == str(os.getpid()):
        return FIRST_OF_SYSTEMD
    return settings.listen_fd


def socket_of(settings: ReceiverSettings) -> socket.socket:
    """Return the socket to listen on. Raises CannotListen."""
    number = inherited(settings)
    if number < 0:
        return listen(settings.host, settings.port)
    try:
        found = socket.socket(fileno=number)
        if found.type != socket.SOCK_STREAM or found.family not in (socket.AF_INET, socket.AF_INET6):
            found.detach()
            raise OSError(errno.ENOTSOCK, "it is no TCP socket")
    except OSError as exc:
        raise CannotListen(
            f"descriptor {number} cannot be listened on ({exc.strerror}); pass an open one, or unset RELAIS_LISTEN_FD"
        ) from exc
    return found


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens: who connects from now on waits until it is served. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as exc:
        bound.close()
        raise CannotListen(
            f"{in_url(host)}:{port} cannot be listened on ({exc.strerror}); stop what holds it, or set RELAIS_PORT"
        ) from exc
    return bound


def server(
    settings: ReceiverSettings, book: RulebookWatcher, mailroom: EventStore, puller: MakePuller | None = None
) -> uvicorn.Server:
    """Return the server of an application, not started."""
    return uvicorn.Server(
        uvicorn.Config(
            build_app(settings, book, mailroom, puller),
            loop="uvloop",
            http=protocol(settings),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            # The sender's address is judged by the source's own `trusted_proxies`, never by a default.
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=settings.keep_alive_seconds,
            # Read by uvicorn's own protocol only; ours has bounds of its own.
            h11_max_incomplete_event_size=connection_limits.MOST_HEAD,
            limit_concurrency=connection_limits.most_connections() if settings.plain_http else None,
            timeout_graceful_shutdown=math.ceil(settings.stop_seconds),
        )
    )


def protocol(settings: ReceiverSettings) -> type[asyncio.Protocol] | Literal["h11"]:
    """Return what serves a connection."""
    if settings.plain_http:
        return "h11"
    # Imported late: it relies on internals of uvicorn, and the plain way must work also where they have changed.
    from receiver.http_protocol import Connection

    return Connection
