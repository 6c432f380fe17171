"""`relais doctor`."""

import json

import click

from console import settings
from console.checks import doctor
from console.errors import SAID_NO


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Examine store and spool, and say what an acknowledged event survives.

    Looks at the append-only file and its sync policy, eviction, errors of persistence, memory, replicas,
    disk space and the spool of this host, each with the mend, and says when the last webhook of each source
    came. Status 1 when something is amiss.

    \b
    Examples:
      relais doctor
      REDIS_URL=redis://localhost:6379 relais doctor --json
    """
    found = doctor.look(settings.load(doctor.DoctorSettings))
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        click.echo(click.style(found.says[0].upper() + found.says[1:] + ".", bold=True))
        for check in found.checks:
            mark = click.style("ok", fg="green") if check.ok else click.style("no", fg="red")
            click.echo(f"  {mark}  {check.name:<12} {check.says}")
            if check.mend:
                click.echo(f"      {'':<12} mend: {check.mend}")
    if not found.well:
        raise click.exceptions.Exit(SAID_NO)
