"""`relais jobs list`."""

import click
from rich.table import Table

from console import json_output
from console.client import ConsoleClient
from console.render import tables


@click.command()
@json_output.option
def command(as_json: bool) -> None:
    """List the jobs of the last 31 days.

    \b
    Examples:
      relais jobs list
    """
    found = ConsoleClient.from_settings().get("/jobs")["jobs"]
    if as_json:
        json_output.write(found)
        return
    if not found:
        click.echo("No jobs yet: relais jobs start --help")
        return
    table = Table("job", "verb", "state", "done", "by", "at", "why", box=None, pad_edge=False)
    for job in found:
        done = f"{job['done']}/{job['count']}"
        table.add_row(
            job["id"], f"{job['verb']} {job['place']}", job["state"], done, job["by"], job["at"], job["reason"]
        )
    tables.out().print(table)
