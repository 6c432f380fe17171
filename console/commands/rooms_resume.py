"""`relais rooms resume`."""

from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient


@click.command()
@click.argument("destination")
@bulk.reason
def command(destination: str, reason: str) -> None:
    """Let a paused destination go on.

    Where it was paused because it is down or refuses our key, and that is still so, it is paused again soon.

    \b
    Examples:
      relais rooms resume crm
    """
    said = ConsoleClient.from_settings().post(f"/rooms/{quote(destination, safe='')}/resume", {"reason": reason})
    click.echo(f"{destination} goes on." if said["changed"] else f"{destination} was not paused.")
