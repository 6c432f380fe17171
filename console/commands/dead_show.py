"""`relais dead show`."""

from urllib.parse import quote

import click

from console import json_output
from console.client import ConsoleClient
from console.render import rooms, tables


@click.command()
@click.argument("letter")
@json_output.option
def command(letter: str, as_json: bool) -> None:
    """Show one dead letter and the story of its event.

    \b
    Examples:
      relais dead show 3kqv….0
      relais dead show 3kqv….0 --json
    """
    found = ConsoleClient.from_settings().get(f"/dead/{quote(letter, safe='')}")
    if as_json:
        json_output.write(found)
    else:
        tables.out().print(rooms.letter(found))
