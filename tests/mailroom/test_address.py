"""REDIS_URL in every shape, and what is said of those that lead nowhere."""

from pathlib import Path
from typing import Any

import pytest

from mailroom import address

HOST = {"host": "store", "port": 6379}


@pytest.mark.parametrize(
    ("url", "store", "tls"),
    [
        ("redis://store", HOST, False),
        ("redis://:p%2F%40@store:1/2", {"host": "store", "port": 1, "db": 2, "password": "p/@"}, False),
        ("rediss://me:x@[::1]:6380", {"host": "::1", "port": 6380, "username": "me", "password": "x"}, True),
        ("rediss://store?ssl_check_hostname=false", {**HOST, "ssl_check_hostname": False}, True),
        ("redis://store?db=3&password=x%20y", {**HOST, "db": 3, "password": "x y"}, False),
        ("unix:///run/a%20b.sock?db=1", {"path": "/run/a b.sock", "db": 1}, False),
        ("unix://:x@/run/s", {"path": "/run/s", "password": "x"}, False),
    ],
)
def test_direct(url: str, store: dict[str, Any], tls: bool) -> None:
    """A store that is asked directly: host or socket, database, user, password."""
    found = address.parse(url)
    assert (found.store, found.tls, found.sentinels) == (store, tls, ())


def test_sentinels() -> None:
    """Sentinels stand one behind the other, then the name of the primary; both may want a password."""
    found = address.parse("sentinel://me:x@one,two:5,[::1]:6/mymaster/2?sentinel_password=y%26")
    assert found.sentinels == (("one", 26379), ("two", 5), ("::1", 6))
    assert (found.name, found.store) == ("mymaster", {"username": "me", "password": "x", "db": 2})
    assert found.sentinel == {"password": "y&"}
    assert not found.tls


def test_tls_behind_sentinels(tmp_path: Path) -> None:
    """With TLS the Sentinels are asked with the same certificates as the store."""
    ca = tmp_path / "ca.pem"
    ca.touch()
    found = address.parse(f"sentinel+tls://one/mymaster?ssl_ca_certs={ca}")
    assert (found.tls, found.store) == (True, {"ssl_ca_certs": str(ca)})
    pool: Any = found.plain_client(1).connection_pool
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs["ssl_ca_certs"] == str(ca)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "no address of a store"),
        ("http://store", "no address of a store"),
        ("redis://[store", "no address of a store"),
        ("redis://store:trouthead", "a host is no host:port"),
        ("redis://:trout/head@store", "a host is no host:port"),
        ("redis://store/trouthead", "is no number"),
        ("redis://store?trouthead=1&x", "does not exist; there are db, username"),
        ("redis://store?socket_timeout=1", "does not exist"),
        ("redis://store?sentinel_password=x", "does not exist"),
        ("redis://store?ssl_ca_certs=/x", "for rediss:// and sentinel"),
        ("rediss://store?ssl_ca_certs=/nowhere/ca.pem", "the file of ssl_ca_certs cannot be found"),
        ("rediss://store?ssl_cert_reqs=maybe", "required, optional or none"),
        ("redis://:trout#head@store", "a host is no host:port|holds a #"),
        ("unix://run/s", "path of the socket is missing"),
        ("unix:///", "path of the socket is missing"),
        ("sentinel://one,two", "name of the primary is missing"),
        ("sentinel://one,two:x/mymaster", "a host is no host:port"),
        ("sentinel://one/mymaster/x", "is no number"),
    ],
)
def test_leads_nowhere(url: str, why: str) -> None:
    """An address that leads nowhere is refused in a sentence, without a part of its password."""
    with pytest.raises(address.BadAddress, match=why) as refused:
        address.parse(url)
    assert "trout" not in str(refused.value)
    assert "head" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://store", "unix:///s", "rediss://store", "sentinel://one/mymaster"])
def test_no_retries(url: str) -> None:
    """No client repeats anything by itself, and none waits for ever to connect."""
    for client in (address.parse(url).client(5), address.parse(url).plain_client(5)):
        pool: Any = client.connection_pool
        kwargs = pool.connection_kwargs
        assert kwargs["retry"].get_retries() == 0
        assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (5, address.CONNECT_TIMEOUT)
        if manager := getattr(pool, "sentinel_manager", None):
            kwargs = manager.sentinels[0].connection_pool.connection_kwargs
            assert kwargs["retry"].get_retries() == 0
            assert kwargs["socket_timeout"] == address.SENTINEL_TIMEOUT


def test_repr() -> None:
    """An address that is printed shows no password."""
    assert "trouthead" not in repr(address.parse("sentinel://:trouthead@a/b?sentinel_password=trouthead"))
