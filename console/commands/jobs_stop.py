"""`relais jobs stop`."""

from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError


@click.command()
@click.argument("job")
@bulk.reason
def command(job: str, reason: str) -> None:
    """End a job: what it has done stays done.

    \b
    Examples:
      relais jobs stop job_5d0f…
    """
    client = ConsoleClient.from_settings()
    if not client.post(f"/jobs/{quote(job, safe='')}/stop", {"reason": reason})["changed"]:
        raise UserError(f"nothing to stop about {job}", mend=f"relais jobs show {job}", status=SAID_NO)
    click.echo(f"{job} is stopped.")
