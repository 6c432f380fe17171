"""`relais spool retry`."""

from pathlib import Path

import click

from console import settings
from console.checks import doctor
from console.errors import UserError
from receiver import spool


@click.command()
@click.argument("events", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were set aside.")
def command(events: tuple[str, ...], everything: bool) -> None:
    """Put events that were set aside behind those that wait.

    A receiver of this host hands them over within a second. What the store refuses still is set aside once more. What
    came later for the same person has gone before.

    \b
    Examples:
      relais spool retry 0c5f2a9be1d04c55
      relais spool retry --all
    """
    folder = Path(settings.load(doctor.DoctorSettings).spool_folder)
    try:
        known = [one.id for one in spool.aside(folder)]
        if unknown := sorted(set(events) - set(known)):
            raise UserError(f"{unknown[0]} is not set aside in {folder}", mend="relais spool list", status=1)
        if not events and not everything:
            raise click.UsageError("name events, or say --all")
        moved = spool.again(folder, known if everything else events)
    except (spool.SpoolFull, spool.SpoolFailed) as exc:
        raise UserError(str(exc), mend="run it as the user of the receiver; is the disk well?") from exc
    click.echo(f"{moved} events wait in the spool again.")
