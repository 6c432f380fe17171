"""Where the store is: reads REDIS_URL and makes every client of it, for RQ and for the mailroom.

Comes in: `redis://`, `rediss://`, `unix://`, `sentinel://` or `sentinel+tls://`. Goes out: clients without retries and
with short explicit time-outs; those of a Sentinel ask for the primary at each new connection, so a failover needs no
restart of ours. Never connects by itself, and never repeats a part of the address in an error: it may be a password.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.retry
import redis.sentinel
from redis.connection import HiredisRespSerializer

#: Seconds to connect: beyond it a store counts as away, and events go to the spool.
CONNECT_TIMEOUT = 2.0
#: Seconds for one Sentinel, to connect and to answer: with two out of reach the third is still asked within a call.
SENTINEL_TIMEOUT = 1.0
SENTINEL_PORT = 26379
STORE_PORT = 6379

#: What may stand behind the question mark. Time-outs and retries may not: Relais relies on its own.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
OPTIONS = ("db", "username", "password", *TLS_OPTIONS)
SENTINEL_OPTIONS = (*OPTIONS, "sentinel_username", "sentinel_password")

SHAPES = (
    "write it as redis://host:6379, rediss://user:password@host:6379/0?ssl_ca_certs=FILE, unix:///path/to/socket or "
    "sentinel://:password@host1:26379,host2:26379/NAME; in a password, / is %2F, # is %23 and @ is %40"
)


class BadAddress(ValueError):
    """REDIS_URL leads nowhere by its form alone; the text says why, without any part of it that may be secret."""


@dataclass(frozen=True)
class StoreAddress:
    """A REDIS_URL that was understood."""

    #: Keywords of a connection to the store: host and port or path, db, user, password, TLS.
    store: Mapping[str, Any] = field(repr=False)
    #: Whether the connections are encrypted.
    tls: bool = False
    #: Sentinels, (host, port) each; empty: the store is asked directly.
    sentinels: tuple[tuple[str, int], ...] = ()
    #: What the Sentinels call the primary.
    name: str = ""
    #: Keywords of a connection to a Sentinel: user and password.
    sentinel: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def client(self, timeout: float | None) -> redis.asyncio.Redis:
        """Return a client for asyncio. Seconds; None waits for ever."""
        common = {
            **self.store,
            "retry": redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
            "socket_timeout": timeout,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "health_check_interval": 0,
        }
        if not self.sentinels:
            kind = _packed(_kind(self, redis.asyncio))
            return redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(connection_class=kind, **common))
        manager = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            self.sentinels,
            sentinel_kwargs=self._sentinel(redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)),
        )
        pool = _Pool(self.name, manager, ssl=self.tls, **common)  # type: ignore[no-untyped-call]
        pool.connection_class = _packed(pool.connection_class)
        return redis.asyncio.Redis.from_pool(pool)

    def plain_client(self, timeout: float, connect_timeout: float = CONNECT_TIMEOUT) -> redis.Redis:
        """Return a client that blocks, as RQ wants it. Seconds."""
        common = {
            **self.store,
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            "socket_timeout": timeout,
            "socket_connect_timeout": connect_timeout,
            "health_check_interval": 0,
        }
        if not self.sentinels:
            return redis.Redis.from_pool(redis.ConnectionPool(connection_class=_kind(self, redis), **common))
        manager = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            self.sentinels, sentinel_kwargs=self._sentinel(redis.retry.Retry(redis.backoff.NoBackoff(), 0))
        )
        pool = _PlainPool(self.name, manager, ssl=self.tls, **common)  # type: ignore[no-untyped-call]
        return redis.Redis.from_pool(pool)

    def _sentinel(self, retry: object) -> dict[str, Any]:
        times = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
        tls = {name: value for name, value in self.store.items() if name in TLS_OPTIONS}
        return {**self.sentinel, **tls, **times, "ssl": self.tls, "retry": retry}


def _kind(address: StoreAddress, module: Any) -> Any:
    """Return the class of a direct connection."""
    if "path" in address.store:
        return module.UnixDomainSocketConnection
    return module.SSLConnection if address.tls else module.Connection


class _InC:
    """Packs commands with hiredis, as redis-py does but in asyncio, and shows its transport."""

    _serializer = HiredisRespSerializer()
    _writer: asyncio.StreamWriter

    @property
    def transport(self) -> asyncio.WriteTransport:
        """Where the bytes go, once it is connected."""
        return self._writer.transport

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return a command as bytes."""
        packed: list[bytes] = self._serializer.pack(*args)
        return packed


def _packed(kind: type) -> Any:
    return type(kind.__name__, (_InC, kind), {})


class _Pool(redis.asyncio.sentinel.SentinelConnectionPool):
    """Connections to whoever is primary; closing it closes those to the Sentinels, too."""

    async def aclose(self) -> None:
        """Close all connections."""
        await super().aclose()
        await self.sentinel_manager.aclose()


class _PlainPool(redis.sentinel.SentinelConnectionPool):
    """The same for clients that block."""

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.sentinel_manager.close()


def parse(url: str) -> StoreAddress:
    """Return what a REDIS_URL says. Raises BadAddress."""
    try:
        parts = urlsplit(url.strip())
    except ValueError as exc:
        raise BadAddress("it is no address of a store") from exc
    match parts.scheme:
        case "redis" | "rediss":
            return _direct(parts)
        case "unix":
            return _socket(parts)
        case "sentinel" | "sentinel+tls":
            return _sentinels(parts)
    raise BadAddress("it is no address of a store")


def _direct(parts: SplitResult) -> StoreAddress:
    tls = parts.scheme == "rediss"
    options = _options(parts, tls, OPTIONS)
    user, hosts = _apart(parts.netloc)
    host, port = _host(hosts, STORE_PORT)
    database = _database(parts.path.strip("/"))
    return StoreAddress({"host": host, "port": port, **database, **options, **user}, tls)


def _socket(parts: SplitResult) -> StoreAddress:
    user, host = _apart(parts.netloc)
    path = unquote(parts.path)
    if host or not path.strip("/"):
        raise BadAddress("the path of the socket is missing: three slashes and then the path")
    return StoreAddress({"path": path, **_options(parts, False, OPTIONS), **user})


def _sentinels(parts: SplitResult) -> StoreAddress:
    tls = parts.scheme.endswith("+tls")
    options = _options(parts, tls, SENTINEL_OPTIONS)
    user, hosts = _apart(parts.netloc)
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise BadAddress("the name of the primary is missing behind the Sentinels, as in …:26379/mymaster")
    prefix = "sentinel_"
    own = {key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)}
    rest = {key: value for key, value in options.items() if not key.startswith(prefix)}
    return StoreAddress(
        {**_database(database), **rest, **user},
        tls,
        tuple(_host(each, SENTINEL_PORT) for each in hosts.split(",")),
        unquote(name),
        own,
    )


def _apart(netloc: str) -> tuple[dict[str, str], str]:
    """Return user and password, and what is behind them."""
    given, at, hosts = netloc.rpartition("@")
    user, _, password = given.partition(":")
    return ({k: unquote(v) for k, v in (("username", user), ("password", password)) if v} if at else {}), hosts


def _host(text: str, port: int) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/,\s]*)(?::(\d{1,5}))?", text)
    if not found or int(found[2] or port) > 65535:
        raise BadAddress("a host is no host:port")
    return found[1].strip("[]") or "localhost", int(found[2] or port)


def _database(text: str) -> dict[str, int]:
    if not text:
        return {}
    if not text.isdigit():
        raise BadAddress("the database behind the last slash is no number")
    return {"db": int(text)}


def _options(parts: SplitResult, tls: bool, known: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise BadAddress(f"an option behind the question mark does not exist; there are {', '.join(known)}")
        if name in TLS_OPTIONS and not tls:
            raise BadAddress(f"the option {name} is for rediss:// and sentinel+tls:// only")
        if name in TLS_FILES and not Path(value).is_file():
            raise BadAddress(f"the file of {name} cannot be found")
        found[name] = value
    if parts.fragment:
        raise BadAddress("it holds a #")
    with contextlib.suppress(KeyError):
        found.update(_database(found.pop("db")))
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"].lower() not in ("false", "no", "0")
    if found.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        raise BadAddress("ssl_cert_reqs is required, optional or none")
    if found.get("ssl_cert_reqs") == "none":
        found.setdefault("ssl_check_hostname", False)
    return found
