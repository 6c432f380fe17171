"""The demo: all of Relais, stand-ins for the vendors, and the webhooks of invented people sent through it.

Comes in: nothing but free ports. Goes out: a table of what arrived where, and whether that is all that was expected.
Never reaches a real vendor: it is a sandbox run (`console.processes.sandbox_run`) of a copy of the starter book.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from console import book, replay, starter_book
from console.demo import arrivals
from console.errors import SAID_NO, UserError
from console.processes import port, supervisor, up
from console.processes.sandbox_run import SandboxRun
from console.processes.supervisor import QuietPrinter
from console.processes.up import UpSettings
from console.processes.valkey import EmbeddedValkey
from console.render import tables
from mailroom import Mailroom
from rules.rulebook import Rulebook

HOST = "127.0.0.1"

#: Destination of the starter book -> the sandbox's vendor that stands in for it.
STAND_INS: Mapping[str, str] = {
    "maileon_main": "maileon",
    "crm": "crm",
    "invoicing": "invoicing",
    "tracking": "etracker",
    "sd_nord_api": "seminardesk",
}


#: Kinds of sources in the order of the story: who signs up can unsubscribe later.
STORY = ("cmxorganize", "activetrail", "seminardesk", "magnetis", "maileon", "generic")


@dataclass(frozen=True)
class DemoStage:
    """Where the demo plays."""

    settings: UpSettings
    wanted_port: int
    place: SandboxRun
    #: Invented secrets of the book's sources.
    environ: Mapping[str, str]


def run(wanted_port: int, *, stay: bool, verbose: bool) -> None:
    """Play the demo; without `stay` it ends after the table, with status 0 only if everything expected arrived."""
    outcome: list[bool] = []
    say = QuietPrinter(up.CHILDREN, show=verbose)
    forget_settings()
    with stage(wanted_port) as where, contextlib.chdir(where.settings.book.parent):
        try:
            supervisor.run(_play(where, outcome, say, stay=stay))
        except UserError:
            say.open()
            raise
    if not stay and outcome != [True]:
        sys.exit(SAID_NO)


def forget_settings() -> None:
    """Forget what the environment says of a real Relais: its store, its spool and its token are not the demo's."""
    for name in list(os.environ):
        if name == "REDIS_URL" or (name.startswith("RELAIS_") and name != "RELAIS_LOG_LEVEL"):
            del os.environ[name]


async def _play(where: DemoStage, outcome: list[bool], say: QuietPrinter, *, stay: bool) -> None:
    out = tables.out()
    with out.status("Starting Valkey, the sandbox, receiver, workers and console …"):
        stack = contextlib.AsyncExitStack()
        playing = up.everything(where.settings, environ=where.environ, place=where.place, say=say)
        running = await stack.enter_async_context(playing)
    async with stack:
        with out.status("Sending webhooks as the platforms and a shop would …"):
            report = await send(where)
        held = await arrivals.fetch(where.place.sandbox)
        if where.settings.port != where.wanted_port:
            out.print(f"Port {where.wanted_port} is taken, so the receiver has {where.settings.port}.", highlight=False)
        out.print(arrivals.tables(held, STAND_INS))
        out.print(arrivals.summary(report))
        wrong = arrivals.compare(expected(), held, report, STAND_INS)
        outcome.append(not wrong)
        for line in wrong:
            out.print(f"[red]not as expected:[/red] {line}", highlight=False)
        if wrong:
            out.print("The lines of the processes:")
            say.open()
        else:
            out.print("[green]Everything that was expected has arrived, once.[/green]")
        if stay:
            async with Mailroom.connect(EmbeddedValkey(where.settings.data).url) as mailroom:
                link = await up.make_link(where.settings, mailroom)
            out.print(farewell(where, link), highlight=False)
            say.open(drop=True)
            await running.forever()


async def send(where: DemoStage) -> replay.ReplayReport:
    """Send the packaged bodies of all sources and wait until every event is settled."""
    environ = {**os.environ, **where.environ}
    paths = [fixtures() / kind for kind in STORY]
    shots = replay.plan(paths, book.load(where.settings.book), environ)
    report = await replay.send_all(shots, where.place.receiver)
    await replay.await_fates(report, where.place.console)
    return report


@contextlib.contextmanager
def stage(wanted_port: int) -> Iterator[DemoStage]:
    """Give a folder of its own, free ports, and a copy of the starter book that leads to the sandbox."""
    folder = Path(tempfile.mkdtemp(prefix="relais-demo-"))
    try:
        copy = folder / "book"
        starter_book.copy(copy)
        settings = UpSettings(
            host=HOST,
            port=port.choose(HOST, wanted_port),
            console_host=HOST,
            console_port=port.choose(HOST, wanted_port + 1),
            book=copy,
            data=folder,
            REDIS_URL="",
        )
        settings, place = up.begin_sandbox(settings, anywhere=True)
        yield DemoStage(settings, wanted_port, place, invented(book.load(copy)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def invented(rules: Rulebook) -> dict[str, str]:
    """Return a value for every secret of the book's sources, which nobody uses elsewhere."""
    names = {name for source in rules.sources.values() for each in source.verify.secrets for name in each.names}
    return {name: f"demo-{name.lower().replace('_', '-')}" for name in sorted(names)}


def fixtures() -> Path:
    """Return the folder of the packaged bodies."""
    return Path(str(resources.files("console.demo"))) / "fixtures"


def expected() -> Mapping[str, Any]:
    """Return what must have arrived after the packaged bodies were sent."""
    text = resources.files("console.demo").joinpath("expected.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def farewell(where: DemoStage, link: str) -> str:
    """Return how to go on."""
    password = where.environ.get("CMX_PASSWORD", "")
    return "\n".join(
        [
            "",
            "Look at all of it in a browser, by a link that is good for one use:",
            "",
            f"  {link}",
            "",
            f"Post webhooks of your own to {where.place.receiver}/in/SOURCE, for example:",
            "",
            f"  curl -u cmx:{password} -H 'Content-Type: application/json' {where.place.receiver}/in/cmx \\",
            '    -d \'{"E-Mailadresse": "you@example.org", "Vorname": "Du", "Name": "Selbst", '
            '"Einzelnutzertracking": "ja"}\'',
            "",
            f"What became of it:      RELAIS_CONSOLE_URL={where.place.console} relais events list",
            f"What the vendors hold:  curl {where.place.sandbox}/_sandbox/state",
            f"The rules (change them, they count within three seconds): {where.settings.book}",
            "Ctrl-C ends the demo and removes its data.",
            "",
        ]
    )
