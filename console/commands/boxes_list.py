"""`relais boxes list`."""

from typing import Any

import click

from console import bulk, json_output
from console.client import ConsoleClient
from console.render import rooms, tables


@click.command()
@bulk.filters
@json_output.option
def command(as_json: bool, **given: Any) -> None:
    """List the boxes that are held for a person, with reason and age.

    \b
    Examples:
      relais boxes list
      relais boxes list --destination crm --json
    """
    found = ConsoleClient.from_settings().get(f"/boxes?{bulk.query(given)}")
    if as_json:
        json_output.write(found)
    elif not found["total"]:
        click.echo("No box is held.")
    else:
        tables.out().print(rooms.boxes(found["boxes"]))
