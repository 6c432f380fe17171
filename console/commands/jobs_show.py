"""`relais jobs show`."""

import json
from urllib.parse import quote

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(job: str, as_json: bool) -> None:
    """Show a job: how far it is, and what was left alone.

    \b
    Examples:
      relais jobs show job_5d0f…
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/jobs/{quote(job, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        bulk.tell(found)
