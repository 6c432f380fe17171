"""`relais up`."""

import sys
from pathlib import Path

import click

from console import settings
from console.processes import up


@click.command()
@click.option("--host", help="Address the receiver listens on [RELAIS_HOST, 127.0.0.1].")
@click.option("--port", type=int, help="Port the receiver listens on, 0: any [RELAIS_PORT, 8080].")
@click.option("--console-port", type=int, help="Port the console listens on [RELAIS_CONSOLE_PORT, 8081].")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder [RELAIS_DATA, .relais].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@click.option("--sandbox", is_flag=True, help="Send everything to stand-ins of the vendors, with the book as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON when it is up: where everything is.")
@click.option("--verbose", is_flag=True, help="Show how it starts: settings, and what the processes say.")
def command(sandbox: bool, as_json: bool, verbose: bool, **options: object) -> None:
    """Run everything in the foreground: Valkey, receiver, workers, console.

    Starts again what dies; Ctrl-C stops in order: receiver, workers, console, Valkey.
    With REDIS_URL set, that store is used and none is started. Port 0 is any free one.

    With --sandbox, stand-ins run beside it, and what the book sends, looks up, fetches or registers goes to them: no
    vendor is asked, and nobody is alerted. Its store is one of its own, below the data folder, and begins empty. The
    other commands of this folder then ask the sandbox.

    \b
    Examples:
      relais up --sandbox
      relais up --port 9090 --data /var/lib/relais
      REDIS_URL=redis://localhost:6379 relais up
    """
    # Without a terminal somebody collects the log, and wants all of it.
    screen = up.UpScreen(as_json=as_json, verbose=verbose or not sys.stderr.isatty())
    up.run(settings.load(up.UpSettings, **options), screen, sandbox=sandbox)
