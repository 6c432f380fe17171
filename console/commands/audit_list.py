"""`relais audit list`."""

from typing import Any

import click
from rich.table import Table

from console import bulk, json_output
from console.client import ConsoleClient
from console.render import tables


@click.command()
@click.option("--by", default="", help="Only of this person or token.")
@click.option("--verb", default="", help="Only this: retry, drop, release, look, find_person, pause, …")
@click.option("--since", type=bulk.Since(), default=0, help="Only since then: 2h, 3d, 2026-11-21, 2026-11-21T10:00.")
@click.option("--until", type=bulk.Since(), default=0, help="Only before then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@click.option("--csv", "as_csv", is_flag=True, help="All of them, as CSV.")
@json_output.option
def command(limit: int, as_csv: bool, as_json: bool, **given: Any) -> None:
    """List who did, searched and saw what, and why.

    Newest first.

    \b
    Examples:
      relais audit list --since 7d
      relais audit list --by eva --verb look
      relais audit list --csv > audit.csv
    """
    client = ConsoleClient.from_settings()
    if as_csv:
        for piece in client.text(f"/audit.csv?{bulk.query(given)}"):
            click.echo(piece, nl=False)
        return
    found = client.get(f"/audit?{bulk.query(given, limit=str(limit))}")
    if as_json:
        json_output.write(found["audit"])
        return
    if not found["audit"]:
        click.echo("Nobody has done or searched anything of this kind.")
        return
    table = Table("at", "by", "did", "count", "what", "why", box=None, pad_edge=False)
    for line in found["audit"]:
        table.add_row(line["at"], line["by"], line["verb"], str(line["count"]), line["what"], line["reason"])
    tables.out().print(table)
    if found["next"]:
        click.echo("There are more: --csv writes all, --limit up to 1000 of them.", err=True)
