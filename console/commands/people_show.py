"""`relais people show`."""

import json

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient
from console.commands.people_find import show


@click.command(cls=bulk.HashCommand)
@click.argument("who", type=bulk.Who())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(who: str, as_json: bool) -> None:
    """Show the events of whom the hash WHO stands for.

    `relais people find` says the hash.

    \b
    Examples:
      relais people show 4xwqABCDEFGHIJKL
    """
    client = ConsoleClient(settings.load(ClientSettings))
    if as_json:
        click.echo(json.dumps(client.get(f"/people/{who}"), indent=2, ensure_ascii=False))
    else:
        show(client, who)
