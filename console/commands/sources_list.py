"""`relais sources list`."""

import json

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import sources, tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool) -> None:
    """Show each source: when it sent last, how often usually, what came today.

    Today begins at midnight UTC. `usual gap` is what mostly passed between two webhooks in the last week, in minutes in
    which any came. Below stand what was refused and why, fields that could not be read, which of several secrets were
    used last, and why a source is held.

    \b
    Examples:
      relais sources list
      relais sources list --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get("/sources")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif not found["sources"]:
        click.echo("The book in force has no source.")
    else:
        tables.out().print(sources.draw(found["sources"]))
