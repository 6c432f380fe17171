"""`relais jobs pause`."""

from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError


@click.command()
@click.argument("job")
@bulk.reason
def command(job: str, reason: str) -> None:
    """Let a job rest until somebody resumes it.

    \b
    Examples:
      relais jobs pause job_5d0f…
    """
    client = ConsoleClient.from_settings()
    if not client.post(f"/jobs/{quote(job, safe='')}/pause", {"reason": reason})["changed"]:
        raise UserError(f"nothing to pause about {job}", mend=f"relais jobs show {job}", status=SAID_NO)
    click.echo(f"{job} rests.")
