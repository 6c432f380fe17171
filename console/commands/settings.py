"""`relais settings`."""

import json
from dataclasses import asdict

import click
from rich.table import Table

from console import settings
from console.render import tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool) -> None:
    """Print every setting, its default and what it means.

    Settings come from the environment and from `.env` in the current folder.

    \b
    Examples:
      relais settings
      relais settings --json
    """
    found = settings.every()
    if as_json:
        click.echo(json.dumps([asdict(setting) for setting in found], indent=2))
        return
    table = Table("variable", "default", "read by", "meaning")
    for setting in found:
        table.add_row(setting.variable, setting.default, ", ".join(setting.processes), setting.about)
    tables.out().print(table)
