"""`relais events list`."""

import json
from typing import get_args
from urllib.parse import urlencode

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import events, tables
from mailroom.ledger import EventState


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--before", default="", help="The cursor of the page before.")
@click.option("--state", type=click.Choice(get_args(EventState)), help="Only those that are in this state now.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(limit: int, before: str, state: str | None, as_json: bool) -> None:
    """List the newest events and what became of each.

    \b
    Examples:
      relais events list
      relais events list --limit 100 --json
      relais events list --state echo
    """
    more = {name: value for name, value in (("before", before), ("state", state)) if value}
    query = urlencode({"limit": limit, **more})
    page = ConsoleClient(settings.load(ClientSettings)).get(f"/events?{query}")
    if as_json:
        click.echo(json.dumps(page, indent=2, ensure_ascii=False))
        return
    if not page["events"]:
        click.echo(f"No event is {state}." if state else "No events yet.")
        return
    tables.out().print(events.table(page["events"]))
    if page["next"]:
        only = f" --state {state}" if state else ""
        click.echo(f"More: relais events list{only} --before {page['next']}", err=True)
