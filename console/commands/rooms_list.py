"""`relais rooms list`."""

import click

from console import json_output
from console.client import ConsoleClient
from console.render import rooms, tables


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """List the inbox and the destinations: what waits, what is held or paused, why and since when.

    Counts boxes, not what is in them; `in` is the inbox.

    \b
    Examples:
      relais rooms list
      relais rooms list --json
    """
    found = ConsoleClient.from_settings().get("/rooms")
    if as_json:
        json_output.write(found)
    elif not found["rooms"]:
        click.echo("Nothing has ever waited anywhere.")
    else:
        tables.out().print(rooms.rooms(found["rooms"]))
