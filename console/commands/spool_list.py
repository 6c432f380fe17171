"""`relais spool list`."""

import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from console import json_output, settings
from console.checks import doctor
from console.errors import UserError
from console.render import tables
from receiver import spool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON; times are milliseconds since 1970.")
def command(as_json: bool) -> None:
    """List the events of this host's spool that were set aside, and what the store said.

    \b
    Examples:
      relais spool list
      relais spool list --json
    """
    folder = Path(settings.load(doctor.DoctorSettings).spool_folder)
    try:
        found = spool.aside(folder)
    except spool.SpoolFailed as exc:
        raise UserError(str(exc), mend="run it as the user of the receiver") from exc
    if as_json:
        json_output.write([asdict(one) for one in found])
    elif not found:
        click.echo(f"Nothing is set aside in {folder}.")
    else:
        table = Table("event", "source", "type", "received", "set aside", "the store said", box=None)
        now = time.time() * 1000
        for one in found:
            ages = (f"{tables.duration(max(0.0, now - then))} ago" for then in (one.at, one.since))
            table.add_row(one.id, one.source, one.type, *ages, one.said)
        tables.out().print(table)
