"""`relais jobs show`."""

from urllib.parse import quote

import click

from console import bulk, json_output
from console.client import ConsoleClient


@click.command()
@click.argument("job")
@json_output.option
def command(job: str, as_json: bool) -> None:
    """Show a job: how far it is, and what was left alone.

    \b
    Examples:
      relais jobs show job_5d0f…
    """
    found = ConsoleClient.from_settings().get(f"/jobs/{quote(job, safe='')}")
    if as_json:
        json_output.write(found)
    else:
        bulk.tell(found)
