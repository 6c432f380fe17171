"""`relais jobs list`."""

import json

import click
from rich.table import Table

from console import settings
from console.client import ClientSettings, ConsoleClient
from console.render import tables


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(as_json: bool) -> None:
    """List the jobs of the last 31 days.

    \b
    Examples:
      relais jobs list
    """
    found = ConsoleClient(settings.load(ClientSettings)).get("/jobs")["jobs"]
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
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
