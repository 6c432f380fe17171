"""`relais sources list`."""

import click

from console import json_output
from console.client import ConsoleClient
from console.render import sources, tables


@click.command()
@json_output.option
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
    found = ConsoleClient.from_settings().get("/sources")
    if as_json:
        json_output.write(found)
    elif not found["sources"]:
        click.echo("The book in force has no source.")
    else:
        tables.out().print(sources.draw(found["sources"]))
