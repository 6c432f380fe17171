import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import redis

from console import catalogue, starter_book
from console.checks import doctor
from console.client import ClientSettings, ConsoleClient
from console.processes import port
from console.processes import up as up_module
from console.processes.sandbox_run import SandboxRun
from console.processes.valkey import EmbeddedValkey
from receiver.settings import ReceiverSettings
from rules.compiler import loader
from tests.conftest import GENEROUS, PrivateValkey, wait_until
from tests.console.conftest import SECRETS, RelaisProcess, Start


def processes(folder: Path) -> list[int]:
    """All processes that work in a folder or below it, zombies left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(process / "cwd").startswith(str(folder))
            if here and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(process.name))
        except OSError:
            continue
    return found


OPEN = """\
sources:
  open: {kind: generic, verify: {none: only for tests}, read: {id: body.id, type: body.type}}
rules:
  - name: cannot be rendered
    when: {source: open}
    then:
      - crm.upsert_contact:
          email: "{{ data.nothing }}"
"""


def docs_text(name: str) -> str:
    return (Path(__file__).parents[3] / "docs" / name).read_text()


Up = Callable[..., tuple[RelaisProcess, str]]


@pytest.fixture
def up(start: Start) -> Up:
    """Start `relais up` on free ports; returns it and the console's address once all is ready."""

    def begin(**environ: str) -> tuple[RelaisProcess, str]:
        ports = port.free("127.0.0.1"), port.free("127.0.0.1")
        process = start("up", "--port", str(ports[0]), "--console-port", str(ports[1]), **(SECRETS | environ))
        process.wait_for("Relais is up.")
        return process, f"http://127.0.0.1:{ports[1]}"

    return begin


def all_ready(url: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url}/readyz") as answer:  # noqa: S310 - our own address
            return bool(json.loads(answer.read())["ready"])
    except urllib.error.HTTPError as exc:
        exc.close()
        return False
    except OSError:  # nobody listens yet, or no more
        return False


def test_starts_and_stops(up: Up, short_folder: Path) -> None:
    """`relais up` becomes ready all the way, stops on Ctrl-C in order, and leaves no process and no socket."""
    process, console = up()
    wait_until(lambda: all_ready(console), "everything is ready")
    assert len(processes(short_folder)) >= 6
    assert process.stop(signal.SIGINT) == 0
    assert process.said.endswith("Relais has stopped.")
    # Valkey goes last: nothing that others still wanted to write is lost.
    ended = [line.split(" │ ")[0].strip() for line in process.lines if "worker.ended" in line or "bye bye" in line]
    assert ended[-1] == "valkey"
    assert "workers" in ended
    assert processes(short_folder) == []
    assert not (short_folder / ".relais" / "valkey.sock").exists()


def test_starts_again_what_dies(up: Up, short_folder: Path) -> None:
    """A process that is killed is started again; what had been acknowledged is still there."""
    process, console = up()
    client = ConsoleClient(ClientSettings(console_url=console))
    server = next(
        pid for pid in processes(short_folder) if b"valkey-server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(server, signal.SIGKILL)
    process.wait_for("ended with signal SIGKILL; starts again")
    wait_until(lambda: all_ready(console), "everything is ready again")
    assert client.get("/healthz") == {"alive": True}


def receivers(folder: Path) -> list[int]:
    return [pid for pid in processes(folder) if Path(f"/proc/{pid}/comm").read_text() == "relais receive\n"]


def alive(number: int) -> int:
    """Ask the receiver whether it lives, however long it takes; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=GENEROUS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def test_receiver_dies(up: Up, short_folder: Path) -> None:
    """While a receiver that died is started again, nobody is refused: connections wait for the next one."""
    process, _ = up()
    number = int(process.said.partition("webhooks  http://127.0.0.1:")[2].split("/")[0])
    [pid] = receivers(short_folder)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in processes(short_folder), "it is dead")
    assert [alive(number) for _ in range(3)] == [200] * 3
    assert receivers(short_folder) != [pid]
    assert process.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        alive(number)


def test_inherited_socket(start: Start, short_folder: Path) -> None:
    """A socket that outlives `relais up`, as systemd hands it over, keeps whoever comes while another one starts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        words = ("up", "--console-port", str(port.free("127.0.0.1")))
        environ = {**SECRETS, "RELAIS_LISTEN_FD": str(listening.fileno())}
        first = start(*words, descriptors=(listening.fileno(),), **environ)
        first.wait_for(f"http://127.0.0.1:{number}/in/SOURCE")
        assert alive(number) == 200
        assert first.stop() == 0
        waiting = threading.Thread(target=lambda: statuses.append(alive(number)))
        statuses: list[int] = []
        waiting.start()
        second = start(*words, descriptors=(listening.fileno(),), **environ)
        waiting.join(GENEROUS)
        assert statuses == [200]
        assert second.stop() == 0


def test_killed(up: Up, short_folder: Path) -> None:
    """When `relais up` itself is killed, nothing of it stays behind, and the next one takes the folder over."""
    process, _ = up()
    process.stop(signal.SIGKILL)
    wait_until(lambda: processes(short_folder) == [], "nothing of it runs")
    again, console = up()
    wait_until(lambda: all_ready(console), "everything is ready again")
    assert again.stop() == 0


def test_uses_another_store(up: Up, valkey: PrivateValkey, short_folder: Path) -> None:
    """With REDIS_URL set no Valkey is started, and none has data in the folder."""
    process, console = up(REDIS_URL=valkey.url)
    wait_until(lambda: all_ready(console), "everything is ready")
    assert process.stop() == 0
    assert not (short_folder / ".relais" / "valkey").exists()


ACL = [
    line for line in docs_text("operating.md").replace("\n  +", " +").splitlines() if line.startswith("user relais ")
]


@pytest.mark.parametrize("line", ACL, ids=["short", "smallest"])
def test_user_of_its_own(start: Start, valkey: PrivateValkey, book: Path, line: str) -> None:
    """With the rights that the docs name an event goes all the way, people can decide, and the doctor is content."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", *line.replace(">PASSWORD", ">pw").split()[1:])
        admin.config_set("requirepass", "another")
    url = valkey.url.replace("unix://", "unix://relais:pw@")
    (book / "more.yaml").write_text(OPEN)
    ports = [str(port.free("127.0.0.1")) for _ in range(2)]
    environ = {**SECRETS, "REDIS_URL": url, "RELAIS_DRAIN_BUDGET": "2", "RELAIS_WORKERS": "1"}
    process = start("up", "--port", ports[0], "--console-port", ports[1], **environ)
    process.wait_for("Relais is up.")
    client = ConsoleClient(ClientSettings(console_url=f"http://127.0.0.1:{ports[1]}"))
    connection = http.client.HTTPConnection("127.0.0.1", int(ports[0]), timeout=GENEROUS)
    connection.request("POST", "/in/open", json.dumps({"id": 1, "type": "a.b"}), {"Content-Type": "application/json"})
    event = json.loads(connection.getresponse().read())["events"][0]["id"]
    connection.close()
    assert client.get(f"/events/{event}?wait=30")["state"] == "dead"
    assert client.post("/rooms/crm/pause", {"why": "noon"}) == {"changed": True}
    assert client.post("/rooms/crm/resume", {}) == {"changed": True}
    assert client.post("/jobs", {"verb": "retry", "dry": True})["words"] == {"never_made": 1}
    job = client.post("/jobs", {"verb": "drop", "expect": 1})["id"]
    wait_until(lambda: client.get(f"/jobs/{job}")["words"] == {"done": 1}, "the job has ended")
    wait_until(lambda: all_ready(client.url), "everything is ready")
    checks = {check["name"]: check["ok"] for check in client.get("/readyz")["checks"]}
    assert checks["rights"] is True
    assert doctor.rights_of(url, "")[0].ok
    assert process.stop() == 0
    assert "NOPERM" not in process.said
    assert "no permissions" not in process.said


def test_path_with_a_blank(start: Start, short_folder: Path) -> None:
    """A data folder may have any name: every worker beats, which is what "is up" says."""
    ports = [str(port.free("127.0.0.1")) for _ in range(2)]
    folder = short_folder / "ä b"
    process = start("up", "--port", ports[0], "--console-port", ports[1], "--data", str(folder), **SECRETS)
    process.wait_for("Relais is up.")
    assert all_ready(f"http://127.0.0.1:{ports[1]}")
    assert process.stop() == 0


def test_home_where_nothing_can_be_written(start: Start, short_folder: Path) -> None:
    """Nobody needs a HOME: it may be read-only, and so may it be no folder at all, which stops root, too."""
    home = short_folder / "home"
    home.mkdir(mode=0o555)
    for told in (home, Path("/dev/null")):
        ports = [str(port.free("127.0.0.1")) for _ in range(2)]
        data = str(short_folder / f"data-{told.name}")
        environ = SECRETS | {"HOME": str(told)}
        process = start("up", "--port", ports[0], "--console-port", ports[1], "--data", data, **environ)
        process.wait_for("Relais is up.")
        assert all_ready(f"http://127.0.0.1:{ports[1]}")
        assert process.stop() == 0
        assert list(home.iterdir()) == []


def test_is_not_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no worker beats, it does not say that it is up; it says what is missing."""
    ports = [str(port.free("127.0.0.1")) for _ in range(2)]
    environ = {**SECRETS, "REDIS_URL": "redis://127.0.0.1:9", "RELAIS_WORKERS": "2"}
    process = start("up", "--port", ports[0], "--console-port", ports[1], **environ)
    process.wait_for("Relais is not up yet: 0 of 2 workers work; the store did not answer")
    assert "Relais is up." not in process.said
    assert process.stop() == 0


def test_port_taken(start: Start) -> None:
    """A taken port ends it with status 3, saying who has it and how to mend it, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        process = start("up", "--port", str(number), **SECRETS)
        assert process.process.wait(GENEROUS) == 3
        process.stop()
    assert f"port {number} on 127.0.0.1 is taken by" in process.said
    assert f"(pid {os.getpid()})" in process.said
    assert "mend: stop that, or take another port: --port" in process.said
    assert "Traceback" not in process.said


def test_bad_book(start: Start, book: Path) -> None:
    """A book with errors is refused with every error and its place."""
    (book / "more.yaml").write_text("rules:\n  - name: wrong\n    wen:\n      source: cmx\n")
    process = start("up", "--port", str(port.free("127.0.0.1")), **SECRETS)
    assert process.process.wait(GENEROUS) == 3
    process.stop()
    assert f"{book}/more.yaml:3" in process.said
    assert "Traceback" not in process.said


def test_fresh_secrets(start: Start, short_folder: Path) -> None:
    """The first start writes a `.env` with the senders' secrets, for its owner only; it never overwrites one."""
    ports = [str(port.free("127.0.0.1")) for _ in range(2)]
    process = start("up", "--port", ports[0], "--console-port", ports[1], SHOP_SECRET="mine", CRM_TOKEN="t")
    process.wait_for("Relais is up.")
    process.stop()
    assert "Wrote .env with 1 fresh secret of the sources." in process.lines
    file = short_folder / ".env"
    names = [line.partition("=")[0] for line in file.read_text().splitlines() if not line.startswith("#")]
    assert names == ["CMX_PASSWORD"]
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("# mine\n")
    again = start("up", "--port", ports[0], "--console-port", ports[1], SHOP_SECRET="mine", CRM_TOKEN="t")
    again.wait_for("CMX_PASSWORD is not set, so the source that needs it answers 503")
    again.stop()
    assert file.read_text() == "# mine\n"


def test_time_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process gets longer to stop than it gives itself, and Valkey as long to read a large file as that takes."""
    monkeypatch.setenv("RELAIS_STOP_SECONDS", "33")
    receive = ReceiverSettings()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        children = up_module.relais_children(up_module.UpSettings(), {}, receive, listening)
    times = {child.name: child.stop_within for child in children}
    assert times == {"console": 15.0, "workers": 43.0, "receiver": 43.0}
    assert list(times) == ["console", "workers", "receiver"]


def test_valkey_as_a_child(short_folder: Path) -> None:
    """Valkey starts before all others, holds the lock of its folder, and may take ten minutes to read its data."""
    with EmbeddedValkey(short_folder / "data") as embedded:
        child = up_module.valkey_child(embedded)
        assert (child.base, child.start_within, child.descriptors) == (True, 600.0, (embedded.lock,))
        assert child.refusal is not None
        assert child.ready is not None


def show(settings: up_module.UpSettings, promise: str, place: SandboxRun | None = None) -> list[str]:
    """The first screen of the starter book."""
    rules = loader.load(starter_book.starter(), catalogue.build())
    return up_module.banner(settings, promise, rules, place)


def test_banner_of_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    told = "\n".join(show(up_module.UpSettings(host="::1", console_host="::1"), "all is kept"))
    assert "  webhooks  http://[::1]:8080/in/SOURCE" in told
    assert "  pages     http://[::1]:8081/ui  (come in by: relais users link)" in told


def test_banner() -> None:
    """The banner says where everything is; an address with a password is not repeated."""
    told = "\n".join(show(up_module.UpSettings(REDIS_URL="redis://:swordfish@h"), "all is kept"))
    for line in (
        "  webhooks  http://127.0.0.1:8080/in/SOURCE  (sd_nord, at, cmx, mailing, tel,",
        "  pages     http://127.0.0.1:8081/ui  (come in by: relais users link)",
        "  waiting   maileon_main, crm, invoicing, tracking, sd_nord_api: what they refer",
        "            to is set nowhere; or try --sandbox",
        "  store     REDIS_URL",
        "  promise   all is kept",
        "  rules     rules/book  (changes count within three seconds)",
    ):
        assert line in told.splitlines()
    assert "swordfish" not in told


@pytest.mark.parametrize("sandbox", [False, True])
def test_first_screen(sandbox: bool) -> None:
    """The first screen has ten lines of 80 columns at the most."""
    place = SandboxRun("http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8030", "x")
    promise = "an acknowledged event survives a power cut (Valkey 9.0.1)"
    told = show(up_module.UpSettings(), promise, place if sandbox else None)
    assert told[0] == told[-1] == ""
    assert len(told) <= 12
    assert max(len(click.unstyle(line)) for line in told) <= 80
    assert ("  vendors   http://127.0.0.1:8030/_sandbox/state" in told) is sandbox
