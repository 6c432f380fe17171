"""`relais rules diff`."""

from pathlib import Path
from urllib.parse import quote

import click

from console import json_output
from console.client import ConsoleClient
from console.errors import UserError
from rules.compiler import loader
from rules.tools import difference
from rules.tools.difference import Change

COLOURS = {"added": "green", "removed": "red", "changed": "yellow", "moved": "blue"}


@click.command()
@click.argument("old")
@click.argument("new")
@json_output.option
def command(old: str, new: str, as_json: bool) -> None:
    """Say in words what one book does otherwise than another.

    OLD and NEW are folders or files; or versions of books that were in force, or current, which the console tells.
    What is written about how a system is reached or verified is never shown.

    \b
    Examples:
      relais rules diff current rules/book
      relais rules diff book-of-march book
      relais rules diff 3f2a91c0 current --json
    """
    changes = difference.compare(files(old), files(new))
    if as_json:
        json_output.write([change.as_json() for change in changes])
        return
    for change in changes:
        show(change)
    if not changes:
        click.echo("Both say the same.", err=True)


def files(name: str) -> dict[str, str]:
    """Return the files of a book: of a folder or file, else of a version in force. Raises UserError."""
    place = Path(name)
    if place.exists():
        try:
            return {file: content.decode("utf-8-sig") for file, content in loader.read(place).items()}
        except (OSError, UnicodeDecodeError) as exc:
            raise UserError(f"{place} cannot be read", mend=f"relais rules check {place}") from exc
    found = ConsoleClient.from_settings().get(f"/books/{quote(name, safe='')}")
    return dict(found["files"])


def show(change: Change) -> None:
    """Print what came, went or changed."""
    click.echo(f"{click.style(change.what, fg=COLOURS[change.what])} {change.kind} {change.name}")
    for line in change.lines:
        click.echo(f"  {line}")
