"""`relais events list`."""

import json
from urllib.parse import urlencode

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import events, tables


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--before", default="", help="The cursor of the page before.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(limit: int, before: str, as_json: bool) -> None:
    """List the newest events and what became of each.

    \b
    Examples:
      relais events list
      relais events list --limit 100 --json
    """
    query = urlencode({"limit": limit, **({"before": before} if before else {})})
    page = ConsoleClient(settings.load(ClientSettings)).get(f"/events?{query}")
    if as_json:
        click.echo(json.dumps(page, indent=2, ensure_ascii=False))
        return
    if not page["events"]:
        click.echo("No events yet.")
        return
    tables.out().print(events.table(page["events"]))
    if page["next"]:
        click.echo(f"More: relais events list --before {page['next']}", err=True)
