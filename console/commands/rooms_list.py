"""`relais rooms list`."""

import json

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import rooms, tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool) -> None:
    """List the inbox and the destinations: what waits, what is held or paused, why and since when.

    Counts boxes, not what is in them; `in` is the inbox.

    \b
    Examples:
      relais rooms list
      relais rooms list --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get("/rooms")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found["rooms"]:
        click.echo("Nothing has ever waited anywhere.")
    else:
        tables.out().print(rooms.rooms(found["rooms"]))
