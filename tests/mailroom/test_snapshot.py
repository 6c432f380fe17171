"""A copy of the whole store: exact, of one moment, and refused in words."""

import io
import os
import socket
import threading
from pathlib import Path

import pytest
import redis

from mailroom import StoreUnavailable, snapshot
from tests.conftest import PrivateValkey

#: The folder and the files from which a store with `appendonly yes` starts.
BASE = "appendonly.aof.1.base.rdb"


def start_from(folder: Path, copy: bytes) -> PrivateValkey:
    """Start another Valkey from a copy."""
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / BASE).write_bytes(copy)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text(f"file {BASE} seq 1 type b\n")
    server = PrivateValkey(folder)
    server.start()
    return server


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_exact(valkey: PrivateValkey, short_folder: Path, diskless: str) -> None:
    """The copy holds every key with its time to live, also what is larger than a read, and nothing is left behind."""
    with redis.Redis.from_url(valkey.url) as store:
        store.config_set("repl-diskless-sync", diskless)
        store.config_set("repl-diskless-sync-delay", 0)
        large = os.urandom(3 * snapshot.CHUNK)
        store.set("large", large)
        store.zadd("sorted", {"a": 1.5, "b": 2})
        store.set("brief", "x", ex=1000)
        store.function_load("#!lua name=l\nredis.register_function('f', function() return 1 end)")
        file = io.BytesIO()
        assert snapshot.write(valkey.url, file) == len(file.getvalue())
        store.set("later", "not in it")
    other = start_from(short_folder / "other", file.getvalue())
    with redis.Redis.from_url(other.url) as copy:
        assert copy.get("large") == large
        assert copy.zrange("sorted", 0, -1, withscores=True) == [(b"a", 1.5), (b"b", 2.0)]
        assert 0 < copy.ttl("brief") <= 1000
        assert copy.fcall("f", 0) == 1
        assert not copy.exists("later")
    other.stop()


def test_under_load(valkey: PrivateValkey, short_folder: Path) -> None:
    """What was written before the call is in it, whatever is written meanwhile, and it is of one moment."""
    over = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with redis.Redis.from_url(valkey.url) as store:
            while not over.is_set():
                with store.pipeline(transaction=True) as both:
                    both.rpush("one", written).rpush("two", written).execute()
                written += 1

    with redis.Redis.from_url(valkey.url) as store:
        store.config_set("repl-diskless-sync-delay", 0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written < 100:
            pass
        before = written
        file = io.BytesIO()
        snapshot.write(valkey.url, file)
    finally:
        over.set()
        writer.join()
    other = start_from(short_folder / "other", file.getvalue())
    with redis.Redis.from_url(other.url) as copy:
        one, two = copy.lrange("one", 0, -1), copy.lrange("two", 0, -1)
    other.stop()
    assert one == two
    assert [int(n) for n in one] == list(range(len(one)))
    assert len(one) >= before


def test_refused(valkey: PrivateValkey) -> None:
    """A user who may not is told so; a store that is away is said to be."""
    with redis.Redis.from_url(valkey.url) as store:
        store.execute_command("ACL", "SETUSER", "us", "on", ">pw", "~*", "+@all", "-@dangerous")
    with pytest.raises(StoreUnavailable):
        snapshot.write(valkey.url.replace("unix://", "unix://us:pw@"), io.BytesIO())
    with pytest.raises(StoreUnavailable):
        snapshot.write("redis://127.0.0.1:1", io.BytesIO())


def test_rights(valkey: PrivateValkey) -> None:
    """A user with the rights of our processes needs two more, as the documentation says."""
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    [line] = [each for each in page.splitlines() if each.startswith("user relais ") and "+@all" in each]
    assert "needs `+sync +replconf`" in page
    with redis.Redis.from_url(valkey.url) as store:
        store.execute_command("ACL", "SETUSER", *line.replace(">PASSWORD", ">pw").split()[1:], "+sync", "+replconf")
    assert snapshot.write(valkey.url.replace("unix://", "unix://relais:pw@"), io.BytesIO()) > 0


def test_cut_off() -> None:
    """A store that goes away in the middle of it leaves no copy that looks like one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                while b"SYNC" not in (asked := connection.recv(4096)):
                    connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n" if b"HELLO" in asked else b"+OK\r\n")
                connection.sendall(b"\n\n$EOF:" + b"a" * 40 + b"\r\nREDIS0011" + b"x" * 1000)

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(StoreUnavailable):
            snapshot.write(f"redis://127.0.0.1:{listening.getsockname()[1]}", io.BytesIO())
        server.join()
