"""All of Relais in the foreground of one terminal: Valkey, console, workers, receiver.

Comes in: settings. Goes out: a running system until Ctrl-C, and an exit status. Never does their work: it hands each
process its settings through the environment and keeps it alive.
"""

import asyncio
import contextlib
import functools
import json
import os
import socket
import textwrap
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import book
from console import settings as read
from console.access import Role, Sessions
from console.checks import alive, doctor
from console.client import read_user
from console.errors import UserError
from console.processes import env_file, port, probe, sandbox_run, supervisor
from console.processes.sandbox_run import SandboxRun
from console.processes.supervisor import Child, QuietPrinter, Say, Supervisor
from console.processes.valkey import ALLOCATOR, EmbeddedValkey
from console.render import tables
from mailroom import Mailroom, StoreUnavailable
from receiver import server
from receiver.settings import ReceiverSettings, in_url
from rules.rulebook import Rulebook
from rules.secret import REFERENCE
from workers.destinations import DESTINATIONS
from workers.settings import WorkSettings

#: Our processes, as their lines are marked.
CHILDREN = ("valkey", "sandbox", "console", "workers", "receiver")
#: Seconds that a child gets to stop beyond its own limit: it should end and log by itself, not be killed.
BEYOND = 10.0
#: Seconds between two looks at the workers' beats while they start, and between two lines that say that they do not.
LOOK_EVERY = 0.25
SAY_EVERY = 15.0


class UpSettings(BaseSettings):
    """What `relais up` reads; each process reads the rest for itself."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the receiver listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the receiver listens on.")
    console_host: str = Field(
        "127.0.0.1", description="Address the console listens on; beyond loopback it wants a token."
    )
    console_port: int = Field(8081, ge=0, le=65535, description="Port the console listens on.")
    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
    data: Path = Field(
        Path(".relais"), description="Folder in which `relais up` keeps its data: the embedded Valkey's and the spool."
    )
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        description="The store: Redis >= 7 or Valkey, or its Sentinels. Empty: `relais up` starts its own.",
    )


@dataclass(frozen=True)
class UpScreen:
    """What is said, and how."""

    #: One line of JSON when it is up, instead of the first screen.
    as_json: bool = False
    #: The lines of the processes while they start, too.
    verbose: bool = True


def run(settings: UpSettings, screen: UpScreen, *, sandbox: bool = False) -> None:
    """Run everything until Ctrl-C or SIGTERM, all that is sent going to stand-ins if `sandbox`. Raises UserError."""
    if not sandbox:
        sandbox_run.refuse_mixing(settings.data)
    rules = book.load(settings.book)
    fresh = env_file.provide(rules, os.environ, Path(".env"))
    if fresh:
        click.echo(f"Wrote .env with {tables.say_count(len(fresh), 'fresh secret')} of the sources.", err=True)
    for name in env_file.missing(rules, os.environ):
        click.echo(f"{name} is not set, so the source that needs it answers 503 (secret_missing)", err=True)
    settings, place = where_it_listens(settings), None
    if sandbox:
        settings, place = begin_sandbox(settings)
    settings = choose_ports(settings)
    quiet = QuietPrinter(CHILDREN, show=screen.verbose)
    if not screen.verbose:
        click.echo("Starting … (--verbose shows how)", err=True)
    try:
        supervisor.run(_run(settings, screen, quiet, place, rules))
    except UserError:
        quiet.open()
        raise
    click.echo("Relais has stopped.", err=screen.as_json)


def begin_sandbox(settings: UpSettings, *, anywhere: bool = False) -> tuple[UpSettings, SandboxRun]:
    """Return the settings and the places of a sandbox run: a store of its own, below the data folder.

    `anywhere`: nobody has to know the stand-ins' port.
    """
    folder = settings.data / sandbox_run.FOLDER
    # Where any port will do, others may be starting at this moment, too: then one that nobody is likely to choose.
    number = port.choose(sandbox_run.HOST, sandbox_run.PORT) if settings.port and not anywhere else 0
    settings = choose_ports(settings)
    run = sandbox_run.begin(folder, find_receiver(settings), find_console(settings), number)
    return settings.model_copy(update={"data": folder, "redis_url": ""}), run


def choose_ports(settings: UpSettings) -> UpSettings:
    """Return the settings with a free port for each that is 0."""
    found = {
        "port": settings.port or port.free(settings.host),
        "console_port": settings.console_port or port.free(settings.console_host),
    }
    return settings.model_copy(update=found)


def where_it_listens(settings: UpSettings) -> UpSettings:
    """Return the settings with the address of the socket that whoever started us holds, if there is one."""
    number = server.inherited(read.load(ReceiverSettings))
    if number < 0:
        return settings
    try:
        with socket.socket(fileno=os.dup(number)) as held:
            host, port_of_it = held.getsockname()[:2]
    except (OSError, ValueError) as exc:
        raise UserError(
            f"descriptor {number} cannot be listened on", mend="pass an open one, or unset RELAIS_LISTEN_FD"
        ) from exc
    return settings.model_copy(update={"host": host, "port": port_of_it})


async def _run(
    settings: UpSettings, screen: UpScreen, quiet: QuietPrinter, place: SandboxRun | None, rules: Rulebook
) -> None:
    if settings.redis_url:
        doctor.demand(await asyncio.to_thread(doctor.ask, settings.redis_url), "")
    async with everything(settings, place=place, say=quiet) as running:
        announcing = asyncio.create_task(_announce(settings, screen, quiet, place, rules))
        try:
            await running.forever()
        finally:
            announcing.cancel()


async def _announce(
    settings: UpSettings, screen: UpScreen, quiet: QuietPrinter, place: SandboxRun | None, rules: Rulebook
) -> None:
    """Say that Relais is up when that is so: the receiver answers already, so when every worker beats.

    Until then say what is missing: workers are started again and again, and a store may be away.
    """
    url = settings.redis_url or EmbeddedValkey(settings.data).url
    wanted = read.load(WorkSettings).workers
    seen: dict[str, int] = {}
    beating: set[str] = set()
    said = time.monotonic()
    async with Mailroom.connect(url) as mailroom:
        while len(beating) < wanted:
            try:
                beats, why = await alive.beats_of_this_host(mailroom), ""
            except StoreUnavailable as exc:
                beats, why = {}, f"; {exc}"
            # One that beats, and not one that did before it was killed.
            beating = {drain for drain, counter in beats.items() if seen.setdefault(drain, counter) != counter}
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                quiet.open()
                click.echo(f"Relais is not up yet: {len(beating)} of {wanted} workers work{why}", err=True)
                click.echo("  mend: see the lines of `workers` above, and relais doctor", err=True)
            await asyncio.sleep(LOOK_EVERY)
        link = await make_link(settings, mailroom)
    found = await asyncio.to_thread(doctor.ask, url)
    promise = doctor.promise(found, str(settings.data / "spool"))
    if screen.as_json:
        where = {"receiver": find_receiver(settings), "console": find_console(settings)}
        click.echo(json.dumps({**(asdict(place) if place else where), "pages": link}))
    else:
        click.echo("\n".join(banner(settings, promise, rules, place, link)))
    quiet.open(drop=True)


async def make_link(settings: UpSettings, mailroom: Mailroom) -> str:
    """Return a link by which who started this comes in once; empty where the console listens beyond this machine.

    They hold this machine, as who asks the port without a token does. Elsewhere `relais users link` makes one.
    """
    if not port.is_loopback(settings.console_host):
        return ""
    link = await Sessions(mailroom).invite(read_user(), role=Role.ADMIN, payloads=True)
    return f"{find_console(settings)}/ui/enter/{link}"


@contextlib.asynccontextmanager
async def everything(
    settings: UpSettings,
    *,
    environ: Mapping[str, str] | None = None,
    place: SandboxRun | None = None,
    say: Say | None = None,
) -> AsyncIterator[Supervisor]:
    """Run all processes inside the `async with`; with a `place`, the stand-ins start before them.

    The receiver's socket is ours: while one that died is started again, connections wait in it.
    """
    receive = read.load(ReceiverSettings, host=settings.host, port=settings.port)
    if server.inherited(receive) < 0:
        port.demand(settings.host, settings.port, "--port")
    port.demand(settings.console_host, settings.console_port, "--console-port")
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(server.socket_of(receive))
        except server.CannotListen as exc:
            raise UserError(str(exc)) from exc
        children: list[Child] = []
        url = settings.redis_url
        if not url:
            valkey = stack.enter_context(EmbeddedValkey(settings.data))
            children.append(valkey_child(valkey))
            url = valkey.url
        common = {
            # Where nobody says otherwise, spool, notebook and receipts are beside the store's data.
            "RELAIS_SPOOL": os.environ.get("RELAIS_SPOOL", str(settings.data / "spool")),
            "RELAIS_NOTEBOOK": os.environ.get("RELAIS_NOTEBOOK", str(settings.data / "notebook.sqlite")),
            "RELAIS_RECEIPTS": os.environ.get("RELAIS_RECEIPTS", str(settings.data / "forgotten.jsonl")),
            **(environ or {}),
            **(place.environ(os.environ) if place else {}),
            "REDIS_URL": url,
            "RELAIS_BOOK": str(settings.book),
            "PYTHONUNBUFFERED": "1",
        }
        if place is not None:
            sandbox_run.write(place)
            children.append(place.child(common))
        children += relais_children(settings, common, receive, listening)
        async with Supervisor(children, say) as running:
            try:
                yield running
            finally:
                listening.close()  # else whoever comes while we stop would wait for nobody


def valkey_child(valkey: EmbeddedValkey) -> Child:
    """Return Valkey as a child."""

    async def ready() -> bool:
        return await asyncio.to_thread(valkey.answers)

    return Child(
        name="valkey",
        command=valkey.command(),
        environ={name: value for name, value in ALLOCATOR.items() if name not in os.environ},
        descriptors=(valkey.lock,),
        base=True,
        ready=ready,
        # A large append-only file is read at some 100 MB/s.
        start_within=600.0,
        refusal=valkey.refusal,
    )


def relais_children(
    settings: UpSettings, common: Mapping[str, str], receive: ReceiverSettings, listening: socket.socket
) -> list[Child]:
    """Return our own processes in the reverse of the order in which they start and stop."""
    work = read.load(WorkSettings)
    return [
        Child(
            name="console",
            command=("console",),
            ours=True,
            environ={
                **common,
                "RELAIS_CONSOLE_HOST": settings.console_host,
                "RELAIS_CONSOLE_PORT": str(settings.console_port),
            },
            ready=functools.partial(healthy, settings.console_host, settings.console_port),
        ),
        Child(name="workers", command=("work",), ours=True, environ=common, stop_within=work.stop_seconds + BEYOND),
        Child(
            name="receiver",
            command=("receive",),
            ours=True,
            environ={
                **common,
                # It listens on the socket; the address is what it says of itself.
                "RELAIS_HOST": settings.host,
                "RELAIS_PORT": str(settings.port),
                "RELAIS_LISTEN_FD": str(listening.fileno()),
            },
            descriptors=(listening.fileno(),),
            ready=functools.partial(healthy, settings.host, settings.port),
            stop_within=receive.stop_seconds + BEYOND,
        ),
    ]


async def healthy(host: str, number: int) -> bool:
    """Say whether a process of ours answers."""
    answer = await probe.get(host, number, "/healthz")
    return answer is not None and answer[0] == 200


def find_receiver(settings: UpSettings) -> str:
    """Return where this machine reaches the receiver."""
    return f"http://{in_url(probe.reachable(settings.host))}:{settings.port}"


def find_console(settings: UpSettings) -> str:
    """Return where this machine reaches the console."""
    return f"http://{in_url(probe.reachable(settings.console_host))}:{settings.console_port}"


def banner(
    settings: UpSettings, promise: str, rules: Rulebook, place: SandboxRun | None = None, link: str = ""
) -> list[str]:
    """Return the first screen: what runs, where to post, where to look; ten lines and the empty ones around them."""
    title = f"Relais is up. {'It is a sandbox: nothing reaches a vendor. ' if place else ''}Ctrl-C stops it."
    rows = {
        "webhooks": f"http://{in_url(settings.host)}:{settings.port}/in/SOURCE  ({', '.join(rules.sources) or 'none'})",
        "pages": link or f"{find_console(settings)}/ui  (come in by: relais users link)",
        "look": "relais events list, relais events show, relais rooms list",
        "vendors": f"{place.sandbox}/_sandbox/state" if place else "",
        "absent": _tell_absent(rules) if place else "",
        "waiting": "" if place else _tell_unset(rules),
        "store": f"{'REDIS_URL' if settings.redis_url else settings.data}{', empty at each start' if place else ''}",
        "promise": promise,
        "rules": f"{settings.book}  (changes count within three seconds)",
    }
    told = [_wrap(word, text) for word, text in rows.items() if text]
    return ["", click.style(title, bold=True), *(line for lines in told for line in lines), ""]


def _wrap(word: str, text: str) -> list[str]:
    """Return a row of the first screen, in lines of 80 columns."""
    return textwrap.wrap(text, 80, initial_indent=f"  {word:<8}  ", subsequent_indent=" " * 12, break_long_words=False)


def _tell_absent(rules: Rulebook) -> str:
    """Return which destinations the sandbox does not imitate; nothing where it imitates all."""
    names = [name for name, each in rules.destinations.items() if DESTINATIONS[each.kind].kind.stand_in is None]
    return f"{', '.join(names)}: no stand-in, what is for them becomes a dead letter" if names else ""


def _tell_unset(rules: Rulebook) -> str:
    """Return which destinations nothing can be sent to yet, since what they refer to is set nowhere."""
    names = [
        name
        for name, each in rules.destinations.items()
        if not all(env_file.set_somewhere(one, os.environ) for one in REFERENCE.findall(each.options.model_dump_json()))
    ]
    return f"{', '.join(names)}: what they refer to is set nowhere; or try --sandbox" if names else ""
