"""`relais upgrade check`."""

from datetime import timedelta
from importlib import metadata
from pathlib import Path

import click

from console import book, json_output, settings
from console.checks import doctor, upgrade
from console.commands.rules_preview import span
from console.errors import SAID_NO


@click.command()
@click.option("--since", metavar="TIME", default="7d", callback=span, help="Compare events of this time: 12h, 7d [7d].")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
def command(since: int, folder: Path | None, as_json: bool) -> None:
    """Say whether this version can take over from the one that runs.

    Run it with the NEW version, in the environment in which it will run: it asks the live store, and changes nothing.
    Are all settings known, is the store new enough and its schema readable, may its user do what this version does,
    does the book compile, do its tests pass, and would events that were routed lately (as far as their payload is kept)
    lead to the deliveries that the ledger says were made. Status 1 when any answer is no, 3 when the store is away.

    \b
    Examples:
      relais upgrade check
      relais upgrade check --since 24h --json
      docker compose run --rm --no-deps workers relais upgrade check
    """
    place = settings.load(doctor.DoctorSettings).url
    checks = upgrade.look(place, book.folder(folder), timedelta(milliseconds=since))
    version, says = metadata.version("relais-router"), upgrade.verdict(checks)
    well = all(check.ok for check in checks)
    if as_json:
        told = {"version": version, "well": well, "verdict": says, "checks": [check.as_json() for check in checks]}
        json_output.write(told)
    else:
        click.secho(f"Relais {version}: {says}.", bold=True)
        for check in checks:
            mark = click.style("ok", fg="green") if check.ok else click.style("no", fg="red")
            click.echo(f"  {mark}  {check.name:<14} {check.says}")
            if check.mend:
                click.echo(f"      {'':<14} mend: {check.mend}")
    if not well:
        raise click.exceptions.Exit(SAID_NO)
