"""`relais people show`."""

import click

from console import bulk, json_output
from console.client import ConsoleClient
from console.commands.people_find import show


@click.command(cls=bulk.HashCommand)
@click.argument("who", type=bulk.Who())
@json_output.option
def command(who: str, as_json: bool) -> None:
    """Show the events of whom the hash WHO stands for.

    `relais people find` says the hash.

    \b
    Examples:
      relais people show 4xwqABCDEFGHIJKL
    """
    client = ConsoleClient.from_settings()
    if as_json:
        json_output.write(client.get(f"/people/{who}"))
    else:
        show(client, who)
