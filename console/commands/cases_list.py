"""`relais cases list`."""

import json
from typing import get_args

import click
from rich.table import Table

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient
from console.render import rooms, tables
from mailroom.cases import CaseState


@click.command()
@click.option("--state", type=click.Choice(get_args(CaseState)), help="Only cases in this state.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(state: str | None, as_json: bool) -> None:
    """List failures by their cause, and what people say of them.

    \b
    Examples:
      relais cases list
      relais cases list --state came_back
    """
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.get(f"/cases?{bulk.query({'state': state})}")["cases"]
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
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
