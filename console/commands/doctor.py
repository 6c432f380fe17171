"""`relais doctor`."""

from dataclasses import replace
from pathlib import Path

import click

from console import book, json_output, settings
from console.checks import doctor, keys
from console.errors import SAID_NO


@click.command()
@click.option(
    "--keys", "with_keys", is_flag=True, help="Also ask vendors what the keys of the book's destinations may do."
)
@click.option(
    "--book", "folder", type=click.Path(path_type=Path), help="The book, for --keys [RELAIS_BOOK, rules/book]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(with_keys: bool, folder: Path | None, as_json: bool) -> None:
    """Examine store and spool, and say what an acknowledged event survives.

    Looks at the append-only file and its sync policy, eviction, errors of persistence, memory, replicas,
    disk space, the spool of this host and single sign-on, each with the mend, and says when the last webhook of
    each source came. With --keys it asks the vendors that have a harmless test for it what their key may not do.
    Status 1 when something is amiss.

    \b
    Examples:
      relais doctor
      relais doctor --keys
      REDIS_URL=redis://localhost:6379 relais doctor --json
    """
    found = doctor.look(settings.load(doctor.DoctorSettings))
    if with_keys:
        found = replace(found, checks=(*found.checks, *keys.check(book.load(folder))))
    if as_json:
        json_output.write(found.as_json())
    else:
        click.echo(click.style(found.says[0].upper() + found.says[1:] + ".", bold=True))
        for check in found.checks:
            mark = click.style("ok", fg="green") if check.ok else click.style("no", fg="red")
            click.echo(f"  {mark}  {check.name:<12} {check.says}")
            if check.mend:
                click.echo(f"      {'':<12} mend: {check.mend}")
    if not found.well:
        raise click.exceptions.Exit(SAID_NO)
