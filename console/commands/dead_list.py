"""`relais dead list`."""

from typing import Any

import click

from console import bulk, json_output
from console.client import ConsoleClient
from console.render import rooms, tables


@click.command()
@bulk.filters
@click.option("--each", is_flag=True, help="Name each of them, not only their causes.")
@json_output.option
def command(each: bool, as_json: bool, **given: Any) -> None:
    """Count what could not be delivered, by cause.

    \b
    Examples:
      relais dead list
      relais dead list --destination crm --since 2h
      relais dead list --code invalid --each --json
    """
    more = {"items": "true"} if each else {}
    found = ConsoleClient.from_settings().get(f"/dead?{bulk.query(given, **more)}")
    if as_json:
        json_output.write(found)
        return
    if not found["total"]:
        click.echo("No dead letters of this kind." if any(given.values()) else "No dead letters.")
        return
    out = tables.out()
    out.print(rooms.groups(found["groups"]))
    for letter in found.get("items", ()):
        out.print(f"{letter['id']}  {letter['destination']}.{letter['action']}  {letter['code']}", soft_wrap=True)
