"""`relais cases list`."""

from typing import get_args

import click
from rich.table import Table

from console import bulk, json_output
from console.client import ConsoleClient
from console.render import rooms, tables
from mailroom.cases import CaseState


@click.command()
@click.option("--state", type=click.Choice(get_args(CaseState)), help="Only cases in this state.")
@json_output.option
def command(state: str | None, as_json: bool) -> None:
    """List failures by their cause, and what people say of them.

    \b
    Examples:
      relais cases list
      relais cases list --state came_back
    """
    client = ConsoleClient.from_settings()
    found = client.get(f"/cases?{bulk.query({'state': state})}")["cases"]
    if as_json:
        json_output.write(found)
        return
    if not found:
        click.echo("No failures of this kind.")
        return
    table = Table("destination", "code", "rule", "count", "last", "state", "says", box=None, pad_edge=False)
    for case in found:
        until = f" until {case['until']}" if case["until"] else ""
        says = ": ".join(text for text in (case["by"], case["why"]) if text)
        last = rooms.age(case["last"]) if case["last"] else ""
        count, now = str(case["count"]), f"{case['state']}{until}"
        table.add_row(case["destination"], case["code"], case["rule"], count, last, now, says)
    tables.out().print(table)
