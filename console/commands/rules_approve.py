"""`relais rules approve`."""

from pathlib import Path

import click

from console import book
from console.client import ConsoleClient
from console.errors import SAID_NO
from rules import book_losses


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(folder: Path | None, yes: bool) -> None:
    """Put the files on disk in force although they lose rules, sources or destinations.

    A book that loses a source, a destination or more than half of its rules waits for this, and so does every change
    where RELAIS_APPROVE=1 is set. The approval is for the files as they are now: a further change needs another one.

    \b
    Examples:
      relais rules approve
      relais rules approve book --yes
    """
    place = book.folder(folder)
    wanted = book.load(place)
    current = book.read_in_force()
    if current is not None and current.version == wanted.version:
        click.echo(f"{wanted.version} is in force already.")
        return
    losses = book_losses.compare(current, wanted) if current is not None else None
    click.echo(f"in force: {current.version if current else 'none yet'}")
    click.echo(f"on disk:  {wanted.version}, {f'loses {losses}' if losses else 'loses nothing'}")
    if not yes and not click.confirm("Put the files on disk in force?"):
        raise SystemExit(SAID_NO)
    ConsoleClient.from_settings().post("/books/approve", {"version": wanted.version})
    click.echo(
        f"{wanted.version} is approved: receivers and workers that see these files take them within three seconds."
    )
