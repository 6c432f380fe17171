"""`relais up`."""

from pathlib import Path

import click

from console import settings
from console.processes import up


@click.command()
@click.option("--host", help="Address the receiver listens on [RELAIS_HOST, 127.0.0.1].")
@click.option("--port", type=int, help="Port the receiver listens on [RELAIS_PORT, 8080].")
@click.option("--console-port", type=int, help="Port the console listens on [RELAIS_CONSOLE_PORT, 8081].")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder [RELAIS_DATA, .relais].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(**options: object) -> None:
    """Run everything in the foreground: Valkey, receiver, workers, console.

    Starts again what dies; Ctrl-C stops in order: receiver, workers, console, Valkey.
    With REDIS_URL set, that store is used and none is started.

    \b
    Examples:
      relais up
      relais up --port 9090 --data /var/lib/relais
      REDIS_URL=redis://localhost:6379 relais up
    """
    up.run(settings.load(up.UpSettings, **options))
