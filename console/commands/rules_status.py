"""`relais rules status`."""

from pathlib import Path

import click

from console import book, catalogue, json_output
from console.commands import rules_check
from console.errors import SAID_NO
from rules.compiler import loader, reload

NOT_YET = "not in force yet: workers that run and see this folder take it within three seconds"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@json_output.option
def command(folder: Path | None, as_json: bool) -> None:
    """Say which book is in force, and whether the files on disk could take its place.

    Status 1 when the files on disk are not what is in force.

    \b
    Examples:
      relais rules status
      relais rules status --json
    """
    place = book.folder(folder)
    checked = loader.check(place, catalogue.build())
    on_disk = checked.book.version if checked.book else None
    in_force = book.read_in_force()
    current = in_force.version if in_force else None
    waits = reload.judge(in_force, checked.book, approve_all=False) if in_force and checked.book else None
    if as_json:
        told = {
            "in_force": current,
            "on_disk": on_disk,
            "waits": str(waits) if waits else None,
            **rules_check.as_json_values(checked),
        }
        json_output.write(told)
    else:
        click.echo(f"in force: {current or 'none yet'}")
        if on_disk is None:
            click.echo(f"on disk:  {place} has errors, so the book in force stays")
            rules_check.show(checked, place)
        else:
            click.echo(f"on disk:  {on_disk}, {'the same' if on_disk == current else waits or NOT_YET}")
    if on_disk is None or on_disk != current:
        raise SystemExit(SAID_NO)
