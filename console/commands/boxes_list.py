"""`relais boxes list`."""

import json
from typing import Any

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient
from console.render import rooms, tables


@click.command()
@bulk.filters
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool, **given: Any) -> None:
    """List the boxes that are held for a person, with reason and age.

    \b
    Examples:
      relais boxes list
      relais boxes list --destination crm --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/boxes?{bulk.query(given)}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found["total"]:
        click.echo("No box is held.")
    else:
        tables.out().print(rooms.boxes(found["boxes"]))
