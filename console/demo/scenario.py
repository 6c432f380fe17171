"""The demo: all of Relais, stand-ins for the vendors, and the webhooks of invented people sent through it.

Comes in: nothing but free ports. Goes out: a table of what arrived where, and whether that is all that was expected.
Never reaches a real vendor: the destinations of its copy of the starter book lead to the sandbox.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click
import yaml

from console import book, replay, starter_book
from console.demo import arrivals
from console.errors import SAID_NO, UserError
from console.processes import port, probe, supervisor, up
from console.processes.supervisor import Child, Printer, Supervisor
from console.processes.up import UpSettings
from console.render import tables
from receiver.settings import in_url
from rules import secret
from sandbox.accounts import Accounts

HOST = "127.0.0.1"
SANDBOX_PORT = 8030

#: Destination of the starter book -> the sandbox's vendor that stands in for it, and its address there.
STAND_INS: Mapping[str, tuple[str, str]] = {
    "maileon_main": ("maileon", "/maileon/1.0"),
    "crm": ("crm", "/crm"),
    "invoicing": ("invoicing", "/invoicing"),
    "sd_nord_api": ("seminardesk", "/seminardesk/private-api"),
}


#: Kinds of sources in the order of the story: who signs up can unsubscribe later.
STORY = ("cmxorganize", "activetrail", "seminardesk", "magnetis", "maileon", "generic")


@dataclass(frozen=True)
class DemoStage:
    """Where the demo plays."""

    settings: UpSettings
    wanted_port: int
    sandbox_port: int
    #: Invented secrets of the book's sources, and the sandbox's keys.
    environ: Mapping[str, str]

    @property
    def receiver(self) -> str:
        """Address of the receiver."""
        return f"http://{in_url(self.settings.host)}:{self.settings.port}"

    @property
    def console(self) -> str:
        """Address of the console."""
        return f"http://{in_url(self.settings.console_host)}:{self.settings.console_port}"

    @property
    def sandbox(self) -> str:
        """Address of the sandbox."""
        return f"http://{HOST}:{self.sandbox_port}"


def run(wanted_port: int, *, stay: bool, verbose: bool) -> None:
    """Play the demo; without `stay` it ends after the table, with status 0 only if everything expected arrived."""
    outcome: list[bool] = []
    say = Quiet(verbose)
    forget_settings()
    with stage(wanted_port) as where, contextlib.chdir(where.settings.book.parent):
        try:
            supervisor.run(_play(where, outcome, say, stay=stay))
        except UserError:
            for line in say.kept:
                click.echo(line, err=True)
            raise
    if not stay and outcome != [True]:
        sys.exit(SAID_NO)


def forget_settings() -> None:
    """Forget what the environment says of a real Relais: its store, its spool and its token are not the demo's."""
    for name in list(os.environ):
        if name == "REDIS_URL" or (name.startswith("RELAIS_") and name != "RELAIS_LOG_LEVEL"):
            del os.environ[name]


async def _play(where: DemoStage, outcome: list[bool], say: "Quiet", *, stay: bool) -> None:
    out = tables.out()
    with out.status("Starting Valkey, the sandbox, receiver, workers and console …"):
        stack = contextlib.AsyncExitStack()
        running = await stack.enter_async_context(performers(where, say))
    async with stack:
        with out.status("Sending webhooks as SeminarDesk, ActiveTrail, cmxOrganize and a shop would …"):
            report = await send(where)
        held = await arrivals.fetch(where.sandbox)
        if where.settings.port != where.wanted_port:
            out.print(f"Port {where.wanted_port} is taken, so the receiver has {where.settings.port}.", highlight=False)
        out.print(arrivals.tables(held, STAND_INS))
        out.print(arrivals.summary(report))
        wrong = arrivals.compare(expected(), held, report, STAND_INS)
        outcome.append(not wrong)
        for line in wrong:
            out.print(f"[red]not as expected:[/red] {line}", highlight=False)
        if wrong:
            out.print("The lines of the processes:", *say.kept, sep="\n", markup=False, highlight=False)
        else:
            out.print("[green]Everything that was expected has arrived, once.[/green]")
        if stay:
            out.print(farewell(where), highlight=False)
            say.show = True
            await running.forever()


@contextlib.asynccontextmanager
async def performers(where: DemoStage, say: "Quiet") -> AsyncIterator[Supervisor]:
    """Run everything and the sandbox inside the `async with`."""
    sandbox = Child(
        name="sandbox",
        command=supervisor.relais("sandbox", "--host", HOST, "--port", str(where.sandbox_port)),
        base=True,
        ready=functools.partial(_answers, where.sandbox_port),
    )
    async with up.everything(where.settings, environ=where.environ, more=(sandbox,), say=say) as running:
        yield running


async def _answers(number: int) -> bool:
    answer = await probe.get(HOST, number, "/_sandbox/healthz")
    return answer is not None and answer[0] == 200


async def send(where: DemoStage) -> replay.ReplayReport:
    """Send the packaged bodies of all sources and wait until every event is settled."""
    environ = {**os.environ, **where.environ}
    paths = [fixtures() / kind for kind in STORY]
    shots = replay.plan(paths, book.load(where.settings.book), environ)
    report = await replay.send_all(shots, where.receiver)
    await replay.await_fates(report, where.console)
    return report


@contextlib.contextmanager
def stage(wanted_port: int) -> Iterator[DemoStage]:
    """Give a folder of its own, free ports, and a copy of the starter book that leads to the sandbox."""
    folder = Path(tempfile.mkdtemp(prefix="relais-demo-"))
    try:
        number = port.choose(HOST, SANDBOX_PORT)
        copy = folder / "book"
        starter_book.copy(copy)
        for file in sorted(copy.glob("*.y*ml")):
            file.write_text(redirected(file.read_text(encoding="utf-8"), f"http://{HOST}:{number}"), encoding="utf-8")
        settings = UpSettings(
            host=HOST,
            port=port.choose(HOST, wanted_port),
            console_host=HOST,
            console_port=port.choose(HOST, wanted_port + 1),
            book=copy,
            data=folder / "data",
            REDIS_URL="",
        )
        yield DemoStage(settings, wanted_port, number, invented(copy))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def redirected(text: str, sandbox: str) -> str:
    """Return a book's text with the addresses of its destinations led to the sandbox; all else stays as it is."""
    lines = text.splitlines(keepends=True)
    destinations = _mapping(yaml.compose(text, yaml.SafeLoader)).get("destinations")
    edits: list[tuple[int, int, str]] = []
    for name, node in _mapping(destinations[1] if destinations else None).items():
        if name not in STAND_INS:
            raise UserError(f"the demo knows no stand-in for the destination {name!r} of the starter book")
        fields = _mapping(node[1])
        indent = " " * fields["kind"][0].start_mark.column
        for key in ("base", "allow_private"):
            if key in fields:
                edits.append((fields[key][0].start_mark.line, _last_line(fields[key][1]) + 1, ""))
        after = _last_line(fields["kind"][1]) + 1
        edits.append((after, after, f"{indent}base: {sandbox}{STAND_INS[name][1]}\n{indent}allow_private: true\n"))
    for begin, end, replacement in sorted(edits, reverse=True):
        lines[begin:end] = [replacement] if replacement else []
    return "".join(lines)


def _mapping(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): (key, value) for key, value in node.value}


def _last_line(node: yaml.Node) -> int:
    mark = node.end_mark
    return int(mark.line if mark.column else mark.line - 1)


def invented(folder: Path) -> dict[str, str]:
    """Return a value for every reference in the book: the sandbox's keys, and secrets nobody uses elsewhere."""
    names: set[str] = set()
    for file in folder.glob("*.y*ml"):
        without_comments = re.sub(r"(?m)(^|\s)#.*$", "", file.read_text(encoding="utf-8"))
        names.update(secret.REFERENCE.findall(without_comments))
    return {name: f"demo-{name.lower().replace('_', '-')}" for name in sorted(names)} | dict(Accounts().for_book())


def fixtures() -> Path:
    """Return the folder of the packaged bodies."""
    return Path(str(resources.files("console.demo"))) / "fixtures"


def expected() -> Mapping[str, Any]:
    """Return what must have arrived after the packaged bodies were sent."""
    text = resources.files("console.demo").joinpath("expected.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def farewell(where: DemoStage) -> str:
    """Return how to go on."""
    password = where.environ.get("CMX_PASSWORD", "")
    return "\n".join(
        [
            "",
            f"Post webhooks of your own to {where.receiver}/in/SOURCE, for example:",
            "",
            f"  curl -u cmx:{password} -H 'Content-Type: application/json' {where.receiver}/in/cmx \\",
            '    -d \'{"E-Mailadresse": "you@example.org", "Vorname": "Du", "Name": "Selbst", '
            '"Einzelnutzertracking": "ja"}\'',
            "",
            f"What became of it:      RELAIS_CONSOLE_URL={where.console} relais events list",
            f"What the vendors hold:  curl {where.sandbox}/_sandbox/state",
            f"The rules (change them, they count within three seconds): {where.settings.book}",
            "Ctrl-C ends the demo and removes its data.",
            "",
        ]
    )


class Quiet:
    """Collects the lines of the processes; prints them only with --verbose, or while the demo stays up."""

    KEPT = 60

    def __init__(self, verbose: bool) -> None:
        self.show = verbose
        self.kept: list[str] = []
        self._print = Printer(["receiver", "workers", "console", "sandbox", "valkey"])

    def __call__(self, name: str, line: str) -> None:
        """Take a line."""
        if self.show:
            self._print(name, line)
        else:
            self.kept = [*self.kept[-self.KEPT :], f"{name:8} │ {line}"]
