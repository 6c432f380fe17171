"""`relais rooms pause`."""

from urllib.parse import quote

import click

from console import settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("destination")
@click.option("--reason", "--why", "reason", default="", help="Why, for whoever sees it in `relais rooms list`.")
def command(destination: str, reason: str) -> None:
    """Stop sending to a destination; what comes for it waits.

    What is under way ends. `in` pauses the inbox: events are kept and wait to be routed.

    \b
    Examples:
      relais rooms pause crm --reason "migration until noon"
    """
    said = ConsoleClient(settings.load(ClientSettings)).post(
        f"/rooms/{quote(destination, safe='')}/pause", {"reason": reason}
    )
    click.echo(f"{destination} is paused." if said["changed"] else f"{destination} was paused already.")
