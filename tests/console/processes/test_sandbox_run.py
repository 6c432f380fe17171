import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from console import cli, starter_book
from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from console.processes import sandbox_run
from console.processes.sandbox_run import SandboxRun
from console.processes.valkey import EmbeddedValkey
from rules.catalogue import DestinationKind
from tests.conftest import wait_until
from tests.console.conftest import RelaisProcess, Start
from tests.workers.destinations.test_contract import EXAMPLES, KINDS
from tests.workers.wire import RawServer, reply

PLACE = ("http://127.0.0.1:8080", "http://127.0.0.1:8081")


def ask(url: str, body: Any = None) -> Any:
    """Ask a server of ours; return its JSON."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:  # noqa: S310 - our own address
        return json.loads(answer.read())


def started(process: RelaisProcess) -> Mapping[str, str]:
    """Wait until a `relais up --json` is up; return where its parts are."""
    process.wait_for('{"receiver": ')
    found: Mapping[str, str] = json.loads(next(line for line in process.lines if line.startswith("{")))
    return found


# The vendors of a book that must never be asked. ----------------------------------------------------------------------


def options(kind: DestinationKind, vendor: str) -> dict[str, Any]:
    """A destination of the book that leads to the vendor."""
    given = dict(EXAMPLES[kind.name][0])
    more = {"base": vendor} if "base" in kind.options.model_fields else {}
    return {"kind": kind.name, "allow_private": True, **more, **given}


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Destination and step of a rule for each action of each kind, with the arguments of its example."""
    for name, kind in KINDS.items():
        for action in kind.actions.values():
            if not action.look_up:
                given = dict(EXAMPLES[name][1][action.name])
                if "newsletter" in action.consent:
                    given["consent"] = {"newsletter": {"given": "for a test"}}
                yield name, {f"{name}.{action.name}": given}


def hostile(vendor: str) -> dict[str, Any]:
    """A book all of whose addresses lead to one server: every kind, look-ups, tokens, hooks, pulls, alerts."""
    none = {"none": "only for tests"}
    oauth = {"token_url": f"{vendor}/token", "client_id": "a", "client_secret": "b"}
    asking = {"base": vendor, "api_key": "k", "allow_private": True}
    return {
        "sources": {
            "open": {"kind": "generic", "verify": none, "read": {"id": "body.id", "type": "body.type"}},
            "sd": {"kind": "seminardesk", "verify": none, "api": "seminardesk", "pull": asking},
            "at": {"kind": "activetrail", "verify": none, "hooks": asking, "pull": asking},
            "mailing": {"kind": "maileon", "verify": none, "hooks": asking, "pull": asking},
            "tel": {"kind": "magnetis", "verify": none, "pull": asking},
        },
        "destinations": {
            **{name: options(kind, vendor) for name, kind in KINDS.items()},
            "tokens": {"kind": "rest", "base": vendor, "allow_private": True, "auth": {"oauth": oauth}},
        },
        "alerts": {"webhook": f"{vendor}/alert"},
        "rules": [
            *(
                {"name": f"step {at}", "when": {"source": "open", "type": f"test.t{at}"}, "then": [step]}
                for at, (_, step) in enumerate([*steps(), ("tokens", {"tokens.add_note": NOTE})])
            ),
            {
                "name": "who it is",
                "when": {"source": "sd", "type": "booking.created"},
                "look_up": {"who": {"api.person": {"id": "{{ data.booker.id }}"}}},
                "then": [{"rest.upsert_contact": {"email": "{{ who.email }}"}}],
            },
        ],
    }


#: What stand-ins say to examples that are right, about objects that are not there, or not yet: no order is promised
#: between events without an order key.
SAID_NO = {
    *("unknown_type", "no_such_invoice", "not_found", "not_final", "draft_stays"),
    *("no_group", "no_contact", "still_a_lead"),
}
NOTE = {"email": "eva@example.org", "text": "hello"}
BOOKING = {"id": "n1", "notifications": [{"action": "booking.create", "payload": {"id": 1, "booker": {"id": 4711}}}]}


def test_no_vendor_is_asked(start: Start, short_folder: Path) -> None:
    """Whatever the book's addresses are for, a sandbox sends no request there, and everything finds an end.

    What has a stand-in is delivered there, with the person looked up there; what has none is a dead letter.
    """
    with RawServer(reply(200, "{}")) as vendor:
        book = short_folder / "hostile"
        book.mkdir()
        (book / "book.yaml").write_text(yaml.safe_dump(hostile(vendor.url)))
        up = start("up", "--sandbox", "--json", "--port", "0", "--console-port", "0", RELAIS_BOOK=str(book))
        where = started(up)
        console = ConsoleClient(ClientSettings(console_url=where["console"]))
        sent = [*steps(), ("tokens", {})]
        ids = {}
        for at, (name, _) in enumerate(sent):
            body = {"id": f"m{at}", "type": f"test.t{at}"}
            ids[at, name] = ask(f"{where['receiver']}/in/open", body)["events"][0]["id"]
        looked = ask(f"{where['receiver']}/in/sd", BOOKING)
        fates = {key: console.get(f"/events/{id}?wait=60") for key, id in ids.items()}
        for (_, name), fate in fates.items():
            assert fate["settled"], fate
            codes = {attempt["code"] for delivery in fate["deliveries"] for attempt in delivery["attempts"]}
            assert "outside_sandbox" not in codes, fate
            absent = name in KINDS and KINDS[name].stand_in is None
            assert ("no_stand_in" in codes) is absent, fate
            assert absent or fate["state"] == "delivered" or codes & SAID_NO, fate
        assert looked
        wait_until(
            lambda: "ada@example.org" in json.dumps(ask(f"{where['sandbox']}/_sandbox/state/crm")), "Ada is there"
        )
        wait_until(lambda: bool(ask(f"{where['sandbox']}/_sandbox/state/magnetis")["asked"]), "calls were fetched")
        words = ("--since", "2h", "--dry-run", "--json")
        compared = {name: start("reconcile", name, *words, RELAIS_BOOK=str(book)) for name in ("sd", "at")}
        hooks = start("hooks", "list", "at", RELAIS_BOOK=str(book))
        for source, process in compared.items():
            process.wait_for(f'"source": "{source}"')
        assert "outside_sandbox" not in json.dumps(console.get("/pulls"))
        hooks.wait_for("at: there is no webhook.")
        assert f"(the sandbox of this folder: {where['console']})" in hooks.said
        assert up.stop() == 0
        assert (vendor.requests, vendor.connections) == ([], 0)
    assert all(name in up.said for name, kind in KINDS.items() if kind.stand_in is None)


def test_first_screen(short_folder: Path) -> None:
    """At a terminal a sandbox run says where everything is, and nothing of what its processes say meanwhile."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "console.cli", "up", "--sandbox", "--port", "0", "--console-port", "0"]
    environ = {"PATH": os.environ["PATH"], "RELAIS_BOOK": str(starter_book.starter()), "COLUMNS": "80"}
    with subprocess.Popen(words, cwd=short_folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as up:
        os.close(theirs)
        said = ""
        try:
            while "  rules     " not in said:
                said += os.read(ours, 4096).decode()
        finally:
            up.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # the terminal of who has ended
                while os.read(ours, 4096):
                    pass
            os.close(ours)
    first, _, screen = said.partition("Relais is up.")
    assert "Starting …" in first
    assert "│" not in said
    lines = screen.partition("  rules     ")[0].splitlines()
    assert len(lines) < 10
    assert max(len(line) for line in lines) <= 80
    assert up.returncode == 0


def test_shares_nothing(start: Start, short_folder: Path) -> None:
    """A sandbox run has a store of its own, whatever REDIS_URL says, and begins empty; the real run's data stays."""
    real = short_folder / ".relais" / "spool"
    real.mkdir(parents=True)
    (real / "kept").write_text("x")
    environ = {"REDIS_URL": "redis://127.0.0.1:9", "RELAIS_RQ_URL": "redis://127.0.0.1:9", "RELAIS_SPOOL": str(real)}
    words = ("up", "--sandbox", "--json", "--port", "0", "--console-port", "0")
    folder = short_folder / ".relais" / "sandbox"
    sandbox_run.begin(folder, *PLACE)
    (folder / "left").write_text("of the last run")
    up = start(*words, CMX_PASSWORD="p", SHOP_SECRET="s", **environ)
    assert started(up)["data"] == str(folder)
    assert not (folder / "left").exists()
    doctor = start("doctor", "--json")
    another = start(*words, CMX_PASSWORD="p", SHOP_SECRET="s", **environ)
    doctor.wait_for('"survives": "acknowledged events survive a power cut')
    another.wait_for("is in use by another `relais up`")
    assert [path.name for path in real.iterdir()] == ["kept"]
    assert up.stop() == 0


def test_real_run_in_its_folder(start: Start, short_folder: Path) -> None:
    """A real run neither takes a sandbox's data folder over nor delivers to a sandbox."""
    sandbox_run.begin(short_folder / "sandbox", *PLACE)
    process = start("up", "--data", str(short_folder / "sandbox"), "--port", "0", "--console-port", "0")
    process.wait_for("is the data of a sandbox run: what waits there is not for real vendors")
    process = start("up", "--port", "0", "--console-port", "0", RELAIS_SANDBOX="http://127.0.0.1:8030")
    process.wait_for("RELAIS_SANDBOX is set, so what comes in would be delivered to a sandbox and to nobody else")


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder that no sandbox run made is neither emptied nor used."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    (folder / "letters").write_text("mine")
    with pytest.raises(UserError, match="no sandbox run made it"):
        sandbox_run.begin(folder, *PLACE)
    assert (folder / "letters").read_text() == "mine"


def test_found_while_it_is_up(short_folder: Path) -> None:
    """A run is found in the data folder as long as it holds it, and what holds it is never emptied."""
    environ = {"RELAIS_DATA": str(short_folder)}
    assert sandbox_run.find(environ) is None
    run = sandbox_run.begin(short_folder / "sandbox", *PLACE)
    sandbox_run.write(run)
    assert sandbox_run.find(environ) is None
    with EmbeddedValkey(short_folder / "sandbox"):
        assert sandbox_run.find(environ) == run
        assert sandbox_run.begin(short_folder / "sandbox", *PLACE).data == run.data
        assert sandbox_run.find(environ) == run
    assert sandbox_run.find(environ) is None


def test_commands_ask_it(
    short_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command takes where the sandbox is from its file, and says so; what the shell says wins."""
    monkeypatch.setattr(cli, "FROM_SANDBOX", set())
    run = sandbox_run.begin(short_folder / "sandbox", *PLACE)
    sandbox_run.write(run)
    with EmbeddedValkey(short_folder / "sandbox"):
        environ: Any = {"RELAIS_DATA": str(short_folder), "REDIS_URL": "redis://real", "RELAIS_CONSOLE_URL": "http://x"}
        cli.ask_sandbox(environ, {"RELAIS_CONSOLE_URL": "http://x"})
    assert environ["RELAIS_SANDBOX"] == run.sandbox
    assert (environ["REDIS_URL"], environ["RELAIS_CONSOLE_URL"]) == ("", "http://x")
    assert environ["SANDBOX_MAILEON_API_KEY"]
    assert "REDIS_URL" in cli.FROM_SANDBOX
    assert "RELAIS_CONSOLE_URL" not in cli.FROM_SANDBOX
    assert capsys.readouterr().err == f"(the sandbox of this folder: {run.console})\n"


def test_keys_may_be_others() -> None:
    """The keys of the stand-ins can be set, and all processes get the same ones."""
    run = SandboxRun(*PLACE, "http://127.0.0.1:8030", "x")
    environ = run.environ({"SANDBOX_REST_TOKEN": "another", "CRM_TOKEN": "real"})
    assert environ["SANDBOX_REST_TOKEN"] == "another"
    assert "CRM_TOKEN" not in environ
    assert run.child(environ).environ["SANDBOX_REST_TOKEN"] == "another"
