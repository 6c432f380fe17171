"""`relais jobs undo`."""

from urllib.parse import quote

import click

from console import bulk
from console.client import ConsoleClient


@click.command()
@click.argument("job")
@bulk.reason
def command(job: str, reason: str) -> None:
    """Take back what a job has dropped, within ten minutes.

    The dead letters are dead letters again, as they were; another job does it.

    \b
    Examples:
      relais jobs undo job_5d0f…
    """
    client = ConsoleClient.from_settings()
    undoing = client.post(f"/jobs/{quote(job, safe='')}/undo", {"reason": reason})
    click.echo(f"{undoing['count']} are dead letters again: relais jobs show {undoing['id']}")
