import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import redis.asyncio

from console.checks import doctor, store
from console.errors import UserError
from console.processes import port
from mailroom.errors import NEWER
from receiver.spool import Spool
from rules.event import Event
from tests.conftest import GENEROUS, PrivateValkey
from tests.console import old_redis
from tests.console.conftest import SECRETS, Start

EVENT = Event("x", "at", "activetrail", "contact.changed", "2026-01-01T10:00:00.000Z", b"{}")


def relais(folder: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run `relais` in a folder."""
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environ}
    command = [sys.executable, "-m", "console.cli", *words]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=60)


def configure(valkey: PrivateValkey, **options: str) -> None:
    async def run() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as store:
            for name, value in options.items():
                await store.config_set(name, value)

    asyncio.run(run())


def test_well(tmp_path: Path, valkey: PrivateValkey) -> None:
    """A store as `relais up` runs it is well, and what an acknowledged event survives is the first line."""
    ran = relais(tmp_path, "doctor", REDIS_URL=valkey.url)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.startswith("Acknowledged events survive a power cut (Valkey 9")


@pytest.mark.parametrize("command", ["receive", "work", "console", "up"])
def test_too_old(start: Start, command: str) -> None:
    """A store that is too old is refused by each process at its start, with its version and the mend."""
    with old_redis.listening() as url:
        ports = {name: str(port.free("127.0.0.1")) for name in ("RELAIS_PORT", "RELAIS_CONSOLE_PORT")}
        process = start(command, REDIS_URL=url, **ports, **SECRETS)
        process.wait_for("Redis 6.2.14 is too old, so Relais cannot work on it")
        process.wait_for(NEWER)
        assert process.process.wait(GENEROUS) == 3


def test_doctor_of_a_store_that_is_too_old(tmp_path: Path) -> None:
    """The doctor says the same, and tries nothing else on it."""
    with old_redis.listening() as url:
        ran = relais(tmp_path, "doctor", "--json", REDIS_URL=url)
    assert ran.returncode == 1
    checks = {check["name"]: check for check in json.loads(ran.stdout)["checks"]}
    assert (checks["store"]["ok"], checks["store"]["says"]) == (False, "Redis 6.2.14 is too old")
    assert checks["store"]["mend"] == NEWER
    assert not {"rights", "boxes"} & set(checks)


def test_store_of_the_queues(tmp_path: Path, valkey: PrivateValkey, another: PrivateValkey) -> None:
    """Rights are tried where RQ's queues are: a user that may do all in one store may lack them in the other."""
    with redis.Redis.from_url(another.url) as admin:
        admin.acl_setuser("no_rq", enabled=True, nopass=True, keys=["relais:*"], channels=["*"], categories=["+@all"])
    for user, status in (("default", 0), ("no_rq", 1)):
        queues = another.url.replace("unix://", f"unix://{user}:x@" if user == "no_rq" else "unix://")
        ran = relais(tmp_path, "doctor", "--json", REDIS_URL=valkey.url, RELAIS_RQ_URL=queues)
        assert ran.returncode == status, ran.stdout
        [rights] = [check for check in json.loads(ran.stdout)["checks"] if check["name"] == "rights"]
        assert ("keys rq:*" in rights["says"]) is (status == 1)


def test_amiss(tmp_path: Path, valkey: PrivateValkey) -> None:
    """What is amiss ends with status 1; every check that is not ok has its mend."""
    configure(valkey, appendfsync="everysec", **{"maxmemory-policy": "allkeys-lru"})
    with_spool = Spool(tmp_path / "spool", 1 << 20)
    with_spool.append([(EVENT, None)])
    with_spool.close()
    environ = {"REDIS_URL": valkey.url, "RELAIS_SPOOL": str(tmp_path / "spool"), "RELAIS_STRICT": "power-cut"}
    ran = relais(tmp_path, "doctor", "--json", **environ)
    assert ran.returncode == 1
    found = json.loads(ran.stdout)
    assert found["well"] is False
    assert "up to 1 s" in found["survives"]
    amiss = {check["name"]: check for check in found["checks"] if not check["ok"]}
    assert set(amiss) == {"noeviction", "spool", "strict"}
    assert all(check["mend"] for check in amiss.values())
    assert amiss["spool"]["says"].startswith("1 event in ")


def test_set_aside(tmp_path: Path, valkey: PrivateValkey) -> None:
    """What the store refused again and again is amiss; a person sees it, and hands it over once more."""
    with contextlib.closing(Spool(tmp_path / "spool", 1 << 20)) as spool:
        spool.append([(EVENT, None)])
        spool.set_aside(spool.first(), "the store refused: no", 5)
    environ = {"REDIS_URL": valkey.url, "RELAIS_SPOOL": str(tmp_path / "spool")}
    ran = relais(tmp_path, "doctor", **environ)
    assert ran.returncode == 1
    assert "the store refused 1 event again and again" in ran.stdout
    listed = relais(tmp_path, "spool", "list", **environ).stdout
    assert "the store refused: no" in listed
    assert "contact.changed" in listed
    told = json.loads(relais(tmp_path, "spool", "list", "--json", **environ).stdout)
    assert told == [
        {
            "id": "x",
            "source": "at",
            "type": "contact.changed",
            "at": 1767261600000,
            "since": 5,
            "said": "the store refused: no",
        }
    ]
    assert relais(tmp_path, "spool", "retry", **environ).returncode == 2
    assert relais(tmp_path, "spool", "retry", "y", **environ).returncode == 1
    assert "1 event back" in relais(tmp_path, "spool", "retry", "x", **environ).stdout
    assert "Nothing is set aside" in relais(tmp_path, "spool", "list", **environ).stdout
    assert "0 events back" in relais(tmp_path, "spool", "retry", "--all", **environ).stdout


def test_away(tmp_path: Path) -> None:
    """A store that is away is an answer, too."""
    ran = relais(tmp_path, "doctor", REDIS_URL=f"unix://{tmp_path}/nobody")
    assert ran.returncode == 1
    assert "wait in the spool" in ran.stdout
    assert "start it, or mend REDIS_URL" in ran.stdout


def test_strict(tmp_path: Path, valkey: PrivateValkey) -> None:
    """A strict receiver does not start on a store that keeps less, and says why and the mend."""
    configure(valkey, appendfsync="everysec")
    ran = relais(tmp_path, "receive", "--port", "0", REDIS_URL=valkey.url, RELAIS_STRICT="power-cut")
    assert ran.returncode == 3
    assert "RELAIS_STRICT=power-cut asks for more" in ran.stderr
    assert "appendfsync always" in ran.stderr


def test_demand() -> None:
    """A store that keeps less than was asked for is refused, and if it may evict, that is said, too."""
    less = store.Guarantee(store.ONE_SECOND, True, False, mend="sync always")
    with pytest.raises(UserError, match=r"keeps: .* up to 1 s of them$") as refused:
        doctor.demand(less, "power-cut")
    assert refused.value.mend == "sync always"
    evicts = store.Guarantee(store.POWER_CUT, True, True)
    with pytest.raises(UserError, match=r"and it may throw away what waits$") as refused:
        doctor.demand(evicts, "power-cut")
    assert refused.value.mend == "relais doctor"
    doctor.demand(less, "1s")
    doctor.demand(less, "")
    doctor.demand(None, "power-cut")


def test_silent_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes the connection and says nothing is away after two seconds."""
    assert doctor.PATIENCE == 2.0
    monkeypatch.setattr(doctor, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert doctor.ask(f"redis://127.0.0.1:{silent.getsockname()[1]}") is None


@pytest.mark.parametrize(
    ("found", "spool", "says"),
    [
        (store.Guarantee(store.POWER_CUT, True, False, "Valkey 9.1"), "", f"{store.POWER_CUT} (Valkey 9.1)"),
        (None, "/s", "the store does not answer; acknowledged events wait in the spool and survive a power cut"),
        (None, "", "the store does not answer, so nothing is acknowledged"),
    ],
)
def test_promise(found: store.Guarantee | None, spool: str, says: str) -> None:
    """What an acknowledged event survives is said for each state of store and spool."""
    assert doctor.promise(found, spool) == says


def test_receiver_says_what_it_promises(start: Start, valkey: PrivateValkey) -> None:
    """A receiver says at its start what it runs with, and what an acknowledged event survives."""
    number = port.free("127.0.0.1")
    process = start("receive", "--port", str(number), REDIS_URL=valkey.url, **SECRETS)
    process.wait_healthy(f"http://127.0.0.1:{number}")
    first, second, *_ = process.lines
    assert first.startswith("relais receive runs with ")
    assert f"RELAIS_PORT={number}" in first
    assert second.startswith(f"relais receive: {store.POWER_CUT} (Valkey 9")
