"""`relais events show`."""

import json
from urllib.parse import quote

import click

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import events, tables


@click.command()
@click.argument("event")
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=0, help="Wait up to this many seconds until it is settled."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(event: str, wait: float, as_json: bool) -> None:
    """Show one event: rules, deliveries, attempts.

    \b
    Examples:
      relais events show 3kqv…
      relais events show 3kqv… --wait 10 --json
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/events/{quote(event, safe='')}?wait={wait:g}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        tables.out().print(events.tree(found))
