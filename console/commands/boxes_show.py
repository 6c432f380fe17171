"""`relais boxes show`."""

import json
from urllib.parse import quote

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import rooms, tables


@click.command()
@click.argument("box")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(box: str, as_json: bool) -> None:
    """Show one held box and the story of the event at its head.

    \b
    Examples:
      relais boxes show crm/4xw…
      relais boxes show in/9fa… --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/boxes/{quote(box, safe='/')}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        tables.out().print(rooms.box(found))
