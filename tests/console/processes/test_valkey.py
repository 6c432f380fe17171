import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from console.errors import UserError
from console.processes import up, valkey
from console.processes.valkey import EmbeddedValkey
from tests.conftest import GENEROUS, wait_until
from workers import parent_death


@pytest.fixture
def opened(short_folder: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(short_folder / "data") as found:
        yield found


def started(server: EmbeddedValkey) -> subprocess.Popen[str]:
    return subprocess.Popen(
        server.command(),
        pass_fds=(server.lock,),
        preexec_fn=parent_death.to_parent(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_keeps_everything(opened: EmbeddedValkey) -> None:
    """The embedded server syncs each write, evicts nothing, has no TCP port, and still has its data after a kill."""
    process = started(opened)
    wait_until(opened.answers, "Valkey answers")
    with redis.Redis.from_url(opened.url) as client:
        config = client.config_get("*")
        client.set("kept", "yes")
    process.kill()
    process.communicate(timeout=GENEROUS)
    process = started(opened)
    wait_until(opened.answers, "Valkey answers again")
    with redis.Redis.from_url(opened.url) as client:
        kept = client.get("kept")
        client.shutdown()
    process.communicate(timeout=GENEROUS)

    assert {name: config[name] for name in ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "save")} == {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "save": "",
    }
    assert (config["maxmemory-policy"], config["port"]) == ("noeviction", "0")
    assert config["hash-max-listpack-entries"] == "64"
    assert kept == b"yes"


def test_allocator(opened: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is told how to allocate, unless the one who starts it has told so."""
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert up.valkey_child(opened).environ == valkey.ALLOCATOR
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1")
    assert up.valkey_child(opened).environ == {}


def test_the_allocator_understands() -> None:
    """glibc knows each word that the server is told, and takes its value: what it does not know it passes over."""
    loader = next(Path("/").glob("lib*/ld-linux-*.so.*"), None)
    if loader is None:
        pytest.skip("no glibc here")
    done = subprocess.run([loader, "--list-tunables"], env=valkey.ALLOCATOR, capture_output=True, text=True)
    if "glibc.malloc" not in done.stdout:
        pytest.skip("glibc before 2.33")
    for word in valkey.ALLOCATOR["GLIBC_TUNABLES"].split(":"):
        name, _, value = word.partition("=")
        assert f"\n{name}: {int(value):#x} " in f"\n{done.stdout}"


def test_one_folder_one_server(opened: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in use is refused with the pid of its holder and the mend."""
    monkeypatch.setattr(valkey, "LOCK_WAIT", 0.0)
    with (
        pytest.raises(UserError, match=f"in use by another `relais up` .pid {os.getpid()}") as refused,
        EmbeddedValkey(opened.folder),
    ):
        pass
    assert "--data" in refused.value.mend


def test_lock_outlives_parent(opened: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server still runs whose parent has let go, nobody else gets the folder."""
    monkeypatch.setattr(valkey, "LOCK_WAIT", 0.0)
    process = started(opened)
    wait_until(opened.answers, "Valkey answers")
    again = EmbeddedValkey(opened.folder)
    opened.__exit__(None, None, None)
    with pytest.raises(UserError, match="in use"):
        again.__enter__()
    process.terminate()
    process.communicate(timeout=GENEROUS)
    with again:
        assert again.lock


def test_folder_not_writable(short_folder: Path) -> None:
    """A folder that is a file is refused with what the system says and the mend."""
    (short_folder / "data").write_text("")
    with pytest.raises(UserError, match="cannot be written") as refused, EmbeddedValkey(short_folder / "data"):
        pass
    assert "--data" in refused.value.mend


def test_long_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_folder: Path) -> None:
    """A path too long for a unix socket falls back to a short place that belongs to this user alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    found = valkey.socket_path(deep)
    assert len(os.fsencode(found)) <= valkey.LONGEST_SOCKET_PATH
    assert found.parent.stat().st_mode & 0o777 == 0o700
    assert found != valkey.socket_path(tmp_path / ("x" * 60) / ("z" * 60))


def test_long_path_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_folder: Path) -> None:
    """A short place that others may write to is refused: they could put a socket of theirs there."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    short = short_folder / f"relais-{os.getuid()}"
    short.mkdir()
    short.chmod(0o777)
    with pytest.raises(UserError, match="belongs to somebody else"):
        valkey.socket_path(tmp_path / ("x" * 60) / ("y" * 60))


def test_refusal(opened: EmbeddedValkey) -> None:
    """A server that cannot start says why in its own words, with our mend."""
    (opened.data / "appendonlydir").mkdir()
    (opened.data / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    process = started(opened)
    said, _ = process.communicate(timeout=GENEROUS)
    mistake = opened.refusal(said, process.returncode)
    assert process.returncode != 0
    assert "manifest" in mistake.message
    assert mistake.mend


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("Can't open the append-only file: No space left on device", "free some space"),
        ("Can't chdir to '/x': Permission denied", "let this user write"),
        ("Bad file format reading the append only file", "restore it"),
    ],
)
def test_mends(said: str, mend: str) -> None:
    """What operating systems say leads to what a person can do."""
    assert mend in valkey.mend(said, Path("/srv/relais"))
