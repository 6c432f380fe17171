"""All of Relais in the foreground of one terminal: Valkey, console, workers, receiver.

Comes in: settings. Goes out: a running system until Ctrl-C, and an exit status. Never does their work: it hands each
process its settings through the environment and keeps it alive.
"""

import asyncio
import contextlib
import functools
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import click
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import book
from console import settings as read
from console.checks import doctor
from console.errors import UserError
from console.processes import env_file, port, probe, supervisor
from console.processes.supervisor import Child, Say, Supervisor
from console.processes.valkey import ALLOCATOR, EmbeddedValkey
from mailroom import Mailroom, StoreUnavailable, liveness, migration
from receiver import server
from receiver.settings import ReceiverSettings, in_url
from workers.settings import WorkSettings

#: Seconds that a child gets to stop beyond its own limit: it should end and log by itself, not be killed.
BEYOND = 10.0
#: Seconds between two looks at the workers' beats while they start, and between two lines that say that they do not.
LOOK_EVERY = 0.25
SAY_EVERY = 15.0


class UpSettings(BaseSettings):
    """What `relais up` reads; each process reads the rest for itself."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the receiver listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port the receiver listens on.")
    console_host: str = Field(
        "127.0.0.1", description="Address the console listens on; beyond loopback it wants a token."
    )
    console_port: int = Field(8081, ge=1, le=65535, description="Port the console listens on.")
    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
    data: Path = Field(
        Path(".relais"), description="Folder in which `relais up` keeps its data: the embedded Valkey's and the spool."
    )
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        description="The store: Redis >= 7 or Valkey, or its Sentinels. Empty: `relais up` starts its own.",
    )


def run(settings: UpSettings) -> None:
    """Run everything until Ctrl-C or SIGTERM. Raises UserError."""
    rules = book.load(settings.book)
    fresh = env_file.provide(rules, os.environ, Path(".env"))
    if fresh:
        click.echo(f"Wrote .env with fresh secrets for the sources: {', '.join(fresh)}", err=True)
    for name in env_file.missing(rules, os.environ):
        click.echo(f"{name} is not set, so the source that needs it answers 503 (secret_missing)", err=True)
    supervisor.run(_run(where_it_listens(settings)))
    click.echo("Relais has stopped.")


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


async def _run(settings: UpSettings) -> None:
    if settings.redis_url:
        doctor.demand(await asyncio.to_thread(doctor.ask, settings.redis_url), "")
    async with everything(settings) as running:
        announcing = asyncio.create_task(_announce(settings))
        try:
            await running.forever()
        finally:
            announcing.cancel()


async def _announce(settings: UpSettings) -> None:
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
                beats, why = await _beats_of_this_host(mailroom), ""
            except StoreUnavailable as exc:
                beats, why = {}, f"; {exc}"
            # One that beats, and not one that did before it was killed.
            beating = {drain for drain, counter in beats.items() if seen.setdefault(drain, counter) != counter}
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                click.echo(f"Relais is not up yet: {len(beating)} of {wanted} workers work{why}", err=True)
                click.echo("  mend: see the lines of `workers` above, and relais doctor", err=True)
            await asyncio.sleep(LOOK_EVERY)
    found = await asyncio.to_thread(doctor.ask, url)
    click.echo("\n".join(banner(settings, doctor.promise(found, str(settings.data / "spool")))))


async def _beats_of_this_host(mailroom: Mailroom) -> dict[str, int]:
    """Return drain -> counter, of processes that live on this host, or may. Raises StoreUnavailable."""
    places = await migration.speaks(mailroom)
    here = liveness.place().split(" ")[:2]
    beats = await mailroom.beats()
    return {
        drain: counter
        for drain, (_, counter) in beats.items()
        if places.get(drain, "").split(" ")[1:3] in (here, [""], [])
    }


@contextlib.asynccontextmanager
async def everything(
    settings: UpSettings,
    *,
    environ: Mapping[str, str] | None = None,
    more: Sequence[Child] = (),
    say: Say | None = None,
) -> AsyncIterator[Supervisor]:
    """Run all processes inside the `async with`; `more` start before ours: the sandbox of the demo.

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
            # Where nobody says otherwise, the spool is beside the store's data.
            "RELAIS_SPOOL": os.environ.get("RELAIS_SPOOL", str(settings.data / "spool")),
            **(environ or {}),
            "REDIS_URL": url,
            "RELAIS_BOOK": str(settings.book),
            "PYTHONUNBUFFERED": "1",
        }
        children += [*more, *relais_children(settings, common, receive, listening)]
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
    """Return our own processes in the order of their start, which is the reverse of how they stop."""
    work = read.load(WorkSettings)
    return [
        Child(
            name="console",
            command=supervisor.relais("console"),
            environ={
                **common,
                "RELAIS_CONSOLE_HOST": settings.console_host,
                "RELAIS_CONSOLE_PORT": str(settings.console_port),
            },
            ready=functools.partial(healthy, settings.console_host, settings.console_port),
        ),
        Child(
            name="workers", command=supervisor.relais("work"), environ=common, stop_within=work.stop_seconds + BEYOND
        ),
        Child(
            name="receiver",
            command=supervisor.relais("receive"),
            environ={**common, "RELAIS_LISTEN_FD": str(listening.fileno())},
            descriptors=(listening.fileno(),),
            ready=functools.partial(healthy, settings.host, settings.port),
            stop_within=receive.stop_seconds + BEYOND,
        ),
    ]


async def healthy(host: str, number: int) -> bool:
    """Say whether a process of ours answers."""
    answer = await probe.get(host, number, "/healthz")
    return answer is not None and answer[0] == 200


def banner(settings: UpSettings, promise: str) -> list[str]:
    """Return what one wants to know at the start."""
    console = f"http://{in_url(settings.console_host)}:{settings.console_port}"
    return [
        "",
        click.style("Relais is up.", bold=True),
        f"  webhooks  http://{in_url(settings.host)}:{settings.port}/in/SOURCE",
        f"  console   {console}/readyz  (and /events, /metrics)",
        f"  store     {'REDIS_URL' if settings.redis_url else settings.data}",
        f"  promise   {promise}",
        f"  rules     {settings.book}  (changes count within three seconds)",
        "  stop      Ctrl-C",
        "",
    ]
