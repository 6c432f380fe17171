"""`relais rules status`."""

import json
from pathlib import Path

import click

from console import book, catalogue, settings
from console.client import ClientSettings, ConsoleClient
from console.commands import rules_check
from console.errors import SAID_NO, UserError
from rules.compiler import loader

NOT_YET = "not in force yet: workers that run and see this folder take it within two seconds"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
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
    current = in_force()
    if as_json:
        told = {"in_force": current, "on_disk": on_disk, **rules_check.as_json_values(checked)}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo(f"in force: {current or 'none yet'}")
        if on_disk is None:
            click.echo(f"on disk:  {place} has errors, so the book in force stays")
            rules_check.show(checked, place)
        else:
            click.echo(f"on disk:  {on_disk}, {'the same' if on_disk == current else NOT_YET}")
    if on_disk is None or on_disk != current:
        raise SystemExit(SAID_NO)


def in_force() -> str | None:
    """Return the version in force, None before the first. Raises UserError."""
    try:
        return str(ConsoleClient(settings.load(ClientSettings)).get("/books/current")["version"])
    except UserError as exc:
        if exc.exit_code == SAID_NO:
            return None
        raise
