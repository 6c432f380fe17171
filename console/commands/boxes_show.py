"""`relais boxes show`."""

from urllib.parse import quote

import click

from console import json_output
from console.client import ConsoleClient
from console.render import rooms, tables


@click.command()
@click.argument("box")
@json_output.option
def command(box: str, as_json: bool) -> None:
    """Show one held box and the story of the event at its head.

    \b
    Examples:
      relais boxes show crm/4xw…
      relais boxes show in/9fa… --json
    """
    found = ConsoleClient.from_settings().get(f"/boxes/{quote(box, safe='/')}")
    if as_json:
        json_output.write(found)
    else:
        tables.out().print(rooms.box(found))
