"""`relais dead show`."""

import json
from urllib.parse import quote

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import rooms, tables


@click.command()
@click.argument("letter")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(letter: str, as_json: bool) -> None:
    """Show one dead letter and the story of its event.

    \b
    Examples:
      relais dead show 3kqv….0
      relais dead show 3kqv….0 --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/dead/{quote(letter, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        tables.out().print(rooms.letter(found))
