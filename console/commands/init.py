"""`relais init`."""

from pathlib import Path

import click

from console import starter_book


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("rules/book"))
def command(folder: Path) -> None:
    """Copy the starter book to a folder of your own.

    Without FOLDER it goes to rules/book, where every command looks for it. Nothing that is there already is
    overwritten.

    \b
    Examples:
      relais init
      relais init /etc/relais/book
    """
    for file in starter_book.copy(folder):
        click.echo(f"  {file}")
    elsewhere = "" if folder == Path("rules/book") else f" (and RELAIS_BOOK={folder} for the other commands)"
    click.echo(f"The starter book is in {folder}. Next: relais rules check {folder}{elsewhere}")
